"""A disk on which all that is kept of calls is encrypted, under a key of each call. Decision 0027.

It lies over another ``Files``: what leaves it towards that one is ciphertext, or holds nothing of calls. Files that were there
in plain before stay plain and are read as they are.
"""

from __future__ import annotations

import errno
import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple, Protocol

import structlog

from vcond.storage.files import FILE_MODE, FOLDER_MODE, WHOEVER, Files, Owner, put
from vcond.storage.segments import (
    DATA,
    END,
    HEADER,
    LARGEST,
    LENGTH,
    Index,
    Key,
    Keys,
    ReadAt,
    Segment,
    is_encrypted,
    stored,
    tail,
)
from vcond.storage.whole_files import TEMPORARY

log = structlog.get_logger()

AREAS: Final = {"journal", "outbox", "forms", "quarantine"}
"""Folders below the state folder where files are kept of calls."""
AT_ONCE: Final = 1 << 20
"""Bytes of blocks that lie one behind another and are read as one."""
REMEMBERED: Final = 256
"""Files whose index is kept for the next reader; folders of which it is known whose they are."""
TOLD: Final = 1000
"""Damaged files that are remembered, so that each is told once."""
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class DataKeys(Keys, Protocol):
    """Who has the data keys, and makes them."""

    def make(self, of: bytes) -> bytes:
        """The key of an id, durably made when there is none. Raises OSError."""


class Place(NamedTuple):
    """Whose a file is, and what."""

    key: bytes
    name: bytes
    """As the file is bound to it: a temporary name counts as the final one, the folders of the outbox as one."""
    whole: bool
    """Whether it is read only when it is complete."""


class _Open:
    """One descriptor of a file that is encrypted, or new."""

    __slots__ = ("at", "counter", "dirty", "first", "index", "length", "path", "place", "segment")

    def __init__(self, path: str, place: Place, first: bytes) -> None:
        self.path, self.place, self.first = path, place, first
        """``first``: its first bytes when it was opened, ``HEADER`` at most."""
        self.index: tuple[Index, Lock] | None = None
        self.segment: Segment | None = None
        self.at = self.counter = self.length = 0
        self.dirty = False
        """Whether it was written, and a whole file has no end yet."""


def place_of(path: str, root: str) -> Place | None:
    """Whose a file is; None for one that is never encrypted. ``root``: the state folder, with a slash at its end."""
    folder, _, name = os.path.abspath(path).rpartition("/")  # noqa: PTH100 - nothing is to be resolved
    if (inside := _folder(folder, root)) is None:
        return None
    if name.startswith(".") and name.endswith(TEMPORARY):
        name = name[1 : -len(TEMPORARY)]
    key = inside.key or _uuid(name)
    return None if key is None else Place(key, f"{inside.name}/{name}".encode(), inside.whole)


class _Folder(NamedTuple):
    """What a folder says of its files."""

    key: bytes | None
    """None: their names say it."""
    name: str
    """What their names begin with."""
    whole: bool


@lru_cache(maxsize=REMEMBERED)
def _folder(path: str, root: str) -> _Folder | None:
    """None for one whose files are never encrypted. A journal's is asked for each of its files."""
    if not path.startswith(root):
        return None
    area, *inside = path[len(root) :].split("/")
    if area not in AREAS:
        return None
    key = next((found for part in inside if (found := _uuid(part)) is not None), None)
    return _Folder(key, area if area == "outbox" else "/".join([area, *inside]), area != "journal" or len(inside) > 1)


def _uuid(name: str) -> bytes | None:
    """The uuid that a name begins with, as 16 bytes."""
    found = _UUID.match(name)
    return None if found is None else bytes.fromhex(found[0].replace("-", ""))


class _Reading:
    """Reads at places of a file; what lies in the bytes that were read last is not read again."""

    __slots__ = ("_at", "_disk", "_fd", "_last")

    def __init__(self, disk: Files, fd: int) -> None:
        self._disk, self._fd, self._last, self._at = disk, fd, b"", 0

    def __call__(self, count: int, at: int) -> bytes:
        """``count`` bytes, fewer at the end of the file."""
        here = at - self._at
        if 0 <= here <= len(self._last) - count:
            return self._last[here : here + count]
        self._last, self._at = self._disk.pread(self._fd, count, at), at
        return self._last


