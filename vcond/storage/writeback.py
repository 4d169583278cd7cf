"""``sync_file_range`` (sync_file_range(2), Linux), which Python has no name for."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from typing import Final

WRITE: Final = 2
"""SYNC_FILE_RANGE_WRITE: start to write what is dirty, and do not wait until it is written. What fails later is told by the next fsync."""
_NOT_HERE: Final = {errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES}
"""A kernel, a file or a filter of system calls (seccomp, which may say the latter two) that does not have it: only time is lost."""


def _found() -> Callable[[int], None] | None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None) if sys.platform == "linux" else None
    if call is None:
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]

    def start(fd: int) -> None:
        if call(fd, 0, 0, WRITE) and (why := ctypes.get_errno()) not in _NOT_HERE:
            raise OSError(why, os.strerror(why))

    return start


start_writeback: Final = _found()
"""Start to write all that is dirty of a file; waits for room in the disk's queue. Raises OSError. None where there is no such call."""
