"""The data keys of calls, each wrapped by the master key, in a folder of their own. Decision 0027.

One file: a header and slots of one size, for one key each. A key is on the disk before anything is encrypted with it; an
erased one is overwritten in place. Whoever has the master key and this folder can read what is kept of calls, and nobody else.
"""

from __future__ import annotations

import base64
import binascii
import errno
import fcntl
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vcond.base.errors import ConfigError, InUseError, StorageError
from vcond.storage.files import WHOEVER, Files, put
from vcond.storage.token import MARK, TokenKey
from vcond.storage.whole_files import WholeFiles

FILE: Final = "keys"
MAGIC: Final = b"\x89vcond-keys\r\n\x1a\x00\x01"
"""16 bytes; the last one is the version."""
EXPORT: Final = b"\x89vcond-keycopy\r\n"
"""Likewise, of a copy."""
MOST: Final = 1 << 30
"""Bytes of the file: eleven million keys."""
AT_ONCE: Final = 256
"""Keys that are erased with one sync."""
_HEAD: Final = struct.Struct(">16s16s12s32sI48x")
"""Magic, id of the store, nonce and check of the master key, CRC-32."""
_SLOT: Final = struct.Struct(">16sQ12s48sI8x")
"""Id, when it was made (seconds since 1970), nonce and wrapped key, CRC-32. All zeros: free."""
_CHECK: Final = b"vcond master key"
MASTER: Final = 32
INDEX: Final = b"vcond-index-key\0"
"""Id of the key that encrypts the subject index's: no call's, and it stays as long as the store."""


