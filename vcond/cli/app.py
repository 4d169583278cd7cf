"""All commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vcond import __version__
from vcond.base.errors import ConfigError, InUseError, StorageError
from vcond.cli import render
from vcond.cli.bench import bench_app
from vcond.cli.config import config_app
from vcond.cli.files import files_app
from vcond.cli.keys import keys_app
from vcond.cli.ledger import ledger_app
from vcond.cli.model import model_app
from vcond.cli.options import DEFAULT, ConfigFile, kept_files, load_all, load_daemon
from vcond.cli.outbox import outbox_app
from vcond.cli.output import Json
from vcond.cli.output import show as _print
from vcond.cli.retention import retention_app
from vcond.cli.speech import speech_app
from vcond.cli.token import token_app

if TYPE_CHECKING:
    from vcond.config import Loaded

app = typer.Typer(
    name="vcond",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich is a third of a second before the first line
    help="Live calls become vCons: attaches to a PBX, records each party, transcribes, delivers.",
)

OneCall = Annotated[str, typer.Argument(help="A call's id or its beginning.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"vcond {__version__}")
        raise typer.Exit


@app.callback()
def vcond(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Live calls become vCons: attaches to a PBX, records each party, transcribes, delivers."""


@app.command()
def version(as_json: Json = False) -> None:
    """Print the version."""
    _print({"version": __version__}, as_json, [f"vcond {__version__}"])


@app.command()
def run(
    config: ConfigFile = DEFAULT,
    clock_speed: Annotated[float, typer.Option(hidden=True, min=0.1, max=10, help="For `vcond demo --speed`.")] = 1.0,
) -> None:
    """Run the daemon in the foreground (systemd does)."""
    loaded = load_all(config)  # a wrong one is refused before all that runs is imported
    if loaded.config.hub.listen:
        raise ConfigError("this is the configuration of a hub: start it with vcond hub", "hub.listen")
    _serve(loaded, clock_speed)


@app.command()
def hub(config: ConfigFile = DEFAULT) -> None:
    """Take the vCons of other machines by the conserver's API and keep them, in the foreground: needs no PBX, only [hub]."""
    loaded = load_all(config)
    if not loaded.config.hub.listen:
        raise ConfigError("must be set: it is where other machines bring their vCons", "hub.listen")
    _serve(loaded)


def _serve(loaded: Loaded, clock_speed: float = 1.0) -> None:
    from vcond.app.daemon import main

    try:
        main(loaded, clock_speed)
    except InUseError:
        raise
    except StorageError as why:  # a disk may be back in a moment: 1, so that systemd tries again
        print(f"vcond: {why}", file=sys.stderr)
        raise typer.Exit(1) from None


