"""How much memory a process has."""

from __future__ import annotations

import os
from pathlib import Path


def resident(pid: int | str = "self") -> int:
    """Bytes (proc_pid_statm(5))."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
