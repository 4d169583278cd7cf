"""The index of words: which vCon has which words, by keyed hashes. Blocks; for one thread. Decision 0050.

vCons have the places that the outbox gives them (``seq``); 256 of them are a block. A row has, of one word in one block, those vCons, a byte
each. So what is new is written where the last one was, a word is found by one look a block, and a vCon is taken out of one block. A
word is hashed under the index key with its block: without the key rows tell no word, nor that two blocks have one in common.
"""

from __future__ import annotations

import hmac
import re
import sqlite3
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final
from uuid import UUID

from vcond.delivery.database import is_damage, small_cache, storage_errors, transaction
from vcond.records.database import wiped
from vcond.storage.files import Files
from vcond.vcon.glance import Glance, text_of

NAME: Final = "words.db"
VERSION: Final = 1
LONGEST: Final = 64
"""Characters of a word that count."""
MOST: Final = 50_000
"""Different words of a vCon that are indexed: more than a day of speech has."""
BLOCK: Final = 256
END: Final = 2**62
"""After every place."""
_WORD: Final = re.compile(r"[^\W_]+")
_SCHEMA: Final = """
CREATE TABLE words_schema (version INTEGER NOT NULL, key BLOB NOT NULL);
CREATE TABLE vcons (seq INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE, words INTEGER NOT NULL);
CREATE TABLE postings (block INTEGER, word INTEGER, places BLOB NOT NULL, PRIMARY KEY (block, word)) WITHOUT ROWID
"""
_ADD: Final = (
    "INSERT INTO postings VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET places = CAST(places || excluded.places AS BLOB)"
)


@dataclass(frozen=True, slots=True)
class Words:
    """Of one vCon; ``words`` is None when it cannot be read, or is too large."""

    seq: int
    uuid: str
    words: frozenset[str] | None


def words_in(text: str) -> Iterator[str]:
    """Letters and digits in a row, whatever their case and form (Unicode NFKC)."""
    for found in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
        yield found[0][:LONGEST]


def words_of(vcon: Glance) -> frozenset[str]:
    """What was said, and what people are called; of a number also its digits in one. Bots are nobody."""
    found: set[str] = set()
    for one in vcon.parties():
        if one.type != "bot":
            for value in (one.name, one.tel, one.sip, one.mailto):
                found.update(words_in(text_of(value)))
            for value in (one.tel, one.sip):
                found.add("".join(filter(str.isdecimal, text_of(value).partition("@")[0]))[:LONGEST])
    for body in vcon.spoken():
        for segment in body.segments:
            found.update(words_in(segment.text))
            if len(found) > MOST:
                return frozenset(sorted(found)[:MOST])
    return frozenset(found - {""})


