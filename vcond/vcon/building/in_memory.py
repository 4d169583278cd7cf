"""Files that are only in memory, for libraries that write to a descriptor."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
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

    def content(self) -> bytes:
        """All of it; there must be some."""
        with mmap.mmap(self.descriptor, 0, prot=mmap.PROT_READ) as whole:
            return whole[:]


@contextmanager
def in_memory(content: bytes = b"") -> Iterator[MemoryFile]:
    """One that holds this, at its beginning. With a file of Python's, soundfile needs callbacks in memory that is written and then executed, which a unit
    may forbid (MemoryDenyWriteExecute=).
    """
    descriptor = os.memfd_create("vcond-recording")
    try:
        for at in range(0, len(content), _AT_ONCE):
            os.write(descriptor, memoryview(content)[at : at + _AT_ONCE])
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield MemoryFile(descriptor)
    finally:
        os.close(descriptor)
