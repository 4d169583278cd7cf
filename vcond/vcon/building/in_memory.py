"""Files that are only in memory, for libraries that write to a descriptor."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_AT_ONCE = 1 << 30
"""Bytes: the kernel takes no more than 2 GiB in one call."""


class MemoryFile:
    """One of them."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return os.fstat(self.descriptor).st_size

    def rewind(self) -> None:
        """The next byte that is read is the first."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def content(self) -> bytes:
        """All of it; there must be some."""
        with mmap.mmap(self.descriptor, 0, prot=mmap.PROT_READ) as whole:
            return whole[:]


@contextmanager
def in_memory(content: bytes | Iterable[bytes] = b"") -> Iterator[MemoryFile]:
    """One that holds this, or these one after another, at its beginning. With a file of Python's, soundfile needs callbacks in
    memory that is written and then executed, which a unit may forbid (MemoryDenyWriteExecute=).
    """
    descriptor = os.memfd_create("vcond-recording")
    try:
        for part in (content,) if isinstance(content, bytes) else content:
            for at in range(0, len(part), _AT_ONCE):
                os.write(descriptor, memoryview(part)[at : at + _AT_ONCE])
        made = MemoryFile(descriptor)
        made.rewind()
        yield made
    finally:
        os.close(descriptor)