class _Contents:
    """Reads what is in encrypted files; one may be used from any thread."""

    def __init__(self, disk: Files, keys: Keys) -> None:
        self._disk, self._keys = disk, keys
        self._indexes: OrderedDict[tuple[int, int], tuple[bytes, Index, Lock]] = OrderedDict()
        self._lock = Lock()
        self._told: set[str] = set()

    def length(self, fd: int) -> int:
        """Of the content, by the end of the file."""
        return tail(_Reading(self._disk, fd), self._disk.size(fd))

    def length_of(self, path: str) -> tuple[int, bool]:
        """Likewise, and whether the file is encrypted."""
        fd = self._disk.open(path, write=False)
        try:
            size = self._disk.size(fd)
            if not size or not is_encrypted(self._disk.pread(fd, HEADER, 0)):
                return size, False
            return tail(_Reading(self._disk, fd), size), True
        finally:
            self._disk.close(fd)

    def grown(self, fd: int, file: _Open) -> tuple[int, ReadAt]:
        """Look at what there is by now: the length of the content, and how to ``read`` it. Raises OSError without a key."""
        size, read = self._disk.size(fd), _Reading(self._disk, fd)
        if not size:
            return 0, read
        index, lock = file.index = file.index or self._index(fd, file)
        with lock:
            index.grow(read, size)
        if index.lost_key:
            raise OSError(errno.ENOKEY, os.strerror(errno.ENOKEY), file.path)
        return index.length, read

    def read(self, read: ReadAt, file: _Open, view: memoryview, start: int) -> None:
        """Content into zeros, as far as ``grown`` saw it."""
        if file.index is None:
            return
        index, lock = file.index
        with lock:
            blocks = index.blocks(start, start + len(view))
        bad = len(index.damage)
        for some, raw in _raw(read, blocks):
            for place, content in index.contents(some, raw):
                if content is None:
                    bad += 1
                elif place < start:
                    part = content[start - place :][: len(view)]
                    view[: len(part)] = part
                else:
                    where = place - start
                    view[where : where + len(content)] = content[: len(view) - where]
        if file.place.whole and not index.complete:
            bad += 1
        if bad:
            self._tell(file.path, bad)
            if file.place.whole:
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG), file.path)

    def _index(self, fd: int, file: _Open) -> tuple[Index, Lock]:
        """That of a file, as far as it was looked at for earlier readers."""
        secret = self._keys.get(file.place.key)
        if secret is None:
            raise OSError(errno.ENOKEY, os.strerror(errno.ENOKEY), file.path)
        # an earlier reader's is taken of the same file only: its first bytes never change once they are whole
        first = file.first if len(file.first) == HEADER else self._disk.pread(fd, HEADER, 0)
        same = first + Key(file.place.key, secret).check + file.place.name
        found = os.fstat(fd)
        which = found.st_dev, found.st_ino
        with self._lock:
            known = self._indexes.get(which)
            if known is None or known[0] != same or known[1].at > found.st_size:
                known = self._indexes[which] = same, Index(file.place.name, self._keys), Lock()
            self._indexes.move_to_end(which)
            while len(self._indexes) > REMEMBERED:
                self._indexes.popitem(last=False)
            return known[1], known[2]

    def _tell(self, path: str, bad: int) -> None:
        if path not in self._told and len(self._told) < TOLD:
            self._told.add(path)
            log.error(
                "an encrypted file was changed on the disk; what can be decrypted of it is used",
                file=path,
                places=bad,
                hint="check the disk; whoever can write there can damage records, not read them",
            )


def _raw(read: ReadAt, blocks: list[tuple[int, int, int]]) -> Iterator[tuple[list[tuple[int, int, int]], bytes]]:
    """Blocks that lie one behind another are read as one: which, and their bytes."""
    first = 0
    while first < len(blocks):
        begin = end = blocks[first][1]
        last = first
        while last < len(blocks) and blocks[last][1] == end and end - begin < AT_ONCE:
            end += stored(blocks[last][2])
            last += 1
        yield blocks[first:last], read(end - begin, begin)
        first = last


