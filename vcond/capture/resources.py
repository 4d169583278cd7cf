"""What a process may still take of its machine: memory, open files. Nothing here waits for a disk."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

MB: Final = 1_000_000


class Used(NamedTuple):
    """How many of how many."""

    used: int
    limit: int


def open_files() -> Used | None:
    """Descriptors of this process, and how many it may have; None where nobody limits or tells it."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        folder = Path("/proc/self/fd")
        used = folder.stat().st_size or sum(1 for _ in folder.iterdir())  # the size since Linux 6.2
    except OSError:
        return None
    return None if limit == resource.RLIM_INFINITY else Used(used, limit)


def memory_left(read: Callable[[str], str] = lambda path: Path(path).read_text("ascii")) -> int | None:
    """Bytes that the machine, and the service with all it runs in, can still give without swapping; None = nobody tells.

    ``MemAvailable`` of proc(5), and of each control group above us that has a ``memory.max`` or ``memory.high``
    (cgroups(7), version 2) what that leaves, file cache not counted: the kernel takes that back.
    """
    found: list[int] = []
    try:
        known = dict(line.split(":", 1) for line in read("/proc/meminfo").splitlines())
        found.append(1024 * int(known["MemAvailable"].split()[0]))
        groups = [line.removeprefix("0::") for line in read("/proc/self/cgroup").splitlines() if line.startswith("0::")]
    except (OSError, ValueError, KeyError, IndexError):
        groups = []
    for group in groups:
        path = Path("/sys/fs/cgroup", group.strip("/"))
        found += [
            left
            for folder in (path, *path.parents)
            if folder.is_relative_to("/sys/fs/cgroup") and (left := _group_left(folder, read)) is not None
        ]
    return min(found, default=None)


def _group_left(folder: Path, read: Callable[[str], str]) -> int | None:
    """Of one control group; None when it has no limit."""
    try:
        limits = [read(f"{folder}/memory.{name}").strip() for name in ("max", "high")]
        limit = min((int(text) for text in limits if text != "max"), default=None)
        if limit is None:
            return None
        known = dict(line.split() for line in read(f"{folder}/memory.stat").splitlines())
        return limit - int(read(f"{folder}/memory.current")) + int(known["active_file"]) + int(known["inactive_file"])
    except (OSError, ValueError, KeyError):
        return None
