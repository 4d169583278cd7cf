"""Calls as their journals tell them, for when the daemon does not run, and ``vcond replay``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from vcond.base.errors import AmbiguousError, JournalError, RefusedError, StorageError
from vcond.call.state import Call, as_published, fold
from vcond.capture.registry import SEVERAL
from vcond.cli import render
from vcond.cli.admin_client import NotRunningError, ask
from vcond.config import DaemonConfig
from vcond.journal import read_folder
from vcond.media.codecs import Pcm
from vcond.publish.builder import read_track
from vcond.publish.summary import detail, summary
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles
from vcond.vcon import BuildOptions, build, serialize, validate


class _Files:
    """Audio files of a journal that another process may be writing."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._files = folder, WholeFiles(Files())

    def read(self, track_file: str, start: int, stop: int, /) -> Pcm:
        """Samples; zeros where nothing is."""
        pcm = np.zeros(max(0, stop - start), "<i2")
        with contextlib.suppress(FileNotFoundError):
            self._files.read_part(str(self._folder / track_file), pcm.data.cast("B"), 2 * start)
        return pcm


def summaries(config: DaemonConfig) -> list[dict[str, Any]]:
    """Calls of the running daemon, else of the journals; ``daemon`` says which."""
    try:
        rows: list[dict[str, Any]] = ask(config.admin_socket, "calls")
    except NotRunningError:
        return [summary(state) | {"daemon": False} for state in _states(config)]
    return [row | {"daemon": True} for row in rows]


def find(config: DaemonConfig, uuid: str) -> dict[str, Any]:
    """One call by the beginning of its id: a live one, else one in the journals, else where its vCon went.

    Raises RefusedError, AmbiguousError when more than one call begins so.
    """
    running = True
    try:
        row: dict[str, Any] = ask(config.admin_socket, "call", call=uuid)
    except AmbiguousError:
        raise
    except (NotRunningError, RefusedError) as why:
        running = not isinstance(why, NotRunningError)
    else:
        return row | {"daemon": True}
    try:
        found = [state for state in _states(config) if state.uuid.startswith(uuid)]
    except StorageError:
        if not running:
            raise
        found = []  # the group may ask, and not read journals
    if len(found) > 1:
        raise AmbiguousError(SEVERAL)
    if found:
        return detail(found[0]) | {"daemon": running}
    if not running:
        more = "; where delivered ones are, a running vcond tells"
        raise RefusedError(f"no call {uuid!r} in the journals, and vcond is not running{more}")
    try:
        gone: dict[str, Any] = ask(config.admin_socket, "vcon", call=uuid)
    except AmbiguousError:
        raise
    except RefusedError:
        raise RefusedError(f"no call {uuid!r}: neither going on, nor in the journals, nor delivered") from None
    return gone


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
    state = as_published(events)
    document = build(state, audio_of(folder, state), BuildOptions())
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


def audio_of(folder: Path, state: Call) -> dict[int, Pcm]:
    """The samples of all tracks of a journal."""
    reader = _Files(folder)
    return {track.index: read_track(reader, track) for track in state.tracks}


def _states(config: DaemonConfig) -> list[Call]:
    return [state for _, state in found_in_journals(config)]


def found_in_journals(config: DaemonConfig) -> list[tuple[Path, Call]]:
    """Every journal that can be read: its folder and its call. Raises StorageError."""
    root = Path(config.state_dir) / "journal"
    try:
        folders = sorted(root.iterdir())
    except FileNotFoundError:
        return []
    except OSError as why:
        raise StorageError(f"cannot read {root}: {why.strerror}; the journals are for root and vcond's user") from None
    states = []
    for folder in folders:
        if folder.is_dir() and not folder.name.startswith("."):
            try:
                state = fold(read_folder(folder)[0])
            except (JournalError, StorageError):
                continue  # `vcond recover` names it
            if state.uuid:
                states.append((folder, state))
    return states
