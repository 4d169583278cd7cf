"""Files that are there completely or not at all: write aside, fsync, rename, fsync of the folder.

All functions block and raise OSError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = ".tmp"
"""Ending of files that were never published; what a crash leaves of them is worth nothing."""


def make_folder(path: Path, mode: int = 0o700) -> None:
    """A folder and its parents, each durably entered in its own parent; ``mode`` whatever the umask."""
    if path.is_dir():
        return
    make_folder(path.parent, mode)
    try:
        path.mkdir(0o700)
    except FileExistsError:
        return
    path.chmod(mode)
    sync_folder(path.parent)


def publish_file(path: Path, body: bytes, mode: int = 0o600, *, owner: tuple[int, int] = (-1, -1)) -> None:
    """Durable when it returns; ``owner``: user and group, -1 = whoever writes it. On an error nothing is left behind, and a file of that name stays as it was."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        _write(temporary, body, mode, owner)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def move_file(path: Path, folder: Path) -> None:
    """Into another folder of the same file system, durably. A file that is gone is fine."""
    try:
        path.rename(folder / path.name)
    except FileNotFoundError:
        return
    sync_folder(folder)
    sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Durably. A file that is gone is fine."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def leftovers(folder: Path) -> Iterator[Path]:
    """Files of an interrupted ``publish_file``."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(".") and entry.name.endswith(TEMPORARY)]
    yield from (folder / name for name in names)


def _write(path: Path, body: bytes, mode: int, owner: tuple[int, int]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchown(handle, *owner)
        os.fchmod(handle, mode)
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)
