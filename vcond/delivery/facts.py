"""What the ledger is to be told: a queue of rows in the outbox's database, written by triggers in the same transaction as the fact.

So a fact is never recorded without its row, by whichever code, also by that of an earlier version, which knows nothing of it.
Whoever keeps the ledger reads the queue, writes, and only then drops what it read. Functions of a connection.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

Kind = Literal["published", "delivered", "refused", "discarded", "lost"]
"""refused: by the receiver's answer, so it was shown the vCon; discarded: given up by the operator; lost: its file vanished."""

_TABLE = (
    "CREATE TABLE delivery_facts (n INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, "
    "uuid TEXT NOT NULL, sha512 TEXT NOT NULL, bytes INTEGER NOT NULL, sink TEXT NOT NULL, status INTEGER NOT NULL, "
    "target TEXT NOT NULL, answer TEXT NOT NULL, sent TEXT NOT NULL)"
)
_COLUMNS = "(id, kind, at, uuid, sha512, bytes, sink, status, target, answer, sent)"
_OF_VCON = f"INSERT INTO delivery_facts {_COLUMNS} SELECT randomblob(16), '%s', %s, uuid, sha512, bytes, '', 0, '', '', '' FROM delivery_vcons"  # noqa: S608 - no input in it
_OF_SINK = (
    f"INSERT INTO delivery_facts {_COLUMNS} SELECT randomblob(16), '%s', state.last_at, uuid, sha512, bytes, state.sink, "  # noqa: S608 - likewise
    "state.status, state.target, state.answer, state.sent FROM delivery_vcons AS vcon JOIN delivery_states AS state USING (seq)"
)
_NOW = "CAST(strftime('%s', 'now') AS INTEGER) * 1000000000"
_SENT = "AFTER UPDATE ON delivery_states WHEN new.state = 'delivered' AND old.state <> 'delivered'"
_REFUSED = "AFTER UPDATE ON delivery_states WHEN new.state = 'dead' AND old.state <> 'dead' AND new.status > 0"
_GIVEN_UP = "AFTER UPDATE ON delivery_states WHEN new.reason = 'discarded' AND old.reason <> 'discarded'"
_ONE = "WHERE seq = new.seq"
_TRIGGERS = {
    "AFTER INSERT ON delivery_vcons": f"{_OF_VCON % ('published', 'published_at')} {_ONE}",
    "AFTER UPDATE ON delivery_vcons WHEN new.stage = 'lost' AND old.stage <> 'lost'": f"{_OF_VCON % ('lost', _NOW)} {_ONE}",
    _SENT: f"{_OF_SINK % 'delivered'} {_ONE} AND sink = new.sink",
    _REFUSED: f"{_OF_SINK % 'refused'} {_ONE} AND sink = new.sink",
    _GIVEN_UP: f"{_OF_SINK % 'discarded'} {_ONE} AND sink = new.sink",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One of them, with what is known of its vCon."""

    n: int
    """Its place in the queue."""
    id: bytes
    """16 random bytes: the same fact is never told twice."""
    kind: Kind
    at: int
    """Nanoseconds since the epoch."""
    uuid: str
    sha512: str
    """Of the bytes published."""
    bytes: int
    sink: str = ""
    status: int = 0
    target: str = ""
    answer: str = ""
    sent: str = ""
    """How it was sent, and the SHA-512 of those bytes: ``signed 0a1b...``; empty when that is not known."""


def prepare(db: sqlite3.Connection) -> None:
    """Make queue and triggers; the first time, queue what was published and delivered before. In a transaction."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'delivery_facts'").fetchone():
        return
    db.execute(_TABLE)
    db.execute("ALTER TABLE delivery_states ADD COLUMN sent TEXT NOT NULL DEFAULT ''")
    for number, (when, do) in enumerate(_TRIGGERS.items()):
        db.execute(f"CREATE TRIGGER delivery_facts_{number} {when} BEGIN {do}; END")
    db.execute(f"{_OF_VCON % ('published', 'published_at')} ORDER BY seq")
    db.execute(f"{_OF_SINK % 'delivered'} WHERE state = 'delivered' ORDER BY seq")


def waiting(db: sqlite3.Connection, limit: int) -> list[Fact]:
    """Those that were not dropped yet, in the order in which they were recorded."""
    found = db.execute(
        "SELECT n, id, kind, at, uuid, sha512, bytes, sink, status, target, opened(uuid, 'answer', answer), sent "
        "FROM delivery_facts ORDER BY n LIMIT ?",
        (limit,),
    )
    return [Fact(*row) for row in found]


def drop(db: sqlite3.Connection, upto: int) -> None:
    """The ledger has these on the disk. In a transaction."""
    db.execute("DELETE FROM delivery_facts WHERE n <= ?", (upto,))


def delivered(db: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """By vCon and sink, when each was taken: what a ledger is compared with."""
    found = db.execute(
        "SELECT uuid, sink, last_at FROM delivery_states JOIN delivery_vcons USING (seq) WHERE state = 'delivered'"
    )
    return {(uuid, sink): at for uuid, sink, at in found}
