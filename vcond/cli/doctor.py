"""``vcond doctor``: what is missing in the record of a call, why, and what is to be done about it at its PBX."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from vcond.app.plugins import hints
from vcond.base.errors import SEVERAL, AmbiguousError, ConfigError, OperatorError, RefusedError, StorageError
from vcond.call.diagnosis import HARMLESS, Diagnosis, hint
from vcond.call.state import Call, fold
from vcond.cli.admin_client import NotRunningError, ask
from vcond.cli.journals import check_not_gone, found_in_journals
from vcond.cli.replay import audio_of
from vcond.cli.vcons import inside, load_vcon
from vcond.config import DaemonConfig, adapter_kinds, load_daemon
from vcond.journal import read_folder
from vcond.media.detect.sound_kind import sound_kind
from vcond.publish.summary import detail
from vcond.storage.files import Files
from vcond.vcon import Document

PURPOSE = "vcond-capture-report"
Row = dict[str, Any]


class _Found(msgspec.Struct, frozen=True):
    code: str
    text: str
    party: int | None = None


class _Report(msgspec.Struct, frozen=True):
    """What is read of a capture report."""

    platform: str = ""
    findings: list[_Found] | None = None
    notes: list[str] = []


def configured(path: Path, *, needed: bool) -> tuple[DaemonConfig, dict[str, str]]:
    """Where the daemon keeps its calls, and the kinds of adapters by name. Raises ConfigError when it is needed."""
    if not needed and not os.path.isfile(path):  # noqa: PTH113 - is_file() fails where one may not look
        return DaemonConfig(), {}
    return load_daemon(path, os.environ), adapter_kinds(path, os.environ)


def examine(config: DaemonConfig, kinds: Mapping[str, str], call: str, files: Callable[[], Files] = Files) -> Row:
    """One call, by the beginning of its id, the folder of its journal, or a vCon file.

    ``kinds``: of adapters by the names of their sections; ``files`` reads journals. Raises RefusedError, AmbiguousError, StorageError.
    """
    path = Path(call)
    if path.is_dir():
        check_not_gone(path)
        return _finished(_of_journal(path, files()), kinds)
    if path.is_file():
        return _finished(_of_vcon(load_vcon(path)), kinds)
    found = _live(config, call, files) or _kept(config, call)
    if found is None:
        raise RefusedError(
            f"no call {call!r} is active, in the journals or kept in the outbox: "
            "name the file of its vCon; delivery.keep_days sets how long vCons are kept"
        )
    return _finished(found, kinds)


def overview(
    config: DaemonConfig, kinds: Mapping[str, str], files: Callable[[], Files] = Files
) -> tuple[list[Row], dict[str, str]]:
    """The calls that go on and the last that ended, and what the daemon is short of."""
    try:
        told = ask(config.admin_socket, "findings")
    except NotRunningError as why:
        disk = files()
        rows = [_of_journal(folder, disk) for folder, _ in found_in_journals(config, lambda: disk)]
        return [_finished(row, kinds) for row in rows], {"daemon": str(why)}
    return [_finished(row, kinds) for row in told["calls"]], told["short_of"]


def wrong(row: Mapping[str, Any]) -> bool:
    """Whether something is missing that should be there."""
    return any(one["wrong"] for one in row["findings"])


def lines(row: Mapping[str, Any]) -> Iterator[str]:
    """One call in full."""
    yield f"{row['call']}  {row['adapter']}"
    if not row["findings"]:
        yield "  nothing is missing"
    for one in row["findings"]:
        yield f"  {'MISSING' if one['wrong'] else 'on purpose'}  {one['code']}: {one['text']}"
        if one["hint"]:
            yield f"        -> {one['hint']}"


def overview_lines(rows: Sequence[Mapping[str, Any]], short_of: Mapping[str, str]) -> Iterator[str]:
    """All calls, one a line."""
    for part, what in short_of.items():
        yield f"{part}: {what}"
    if short_of and "daemon" not in short_of:
        yield "        -> vcond status says what to do"
    for row in rows:
        codes = ", ".join(dict.fromkeys(one["code"] for one in row["findings"] if one["wrong"]))
        yield f"{row['call']}  {row['adapter']:<10} {codes or 'nothing is missing'}"
    if any(wrong(row) for row in rows):
        yield "        -> vcond doctor CALL shows more"
    if not rows:
        yield "no calls"


def _finished(row: Row, kinds: Mapping[str, str]) -> Row:
    """With hints, of the kind of adapter that the call's is."""
    own = hints(kinds.get(row["adapter"], row["adapter"]))
    found = [{**one, "hint": hint(one["code"], own)} for one in row["findings"]]
    return {"call": row["call"], "adapter": row["adapter"], "ended": row["ended"], "findings": found}


