"""vCons that the ``match`` of no sink took: they wait for the operator, who decides of one or of all. Functions of a connection."""
# ruff: noqa: S608 - every part of a statement is a constant of this file; values are bound

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vcond.delivery import rows

AT_ONCE: Final = 200
"""vCons of one transaction: what calls publish waits for it."""
_NOBODYS: Final = (
    "stage = 'open' AND EXISTS (SELECT 1 FROM delivery_states AS s WHERE s.seq = v.seq) "
    f"AND NOT EXISTS (SELECT 1 FROM delivery_states AS s WHERE s.seq = v.seq AND NOT {rows.IS_UNMATCHED})"
)


@dataclass(frozen=True)
class Nobodys:
    """How many there are. ``oldest``: when the first was published, nanoseconds since the epoch; ``last``: place of the newest."""

    vcons: int
    oldest: int = 0
    last: int = 0


def count(db: sqlite3.Connection) -> Nobodys:
    """All of them."""
    found = db.execute(f"SELECT count(*), min(published_at), max(seq) FROM delivery_vcons AS v WHERE {_NOBODYS}")
    vcons, oldest, last = found.fetchone()
    return Nobodys(vcons, oldest, last) if vcons else Nobodys(0)


def send(db: sqlite3.Connection, sink: str) -> int:
    """The first of them are for this sink all the same; how many."""
    found = db.execute(f"SELECT seq FROM delivery_vcons AS v WHERE {_NOBODYS} ORDER BY seq LIMIT ?", (AT_ONCE,))
    return db.executemany(
        "UPDATE delivery_states SET state = 'pending', reason = '', answer = '', next_at = 0 WHERE seq = ? AND sink = ?",
        [(seq, sink) for (seq,) in found.fetchall()],
    ).rowcount


def discard(db: sqlite3.Connection, sinks: Sequence[str], last: int, now: int) -> int:
    """The first of them are given up, of those that are no newer than the one at ``last``; how many."""
    found = db.execute(
        f"SELECT uuid FROM delivery_vcons AS v WHERE {_NOBODYS} AND seq <= ? ORDER BY seq LIMIT ?", (last, AT_ONCE)
    ).fetchall()
    for (uuid,) in found:
        rows.discard(db, uuid, sinks, now)
    return len(found)
