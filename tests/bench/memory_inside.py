"""What a process says of its own memory: the allocator's arenas, SQLite, threads, tasks. For benches, in the process that is looked at.

Sources: mallinfo(3), malloc_info(3), https://sqlite.org/c3ref/memory_highwater.html.
"""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import gc
import sqlite3
import sys
import threading
from typing import Final

MB: Final = 1024 * 1024


class _Mallinfo2(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    )  # fmt: skip


def inside() -> dict[str, float]:
    """Megabytes: ``heaps`` of malloc, what of them is in use (``used``) and ``free``, what it has mapped alone (``mapped``), ``sqlite``; numbers: ``blocks`` of Python's own allocator (thousands), ``threads``, ``tasks``."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Mallinfo2
    heap = libc.mallinfo2()
    return {
        "heaps": heap.arena / MB,
        "used": heap.uordblks / MB,
        "free": heap.fordblks / MB,
        "mapped": heap.hblkhd / MB,
        "sqlite": sqlite_bytes() / MB,
        "blocks": sys.getallocatedblocks() / 1000,
        "threads": threading.active_count(),
        "tasks": sum(isinstance(one, asyncio.Task) and not one.done() for one in gc.get_objects()),
    }


def sqlite_bytes() -> int:
    """Bytes that SQLite has of malloc; 0 where Python has it built in."""
    assert sqlite3.sqlite_version
    if (name := ctypes.util.find_library("sqlite3")) is None:
        return 0
    library = ctypes.CDLL(name)
    library.sqlite3_memory_used.restype = ctypes.c_int64
    return int(library.sqlite3_memory_used())
