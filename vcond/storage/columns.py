"""Texts in columns of SQLite databases, encrypted under the key of the vCon or call that their row is of. Decision 0027.

SQLite opens its files by itself, so what lies in a column is encrypted before it gets there. A text that is encrypted is text again, so
that a version before this one shows it as it is and loses nothing. Erasing the key of an id makes what is in the columns of it unreadable.
"""

from __future__ import annotations

import base64
import binascii
import os
import sqlite3
from contextlib import suppress
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vcond.storage.encrypted_files import DataKeys

MARK: Final = "vcond-sealed-1:"
"""Begins a text that is encrypted; base64 of nonce, ciphertext and tag follows."""
_NONCE: Final = 12
_INFO: Final = b"vcond-column-1"


class Columns:
    """Seals and opens texts. Without ``keys`` texts stay as they are, and those that are sealed read as empty."""

    def __init__(self, keys: DataKeys | None = None, *, encrypt: bool = True) -> None:
        """Without ``encrypt`` new texts are plain, and those that are sealed are opened."""
        self._keys, self._encrypt = keys, encrypt and keys is not None

    def install(self, db: sqlite3.Connection) -> None:
        """SQL functions of a connection: ``sealed(uuid, place, text)`` and ``opened(uuid, place, text)``."""
        db.create_function("sealed", 3, self.sealed)
        db.create_function("opened", 3, self.opened)

    def sealed(self, uuid: str, place: str, text: str) -> str:
        """A text for the row of ``uuid``; bound to that and to its ``place``, which says the same wherever it is copied.

        Empty where there can be no key: no text is kept in plain for want of one.
        """
        if not text or not self._encrypt or self._keys is None:
            return text
        try:
            secret = self._keys.make(UUID(uuid).bytes)
        except OSError:
            return ""
        nonce = os.urandom(_NONCE)
        body = _cipher(secret).encrypt(nonce, text.encode(), _bound(uuid, place))
        return MARK + base64.b64encode(nonce + body).decode()

    def opened(self, uuid: str, place: str, text: str) -> str:
        """What was sealed; a plain text as it is. Empty where the key is gone, or the text was changed."""
        if not text.startswith(MARK):
            return text
        secret = self._keys.get(UUID(uuid).bytes) if self._keys is not None else None
        if secret is not None:
            with suppress(binascii.Error, InvalidTag, ValueError):
                raw = base64.b64decode(text[len(MARK) :], validate=True)
                return _cipher(secret).decrypt(raw[:_NONCE], raw[_NONCE:], _bound(uuid, place)).decode()
        return ""


def _cipher(secret: bytes) -> AESGCM:
    """Under a key of its own: that of files never sees a nonce of a column."""
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=_INFO).derive(secret))


def _bound(uuid: str, place: str) -> bytes:
    return f"{uuid}\0{place}".encode()
