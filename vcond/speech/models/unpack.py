"""Unpacking an archive that somebody else made: nothing lands outside the folder, nothing without bound."""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from vcond.base.errors import ProtocolError, StorageError

MOST_FILES = 10_000
MOST_BYTES = 16 << 30
MOST_RATIO = 50
"""A speech model packs to a half or a third; a bomb to a thousandth."""
SMALL = 64 << 20
"""Up to here a high ratio is no bomb."""
BLOCK = 1 << 20
ENCRYPTED = 0x1
BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip
"""What the standard library raises for an archive that is none, whichever way its members are packed."""


def unzip(archive: Path, folder: Path, *, free: int = MOST_BYTES) -> None:
    """Unpack into a new folder. One folder that holds everything in the archive is left out.

    ``free``: bytes that may be written. Raises ProtocolError for an archive that is broken or hostile, StorageError.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = list(_checked(opened, archive.stat().st_size))
            total = sum(member.file_size for member, _ in members)
            if total > free:
                raise StorageError(f"no space: {total >> 20} MB are needed for {folder.name}, {free >> 20} MB are free")
            folder.mkdir(mode=0o755)
            for member, path in members:
                _write(opened, member, folder / path)
    except BROKEN as why:
        raise ProtocolError(f"{archive.name} is not a valid zip archive: {type(why).__name__}") from why
    except OSError as why:
        if why.errno is None:  # bz2 says so of its data
            raise ProtocolError(f"{archive.name} is not a valid zip archive: {why}") from why
        raise StorageError(f"cannot unpack to {folder}: {why.strerror or type(why).__name__}") from why


def _checked(opened: zipfile.ZipFile, size: int) -> Iterator[tuple[zipfile.ZipInfo, Path]]:
    """Regular files and where they go, relative. Raises ProtocolError for anything that is not right."""
    infos = opened.infolist()
    if len(infos) > MOST_FILES:
        raise ProtocolError(f"the archive holds more than {MOST_FILES} files")
    total = sum(info.file_size for info in infos)
    if total > MOST_BYTES or (total > SMALL and total > MOST_RATIO * size):
        raise ProtocolError("the archive unpacks to too many bytes")
    if not all(info.filename for info in infos):
        raise ProtocolError("the archive holds a file without a name")
    paths = [(info, _path(info)) for info in infos if not info.is_dir()]
    tops = {path.parts[0] for _, path in paths}
    strip = len(tops) == 1 and all(len(path.parts) > 1 for _, path in paths)
    seen: set[str] = set()
    for info, path in paths:
        goes = PurePosixPath(*path.parts[1:]) if strip else path
        if str(goes).casefold() in seen:
            raise ProtocolError("the archive holds a file twice")
        seen.add(str(goes).casefold())
        yield info, Path(goes)


def _path(info: zipfile.ZipInfo) -> PurePosixPath:
    name = info.filename
    path = PurePosixPath(name)
    kind = stat.S_IFMT(info.external_attr >> 16)
    bad = "\\" in name or not name.isprintable() or not path.parts or path.is_absolute() or ".." in path.parts
    if bad or any(len(part.encode()) > 255 for part in path.parts) or ":" in path.parts[0]:
        raise ProtocolError("the archive holds a path outside its folder")
    if kind not in {0, stat.S_IFREG}:
        raise ProtocolError("the archive holds a link or a device")
    if info.flag_bits & ENCRYPTED:
        raise ProtocolError("the archive is encrypted")
    return path


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """One file, of no more bytes than the archive's own list says."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    left = member.file_size
    with opened.open(member) as source, path.open("xb") as out:
        while block := source.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise ProtocolError("the archive holds more bytes than it declares")
            out.write(block)
    if left:
        raise ProtocolError("the archive holds fewer bytes than it declares")
    path.chmod(0o644)
