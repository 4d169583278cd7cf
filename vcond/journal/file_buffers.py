"""What of one file is not on the disk yet. No I/O, no locking: ``WriteQueue`` guards it, the writer thread empties it.

A block of bytes goes ``pending`` (may still grow) -> ``taken`` (in the hands of the writer, kept until written) ->
``unsynced`` (written; kept until fsync says so, because after a failed fsync the system may have thrown it away).
Every block has its place in the file, so writing it again, after a torn write or a failed one, changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from vcond.journal.fd_cache import FdCache
from vcond.storage.files import Files

BLOCK: Final = 1 << 20
"""A block stops growing here, so that one system call stays short."""

LOST_AT_ONCE: Final = 1 << 19
"""A loss that goes on is reported at least this often, in bytes (about half a minute at 8 kHz)."""

Lost = Callable[[str, int, int], None]
"""``(track_file, start, stop)``: samples of a track that could not be kept."""


class Folder:
    """A folder in the store, and what the disk knows of it."""

    __slots__ = ("after", "dirty", "gone", "made", "path")

    def __init__(self, path: str, *, made: bool) -> None:
        self.path = path
        self.made = made
        self.dirty = False
        """Whether names in it are not synced."""
        self.gone = False
        """Removed: nothing is written there any more."""
        self.after: Log | None = None
        """A log that must be on the disk before this folder's log says more, or goes: the call that took this one."""

    def taken(self) -> bool:
        """Whether its names are to be synced now; those that are made from now on are for the next time."""
        dirty, self.dirty = self.dirty and not self.gone, False
        return dirty


class Name(NamedTuple):
    """A file's name in a folder."""

    folder: Folder
    file: str

    @property
    def path(self) -> str:
        """The whole of it."""
        return f"{self.folder.path}/{self.file}"


class Block:
    """Bytes and their place."""

    __slots__ = ("data", "start", "stop")

    def __init__(self, start: int, data: bytes) -> None:
        self.start, self.stop = start, start + len(data)
        self.data = bytearray(data)


class FileBuffer:
    """One file's way to the disk."""

    __slots__ = ("end", "files", "made", "pending", "prerequisites", "queued", "taken", "unsynced", "waiting")

    def __init__(self, name: Name, *, size: int, made: bool) -> None:
        self.files: tuple[tuple[Name, ...], ...] = ((name,),)
        """Each item is one file on the disk with all its names. More than one only where names cannot be linked."""
        self.made = made
        """Whether the file is known to be there."""
        self.end = size
        """Length, with all that waits."""
        self.pending: list[Block] = []
        self.taken: deque[Block] = deque()
        self.unsynced: list[Block] = []
        self.waiting = 0
        """Bytes in ``pending`` and ``taken``."""
        self.queued = False
        """Whether the writer was told."""
        self.prerequisites: deque[Prerequisite] = deque()
        """Steps before the next byte of it is written."""

    def add(self, start: int, data: bytes) -> None:
        """Bytes for a place in the file; those added later win."""
        stop = start + len(data)
        if self.pending and (last := self.pending[-1]).stop == start < last.start + BLOCK:
            last.data += data
            last.stop = stop
        else:
            self.pending.append(Block(start, data))
        self.waiting += len(data)
        if stop > self.end:  # noqa: PLR1730 - for every frame of every call, and max() costs as much as all the rest
            self.end = stop

    @property
    def gone(self) -> bool:
        """Whether nobody wants the file any more."""
        return not self.names()

    def targets(self) -> list[Name]:
        """One name of each file that is still wanted."""
        names = (next((name for name in file if not name.folder.gone), None) for file in self.files)
        return [name for name in names if name is not None]

    def names(self) -> list[Name]:
        """All names under which it can be read, those that are wanted."""
        return [name for file in self.files for name in file if not name.folder.gone]

    def waiting_blocks(self) -> list[Block]:
        """What is not written, in the order of writing."""
        return [*self.taken, *self.pending]


class Discarding(Protocol):
    """The queue, as those see it who take something out of it."""

    def discard(self, buffer: FileBuffer, only: Sequence[Block] | None = None) -> None:
        """Nobody wants the file any more, or only these blocks of it."""


class Disk(Protocol):
    """The writer, as those see it who do something in its turn. All but ``attempt`` and ``stop`` raise OSError."""

    root: Folder
    files: Files
    fds: FdCache
    purges: deque[str]
    """Folders in the trash, to be deleted."""

    @property
    def queue(self) -> Discarding:
        """What waits."""

    def attempt(self, key: object, action: Callable[[], None], again: Callable[[], None] | None = None) -> str:
        """Do something; on disk trouble keep it to be tried later. The trouble, if any."""

    def make(self, folder: Folder) -> None:
        """Make a folder, unless it is there."""

    def open(self, buffer: FileBuffer, name: Name) -> int:
        """A descriptor of a buffer's file, made when it is new."""

    def settle(self, buffer: FileBuffer) -> None:
        """Write what waits and have it on the disk, with its names."""

    def sync(self, item: FileBuffer | Folder) -> None:
        """Have what was written on the disk."""

    def discard(self, path: str) -> None:
        """Move a file or folder to the trash."""

    def let_go(self, buffer: FileBuffer) -> None:
        """What was written and not synced need not be kept any more: its file goes."""

    def stop(self) -> str:
        """Write and sync all that can be; why not everything could."""


class Prerequisite(Protocol):
    """Something that must have been done before a file is written on."""

    def run(self, writer: Disk) -> None:
        """Do it. Raises OSError, and is then tried again."""


class Log(FileBuffer):
    """The event log of a call."""

    __slots__ = ("folder",)

    def __init__(self, name: Name, *, size: int, made: bool) -> None:
        super().__init__(name, size=size, made=made)
        self.folder = name.folder


class Track(FileBuffer):
    """The audio of one party."""

    __slots__ = ("lost", "name", "on_lost")

    def __init__(self, name: Name, *, size: int, made: bool, on_lost: Lost) -> None:
        super().__init__(name, size=size, made=made)
        self.name = name.file
        self.on_lost = on_lost
        self.lost: tuple[int, int] | None = None
        """Bytes ``[start, stop)`` that were dropped and are not yet reported."""

    def lose(self, start: int, size: int) -> tuple[int, int] | None:
        """Bytes were dropped; the stretch that has to be reported now: one before it, or one that became long."""
        before, self.lost = self.lost, (start, start + size)
        if before is None or before[1] != start:
            return before
        self.lost = (before[0], start + size)
        return None if self.lost[1] - self.lost[0] < LOST_AT_ONCE else self.told()

    def told(self) -> tuple[int, int] | None:
        """What was dropped and not yet reported; it counts as reported now."""
        told, self.lost = self.lost, None
        return told
