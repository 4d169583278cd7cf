"""One writer for a store: an advisory lock on its folder."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from vcond.base.errors import InUseError, StorageError
from vcond.journal.disk_errors import advice
from vcond.storage.files import FILE_MODE

LOCK = ".lock"


def acquire(root: Path) -> int:
    """Lock a store; the lock is held until the descriptor that is returned is closed, or the process is gone.

    Raises StorageError when another process, or another store of this one, holds it.
    """
    path = root / LOCK
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    except OSError as why:
        raise StorageError(advice(why, str(path))) from why
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(fd, FILE_MODE)
        # only for the message below: a full disk does not unlock anything
        with suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except BlockingIOError as why:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise InUseError(
            f"{root} is in use by another vcond (process {holder or 'unknown'}): "
            "stop that one, or set another state_dir for this one"
        ) from why
    except OSError as why:
        os.close(fd)
        raise StorageError(advice(why, str(path))) from why
    return fd
