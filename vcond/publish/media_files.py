"""Recordings that stay outside of a vCon: on the disk before the vCon that names them is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from vcond.base.atomic_files import sync_folder
from vcond.base.errors import StorageError
from vcond.vcon import Media


def publish(media: Media, folder: Path) -> None:
    """Write a recording below ``folder``, complete and durable or not at all. Doing it again changes nothing.

    Raises StorageError when the disk does not take it.
    """
    path = folder / media.name
    try:
        if path.exists() and path.stat().st_size == media.size:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o750)  # whatever the umask
        with contextlib.suppress(PermissionError):
            os.chown(path.parent, -1, folder.stat().st_gid)
        unfinished = path.with_name(f".{path.name}.part")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as out:
            os.fchmod(out.fileno(), 0o640)
            with contextlib.suppress(PermissionError):  # the group of the folder: the web server's
                os.fchown(out.fileno(), -1, folder.stat().st_gid)
            for piece in media.pieces():
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        unfinished.rename(path)
        for made in (path.parent, folder):
            sync_folder(made)
    except OSError as why:
        raise StorageError(f"cannot store a recording in {folder}: {why.strerror}; look at the disk") from None
