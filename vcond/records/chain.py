"""A hash chain over rows of text: each row's hash is over the one before it and the row. Blocks; for one thread.

``hash(n) = SHA-256(hash(n - 1) || row(n))``, both as they are; ``hash(0)`` is 32 zeros. A row is JSON and begins with its number, so whoever has the
exported rows checks them with a few lines of any language. What is cut off at the end a chain cannot tell: heads do.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

BEGIN: Final = bytes(32)
"""Before the first row."""
MOST_FAULTS: Final = 20
"""That are told of one chain."""


@dataclass(frozen=True, slots=True)
class End:
    """How far a chain reaches."""

    rows: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a ledger."""

    row: int
    """Where it shows; 0 = nowhere in the chain."""
    text: str


def follow(before: bytes, row: str) -> bytes:
    """The hash of a row."""
    return hashlib.sha256(before + row.encode()).digest()


def end(db: sqlite3.Connection) -> End:
    """Of the ledger as it is; inside a transaction for who is about to append."""
    found = db.execute("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
    return End(*found) if found else End(0, BEGIN)


def append(db: sqlite3.Connection, rows: Iterable[tuple[bytes, str]]) -> End:
    """Facts and what is written of them, behind ``{"seq":N,``; facts that are there are left out. In a transaction."""
    last = end(db)
    for fact, rest in rows:
        if db.execute("SELECT 1 FROM ledger WHERE fact = ?", (fact,)).fetchone():
            continue
        row = f'{{"seq":{last.rows + 1},{rest}'
        last = End(last.rows + 1, follow(last.hash, row))
        db.execute("INSERT INTO ledger VALUES (?, ?, ?, ?)", (last.rows, fact, row, last.hash))
    return last


def stored(db: sqlite3.Connection) -> Iterator[tuple[int, str, bytes]]:
    """All rows in order: number, row, hash."""
    yield from db.execute("SELECT seq, row, hash FROM ledger ORDER BY seq")


def verify(rows: Iterable[tuple[int, str, bytes]], heads: Mapping[int, bytes]) -> tuple[End, list[Fault]]:
    """Where the chain ends, and what is wrong with it: changed, removed, moved and added rows, by their hashes and numbers.

    ``heads``: by number of rows the hash that somebody wrote down. After a row that is wrong it goes on with the hash that stands there.
    """
    faults: list[Fault] = []
    before, expected = BEGIN, 0
    left = dict(heads)
    for seq, row, hashed in rows:
        expected += 1
        if seq != expected:
            faults.append(
                Fault(expected, f"row {expected} is followed by row {seq}: rows were removed, moved or added")
            )
            expected = seq
        elif not row.startswith(f'{{"seq":{seq},'):
            faults.append(Fault(seq, f"row {seq} says that it is another one: rows were moved"))
        elif follow(before, row) != hashed:
            faults.append(
                Fault(seq, f"row {seq} does not follow from the one before it: it was changed, moved or added")
            )
        if left.pop(seq, hashed) != hashed:
            faults.append(
                Fault(seq, f"row {seq} is not the one that a head was written of: rows before it were rewritten")
            )
        before = hashed
        if len(faults) >= MOST_FAULTS:
            return End(expected, before), faults
    beyond = [rows for rows in left if rows > expected]
    if beyond:
        faults.append(
            Fault(
                expected,
                f"the ledger ends at row {expected}, and a head was written of row {max(beyond)}: its end was cut off",
            )
        )
    return End(expected, before), faults
