"""What the writer can be asked: to have a call on the disk, to remove one, to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from vcond.base.errors import StorageError, VcondError
from vcond.journal.file_buffers import Disk, FileBuffer, Folder

Done = Callable[[Exception | None], None]
"""Told once, in the writer thread: None = it is done."""


class Flush:
    """All that was handed over so far, for some files, is on the disk, and so are the names of the files."""

    def __init__(self, buffers: Sequence[FileBuffer], done: Done) -> None:
        self._buffers, self._done = buffers, done

    def run(self, writer: Disk) -> None:
        """See ``Command``."""
        errors = [writer.attempt(buffer, partial(writer.settle, buffer)) for buffer in self._buffers]
        trouble = next(filter(None, errors), "")
        self._done(StorageError(trouble) if trouble else None)

    def fail(self, why: Exception) -> None:
        """See ``Command``."""
        self._done(_known(why))


class Remove:
    """A call's folder goes to the trash, durably, and is deleted when there is time."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def run(self, writer: Disk) -> None:
        """See ``Command``."""
        writer.attempt(self, partial(self._move, writer))

    def fail(self, why: Exception) -> None:
        """See ``Command``. The folder stays, and is found again at the next start."""

    def _move(self, writer: Disk) -> None:
        folder = self._folder
        if not folder.gone:
            if folder.after is not None:
                # its audio belongs to another call as well, which must have it before it goes
                writer.settle(folder.after)
            if folder.made:
                writer.discard(folder.path)
            folder.gone = True
        writer.root.dirty = True
        writer.sync(writer.root)


class Purge:
    """Delete what an earlier run left in the trash."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def run(self, writer: Disk) -> None:
        """See ``Command``."""
        writer.purges.extend(self._paths)

    def fail(self, why: Exception) -> None:
        """See ``Command``. There is another start."""


class Stop:
    """Write all that can be written and end."""

    def __init__(self, done: Done) -> None:
        self._done = done

    def run(self, writer: Disk) -> None:
        """See ``Command``."""
        trouble = writer.stop()
        self._done(StorageError(trouble) if trouble else None)

    def fail(self, why: Exception) -> None:
        """See ``Command``."""
        self._done(_known(why))


def _known(why: Exception) -> Exception:
    return why if isinstance(why, VcondError) else RuntimeError("internal error in the journal writer; see the log")
