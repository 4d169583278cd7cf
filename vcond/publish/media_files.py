"""Recordings that stay outside of a vCon: on the disk before the vCon that names them is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from vcond.base.errors import StorageError
from vcond.storage.whole_files import WholeFiles
from vcond.vcon import Media


def publish(media: Media, folder: Path, files: WholeFiles) -> None:
    """Write a recording below ``folder``, complete and durable or not at all. Doing it again changes nothing.

    It belongs to the group of the folder: the web server's. Raises StorageError when the disk does not take it.
    """
    path = folder / media.name
    try:
        if path.exists() and files.files.size(str(path)) == media.size:
            return
        group = folder.stat().st_gid if folder.is_dir() else -1
        files.make_folder(path.parent, 0o750)
        with contextlib.suppress(PermissionError):
            os.chown(path.parent, -1, group)
        try:
            files.publish(path, media.pieces(), mode=0o640, owner=(-1, group))
        except PermissionError:  # we are not in that group
            files.publish(path, media.pieces(), mode=0o640)
    except OSError as why:
        raise StorageError(f"cannot store a recording in {folder}: {why.strerror}; check the disk") from None
