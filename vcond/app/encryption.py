"""Encryption at rest: the disk that a configuration wants, what lies there, and keys that nobody needs any more. Decision 0027."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import structlog

from vcond.base.errors import ConfigError, OperatorError
from vcond.config import KeysConfig
from vcond.sdk.contract import Finding
from vcond.storage.columns import Columns
from vcond.storage.encrypted_files import AREAS, EncryptedFiles
from vcond.storage.files import Files
from vcond.storage.key_store import FILE, INDEX, KeyStore, master_key
from vcond.storage.segments import HEADER, is_encrypted
from vcond.storage.token import TokenKey

log = structlog.get_logger()

SWEEP: Final = 3600.0
"""Seconds between two looks for keys without files; a key goes when it had none at two of them."""
PLAIN: Final = (
    "vcond.db, records.db and words.db but for receivers' answers (ids, times, people and words as hashes; no text and no audio), recordings in record.media_dir, what sinks of type folder "
    "and FreeSWITCH write, and what was there before"
)
"""What is not encrypted, in the operator's words."""
WITHOUT: Final = "mount that folder, or restore the keys (vcond keys restore)"
"""What to do where there are no keys at all."""
NAMED: Final = 5
"""Calls without a key that a line names."""
_UUID = re.compile(r"\.?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")


def key_store(config: KeysConfig, state_dir: Path, *, writes: bool, lost: bool = False) -> KeyStore | None:
    """The data keys; None without a master key, or for who only reads where none were made yet. Raises ConfigError, StorageError; nothing was touched then.

    ``writes``: for who makes keys, alone. ``lost``: it is made anew though there are encrypted files.
    """
    if not Path(config.store).is_absolute():
        raise ConfigError("must be an absolute path", "keys.store")
    there = os.path.lexists(Path(config.store) / FILE)
    if not config.master:
        if there and (found := next(_encrypted(state_dir), None)) is not None:
            raise ConfigError(
                f"is empty, and {found} is encrypted: set the master key again (keys.encrypt = false to write plain files from now on)",
                "keys.master",
            )
        return None
    master = master_key(config.master, token_key(config))
    inside, folder = Path(config.store).resolve(), state_dir.resolve()
    if inside.is_relative_to(folder):
        raise ConfigError(f"must not lie in {folder}: a backup of that would hold calls and their keys", "keys.store")
    if not there and not lost and (all_of := kept(state_dir, None)).lost:
        raise ConfigError(f"has no data keys: {all_of.told}: {WITHOUT}", "keys.store")
    return KeyStore(Path(config.store), master, writes=writes) if writes or there else None


def token_key(config: KeysConfig) -> TokenKey | None:
    """What opens a master key that a token wrapped; None where there is none. Nothing is asked of it yet."""
    one = config.token
    return TokenKey(one.module, one.token, one.key, one.pin) if one.module else None


def check_seen(store: KeyStore | None, state_dir: Path) -> None:
    """Raises ConfigError for keys whose calls are not seen: with the disk of those not mounted, all would be erased."""
    if store is not None and {*store.ids()} - {INDEX} and not any((state_dir / "journal").glob("*")):
        store.close()
        raise ConfigError(
            f"has keys, and nothing was ever kept in {state_dir}: mount the folder of those calls, or, when they are gone for "
            f"good, delete {store.folder / FILE}",
            "keys.store",
        )


def disk(config: KeysConfig, store: KeyStore | None, state_dir: Path) -> Files:
    """On which all that is kept of calls is kept."""
    return Files() if store is None else EncryptedFiles(Files(), store, state_dir, encrypt=config.encrypt)


def columns(config: KeysConfig, store: KeyStore | None) -> Columns:
    """How texts in databases are kept."""
    return Columns(store, encrypt=config.encrypt)


@dataclass(frozen=True)
class Kept:
    """What lies below the state folder, in files."""

    encrypted: int
    plain: int
    lost: int
    """Encrypted ones without a key: nobody can read them."""
    calls: tuple[str, ...]
    """Ids of the calls, and of amended vCons, that those are of; what was not delivered yet comes first."""
    undelivered: int
    """How many of them were not."""

    @property
    def told(self) -> str:
        """Of the calls without a key, in a line."""
        some = ", ".join(self.calls[:NAMED]) + (", ..." if len(self.calls) > NAMED else "")
        counts = f"{len(self.calls)}, of which {self.undelivered} not delivered yet"
        return f"calls that nobody can read without their keys: {counts} ({some})"


def kept(state_dir: Path, store: KeyStore | None) -> Kept:
    """Count; ``store`` None: there are no keys. Files that cannot be looked at are none."""
    known, encrypted, plain, lost = set(store.ids() if store else ()), 0, 0, 0
    delivered: dict[bytes, bool] = {}
    for path in files_of_calls(state_dir):
        of = id_of(inside := path.relative_to(state_dir))
        if of is None or not _is_encrypted(path):
            plain += 1
        elif of in known:
            encrypted += 1
        else:
            lost += 1
            delivered[of] = delivered.get(of, True) and inside.parts[:2] == ("outbox", "kept")
    calls = sorted((done, str(UUID(bytes=of))) for of, done in delivered.items())
    return Kept(encrypted, plain, lost, tuple(name for _, name in calls), sum(not done for done, _ in calls))