class WordIndex:
    """Over a database of its own, which is made again of the vCons when it is lost. Raises StorageError."""

    def __init__(self, path: Path, key: bytes) -> None:
        """``key``: the index key. What is damaged, of another version or under another key is begun anew."""
        self._key = hmac.digest(key, b"words", "sha256")
        with storage_errors("open the index of words"):
            try:
                self._db = _opened(path, self._key)
            except (sqlite3.DatabaseError, _AnewError) as why:
                if isinstance(why, sqlite3.DatabaseError) and not is_damage(why):
                    raise
                delete(path)
                self._db = _opened(path, self._key)

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def count(self) -> tuple[int, int, int]:
        """How many vCons it knows, of how many it has the words, and the last place."""
        with storage_errors("read the index of words"):
            row = self._db.execute("SELECT count(*), coalesce(sum(words >= 0), 0), coalesce(max(seq), 0) FROM vcons")
            found: tuple[int, int, int] = row.fetchone()
            return found

    def between(self, after: int, last: int) -> dict[int, str]:
        """The vCons of these places."""
        with storage_errors("read the index of words"):
            rows = self._db.execute("SELECT seq, uuid FROM vcons WHERE seq > ? AND seq <= ?", (after, last))
            return {seq: str(UUID(bytes=uuid)) for seq, uuid in rows}

    def add(self, vcons: Iterable[Words], forgotten: Callable[[str], bool]) -> None:
        """Their words, but of those that were ``forgotten`` meanwhile; again is the same as once. Not synced: what is lost is added again."""
        with storage_errors("write the index of words"):
            with transaction(self._db):
                replaced = [self._add(one) for one in vcons if not forgotten(one.uuid)]
            if any(replaced):
                wiped(self._db)

    def remove(self, uuids: Iterable[str]) -> bool:
        """Nothing of these is in its files any more; False: somebody reads them just now, ask again."""
        with storage_errors("write the index of words"):
            for uuid in uuids:
                with transaction(self._db):
                    self._remove("uuid = ?", UUID(uuid).bytes)
            return wiped(self._db)

    def find(self, words: Sequence[str], limit: int, *, before: str = "", since: int = 0, until: int = 0) -> list[str]:
        """Those with all of these words, the newest first, from after ``before``; of calls that began between two moments (ms; 0 = any), by their
        uuid: one that carries no moment may be of any.

        Raises LookupError when ``before`` is not in it.
        """
        low, high = max(since, 0).to_bytes(6), (max(until, 0) if until else (1 << 48) - 1).to_bytes(6) + b"\xff" * 10
        found: list[str] = []
        with storage_errors("read the index of words"):
            below = self._seq(before) if before else END
            while len(found) < limit and (last := self._last(below)) is not None:
                block, below_now = last // BLOCK, below
                below = block * BLOCK
                places = self._places(block, words)
                if places:
                    rows = self._db.execute(
                        "SELECT seq, uuid FROM vcons WHERE seq >= ? AND seq < ?"
                        " AND (uuid BETWEEN ? AND ? OR substr(hex(uuid), 13, 1) NOT IN ('7', '8')) ORDER BY seq DESC",
                        (below, min(below + BLOCK, below_now), low, high),
                    )
                    found += [str(UUID(bytes=uuid)) for seq, uuid in rows if seq % BLOCK in places]
        return found[:limit]

    # Inside.

    def _last(self, below: int) -> int | None:
        found: int | None = self._db.execute("SELECT max(seq) FROM vcons WHERE seq < ?", (below,)).fetchone()[0]
        return found

    def _seq(self, uuid: str) -> int:
        row = self._db.execute("SELECT seq FROM vcons WHERE uuid = ?", (UUID(uuid).bytes,)).fetchone()
        if row is None:
            raise LookupError("it is not in the index of words")
        return int(row[0])

    def _places(self, block: int, words: Sequence[str]) -> set[int]:
        """Which vCons of a block have all of them."""
        found: set[int] | None = None
        for word in words:
            row = self._db.execute(
                "SELECT places FROM postings WHERE block = ? AND word = ?", (block, self._hash(block, word))
            ).fetchone()
            if row is None:
                return set()
            found = set(row[0]) if found is None else found & set(row[0])
        return found or set()

    def _add(self, one: Words) -> bool:
        """Whether something was there in its place: the outbox began anew."""
        block, place, uuid = one.seq // BLOCK, bytes([one.seq % BLOCK]), UUID(one.uuid).bytes
        replaced = self._remove("seq = ? OR uuid = ?", one.seq, uuid)
        count = -1 if one.words is None else len(one.words)
        self._db.execute("INSERT INTO vcons VALUES (?, ?, ?)", (one.seq, uuid, count))
        hashes = sorted(self._hash(block, word) for word in one.words or ())
        self._db.executemany(_ADD, [(block, hashed, place) for hashed in hashes])
        return replaced

    def _remove(self, which: str, *values: bytes | int) -> bool:
        """Whether there was any."""
        found = self._db.execute(f"SELECT seq FROM vcons WHERE {which}", values).fetchall()  # noqa: S608 - no input in it
        for (seq,) in found:
            block, place = seq // BLOCK, bytes([seq % BLOCK])
            has = self._db.execute(
                "SELECT word, places FROM postings WHERE block = ? AND instr(places, ?) > 0", (block, place)
            ).fetchall()
            left = [(places.replace(place, b""), block, word) for word, places in has]
            self._db.executemany(
                "UPDATE postings SET places = ? WHERE block = ? AND word = ?", [one for one in left if one[0]]
            )
            self._db.executemany(
                "DELETE FROM postings WHERE block = ? AND word = ?", [one[1:] for one in left if not one[0]]
            )
            self._db.execute("DELETE FROM vcons WHERE seq = ?", (seq,))
        return bool(found)

    def _hash(self, block: int, word: str) -> int:
        """Keyed BLAKE2b (RFC 7693), a third of what HMAC costs; 47 bits: what SQLite keeps in six bytes."""
        text = block.to_bytes(8) + word.encode("utf-8", "replace")
        return int.from_bytes(blake2b(text, key=self._key, digest_size=6).digest()) >> 1


class _AnewError(Exception):
    """What is there is of no use."""


def delete(path: Path) -> None:
    """The index and its WAL. Raises OSError."""
    for ending in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            Files().delete_one(str(path) + ending)


def _opened(path: Path, key: bytes) -> sqlite3.Connection:
    files = Files()
    files.close(files.open(str(path), create=True))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        small_cache(db)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")  # a checkpoint syncs, and each removal ends with one
        db.execute("PRAGMA secure_delete=ON")
        _prepare(db, hmac.digest(key, b"check", "sha256"))
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, check: bytes) -> None:
    with transaction(db):
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'words_schema'").fetchone():
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute("INSERT INTO words_schema VALUES (?, ?)", (VERSION, check))
        if db.execute("SELECT version, key FROM words_schema").fetchone() != (VERSION, check):
            raise _AnewError
        if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise _AnewError
        db.execute("DELETE FROM vcons WHERE words < 0")  # they may be readable now
