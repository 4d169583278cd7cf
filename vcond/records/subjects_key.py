"""The index key: 32 bytes in a file of the state folder, encrypted under a key of the key store where there is one. Blocks."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vcond.base.errors import StorageError
from vcond.records.subjects import INDEX_KEY
from vcond.storage.files import Files
from vcond.storage.key_store import INDEX, KeyStore
from vcond.storage.whole_files import WholeFiles

NAME: Final = "records.key"
_WRAPPED: Final = b"vcond-index-1\n"
_MOST: Final = 4096
_MAKING: Final = Lock()
"""Two ask at a start, each in a thread of its own: the ledger with the subject index, and the index of words."""


def index_key(state_dir: Path, keys: KeyStore | None, *, files: Files | None = None) -> bytes:
    """The key, made when there is none; with a key store it is encrypted from now on.

    Raises StorageError when it cannot be read; nothing was touched then.
    """
    with _MAKING:
        return _made(state_dir, keys, files)


def _made(state_dir: Path, keys: KeyStore | None, files: Files | None) -> bytes:
    whole, path = WholeFiles(files or Files()), state_dir / NAME
    key = read_index_key(state_dir, keys, files=files)
    try:
        if key is None or (keys is not None and not whole.read(path, _MOST).startswith(_WRAPPED)):
            key = key or os.urandom(INDEX_KEY)
            whole.publish(path, _wrapped(key, keys))
    except OSError as why:
        raise StorageError(f"cannot use the index key {path}: {why.strerror}") from None
    return key


def read_index_key(state_dir: Path, keys: KeyStore | None, *, files: Files | None = None) -> bytes | None:
    """As it is; None when there is none. Raises StorageError."""
    path = state_dir / NAME
    try:
        kept = WholeFiles(files or Files()).read(path, _MOST) if path.exists() else b""
    except OSError as why:
        raise StorageError(f"cannot read the index key {path}: {why.strerror}") from None
    return _unwrapped(kept, keys, path) if kept else None


def _wrapped(key: bytes, keys: KeyStore | None) -> bytes:
    if keys is None:
        return key
    nonce = os.urandom(12)
    return _WRAPPED + nonce + AESGCM(keys.make(INDEX)).encrypt(nonce, key, _WRAPPED)


def _unwrapped(kept: bytes, keys: KeyStore | None, path: Path) -> bytes:
    hint = f"restore the keys (vcond keys restore); or move {path} away: those who are in the index now are not found any more then"
    if not kept.startswith(_WRAPPED):
        if len(kept) != INDEX_KEY:
            raise StorageError(f"{path} is no index key; {hint}")
        return kept
    own = keys.get(INDEX) if keys is not None else None
    try:
        if own is not None:
            nonce, body = kept[len(_WRAPPED) :][:12], kept[len(_WRAPPED) + 12 :]
            return AESGCM(own).decrypt(nonce, body, _WRAPPED)
    except (InvalidTag, ValueError):
        pass
    raise StorageError(f"{path} is encrypted under a key that is not there; {hint}")
