"""What an errno of the disk means to the operator, and what to do about it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_ADVICE = {
    errno.ENOSPC: "the disk is full: free space there",
    errno.EDQUOT: "the disk quota is used up: raise it or free space there",
    errno.EROFS: "the file system is read-only: see what the kernel log says about the disk, then mount it read-write",
    errno.EIO: "the disk fails to read or write: see what the kernel log says, and replace it",
    errno.EACCES: "permission denied: give the folder and all in it to the user that vcond runs as",
    errno.EPERM: "not permitted: give the folder and all in it to the user that vcond runs as",
    errno.EMFILE: "too many open files: raise LimitNOFILE of the service",
    errno.ENFILE: "too many open files on this machine: raise fs.file-max",
    errno.EFBIG: "a file reached the largest size allowed: raise LimitFSIZE of the service or use another file system",
    errno.ENOENT: "another program removed a file or folder in use: restart vcond",
    errno.ENOKEY: "it is encrypted, and its data key is gone: restore the keys (vcond keys restore) if it was not erased",
    errno.EKEYREJECTED: "its data key was changed on the disk: restore the keys (vcond keys restore)",
    errno.EBADMSG: "it was changed or cut on the disk: restore it from a copy",
    errno.ESTALE: "the network file system lost its server: mount it again, or better use a local disk",
}


def advice(why: OSError, root: str) -> str:
    """One line: where, what, and what to do. ``root``: where it was, unless the error names a place beyond it (a data key)."""
    code = why.errno or 0
    named = why.filename if isinstance(why.filename, str) and not why.filename.startswith(root) else root
    return f"{named}: {_ADVICE.get(code, os.strerror(code))} ({errno.errorcode.get(code, str(code))})"


def say(log: Callable[..., Any], text: str, **facts: object) -> None:
    """Log from the writer thread. A log that cannot be written (a pipe nobody reads) must not stop the journal."""
    with suppress(Exception):
        log(text, **facts)
