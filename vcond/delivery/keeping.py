"""An outbox that keeps: what it takes stays here when every sink has it, and there may be no sink at all. That of a hub.

Functions in the outbox's thread. What no sink is to get goes into ``kept/`` at once, which is its commit point.
"""
# ruff: noqa: S608 - every part of a statement is a constant of this file; values are bound

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Final

from vcond.delivery import rows
from vcond.delivery.erasing import Changing
from vcond.delivery.outbox_files import OutboxFiles

CREATED: Final = "created"
"""The fact of a vCon that says when it was made, by its own word: see ``moment``."""
HERE: Final = "stage IN ('open', 'done', 'kept')"
"""Of vCons whose file is here."""
_CREATED: Final = f"coalesce(json_extract(facts, '$.{CREATED}'), printf('%020d', published_at))"
"""Of one whose row was made again from its file: when it came."""


def moment(at: int) -> str:
    """Nanoseconds since the epoch as a text that sorts; what is before 1970 is 1970."""
    return f"{max(at, 0):020d}"


def again(db: sqlite3.Connection, files: OutboxFiles, change: Changing, known: rows.Vcon, body: bytes) -> None:
    """The bytes of a vCon that every sink has came once more: they are kept again, if their file went meanwhile."""
    if not files.kept_file(known.uuid).exists():
        files.files.publish(files.kept_file(known.uuid), body)
    if known.stage == "gone":
        change(lambda: rows.set_stage(db, known.seq, "kept"))


def settle(db: sqlite3.Connection, sinks: Sequence[str], now: int) -> None:
    """At a start: what waited for sinks that are not configured any more is only kept from now on. In a transaction."""
    db.execute(f"CREATE INDEX IF NOT EXISTS delivery_vcons_created ON delivery_vcons ({_CREATED}, seq)")
    waiting = db.execute("SELECT seq FROM delivery_vcons WHERE stage = 'open'").fetchall()
    for (seq,) in waiting:
        rows.complete(db, seq, sinks, now)


def listed(db: sqlite3.Connection, since: int, until: int, offset: int, limit: int) -> list[str]:
    """The vCons that are here and say that they were made between two moments, the newest first."""
    found = db.execute(
        f"SELECT uuid FROM delivery_vcons WHERE {_CREATED} BETWEEN ? AND ? AND {HERE} "
        f"ORDER BY {_CREATED} DESC, seq DESC LIMIT ? OFFSET ?",
        (moment(since), moment(until), limit, offset),
    )
    return [uuid for (uuid,) in found]


def here(db: sqlite3.Connection, uuids: Collection[str], limit: int) -> list[str]:
    """Of these the ones that are here, the newest first."""
    found = db.execute(
        f"SELECT uuid FROM delivery_vcons WHERE uuid IN (SELECT value FROM json_each(?)) AND {HERE} ORDER BY seq DESC LIMIT ?",
        (rows.as_json(sorted(uuids)), limit),
    )
    return [uuid for (uuid,) in found]
