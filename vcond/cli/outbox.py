"""``vcond outbox``: vCons on their way to the sinks."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vcond.cli import render
from vcond.cli.options import DEFAULT, ConfigFile, OtherConfig, load_daemon
from vcond.cli.output import Json, show

outbox_app = typer.Typer(help="vCons that are being delivered to the sinks.", invoke_without_command=True)


@outbox_app.callback()
def outbox(context: typer.Context, config: ConfigFile = DEFAULT, as_json: Json = False) -> None:
    """List vCons that are not delivered everywhere yet, and dead letters with their reason."""
    context.obj = config
    if context.invoked_subcommand is None:
        from vcond.cli.admin_client import ask

        socket = load_daemon(config).admin_socket
        rows = ask(socket, "outbox")
        show(rows, as_json, render.outbox(rows, ask(socket, "sinks")))


OneVcon = Annotated[str, typer.Argument(help="A vCon's id or its beginning.")]


@outbox_app.command("dead")
def outbox_dead(context: typer.Context, config: OtherConfig = None, as_json: Json = False) -> None:
    """List the dead letters: what a sink refused for good, with its reason. Exit 1 when there are any."""
    from vcond.cli.admin_client import ask

    rows = ask(load_daemon(config or context.obj).admin_socket, "dead")
    show(rows, as_json, render.dead(rows))
    raise typer.Exit(1 if rows else 0)


@outbox_app.command("show")
def outbox_show(context: typer.Context, uuid: OneVcon, config: OtherConfig = None, as_json: Json = False) -> None:
    """Show what the ledger knows of one vCon: when it was made, who has it, who refused it and why."""
    from vcond.cli.admin_client import ask

    found = ask(load_daemon(config or context.obj).admin_socket, "entry", uuid=uuid)
    show(found, as_json, render.entry(found))


@outbox_app.command("discard")
def outbox_discard(
    context: typer.Context,
    uuid: OneVcon,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: OtherConfig = None,
) -> None:
    """Give a dead letter up: who refused it never gets it. The ledger and the log keep that. Exit 1 when it is kept."""
    from vcond.cli.admin_client import ask

    socket = load_daemon(config or context.obj).admin_socket
    found = ask(socket, "entry", uuid=uuid)
    print("\n".join(render.loss(found)))
    if not yes and not (sys.stdin.isatty() and typer.confirm("Discard it?")):
        print("nothing was discarded; --yes does it without asking", file=sys.stderr)
        raise typer.Exit(1)
    done = ask(socket, "discard", write=True, uuid=found["uuid"])
    print(f"discarded: {', '.join(done['discarded'])} will not get it")


@outbox_app.command("retry")
def outbox_retry(
    context: typer.Context,
    uuid: Annotated[str, typer.Argument(help="One vCon; without it, all dead letters.")] = "",
    sink: Annotated[str, typer.Option(help="Only for this sink.")] = "",
    config: OtherConfig = None,
) -> None:
    """Send dead letters again and try waiting vCons now. Use it when the cause is corrected."""
    from vcond.cli.admin_client import ask

    query = {name: value for name, value in (("uuid", uuid), ("sink", sink)) if value}
    answer = ask(load_daemon(config or context.obj).admin_socket, "retry", write=True, **query)
    print(f"{answer['retried']} to be sent again")


@outbox_app.command("resend")
def outbox_resend(
    context: typer.Context,
    uuid: Annotated[str, typer.Argument(help="One vCon.")] = "",
    since: Annotated[str, typer.Option(help="All vCons made at this time or later, as in 2026-11-29T10:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="And before this time.")] = "",
    sink: Annotated[str, typer.Option(help="Only to this sink.")] = "",
    config: OtherConfig = None,
) -> None:
    """Send delivered vCons again if a receiver lost them. Their files must still exist: delivery.keep_days."""
    from vcond.cli.admin_client import ask

    asked = (("uuid", uuid), ("since", since), ("until", until), ("sink", sink))
    query = {name: value for name, value in asked if value}
    answer = ask(load_daemon(config or context.obj).admin_socket, "resend", write=True, **query)
    print(f"{answer['resent']} to be sent again")


@outbox_app.command("erase")
def outbox_erase(
    context: typer.Context,
    uuid: Annotated[str, typer.Argument(help="A vCon that every sink has.")],
    config: OtherConfig = None,
) -> None:
    """Remove the kept file of a delivered vCon, and have every sink forget it. Exit 1 when one did not: ask again."""
    from vcond.cli.admin_client import ask

    sinks = ask(load_daemon(config or context.obj).admin_socket, "erase", write=True, uuid=uuid)["sinks"]
    for name, why in sinks.items():
        print(f"{name}: {'NOT erased: ' + why if why else 'erased'}")
    raise typer.Exit(1 if any(sinks.values()) else 0)