class EncryptedFiles(Files):
    """See ``Files``. Raises OSError with ENOKEY for what has no key any more, EBADMSG for a whole file that was changed.

    Audio and events that were changed are named in the log, and read as zeros: the rest counts.
    """

    def __init__(self, disk: Files, keys: DataKeys, root: Path, *, encrypt: bool = True) -> None:
        """``root`` is the state folder. Without ``encrypt`` new files are plain, and those that are encrypted are read."""
        self._disk, self._keys, self._encrypt = disk, keys, encrypt
        self._root = f"{os.path.abspath(root)}/"  # noqa: PTH100 - nothing is to be resolved
        self._opened: dict[int, _Open] = {}
        self._contents = _Contents(disk, keys)

    # What changes nothing of the content goes to the disk below.

    def make_folder(self, path: str, mode: int = FOLDER_MODE) -> bool:
        """See ``Files``."""
        return self._disk.make_folder(path, mode)

    def sync_folder(self, path: str) -> None:
        """See ``Files``."""
        self._disk.sync_folder(path)

    def rename(self, old: str, new: str) -> None:
        """See ``Files``."""
        self._disk.rename(old, new)

    def delete_one(self, path: str, *, folder: bool = False) -> bool:
        """See ``Files``."""
        return self._disk.delete_one(path, folder=folder)

    def free(self, path: str) -> int:
        """See ``Files``."""
        return self._disk.free(path)

    def link(self, old: str, new: str) -> None:
        """See ``Files``. Into another call's folder an encrypted file, or one that becomes it, cannot go (EXDEV): it is copied."""
        becomes = self._encrypt and not self._disk.size(old)
        if self._place(old) is not None and (becomes or self._contents.length_of(old)[1]):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), old)
        self._disk.link(old, new)

    # Descriptors.

    def open(
        self, path: str, *, write: bool = True, create: bool = False, mode: int = FILE_MODE, owner: Owner = WHOEVER
    ) -> int:
        """See ``Files``. A file that is empty is one that becomes encrypted: who reads may come before its first block."""
        fd = self._disk.open(path, write=write, create=create, mode=mode, owner=owner)
        try:
            if (place := self._place(path)) is not None:
                first = self._disk.pread(fd, HEADER, 0)
                if is_encrypted(first) or (not first and self._encrypt):
                    self._opened[fd] = _Open(path, place, first)
        except BaseException:
            self._disk.close(fd)
            raise
        return fd

    def close(self, fd: int) -> None:
        """See ``Files``."""
        file = self._opened.pop(fd, None)
        try:
            if file is not None:
                self._end(fd, file)
        finally:
            self._disk.close(fd)

    def sync_soon(self, fd: int) -> None:
        """See ``Files``."""
        self._disk.sync_soon(fd)

    def sync(self, fd: int) -> None:
        """See ``Files``."""
        if (file := self._opened.get(fd)) is not None:
            self._end(fd, file)
        self._disk.sync(fd)

    def size(self, file: int | str) -> int:
        """See ``Files``: of the content."""
        if isinstance(file, int):
            return self._disk.size(file) if file not in self._opened else self._contents.length(file)
        return self._disk.size(file) if self._place(file) is None else self._contents.length_of(file)[0]

    def truncate(self, fd: int, length: int, *, room: bool = False) -> None:
        """See ``Files``. What is cut off stays in the file, and is not read any more."""
        if (file := self._opened.get(fd)) is None:
            self._disk.truncate(fd, length, room=room)
        else:
            self._add(fd, file, LENGTH, 0, length)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        """See ``Files``."""
        if (file := self._opened.get(fd)) is None:
            return self._disk.pwrite(fd, data, offset)
        part = data[:LARGEST]
        self._add(fd, file, DATA, offset, max(self._now(fd, file), offset + len(part)), part)
        file.dirty = file.place.whole
        return len(part)

    def pread(self, fd: int, count: int, offset: int) -> bytes:
        """See ``Files``."""
        if (file := self._opened.get(fd)) is None:
            return self._disk.pread(fd, count, offset)
        length, read = self._contents.grown(fd, file)
        content = bytearray(max(0, min(count, length - offset)))
        self._contents.read(read, file, memoryview(content), offset)
        return bytes(content)

    def read_into(self, fd: int, view: memoryview, offset: int) -> int:
        """See ``Files``."""
        if (file := self._opened.get(fd)) is None:
            return self._disk.read_into(fd, view, offset)
        length, read = self._contents.grown(fd, file)
        count = max(0, min(len(view), length - offset))
        view[:count] = bytes(count)
        self._contents.read(read, file, view[:count], offset)
        return count

    # Writing.

    def _now(self, fd: int, file: _Open) -> int:
        """The length of the content, as whoever writes knows it."""
        if file.segment is None:
            file.at = self._disk.size(fd)
            if 0 < file.at < HEADER:  # not even the first header: a crash came in between
                self._disk.truncate(fd, 0)
                file.at = 0
            file.length = self._contents.length(fd)
        return file.length

    def _add(self, fd: int, file: _Open, kind: int, place: int, length: int, data: bytes | memoryview = b"") -> None:
        """A block at the end of the file. One that is not written as a whole ends the segment: its nonce is used up."""
        self._now(fd, file)
        begin = b""
        if file.segment is None:
            key = Key(file.place.key, self._keys.make(file.place.key))
            file.segment, file.counter = Segment.new(key, file.place.name, file.at, file.length), 0
            begin = file.segment.header * 2
        block = begin + file.segment.block(kind, file.counter, place, length, data)
        try:
            put(self._disk, fd, block, file.at)
        except BaseException:
            file.segment = None
            with suppress(OSError):
                self._disk.truncate(fd, file.at)
            raise
        file.at, file.length, file.counter = file.at + len(block), length, file.counter + 1

    def _end(self, fd: int, file: _Open) -> None:
        if file.dirty:
            file.dirty = False
            self._add(fd, file, END, 0, file.length)

    def _place(self, path: str) -> Place | None:
        return place_of(path, self._root)