def _live(config: DaemonConfig, call: str, files: Callable[[], Files]) -> Row | None:
    """A call of the running daemon, or of the journals."""
    try:
        row: Row = ask(config.admin_socket, "call", call=call)
    except AmbiguousError:
        raise
    except (NotRunningError, RefusedError) as why:
        running = not isinstance(why, NotRunningError)
    else:
        if "findings" not in row:
            raise RefusedError("the running daemon is of an earlier version, which cannot tell: restart it")
        return row
    try:
        found = [folder for folder, _ in found_in_journals(config, files, call)]
    except StorageError:
        if not running:
            raise
        found = []
    if len(found) > 1:
        raise AmbiguousError(SEVERAL)
    return _of_journal(found[0], files()) if found else None


def _of_journal(folder: Path, files: Files) -> Row:
    events, damage = read_folder(folder, files)
    state = fold(events)
    if not state.uuid:
        raise StorageError(f"{folder} is not the journal of a call")
    audio = audio_of(folder, state, files)
    row = detail(state, sounds={track.index: sound_kind(audio[track.index], track.rate) for track in state.tracks})
    row["findings"] = [*_of_folder(state, damage), *row["findings"]]
    return row


def _of_folder(state: Call, damage: str) -> Iterator[Row]:
    if state.ended is None and not state.merged_into:
        text = "its journal has no end: vcond stopped or crashed during the call"
        yield _row(Diagnosis("crash", text))
    if damage:
        yield _row(Diagnosis("journal-damaged", f"its journal is damaged: {damage}"))


def _row(one: Diagnosis) -> Row:
    return {"code": one.code, "text": one.text, "party": one.party, "wrong": one.wrong}


def _kept(config: DaemonConfig, call: str) -> Row | None:
    """A finished call by its vCon: in the outbox, or where a folder sink has put it."""
    if not call.replace("-", "").isalnum():
        return None
    outbox = Path(config.state_dir) / "outbox"
    found = {file.name: file for name in ("kept", "pending") for file in outbox.glob(f"{name}/{call}*.vcon.json")}
    if len(found) > 1:
        raise AmbiguousError(SEVERAL)
    sinks: list[dict[str, str]] = []
    try:
        sinks = ask(config.admin_socket, "vcon", call=call)["sinks"]
    except AmbiguousError:
        raise
    except (OperatorError, RefusedError):
        pass
    files = [*found.values(), *(Path(one["target"]) for one in sinks if one["target"].startswith("/"))]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    row = _of_vcon(load_vcon(file))
    waiting = [one for one in sinks if one["state"] != "delivered"]
    row["findings"] += [
        _row(Diagnosis("not-delivered", f"sink {one['sink']} does not have its vCon: {one['state']}"))
        for one in waiting
    ]
    return row


def _of_vcon(document: Document) -> Row:
    """Raises ConfigError when it cannot be read or has no capture report of vcond."""
    _, vcon = inside(document)
    if vcon is None:
        raise ConfigError("the vCon cannot be read: decrypt it first (vcond decrypt)")
    attached = vcon.get("attachments", [])
    bodies = [one.get("body") for one in attached if isinstance(one, dict) and one.get("purpose") == PURPOSE]
    try:
        report = msgspec.convert(bodies[0], _Report)
    except (IndexError, msgspec.ValidationError):
        why = "vcond did not make this vCon; it has no report of what is missing"
        raise ConfigError(f"the vCon has no capture report that can be read: {why}") from None
    found = report.findings
    if found is None:  # nothing is missing, or an earlier vcond made it
        found = [_Found("note", note) for note in report.notes]
    return {
        "call": vcon.get("uuid", ""), "adapter": report.platform, "ended": vcon.get("created_at"),
        "findings": [_row(Diagnosis(one.code, one.text, one.party, one.code not in HARMLESS)) for one in found],
    }  # fmt: skip
