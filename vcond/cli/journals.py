"""Calls as their journals tell them, for when the daemon does not run, and ``vcond replay``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vcond.calls.state import Call, as_published, fold
from vcond.cli import render
from vcond.cli.door import NotRunningError, ask
from vcond.config import Config
from vcond.core.finish import read_track
from vcond.core.summary import detail, summary
from vcond.errors import JournalError, RefusedError, StorageError
from vcond.journal import read_folder
from vcond.media.codecs import Pcm
from vcond.vcon import BuildOptions, build, serialize, validate


class _Files:
    """Audio files of a journal that another process may be writing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, track_file: str, start: int, stop: int, /) -> Pcm:
        """Samples; zeros where nothing is."""
        pcm = np.zeros(max(0, stop - start), np.int16)
        file = self._folder / track_file
        if file.is_file():
            got = np.fromfile(file, "<i2", count=len(pcm), offset=2 * start)
            pcm[: len(got)] = got
        return pcm


def summaries(config: Config) -> list[dict[str, Any]]:
    """Calls of the running daemon, else of the journals."""
    try:
        rows: list[dict[str, Any]] = ask(config.vcond.admin_socket, "calls")
    except NotRunningError:
        return [summary(state) for state in _states(config)]
    return rows


def find(config: Config, uuid: str) -> dict[str, Any]:
    """One call by the beginning of its id: a live one, else one in the journals. Raises RefusedError."""
    try:
        row: dict[str, Any] = ask(config.vcond.admin_socket, "call", call=uuid)
    except (NotRunningError, RefusedError):
        for state in _states(config):
            if state.uuid.startswith(uuid):
                return detail(state)
        raise RefusedError(f"no call {uuid!r}: neither going on nor in the journals") from None
    return row


def replay(folder: Path, out: Path | None) -> tuple[dict[str, Any], list[str], bool]:
    """A journal's state and vCon, as JSON and as lines; False when its vCon has errors. Raises JournalError."""
    events, damage = read_folder(folder)
    state = fold(events)
    if not state.uuid:
        raise JournalError(f"{folder} holds no call's journal")
    result = {**detail(state), "events": len(events), "odd": state.odd, "damage": damage}
    lines = [
        *render.call(result),
        f"  {len(events)} events, {state.odd} odd" + (f", damage: {damage}" if damage else ""),
    ]
    if state.ended is None:
        return result, [*lines, "  not ended: it makes no vCon yet (`vcond recover` ends and delivers it)"], True
    reader = _Files(folder)
    state = as_published(events)
    document = build(state, {t.index: read_track(reader, t) for t in state.tracks}, BuildOptions())
    found = validate(document)
    errors = [f for f in found if f.level == "error"]
    body = serialize(document)
    if out is not None:
        try:
            out.write_bytes(body)
        except OSError as why:
            raise StorageError(f"cannot write {out}: {why.strerror}") from None
        lines.append(f"  vCon: {out}")
    lines += [f"  {f.level}: {f.path}: {f.message}" for f in found]
    lines.append(f"  vCon of {len(body)} bytes, {len(errors)} errors")
    return {**result, "bytes": len(body), "errors": len(errors)}, lines, not errors


def _states(config: Config) -> list[Call]:
    root = Path(config.vcond.state_dir) / "journal"
    if not root.is_dir():
        return []
    states = []
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            try:
                state = fold(read_folder(folder)[0])
            except (JournalError, StorageError):
                continue  # `vcond recover` names it
            if state.uuid:
                states.append(state)
    return states
