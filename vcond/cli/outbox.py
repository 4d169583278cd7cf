"""``vcond outbox``: vCons on their way to the sinks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

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


def _ask(context: typer.Context, config: Path | None, name: str, *, write: bool = False, **query: str) -> Any:
    """What the daemon of a command's ``--config``, or of that before the command, answers; empty options are left out."""
    from vcond.cli.admin_client import ask

    socket = load_daemon(config or context.obj).admin_socket
    return ask(socket, name, write=write, **{key: value for key, value in query.items() if value})


@outbox_app.command("dead")
def outbox_dead(context: typer.Context, config: OtherConfig = None, as_json: Json = False) -> None:
    """List the dead letters: what a sink refused for good, with its reason. Exit 1 when there are any."""
    rows = _ask(context, config, "dead")
    show(rows, as_json, render.dead(rows))
    raise typer.Exit(1 if rows else 0)


@outbox_app.command("show")
def outbox_show(context: typer.Context, uuid: OneVcon, config: OtherConfig = None, as_json: Json = False) -> None:
    """Show what is known of one vCon's deliveries: when it was made, who has it, who refused it and why."""
    found = _ask(context, config, "entry", uuid=uuid)
    show(found, as_json, render.entry(found))


@outbox_app.command("discard")
def outbox_discard(
    context: typer.Context,
    uuid: Annotated[str, typer.Argument(help="A vCon's id or its beginning.")] = "",
    unmatched: Annotated[bool, typer.Option("--unmatched", help="All that the match of no sink takes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: OtherConfig = None,
) -> None:
    """Give up a dead letter: who refused it never gets it. The ledger and the log record that. Exit 1 if it was not given up."""
    if bool(uuid) == unmatched:
        raise typer.BadParameter("name one vCon, or --unmatched")
    found = _ask(context, config, "unmatched") if unmatched else _ask(context, config, "entry", uuid=uuid)
    print("\n".join(render.nobodys(found) if unmatched else render.loss(found)))
    if unmatched and not found["vcons"]:
        return
    if not yes and not (sys.stdin.isatty() and typer.confirm("Discard them?" if unmatched else "Discard it?")):
        print("nothing was discarded; --yes does it without asking", file=sys.stderr)
        raise typer.Exit(1)
    if unmatched:
        done = _ask(context, config, "discard-unmatched", write=True, last=str(found["last"]))
        print(f"discarded: {done['discarded']} vCons, which nobody gets")
        return
    done = _ask(context, config, "discard", write=True, uuid=found["uuid"])
    print(f"discarded: {', '.join(done['discarded'])} will not get it")


@outbox_app.command("retry")
def outbox_retry(
    context: typer.Context,
    uuid: Annotated[str, typer.Argument(help="One vCon; without it, all dead letters.")] = "",
    sink: Annotated[str, typer.Option(help="Only for this sink.")] = "",
    unmatched: Annotated[
        bool, typer.Option("--unmatched", help="All that the match of no sink takes, to the sink of --sink.")
    ] = False,
    config: OtherConfig = None,
) -> None:
    """Send dead letters again and try waiting vCons now. Use it when the cause is corrected."""
    if unmatched and (uuid or not sink):
        raise typer.BadParameter("--unmatched is of all that is for no sink: name the one that gets it with --sink")
    answer = _ask(context, config, "send-unmatched" if unmatched else "retry", write=True, uuid=uuid, sink=sink)
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
    answer = _ask(context, config, "resend", write=True, uuid=uuid, since=since, until=until, sink=sink)
    print(f"{answer['resent']} to be sent again")


@outbox_app.command("erase")
def outbox_erase(
    context: typer.Context,
    uuid: Annotated[str, typer.Argument(help="A vCon that every sink has.")],
    config: OtherConfig = None,
) -> None:
    """Remove the kept file of a delivered vCon, and have every sink forget it. Exit 1 when one did not: ask again."""
    sinks = _ask(context, config, "erase", write=True, uuid=uuid)["sinks"]
    for name, why in sinks.items():
        print(f"{name}: {'NOT erased: ' + why if why else 'erased'}")
    raise typer.Exit(1 if any(sinks.values()) else 0)
