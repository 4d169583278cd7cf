"""The sink ``folder``: one file per vCon in a folder of this machine, there completely or not at all."""

from __future__ import annotations

import asyncio
import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from vcond.base.errors import ConfigError
from vcond.delivery.outbox_files import MOST, SUFFIX
from vcond.delivery.sinks.places import day
from vcond.sdk.sink import Form, OutgoingVcon, Profile, Receipt, Refused, Retry, Seen
from vcond.storage.files import Files
from vcond.storage.names import is_uuid
from vcond.storage.whole_files import WholeFiles


class FolderConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[[sinks]]`` with ``type = "folder"``."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    """Absolute. Made when it is missing, readable by vcond only."""
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "folder"
    """What you call it: in the outbox, in the log, as a label of metrics. It stays the same as long as vCons wait for it."""
    layout: Literal["flat", "date"] = "flat"
    """``date``: in ``YYYY/MM/DD`` by the UTC day the call began."""
    mode: Annotated[str, Meta(pattern=r"^0?[0-7]{3}$")] = "0600"
    """Permissions of the files, octal, whatever the umask. New folders get the same, with x wherever there is r."""
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 2
    """vCons that are written at the same time."""


class FolderSink:
    """Writes ``<uuid>.vcon.json``. A file that is there already is never replaced by other bytes."""

    Config: ClassVar[type[FolderConfig]] = FolderConfig
    forms: ClassVar[tuple[Form, ...]] = ("plain", "signed", "encrypted")
    profile: ClassVar[Profile] = "core"
    max_bytes: int = 0
    address: str = ""

    def __init__(self, config: FolderConfig) -> None:
        """Raises ConfigError."""
        self.name = config.name
        self.concurrency = config.concurrency
        self._root = Path(config.path)
        self._files = WholeFiles(Files())  # what leaves the outbox is the receiver's: none but the real disk
        self._dated = config.layout == "date"
        self._mode = int(config.mode, 8)
        if not self._root.is_absolute():
            raise ConfigError("must be an absolute path", f"sinks.{config.name}.path")
        self._threads = ThreadPoolExecutor(config.concurrency, thread_name_prefix=f"sink-{config.name}")

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """Durable when it returns. Raises Retry while the disk does not take it, Refused when other bytes are there."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._store, record)

    async def erase(self, uuid: str) -> Receipt:
        """Remove the file. Raises Retry."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._remove, uuid)

    async def look(self) -> list[Seen]:
        """Whether the folder, or the nearest one above it that is there, can be written to. Raises Retry."""
        return [Seen("ok", await asyncio.get_running_loop().run_in_executor(self._threads, self._writable))]

    async def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False)

    def place(self, uuid: str) -> Path:
        """Where the file of a vCon is, whenever it is asked."""
        if not is_uuid(uuid):
            raise Refused("not-a-uuid")
        folder = self._root / day(uuid) if self._dated else self._root
        return folder / f"{uuid}{SUFFIX}"

    def _writable(self) -> str:
        for path in (self._root, *self._root.parents):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            except OSError as why:
                raise self._later(why, path) from why
            if not stat.S_ISDIR(found.st_mode):
                raise self._later(OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), path)
            if os.statvfs(path).f_flag & os.ST_RDONLY:
                raise self._later(OSError(errno.EROFS, os.strerror(errno.EROFS)), path)
            if not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
                raise self._later(OSError(errno.EACCES, os.strerror(errno.EACCES)), path)
            return f"{self._root} is writable" if path == self._root else f"{self._root} can be made in {path}"
        raise self._later(OSError(errno.ENOENT, os.strerror(errno.ENOENT)), self._root)

    def _store(self, record: OutgoingVcon) -> Receipt:
        path = self.place(record.uuid)
        try:
            self._files.make_folder(path.parent, self._mode | (self._mode & 0o444) >> 2)
            if path.exists():
                if self._files.read(path, MOST) != record.body:
                    raise Refused("other-bytes-there", hint="compare the two; move the old file away, then retry")
            else:
                self._files.publish(path, record.body, mode=self._mode)
        except OSError as why:
            raise self._later(why, path.parent) from why
        return Receipt(status=0, target=str(path))

    def _remove(self, uuid: str) -> Receipt:
        path = self.place(uuid)
        try:
            self._files.remove(path)
        except OSError as why:
            raise self._later(why, path.parent) from why
        return Receipt(status=0, target=str(path))

    def _later(self, why: OSError, path: Path) -> Retry:
        """The disk does not take it: where, whose that is, and what mends it."""
        said = why.strerror or type(why).__name__
        detail, hint = f"{path}: {said}", _HINTS.get(why.errno or 0, "check the disk and the system log")
        if why.errno in {errno.EACCES, errno.EPERM}:
            there, whose = _owner(path)
            user = _name(os.geteuid(), pwd.getpwuid)
            detail = f"{path}: {said}" + (f"; {there} belongs to {whose}, vcond runs as {user}" if there else "")
            hint = f"chown -R {user}: {self._root}, or choose another path" if there else hint
        if why.errno in _HELD:
            hint += "; vcond retries by itself, or at once with: vcond outbox retry"
        return Retry("disk", whole_sink=True, held=why.errno in _HELD, answer=said, detail=detail, hint=hint)


_HELD: Final = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Nothing of this passes by itself."""
_HINTS: Final = {
    errno.EACCES: "let vcond's user write there",
    errno.EPERM: "let vcond's user write there",
    errno.EROFS: "mount it writable; under systemd add the folder to ReadWritePaths= in a drop-in of the unit",
    errno.ENOTDIR: "something there is not a folder: move it away, or choose another path",
    errno.ENOSPC: "free space on that disk; waiting vCons are then written",
    errno.EDQUOT: "vcond's user has used up its quota there",
}


def _owner(path: Path) -> tuple[Path | None, str]:
    """The nearest folder that is there, and ``user:group mode`` of it."""
    for each in (path, *path.parents):
        try:
            found = each.stat()
        except OSError:
            continue
        user, group = _name(found.st_uid, pwd.getpwuid), _name(found.st_gid, grp.getgrgid)
        return each, f"{user}:{group} with mode {stat.S_IMODE(found.st_mode):04o}"
    return None, ""


def _name(number: int, look: Callable[[int], Sequence[Any]]) -> str:
    """Of a user or group; the number where the system knows no name."""
    try:
        return str(look(number)[0])
    except KeyError:
        return str(number)