class KeyStore:
    """In ``folder``, which is made when it is not there. One may be used from any thread; one process writes.

    Raises ConfigError when ``master`` is not the key that the store was made with, StorageError when it cannot be used.
    Methods raise OSError.
    """

    def __init__(
        self,
        folder: Path,
        master: bytes,
        *,
        clock: Callable[[], float] = time.time,
        writes: bool = True,
        files: Files | None = None,
    ) -> None:
        """``clock``: seconds since 1970. ``writes``: it is made when it is not there, and nobody else may write."""
        self.folder = folder
        self._path = folder / FILE
        self._files = files or Files()
        self._whole = WholeFiles(self._files)
        self._clock = clock
        self._lock = Lock()
        self._master = AESGCM(master)
        self._slots: dict[bytes, tuple[int, bytes]] = {}
        """By id: which slot, and what is in it."""
        self._free: list[int] = []
        self._failed: dict[bytes, tuple[int, bytes, bytes]] = {}
        """By id, what may be in a slot though it was not synced, and the key: it is written there again."""
        self._used: dict[bytes, float] = {}
        """By id, when something was last begun to be encrypted with it."""
        self._fd = -1
        try:
            if writes:
                self._whole.make_folder(folder)
                if not self._path.exists():
                    self._publish(self._master, {})
            self._fd = self._files.open(str(self._path), write=writes)
            self._load(self._locked() if writes else self._whole.read(self._path, MOST))
        except OSError as why:
            self.close()
            raise StorageError(f"cannot use the data keys in {folder}: {why.strerror}: check keys.store") from None
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._slots)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:  # keys are erased in a thread of their own
            if self._fd >= 0:
                self._files.close(self._fd)
                self._fd = -1

    def ids(self) -> list[bytes]:
        """Of all keys."""
        with self._lock:
            return list(self._slots)

    def get(self, of: bytes) -> bytes | None:
        """The data key of an id; None when there is none, or it was changed on the disk."""
        slot = self._slots.get(of)
        if slot is None:
            return None
        _, _, nonce, wrapped, _ = _SLOT.unpack(slot[1])
        try:
            return self._master.decrypt(nonce, wrapped, of)
        except InvalidTag:
            return None

    def make(self, of: bytes) -> bytes:
        """The data key of an id, on the disk when it returns."""
        with self._lock:
            self._used[of] = self._clock()
            if (found := self.get(of)) is not None:
                return found
            if of in self._slots:
                raise OSError(errno.EKEYREJECTED, os.strerror(errno.EKEYREJECTED), str(self._path))
            number, slot, secret = self._failed.pop(of) if of in self._failed else self._new(of)
            try:
                self._write(number, slot)
            except OSError as why:
                self._failed[of] = number, slot, secret
                raise OSError(why.errno, why.strerror, str(self._path)) from why
            self._slots[of] = number, slot
            return secret

    def erase(self, ids: Iterable[bytes], *, unused_since: float | None = None) -> int:
        """Overwrite keys, durably: nothing that was encrypted with them can be read any more. How many there were.

        ``unused_since``: but for those that something was encrypted with since that moment.
        """
        left, done = list(ids), 0
        while left:
            some, left = left[:AT_ONCE], left[AT_ONCE:]
            with self._lock:  # a call that begins waits for its key here, and all journals with it
                gone = {
                    of: self._slots[of][0]
                    for of in some
                    if of in self._slots and (unused_since is None or self._used.get(of, 0.0) < unused_since)
                }
                for number in gone.values():
                    put(self._files, self._fd, bytes(_SLOT.size), _HEAD.size + number * _SLOT.size)
                if gone:
                    self._files.sync(self._fd)
                for of, number in gone.items():
                    del self._slots[of]
                    self._used.pop(of, None)
                    self._free.append(number)
                done += len(gone)
        return done

    def export(self, ends: int) -> bytes:
        """A copy of all keys, wrapped as they are, that ``restore`` takes until ``ends`` (seconds since 1970)."""
        with self._lock:
            head, nonce = EXPORT + ends.to_bytes(8, "big"), os.urandom(12)
            slots = b"".join(slot for _, slot in self._slots.values())
            return head + nonce + self._master.encrypt(nonce, slots, head)

    def restore(self, copy: bytes) -> int:
        """Add the keys of a copy that are not here; how many. Also those that were erased since come back.

        Raises ConfigError for what is no copy of keys under this master key, or has ended.
        """
        head, nonce, body = copy[:24], copy[24:36], copy[36:]
        try:
            slots = self._master.decrypt(nonce, body, head) if head.startswith(EXPORT) else b""
        except (InvalidTag, ValueError):
            slots = b""
        if not slots:
            raise ConfigError("this is no copy of keys under this master key, or it was changed: nothing was restored")
        if int.from_bytes(head[16:], "big") < self._clock():
            raise ConfigError("the copy has expired: nothing was restored")
        with self._lock:
            slots_here = [slots[at : at + _SLOT.size] for at in range(0, len(slots), _SLOT.size)]
            new = {slot[:16]: slot for slot in slots_here if slot[:16] not in self._slots}
            for of, slot in new.items():
                number = self._free.pop() if self._free else len(self._slots)
                self._write(number, slot)
                self._slots[of] = number, slot
            return len(new)

    def rotate(self, master: bytes) -> int:
        """Wrap all keys with another master key; how many. A crash leaves all with the one or all with the other."""
        with self._lock:
            new = AESGCM(master)
            slots = {of: _rewrapped(slot, self.get(of), new) for of, (_, slot) in self._slots.items()}
            self._publish(new, slots)
            old = self._files.size(self._fd)
            put(self._files, self._fd, bytes(old), 0)  # it has no name any more, and what the old master key opens goes
            self._files.sync(self._fd)
            self._files.close(self._fd)
            self._master, self._slots, self._free = new, {}, []
            self._fd = self._files.open(str(self._path))
            self._load(self._locked())
            return len(slots)

    # Inside.

    def _locked(self) -> bytes:
        """What is in the file, which nobody else writes from now on."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUseError(f"the data keys in {self.folder} are in use: stop that vcond first") from None
        raw = self._whole.read(self._path, MOST)
        if os.fstat(self._fd).st_ino != self._path.stat().st_ino:
            raise InUseError(f"the data keys in {self.folder} were just rotated: try again")
        return raw

    def _new(self, of: bytes) -> tuple[int, bytes, bytes]:
        secret = os.urandom(MASTER)
        number = self._free.pop() if self._free else len(self._slots) + len(self._failed)
        return number, _slot(self._master, of, int(self._clock()), secret), secret

    def _write(self, number: int, slot: bytes) -> None:
        put(self._files, self._fd, slot, _HEAD.size + number * _SLOT.size)
        self._files.sync(self._fd)

    def _publish(self, master: AESGCM, slots: dict[bytes, bytes]) -> None:
        try:
            found = self._path.stat()
            owner = found.st_uid, found.st_gid  # root may rotate what the daemon reads
        except FileNotFoundError:
            owner = WHOEVER
        self._whole.publish(self._path, [_head(master), *slots.values()], owner=owner)

    def _load(self, raw: bytes) -> None:
        _check(raw, self._master, self.folder)
        for number, at in enumerate(range(_HEAD.size, len(raw) - _SLOT.size + 1, _SLOT.size)):
            slot = raw[at : at + _SLOT.size]
            of, *_, crc = _SLOT.unpack(slot)
            if any(slot) and crc == zlib.crc32(slot[:84]):
                self._slots[of] = number, slot
            else:
                self._free.append(number)


def _check(raw: bytes, master: AESGCM, folder: Path) -> None:
    """Raises StorageError for what is no key store, ConfigError for one of another master key."""
    head = raw[: _HEAD.size]
    if len(head) < _HEAD.size or not head.startswith(MAGIC) or _HEAD.unpack(head)[4] != zlib.crc32(head[:76]):
        raise StorageError(
            f"{folder / FILE} is no key store of this version of vcond, or was damaged: restore it (vcond keys restore)"
        )
    _, store, nonce, check, _ = _HEAD.unpack(head)
    try:
        master.decrypt(nonce, check, store)
    except InvalidTag:
        raise ConfigError(
            f"is not the master key of the data keys in {folder}: set the one that they were made with, or last rotated to; "
            "nothing was changed",
            "keys.master",
        ) from None


def _head(master: AESGCM) -> bytes:
    store, nonce = os.urandom(16), os.urandom(12)
    bare = MAGIC + store + nonce + master.encrypt(nonce, _CHECK, store)
    return (bare + zlib.crc32(bare).to_bytes(4, "big")).ljust(_HEAD.size, b"\0")


def _rewrapped(slot: bytes, secret: bytes | None, new: AESGCM) -> bytes:
    """As it is without its secret, which was changed on the disk."""
    of, made, *_ = _SLOT.unpack(slot)
    return slot if secret is None else _slot(new, of, made, secret)


def _slot(master: AESGCM, of: bytes, made: int, secret: bytes) -> bytes:
    nonce = os.urandom(12)
    bare = of + made.to_bytes(8, "big") + nonce + master.encrypt(nonce, secret, of)
    return (bare + zlib.crc32(bare).to_bytes(4, "big")).ljust(_SLOT.size, b"\0")


def master_key(value: str, token: TokenKey | None = None) -> bytes:
    """The master key: 32 bytes in base64, or what ``token`` wrapped, or the file that has either. Raises ConfigError, MissingExtraError."""
    text = _text(value)
    found = _decoded(text)
    if found is None and text.startswith(MARK):
        if token is None:
            raise ConfigError("was wrapped by a token: set [keys.token] as it was then", "keys.master")
        found = token.unwrap(text)
    if found is None or len(found) != MASTER:
        raise ConfigError("must be 32 bytes in base64, as from: openssl rand -base64 32", "keys.master")
    return found


def is_wrapped(value: str) -> bool:
    """Whether only a token opens it. Raises ConfigError."""
    return _text(value).startswith(MARK)


def _text(value: str) -> str:
    """What is in the file that it names, or it itself."""
    if _decoded(value) is not None or value.startswith(MARK):
        return value
    try:
        return Path(value).read_text("ascii")
    except (OSError, ValueError) as why:  # the text itself may be a key that is wrong, and is told nobody
        reason = (why.strerror if isinstance(why, OSError) else "") or "it is not text"
        raise ConfigError(f"cannot read the file that it names: {reason}", "keys.master") from None


def _decoded(text: str) -> bytes | None:
    try:
        found = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == MASTER else None
