"""Whether receivers still have what they took: the rows of it. Functions of a connection."""

from __future__ import annotations

import sqlite3
from typing import Literal, TypeAlias

Answer: TypeAlias = Literal["confirmed", "gone"]
"""Of a receiver about a vCon that it had taken. Without one it is ``unknown``."""


def due(db: sqlite3.Connection, sink: str, before: int, since: int, limit: int) -> list[tuple[int, str, int, int]]:
    """``seq``, uuid, when every sink had it, how often it was gone: of kept vCons that a sink took before a moment, and
    was not asked about since. Oldest first, from those on that every sink had at ``since``.
    """
    return db.execute(
        "SELECT seq, uuid, closed_at, coalesce(times, 0) FROM delivery_vcons INDEXED BY delivery_vcons_kept "
        "CROSS JOIN delivery_states USING (seq) LEFT JOIN delivery_confirmations USING (sink, seq) "
        "WHERE stage = 'kept' AND closed_at >= ? AND closed_at < ? AND sink = ? AND delivery_states.state = 'delivered' "
        "AND reason = '' AND last_at < ? AND coalesce(asked_at, 0) <= last_at ORDER BY closed_at LIMIT ?",
        (since, before, sink, before, limit),
    ).fetchall()


def answered(db: sqlite3.Connection, sink: str, seq: int, answer: Answer, at: int) -> None:
    """What a receiver said of a vCon."""
    db.execute(
        "INSERT INTO delivery_confirmations VALUES (?, ?, ?, ?, ?) ON CONFLICT (sink, seq) "
        "DO UPDATE SET answer = excluded.answer, asked_at = excluded.asked_at, times = times + excluded.times",
        (sink, seq, answer, at, answer == "gone"),
    )


def counts(db: sqlite3.Connection, sink: str) -> dict[str, int]:
    """Of the vCons that are kept and that a sink took, how many are ``confirmed``, ``gone`` and ``unknown``."""
    found = db.execute(
        "SELECT coalesce(delivery_confirmations.answer, 'unknown'), count(*) FROM delivery_vcons INDEXED BY delivery_vcons_kept "
        "CROSS JOIN delivery_states USING (seq) LEFT JOIN delivery_confirmations USING (sink, seq) "
        "WHERE stage = 'kept' AND sink = ? AND delivery_states.state = 'delivered' GROUP BY 1",
        (sink,),
    )
    return {"confirmed": 0, "gone": 0, "unknown": 0, **dict(found.fetchall())}
