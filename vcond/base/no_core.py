"""No core file has the memory of a process: what callers said, what waits for consent, keys."""

from __future__ import annotations

import ctypes
import resource
from typing import Final

PR_SET_DUMPABLE: Final = 4
"""prctl(2)."""


def no_core_files() -> None:
    """Of this process and those that it forks, until one of them executes another program.

    The limit alone is no end of them: a program that takes core files (``core_pattern`` with a ``|``: systemd-coredump, apport) is handed all of the
    memory whatever the limit is (core(5)). Beside that no process of the same user may read it: ``ptrace(2)`` and ``/proc/PID`` are root's then.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)
