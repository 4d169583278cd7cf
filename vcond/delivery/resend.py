"""What every sink had is sent once more, because a receiver lost it. Its file must still be kept (``keep_days``)."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from vcond.delivery import rows
from vcond.delivery.outbox_files import OutboxFiles

LAST: Final = 2**62
"""After every moment; the database takes no larger one."""


@dataclass(frozen=True)
class Again:
    """Which vCons, and to whom. Moments in nanoseconds since the epoch, of when a vCon was published."""

    uuid: str | None = None
    sink: str | None = None
    """None = to every sink."""
    since: int = 0
    until: int = LAST
    """Not included."""


def kept(db: sqlite3.Connection, again: Again, after: int, limit: int) -> list[rows.Vcon]:
    """Those of them whose file is kept, in the order of ``seq``, of which only those after ``after``."""
    found = db.execute(
        "SELECT seq, uuid, sha512, stage FROM delivery_vcons WHERE stage = 'kept' AND seq > ? "
        "AND (? IS NULL OR uuid = ?) AND published_at >= ? AND published_at < ? ORDER BY seq LIMIT ?",
        (after, again.uuid, again.uuid, min(max(0, again.since), LAST), max(0, min(again.until, LAST)), limit),
    )
    return [rows.Vcon(*row) for row in found]


def reopen(
    db: sqlite3.Connection,
    files: OutboxFiles,
    vcon: rows.Vcon,
    again: Again,
    sinks: Sequence[str],
    matched: Collection[str],
) -> bool:
    """Inside a transaction: one vCon waits for a sink, or for all ``sinks``, again; whether it does. Raises OSError: nothing changed.

    A sink whose ``match`` left it out does not get it, unless both vCon and sink are named; nor one of those ``matched`` that is new.

    Who had it before stays written until it is there again. A sink that never got it, being new, gets it as well. After a
    crash between the file's move and the commit the next start puts the file back: the operator asks once more.
    """
    sink = again.sink
    rows.add_states_of(db, vcon.seq, sinks, matched)
    if again.uuid is not None and sink is not None:
        rows.match_anyway(db, vcon.seq, sink)
    waits = db.execute(
        "UPDATE delivery_states SET state = 'pending', attempts = 0, next_at = 0 WHERE seq = ? AND (? IS NULL OR sink = ?) "  # noqa: S608 - no input in it
        f"AND sink IN (SELECT value FROM json_each(?)) AND NOT {rows.IS_UNMATCHED}",
        (vcon.seq, sink, sink, rows.as_json(sinks)),
    ).rowcount
    if waits:
        rows.set_stage(db, vcon.seq, "open")
        files.files.move(files.kept_file(vcon.uuid), files.pending)
    return waits > 0
