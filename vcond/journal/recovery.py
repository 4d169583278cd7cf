"""Reading journals back: at a start, and from outside while a daemon writes them. Nothing in here changes a file."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vcond.base.errors import JournalError, StorageError
from vcond.call.events import CallOpened, Event
from vcond.journal.disk_errors import advice
from vcond.journal.records import CHUNK, FORMAT, MAX_LOG, Reader
from vcond.storage.files import Files
from vcond.storage.names import is_uuid

EVENTS: Final = "events.log"
DAMAGED: Final = "events.damaged-"
MAX_DAMAGED: Final = 1000
"""Damaged ends kept of one journal; the last one is overwritten from then on."""
TRACK_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,59}\.pcm")


@dataclass(frozen=True, slots=True)
class Found:
    """One journal as it lies on the disk."""

    uuid: str
    events: list[Event]
    good: int
    """Length in bytes of what could be read."""
    damage: str
    """Why there is more that could not; empty = there is not."""
    tracks: dict[str, int]
    """Audio files and their length in bytes."""
    aside: str
    """A name for the damaged end."""


def read_folder(path: Path, files: Files | None = None) -> tuple[list[Event], str]:
    """The events of a journal, and why there may be more (empty = there are not); also while a daemon writes it.

    A record that is being written right now shows as damage at the very end. Raises JournalError when it is no
    journal or of a newer vcond, StorageError when it cannot be read.
    """
    events, reader = _read_log(path / EVENTS, files or Files())
    return events, reader.damage


def examine(folder: Path, files: Files | None = None) -> Found | None:
    """A folder of the store; None when a crash left it before anything was in it.

    Raises JournalError when it is no journal of its name or of a newer vcond, StorageError when it cannot be read.
    """
    files = files or Files()
    if not is_uuid(folder.name):
        raise JournalError("not the folder of a call: move it elsewhere")
    with _mapped(folder):
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise JournalError(f"{folder}: not a folder: move it elsewhere")
        regular = {entry.name: entry.is_file(follow_symlinks=False) for entry in os.scandir(folder)}
        # what was written and holds no event is damage: of the file itself, whatever its content is
        if not regular or (regular == {EVENTS: True} and not (folder / EVENTS).lstat().st_size):
            return None
        audio = [name for name, is_file in regular.items() if is_file and TRACK_NAME.fullmatch(name)]
        tracks = {name: files.size(f"{folder}/{name}") for name in audio}
    events, reader = _read_log(folder / EVENTS, files)
    opened = events[0] if events else None
    if not isinstance(opened, CallOpened):
        raise JournalError(f"{folder}: {reader.damage or 'no event'}: keep it for support, or move it elsewhere")
    if opened.call != folder.name:
        raise JournalError(
            f"{folder}: belongs to another call: the folder must have the name of its call; move it elsewhere"
        )
    taken = (n for n in range(1, MAX_DAMAGED) if f"{DAMAGED}{n}" not in regular)
    aside = f"{DAMAGED}{next(taken, MAX_DAMAGED)}"
    return Found(folder.name, events, reader.good, reader.damage, tracks, aside)


def _read_log(path: Path, files: Files) -> tuple[list[Event], Reader]:
    reader = Reader()
    events: list[Event] = []
    with _mapped(path):
        if stat.S_IFMT(path.lstat().st_mode) not in {stat.S_IFREG, stat.S_IFLNK}:
            raise JournalError(f"{path}: not a file: move it elsewhere")
        fd = files.open(str(path), write=False)
        try:
            while reader.seen < MAX_LOG and (chunk := files.pread(fd, CHUNK, reader.seen)):
                events += reader.feed(chunk)
        finally:
            files.close(fd)
    if reader.newer:
        raise JournalError(
            f"{path}: written by a newer vcond (format {reader.version}, this version knows {FORMAT}): "
            "start that version again to finish its calls"
        )
    reader.close()
    return events, reader


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as why:
        raise JournalError(f"{path}: missing: this is not a journal") from why
    except OSError as why:
        if why.errno == errno.ELOOP:
            raise JournalError(f"{path}: a symbolic link: move it elsewhere") from why
        raise StorageError(advice(why, str(path))) from why
