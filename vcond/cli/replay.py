"""``vcond replay``: a journal read again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from vcond.base.errors import JournalError, StorageError
from vcond.call.state import Call, as_published, fold
from vcond.cli import render
from vcond.cli.journals import check_not_gone
from vcond.journal import read_folder
from vcond.media.codecs import Pcm
from vcond.publish.builder import read_track
from vcond.publish.summary import detail
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles
from vcond.vcon import BuildOptions, build, serialize, validate


class _Files:
    """Audio files of a journal that another process may be writing."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder, self._files = folder, WholeFiles(files)

    def read(self, track_file: str, start: int, stop: int, /) -> Pcm:
        """Samples; zeros where nothing is."""
        pcm = np.zeros(max(0, stop - start), "<i2")
        with contextlib.suppress(FileNotFoundError):
            self._files.read_part(str(self._folder / track_file), pcm.data.cast("B"), 2 * start)
        return pcm


def replay(folder: Path, out: Path | None, files: Files | None = None) -> tuple[dict[str, Any], list[str], bool]:
    """A journal's state and vCon, as JSON and as lines; False when its vCon has errors. Raises JournalError."""
    files = files or Files()
    check_not_gone(folder)
    events, damage = read_folder(folder, files)
    state = fold(events)
    if not state.uuid:
        raise JournalError(f"{folder} is not the journal of a call")
    result = {**detail(state), "events": len(events), "odd": state.odd, "damage": damage}
    lines = [
        *render.call(result),
        f"  {len(events)} events, {state.odd} odd" + (f", damage: {damage}" if damage else ""),
    ]
    if state.ended is None:
        return result, [*lines, "  not ended: no vCon yet (`vcond recover` ends and delivers it)"], True
    state = as_published(events)
    document = build(state, audio_of(folder, state, files), BuildOptions())
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


def audio_of(folder: Path, state: Call, files: Files) -> dict[int, Pcm]:
    """The samples of all tracks of a journal."""
    reader = _Files(folder, files)
    return {track.index: read_track(reader, track) for track in state.tracks}
