"""The subject index: who is in which vCon, without saying who. Blocks; for one thread.

An identifier (``tel:+12125550143``) is found by its HMAC under the index key, and has a random secret. What other places write of
a person is a ``token``: made of that secret and the vCon's uuid, so that it tells nothing without the secret, and two vCons of
one person have nothing in common. ``forget_vcon`` destroys the secrets of who is in no other vCon: their tokens are noise from then on.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from vcond.delivery.database import storage_errors, transaction
from vcond.records.database import wiped
from vcond.records.identifiers import normalized

INDEX_KEY: Final = 32
"""Bytes."""
HASH: Final = 16
"""Bytes of a hash and of a secret. The index finds by 63 bits of it: two of a million identifiers are alike once in twenty million."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A vCon that somebody is in."""

    vcon: str
    call: str
    """Its call; of an original the same uuid."""
    at: int
    """When it was made, nanoseconds since the epoch."""
    parties: tuple[int, ...]
    """As which parties of the vCon."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What ``forget_vcon`` took out of the index, which is personal data itself."""

    identifiers: int
    """Whose secret is destroyed."""
    wiped: bool
    """Whether it is out of the WAL too; False: somebody read meanwhile, call ``vcond.records.database.wiped`` again."""


class SubjectIndex:
    """Over the database that ``open_records`` opened. Raises StorageError; ValueError for what identifies nobody."""

    def __init__(self, db: sqlite3.Connection, key: bytes, *, region: str = "", domain: str = "") -> None:
        """``key``: 32 bytes, the index key; ``region`` and ``domain`` as ``normalized`` has them."""
        self._db, self._key = db, key
        self._region, self._domain = region, domain

    def hash(self, identifier: str) -> bytes:
        """What an identifier is found by, in any of its spellings."""
        name = normalized(identifier, region=self._region, domain=self._domain)
        return hmac.digest(self._key, b"subject\0" + name.encode(), "sha256")[:HASH]

    def note(self, vcon: str, call: str, parties: Sequence[Iterable[str]], at: int, made: str = "") -> None:
        """A vCon and who is in it, by party the identifiers of each; durable when it returns. Again is the same as once.

        ``made``: JSON that the ledger wants to know of the vCon when it is published; nothing of people.
        """
        found = [(index, {self.hash(one) for one in identifiers}) for index, identifiers in enumerate(parties)]
        with storage_errors("write the subject index"), transaction(self._db):
            conversation = self._conversation(vcon, call, at, made)
            self._db.executemany(
                "INSERT OR IGNORE INTO mentions VALUES (?, ?, ?)",
                [(self._subject(one), conversation, index) for index, hashes in found for one in sorted(hashes)],
            )

    def find(self, identifier: str) -> list[Conversation]:
        """Every vCon that somebody is in, the oldest first. Where they are now the ledger and the outbox say."""
        with storage_errors("read the subject index"):
            rows = self._db.execute(
                "SELECT vcon, call, at, group_concat(party) FROM mentions "
                "JOIN conversations ON conversation = conversations.id WHERE subject = ? GROUP BY vcon ORDER BY at",
                (_id(self.hash(identifier)),),
            ).fetchall()
        return [
            Conversation(
                str(UUID(bytes=vcon)), str(UUID(bytes=call or vcon)), at, tuple(sorted(map(int, parties.split(","))))
            )
            for vcon, call, at, parties in rows
        ]

    def tokens(self, vcon: str) -> dict[int, list[str]]:
        """By party of a vCon, what may be written of each of its identifiers where people must not be named: 32 hex digits."""
        with storage_errors("read the subject index"):
            rows = self._db.execute(
                "SELECT party, secret FROM conversations JOIN mentions ON conversation = conversations.id "
                "JOIN subjects ON subject = subjects.id WHERE vcon = ? ORDER BY party, subject",
                (UUID(vcon).bytes,),
            ).fetchall()
        found: dict[int, list[str]] = {}
        for party, secret in rows:
            found.setdefault(party, []).append(self._token(secret, vcon))
        return found

    def token(self, identifier: str, vcon: str) -> str | None:
        """As ``tokens``, of one identifier; None of somebody who is not in the index (any more)."""
        with storage_errors("read the subject index"):
            row = self._db.execute("SELECT secret FROM subjects WHERE id = ?", (_id(self.hash(identifier)),)).fetchone()
        return self._token(row[0], vcon) if row else None

    def forget_vcon(self, vcon: str) -> Forgotten:
        """A whole vCon is forgotten: who was in it, and the secrets of those who are in no other one."""
        with storage_errors("forget a vCon"):
            with transaction(self._db):
                row = self._db.execute("SELECT id FROM conversations WHERE vcon = ?", (UUID(vcon).bytes,)).fetchone()
                if row is None:
                    return Forgotten(0, wiped=True)
                people = self._db.execute(
                    "SELECT DISTINCT subject FROM mentions WHERE conversation = ?", row
                ).fetchall()
                self._db.execute("DELETE FROM mentions WHERE conversation = ?", row)
                self._db.execute("DELETE FROM conversations WHERE id = ?", row)
                gone = self._drop_lonely([subject for (subject,) in people])
            return Forgotten(gone, wiped(self._db))

    def those(self, wanted: Callable[[str], bool]) -> list[str]:
        """Of all vCons that it knows the wanted ones."""
        with storage_errors("read the subject index"):
            return [
                vcon
                for (raw,) in self._db.execute("SELECT vcon FROM conversations")
                if wanted(vcon := str(UUID(bytes=raw)))
            ]

    def named(self, uuid: str) -> tuple[str, list[str]] | None:
        """The call of a vCon, or a call, and all its vCons; None of one that it does not know."""
        with storage_errors("read the subject index"):
            row = self._db.execute(
                "SELECT coalesce(call, vcon) FROM conversations WHERE vcon = ?1 OR call = ?1 LIMIT 1",
                (UUID(uuid).bytes,),
            ).fetchone()
            if row is None:
                return None
            found = self._db.execute("SELECT vcon FROM conversations WHERE vcon = ?1 OR call = ?1 ORDER BY id", row)
            return str(UUID(bytes=row[0])), [str(UUID(bytes=vcon)) for (vcon,) in found]

    def size(self) -> tuple[int, int]:
        """How many identifiers and how many vCons it knows."""
        with storage_errors("read the subject index"):
            found: tuple[int, int] = self._db.execute(
                "SELECT (SELECT count(*) FROM subjects), (SELECT count(*) FROM conversations)"
            ).fetchone()
            return found

    # Inside.

    def _conversation(self, vcon: str, call: str, at: int, made: str) -> int:
        name = UUID(vcon).bytes
        of = None if call == vcon else UUID(call).bytes
        self._db.execute(
            "INSERT OR IGNORE INTO conversations (vcon, call, at, made) VALUES (?, ?, ?, ?)",
            (name, of, at, made or None),
        )
        found: int = self._db.execute("SELECT id FROM conversations WHERE vcon = ?", (name,)).fetchone()[0]
        return found

    def _subject(self, hashed: bytes) -> int:
        self._db.execute("INSERT OR IGNORE INTO subjects VALUES (?, ?)", (_id(hashed), os.urandom(HASH)))
        return _id(hashed)

    def _drop_lonely(self, subjects: Sequence[int]) -> int:
        """Of these the ones that are mentioned nowhere any more; how many."""
        lonely = [
            one
            for one in subjects
            if not self._db.execute("SELECT 1 FROM mentions WHERE subject = ?", (one,)).fetchone()
        ]
        for one in lonely:
            self._db.execute("DELETE FROM subjects WHERE id = ?", (one,))
        return len(lonely)

    def _token(self, secret: bytes, vcon: str) -> str:
        """The secret alone is in the database, and in its backups: the index key, which is not, goes in too."""
        own = hmac.digest(self._key, b"token\0" + secret, "sha256")
        return hmac.digest(own, UUID(vcon).bytes, hashlib.sha256).hex()[: 2 * HASH]


def _id(hashed: bytes) -> int:
    """63 bits: what SQLite takes as a positive key."""
    return int.from_bytes(hashed[:8]) >> 1
