"""Which memory allocator workers get. They search graphs of hundreds of megabytes, so where small things lie decides.

Measured with vosk on six calls (docs/decisions/0011-what-capacity-costs.md): jemalloc with huge pages takes a quarter
off the CPU of all workers. Where it is not installed, glibc is asked for huge pages, which takes off a tenth.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final, Literal

Allocator = Literal["auto", "system"]

FOLDERS: Final = (f"usr/lib/{platform.machine()}-linux-gnu", "usr/lib64", "usr/lib", "usr/local/lib")
"""Where Debian (package libjemalloc2), Fedora, Alpine and people put it, below ``/``."""
HUGE: Final = "thp:always,background_thread:false"
"""jemalloc(3). A thread of its own would keep the process from being forked."""
TUNED: Final = "glibc.malloc.hugetlb=1:glibc.malloc.mxfast=0"
"""glibc's manual, Memory Allocation Tunables. Older ones than 2.35 ignore the first. What a worker forks or starts has both,
although /proc/PID/environ shows only the first with glibc 2.36 (Debian 12), which cuts that copy at the colon."""


def jemalloc(root: Path = Path("/")) -> str:
    """The library's path, if it is installed; else empty."""
    places = (root / folder / "libjemalloc.so.2" for folder in FOLDERS)
    return str(next((place for place in places if place.exists()), ""))


def environment(wanted: Allocator, library: str) -> dict[str, str]:
    """What a worker's environment has to say for it. ``system`` = nothing: as on this machine every program has it."""
    if wanted == "system":
        return {}
    if library:
        return {"LD_PRELOAD": library, "MALLOC_CONF": HUGE}
    return {"GLIBC_TUNABLES": TUNED}