def files_of_calls(state_dir: Path, failed: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """All that a master key encrypts, or would. ``failed`` is told of folders that cannot be looked at."""
    for area in sorted(AREAS):
        for folder, folders, names in os.walk(state_dir / area, onerror=failed, followlinks=True):
            folders[:] = [name for name in folders if name != ".trash"]
            yield from (path for name in names if id_of((path := Path(folder, name)).relative_to(state_dir)))


def id_of(path: Path) -> bytes | None:
    """Whose key a file has, by its path below the state folder."""
    found = next((match[1] for part in path.parts[1:] if (match := _UUID.match(part))), None)
    return None if found is None else UUID(found).bytes


class Sweep:
    """Erases keys that no file needs any more: of calls that are delivered. Copies of such files are unreadable then."""

    def __init__(self, store: KeyStore, state_dir: Path) -> None:
        self._store, self._state_dir = store, state_dir
        self._idle: set[bytes] = set()
        """Without a file at the look before."""
        self._places = self._found()

    async def run(self, every: float = SWEEP) -> None:
        """Until cancelled."""
        while True:
            try:
                erased = await asyncio.to_thread(self.look)
            except OSError as why:
                log.warning("cannot erase keys of delivered calls, retrying", error=why.strerror)
            else:
                if erased:
                    log.info("erased keys of calls that are no longer kept", keys=erased)
            await asyncio.sleep(every)

    def look(self) -> int:
        """One look; how many keys were erased. Raises OSError: a folder that is not seen now must cost no key."""
        began, places = time.time(), self._found()
        if not self._places.items() <= places.items():
            raise OSError(errno.ESTALE, "folders of calls disappeared or were replaced")
        self._places = places
        used = {id_of(path.relative_to(self._state_dir)) for path in files_of_calls(self._state_dir, _unless_gone)}
        idle = set(self._store.ids()) - used - {INDEX}
        erased = self._store.erase(idle & self._idle, unused_since=began - SWEEP)
        self._idle = idle
        return erased

    def _found(self) -> dict[str, tuple[int, int]]:
        """Which folders there are, by device and inode: what is mounted elsewhere now is another one."""
        found: dict[str, tuple[int, int]] = {}
        for area in (*AREAS, "outbox/pending", "outbox/kept"):
            with suppress(FileNotFoundError):
                there = (self._state_dir / area).stat()
                found[area] = there.st_dev, there.st_ino
        return found


def _unless_gone(why: OSError) -> None:
    """Calls are removed while we look."""
    if not isinstance(why, FileNotFoundError):
        raise why


def look(config: KeysConfig, state_dir: Path) -> list[Finding]:
    """What ``vcond check`` says of it; nothing is made or changed."""
    what = "keys"
    if not config.master and not (os.path.lexists(Path(config.store) / FILE) and any(_encrypted(state_dir))):
        told = "not set: what is kept of calls is not encrypted by vcond; only an encrypted disk protects it"
        return [Finding("ok", "keys.master", told)]
    try:
        if not os.path.lexists(Path(config.store) / FILE):
            master_key(config.master, token_key(config))
            there = next((one for one in Path(config.store).parents if one.exists()), Path("/"))
            if not os.access(Path(config.store) if Path(config.store).exists() else there, os.W_OK | os.X_OK):
                fix = "make the folder for vcond's user: install -d -m 0700 -o vcond -g vcond " + config.store
                return [Finding("error", "keys.store", f"{config.store} cannot be made", fix)]
            if (found := kept(state_dir, None)).lost:
                return [Finding("error", "keys.store", f"has no data keys: {found.told}", WITHOUT)]
            return [Finding("ok", what, f"made at the start, in {config.store}; not encrypted: {PLAIN}")]
        store = key_store(config, state_dir, writes=False)
        if store is None:
            return []  # it went since we looked
        try:
            found_now = kept(state_dir, store)
            level: Literal["ok", "warning"] = "warning" if found_now.lost else "ok"
            state = "encrypted" if config.encrypt else "keys.encrypt = false: new files are plain"
            told = f"{state}: {found_now.encrypted} files, {found_now.plain} plain, {found_now.lost} whose key is gone"
            told += f": {found_now.told}" if found_now.lost else ""
            return [
                Finding(
                    level,
                    what,
                    f"{told}; not encrypted: {PLAIN}",
                    "restore the keys if they were not erased: vcond keys restore",
                )
            ]
        finally:
            store.close()
    except OperatorError as why:
        return [Finding("error", what, str(why), "set [keys] as docs/operations.md says")]


def _encrypted(state_dir: Path) -> Iterator[Path]:
    return (path for path in files_of_calls(state_dir) if _is_encrypted(path))


def _is_encrypted(path: Path) -> bool:
    files = Files()
    with suppress(OSError):
        fd = files.open(str(path), write=False)
        try:
            return is_encrypted(files.pread(fd, HEADER, 0))
        finally:
            files.close(fd)
    return False
