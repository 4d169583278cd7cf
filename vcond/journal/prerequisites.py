"""What must be done before a file is written on: the repair of a damaged log, the links of a merge, the end of what was not to be kept.

Steps run in the writer thread and are tried again until they succeed; each can be begun anew at any point.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path
from typing import Final

from vcond.journal.file_buffers import Block, Disk, Log, Name, Track
from vcond.journal.pieces import KeptPieces
from vcond.storage.whole_files import WholeFiles

CHUNK: Final = 1 << 20
NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK, errno.ENOSYS}
"""What a file system says that cannot give a file a second name."""


class Repair:
    """Cuts a log to what could be read, after the rest was put aside for whoever wants to know why."""

    def __init__(self, buffer: Log, good: int, aside: str) -> None:
        self._buffer, self._good = buffer, good
        self._aside = Name(buffer.files[0][0].folder, aside)

    def run(self, writer: Disk) -> None:
        """See ``Prerequisite``."""
        files = writer.files
        name = self._buffer.files[0][0]
        source = writer.fds.get(name.path)
        size = files.size(source)
        if size <= self._good:
            return
        aside = files.open(self._aside.path, create=True)
        try:
            copy(writer, source, aside, start=self._good)
            files.sync(aside)
        finally:
            files.close(aside)
        files.sync_folder(name.folder.path)
        files.truncate(source, self._good)
        files.sync(source)


class Rewritten:
    """Puts another log in the place of one of which something was not to be kept."""

    def __init__(self, buffer: Log, data: bytes, old: list[Block]) -> None:
        """``data``: all of it. ``old``: what the writer had in hand when that was asked for."""
        self._buffer, self._data, self._old = buffer, data, old

    def run(self, writer: Disk) -> None:
        """See ``Prerequisite``."""
        buffer = self._buffer
        name = buffer.files[0][0]
        writer.make(name.folder)
        writer.sync(buffer)
        writer.queue.discard(buffer, self._old)
        writer.fds.forget(name.path)
        WholeFiles(writer.files).publish(Path(name.path), self._data)
        buffer.made = True


class Erased:
    """A track's file goes, what of it waited, and what was compressed of the call: nobody is to hear it any more."""

    def __init__(self, track: Track, pieces: KeptPieces, old: list[Block]) -> None:
        """``old``: what there was of it when that was asked for; what came since is written to a new file."""
        self._track, self._pieces, self._old = track, pieces, old

    def run(self, writer: Disk) -> None:
        """See ``Prerequisite``. Of several names each has a file of its own from then on: a link would have to be made anew."""
        track = self._track
        writer.queue.discard(track, self._old)
        writer.let_go(track)
        names = track.names()
        for name in names:
            writer.fds.forget(name.path)
            with suppress(FileNotFoundError):
                writer.files.delete_one(name.path)  # now, and not from the trash when there is time
        track.files, track.made = tuple((name,) for name in names), len(names) > 1
        for name in names if track.made else ():
            writer.fds.get(name.path, create=True)
        for folder in {name.folder.path for name in names if name.folder.made}:
            writer.files.sync_folder(folder)
        self._pieces.erase()


class Adoption:
    """Gives an audio file of one call a name in another call's folder as well; where that cannot be, copies it.

    Both names are good for reading and writing from then on: a copy is written to as well.
    """

    def __init__(self, track: Track, name: Name) -> None:
        self._track, self._name = track, name

    def run(self, writer: Disk) -> None:
        """See ``Prerequisite``."""
        track, new = self._track, self._name
        if track.gone:
            return
        old = track.targets()[0]
        source = writer.open(track, old)
        writer.make(new.folder)
        try:
            self._link(writer, old.path, new.path)
            files = tuple((*names, new) if old in names else names for names in track.files)
        except OSError as why:
            if why.errno not in NO_LINKS:
                raise
            self._copy(writer, source, new.path)
            files = (*track.files, (new,))
        writer.files.sync_folder(new.folder.path)
        track.files = files

    def _link(self, writer: Disk, old: str, new: str) -> None:
        try:
            writer.files.link(old, new)
        except FileExistsError:
            # an earlier try of the same merge, in this run or one that died: nothing in the log refers to it yet
            writer.discard(new)
            writer.files.link(old, new)

    def _copy(self, writer: Disk, source: int, new: str) -> None:
        target = writer.files.open(new, create=True)
        try:
            copy(writer, source, target, start=0)
            writer.files.sync(target)
        finally:
            writer.files.close(target)


def copy(writer: Disk, source: int, target: int, *, start: int) -> None:
    """Copy a file from a byte on, to the beginning of another; stretches of zeros stay holes."""
    files, offset = writer.files, start
    while chunk := files.pread(source, CHUNK, offset):
        done = 0
        while done < len(chunk) and chunk.strip(b"\0"):
            done += files.pwrite(target, memoryview(chunk)[done:], offset - start + done)
        offset += len(chunk)
    files.truncate(target, max(0, offset - start))