@app.command()
def check(
    config: ConfigFile = DEFAULT,
    offline: Annotated[bool, typer.Option("--offline", help="Check only the files; connect to nothing.")] = False,
    errors_only: Annotated[
        bool, typer.Option("--errors-only", help="Show errors only; warnings do not change the exit code.")
    ] = False,
    loopback: Annotated[
        bool, typer.Option("--loopback", help="Also place a test call, through its own daemon; no sink gets its vCon.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check configuration, disk, speech, PBXs and sinks. Exit 1 for warnings, 2 for errors."""
    from vcond.cli.check_rows import rows

    found = rows(config, offline=offline, errors_only=errors_only, loopback=loopback)
    _print(found, as_json, render.findings(found))
    worst = {one["level"] for one in found}
    raise typer.Exit(2 if "error" in worst else 1 if "warning" in worst else 0)


@app.command()
def setup(
    name: Annotated[
        str, typer.Argument(help="asterisk, freeswitch, twilio, webrtc, janus, siprec, stream, conserver, ...")
    ],
    config: ConfigFile = DEFAULT,
    write: Annotated[Path | None, typer.Option("--write", help="Write the snippets as files into this folder.")] = None,
) -> None:
    """Print what to write into a PBX's, platform's or conserver's configuration, step by step, with the values of this one."""
    from vcond.cli.setup import setup_text, write_files

    if write is None:
        print(setup_text(name, config), end="")
    else:
        print("\n".join(write_files(name, config, write)))


@app.command()
def status(config: ConfigFile = DEFAULT, as_json: Json = False) -> None:
    """Show on one screen how the daemon is, and the command that mends what is wrong. Exit 1 when something is wrong."""
    from vcond.cli import status as daemon

    told = daemon.status(load_daemon(config))
    _print(told, as_json, daemon.lines(told))
    raise typer.Exit(1 if told["problems"] else 0)


@app.command()
def page(
    config: ConfigFile = DEFAULT,
    role: Annotated[
        list[str] | None, typer.Option(help="watch, read, operate or admin; several times for several. All but admin.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a link that opens the page in a browser: once, within five minutes. Needs [api] listen."""
    from vcond.cli.admin_client import ask

    roles = ",".join(role or ["watch", "read", "operate"])
    told = ask(load_daemon(config).admin_socket, "page-link", write=True, roles=roles)
    _print(told, as_json, [told["url"]])


@app.command()
def calls(
    config: ConfigFile = DEFAULT,
    live: Annotated[bool, typer.Option("--live", help="Repeat every second, until Ctrl-C or the daemon ends.")] = False,
    as_json: Json = False,
) -> None:
    """List the active calls; without a running daemon, those in its journals."""
    from vcond.cli.journals import summaries

    if live:
        from vcond.cli.live import live_calls, until_interrupted

        until_interrupted(lambda: live_calls(load_daemon(config), sys.stdout))
        return
    rows = summaries(load_daemon(config), lambda: kept_files(config))
    _print(rows, as_json, render.calls(rows))


@app.command()
def show(
    call: Annotated[str, typer.Argument(help="A call's id or its beginning, or a vCon file.")],
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Show a call or a vCon: parties, history, text."""
    from vcond.cli.journals import find

    if os.path.isfile(call):  # noqa: PTH113 - is_file() fails where one may not look
        from vcond.cli.vcons import summary

        document, lines = summary(Path(call))
        _print(document, as_json, lines)
        return
    found = find(load_daemon(config), call, lambda: kept_files(config))
    _print(found, as_json, render.call(found))


@app.command()
def doctor(
    call: Annotated[str, typer.Argument(help="A call's id or its beginning, a journal's folder, or a vCon file.")] = "",
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Say what is missing in a call's record, why, and what to do; without CALL: in which calls. Exit 1 when something is."""
    from vcond.cli import doctor as found

    daemon, kinds = found.configured(config, needed=not os.path.lexists(call))
    if call:
        row = found.examine(daemon, kinds, call, lambda: kept_files(config))
        _print(row, as_json, found.lines(row))
        raise typer.Exit(1 if found.wrong(row) else 0)
    rows, short_of = found.overview(daemon, kinds, lambda: kept_files(config))
    _print({"short_of": short_of, "calls": rows}, as_json, found.overview_lines(rows, short_of))
    raise typer.Exit(1 if short_of or any(map(found.wrong, rows)) else 0)


@app.command()
def watch(call: OneCall, config: ConfigFile = DEFAULT, as_json: Json = False) -> None:
    """Show what is said in a call, as it is said, until it ends or Ctrl-C. As JSON: one object a line."""
    from vcond.cli.live import until_interrupted
    from vcond.cli.live import watch as watch_one

    until_interrupted(lambda: watch_one(load_daemon(config), call, sys.stdout, as_json=as_json))


@app.command()
def pause(
    call: OneCall,
    config: ConfigFile = DEFAULT,
    reason: Annotated[str, typer.Option(help="The reason; the vCon will have it.")] = "",
    seconds: Annotated[str, typer.Option("--for", help="Seconds after which recording resumes by itself.")] = "",
) -> None:
    """Pause recording of a call until it is resumed, or for some seconds."""
    from vcond.cli.admin_client import ask

    query = {"reason": reason} | ({"seconds": seconds} if seconds else {})
    render.done(ask(load_daemon(config).admin_socket, "pause", write=True, call=call, **query))


@app.command()
def consent(
    call: OneCall,
    party: Annotated[str, typer.Argument(help="A party: its number in the call (see `vcond show`), or its name.")],
    state: Annotated[str, typer.Argument(help="asked, granted, denied or withdrawn.")],
    how: Annotated[
        str, typer.Option(help="In which way: announcement, key, words, page, operator, other.")
    ] = "operator",
    evidence: Annotated[list[str] | None, typer.Option(help="What proves it, as NAME=VALUE; may be repeated.")] = None,
    purpose: Annotated[
        list[str] | None,
        typer.Option(
            help="recording, transcription, analysis. Without it what the rule asks for; a refusal is of all."
        ),
    ] = None,
    config: ConfigFile = DEFAULT,
) -> None:
    """Say what a party of an active call said of consent. Saying it twice changes nothing."""
    from vcond.cli.admin_client import ask
    from vcond.cli.options import evidence_of

    said = {"party": party, "state": state, "how": how, "evidence": evidence_of(evidence or [])}
    said |= {"purposes": ",".join(purpose)} if purpose else {}
    render.consented(ask(load_daemon(config).admin_socket, "consent", write=True, call=call, **said))


@app.command()
def resume(
    call: OneCall,
    config: ConfigFile = DEFAULT,
    force: Annotated[
        bool, typer.Option("--force", help="Also end pauses that others asked for; the vCon says so.")
    ] = False,
    reason: Annotated[str, typer.Option(help="With --force: the reason; the vCon will have it.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="With --force: do not ask for confirmation.")] = False,
) -> None:
    """Resume recording that `vcond pause` paused. Exit 1 if others still have it paused."""
    from vcond.cli.admin_client import ask

    socket = load_daemon(config).admin_socket
    if force and not yes and sys.stdin.isatty():
        others = ask(socket, "call", call=call).get("paused_by", [])
        typer.confirm(f"Paused by {', '.join(others) or 'nobody'}. Record again without their consent?", abort=True)
    query = {"force": "yes", "reason": reason} if force else {}
    row = ask(socket, "resume", write=True, call=call, **query)
    render.done(row)
    raise typer.Exit(1 if row["paused"] else 0)


@app.command()
def export(
    to: Annotated[Path, typer.Option(help="The folder; made if it does not exist.")],
    uuid: Annotated[str, typer.Argument(help="Only vCons whose id begins with this.")] = "",
    since: Annotated[str, typer.Option(help="Only calls that began then or later, as 2026-11-29T10:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="And before this time.")] = "",
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Copy the vCons that vcond holds, waiting and kept ones, into a folder. Exit 1 when there are none."""
    from vcond.cli.export import export as copy
    from vcond.cli.export import lines

    rows = copy(load_daemon(config), to, uuid, since, until, kept_files(config))
    _print(rows, as_json, lines(rows))
    raise typer.Exit(0 if rows else 1)


@app.command()
def forget(
    call: Annotated[
        str,
        typer.Argument(
            help="The id of a call or of one of its vCons, or its beginning; tel:NUMBER, sip:, mailto: for all of a person."
        ),
    ] = "",
    status: Annotated[
        bool, typer.Option("--status", help="List what is not complete, and what is waited for.")
    ] = False,
    give_up: Annotated[str, typer.Option("--give-up", help="Leave a place as it is; the receipt says so.")] = "",
    receipt: Annotated[str, typer.Option(help="Print the receipt of this id.")] = "",
    party: Annotated[
        str,
        typer.Option(
            "--party-only", help="Only this party of the call, by its place (0, 1) or as tel:NUMBER, sip:, mailto:."
        ),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Forget a conversation for good, here and at every sink, and print what became of it. Exit 1 when not all of it is gone."""
    for option, given in (("--give-up", give_up), ("--party-only", party)):
        if given and not call:
            raise typer.BadParameter(f"must be given with {option}", param_hint="CALL")
    from vcond.cli import forget as asked
    from vcond.cli.admin_client import ask

    socket = load_daemon(config).admin_socket
    if receipt:
        _print(ask(socket, "receipt", id=receipt), True, [])
        return
    if status or not call:
        rows = ask(socket, "forgetting")
    elif give_up:
        rows = [ask(socket, "give-up", write=True, call=call, place=give_up)]
    else:
        what = f"{party} in {call}" if party else call
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"Forget {what} for good, here and at every sink?")):
            print("nothing was forgotten; --yes does it without asking", file=sys.stderr)
            raise typer.Exit(1)
        query = {"call": call, "party": party} if party else {"call": call}
        rows = [ask(socket, "forget-party" if party else "forget", write=True, **query)]
    _print(rows, as_json, [line for row in rows for line in asked.lines(row)] or ["nothing is being forgotten"])
    raise typer.Exit(1 if any(row["state"] != "complete" for row in rows) else 0)


@app.command("legal-hold")
def legal_hold(
    call: Annotated[str, typer.Argument(help="The id of a call or of one of its vCons, or its beginning.")] = "",
    reason: Annotated[str, typer.Option(help="The reason, as a case number; needed to hold.")] = "",
    until: Annotated[str, typer.Option(help="It ends by itself a day after it, as 2027-11-29T10:00:00Z.")] = "",
    release: Annotated[bool, typer.Option("--release", help="End the hold.")] = False,
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Keep all that there is of a call, whatever retention or a request to forget says; without CALL: list the holds."""
    if not call and (reason or until or release):
        raise typer.BadParameter("must be given to hold or release one", param_hint="CALL")
    from vcond.cli import holds

    rows = holds.legal_hold(load_daemon(config).admin_socket, call, reason, until, release=release)
    _print(rows, as_json, holds.lines(rows))


@app.command()
def subject(
    who: Annotated[str, typer.Argument(help="tel:+1..., sip:, mailto:, name: or uuid:, or a telephone number.")],
    config: ConfigFile = DEFAULT,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write this person's copy and a report into this folder.")
    ] = None,
    mask_others: Annotated[
        bool,
        typer.Option(
            "--mask-others", help="With --export: nothing of other parties, neither who they are nor what they said."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """List every vCon that somebody is in: where it is, who received it, on what basis, when it goes. Exit 1 when there is none."""
    if mask_others and export is None:
        raise typer.BadParameter("is for a copy: --export names its folder", param_hint="--mask-others")
    from vcond.cli import subject as one
    from vcond.cli.records import records

    with records(config) as opened:
        if export is not None:
            from vcond.cli.subject_copy import write_copy

            rows = write_copy(opened, who, export, mask=mask_others)
        else:
            rows = one.found(opened, who)
    _print(rows, as_json, one.lines(rows))
    raise typer.Exit(0 if rows else 1)


@app.command()
def recover(config: ConfigFile = DEFAULT, as_json: Json = False) -> None:
    """Finish and deliver what is in the journals, without attaching to any PBX. Not while the daemon runs. Exit 2 when one could not be read."""
    from vcond.cli.recover import recover as recover_all

    result = recover_all(load_all(config))
    _print(result, as_json, [f"{name}: {count}" for name, count in result.items()])
    raise typer.Exit(2 if result["unreadable"] else 1 if result["undelivered"] else 0)


@app.command()
def replay(
    journal: Annotated[Path, typer.Argument(help="The folder of a call's journal.")],
    out: Annotated[Path | None, typer.Option(help="Write the journal's vCon to this file.")] = None,
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Read a journal and show its events, state and vCon. The journal is not changed."""
    from vcond.cli.replay import replay as replay_one

    result, lines, valid = replay_one(journal, out, kept_files(config))
    _print(result, as_json, lines)
    raise typer.Exit(0 if valid else 1)


app.registered_commands += files_app.registered_commands


@app.command()
def demo(
    wav: Annotated[Path | None, typer.Option(help="A stereo WAV of your own, left = caller.")] = None,
    speed: Annotated[float, typer.Option(min=0.1, max=10, help="Speed; 1 = real time.")] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Folder for all files of the demo; they are kept.")] = None,
    pbx: Annotated[str, typer.Option(help="asterisk = through a real Asterisk (from a checkout).")] = "",
    view: Annotated[
        bool, typer.Option("--view", help="Stay up for the page when the call is over, until Ctrl-C.")
    ] = False,
) -> None:
    """Play a spoken call into a new daemon and show the result. A link is printed that shows it in a browser."""
    from vcond.cli.with_rich import let_rich_in

    let_rich_in()
    from vcond.demo.run import DemoOptions, run_demo

    raise typer.Exit(run_demo(DemoOptions(wav=wav, speed=speed, out=out, pbx=pbx, view=view)))


app.add_typer(retention_app, name="retention")
app.add_typer(outbox_app, name="outbox")
app.add_typer(ledger_app, name="ledger")
app.add_typer(keys_app, name="keys")
app.add_typer(token_app, name="token")
app.add_typer(model_app, name="model")
app.add_typer(speech_app, name="speech")
app.add_typer(bench_app, name="bench")
app.add_typer(config_app, name="config")
