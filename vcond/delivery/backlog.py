"""The operator's view of the rows: what is where, and who received what.

Rows of years must not be read through to find a few: each question has its own statement, and its index.
"""
# ruff: noqa: S608 - every part of a statement is a constant of this file; values are bound

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec

from vcond.delivery import rows as sql
from vcond.delivery.model import Delivery, Entry, State

SendingNow = Mapping[str, Collection[int]]
"""By sink, the places (``seq``) of what is under way, which only the running workers know."""


@dataclass(frozen=True)
class Query:
    """Which vCons to list: those with a delivery at ``sink`` in ``state``; ``before`` is the end of the last page.

    ``dead`` are the dead letters: of vCons that are still here, not of those that went by without a removed sink.
    """

    sink: str | None = None
    state: State | None = None
    before: str | None = None
    limit: int = 100
    undelivered: bool = False
    """Only vCons that some configured sink lacks."""


_VCONS: Final = "SELECT seq, uuid, sha512, bytes, published_at, closed_at, stage, facts FROM delivery_vcons v WHERE "
_UNDELIVERED: Final = "stage IN ('open', 'lost') AND "
_AT: Final = "(:sink IS NULL OR sink = :sink)"
_OUT: Final = sql.IS_UNMATCHED
_PAGE: Final = (
    " AND (:before IS NULL OR seq < (SELECT seq FROM delivery_vcons WHERE uuid = :before)) "
    "ORDER BY seq DESC LIMIT :limit"
)
_LISTS: Final[Mapping[State | None, str]] = {
    None: f"(:sink IS NULL OR EXISTS (SELECT 1 FROM delivery_states s WHERE s.seq = v.seq AND {_AT}))",
    "delivered": f"EXISTS (SELECT 1 FROM delivery_states s WHERE s.seq = v.seq AND state = 'delivered' AND {_AT})",
    "pending": f"seq IN (SELECT seq FROM delivery_states WHERE state = 'pending' AND {_AT})",
    "dead": f"stage IN ('open', 'lost') AND seq IN (SELECT seq FROM delivery_states WHERE state = 'dead' AND NOT {_OUT} AND {_AT})",
    "unmatched": f"seq IN (SELECT seq FROM delivery_states WHERE state = 'dead' AND {_OUT} AND {_AT})",
}


def find(db: sqlite3.Connection, uuid: str, sinks: Sequence[str], sending: SendingNow) -> Entry | None:
    """One vCon."""
    row = db.execute(f"{_VCONS} uuid = ?", (uuid,)).fetchone()
    return _entry(db, row, sinks, sending) if row else None


def page(db: sqlite3.Connection, query: Query, sinks: Sequence[str], sending: SendingNow) -> list[Entry]:
    """Newest first."""
    state: State | None = "pending" if query.state == "sending" else query.state
    only = _UNDELIVERED if query.undelivered else ""
    found = db.execute(_VCONS + only + _LISTS[state] + _PAGE, asdict(query)).fetchall()
    entries = [_entry(db, row, sinks, sending) for row in found]
    if query.state != "sending":
        return entries
    return [entry for entry in entries if any(each.state == "sending" for each in entry.sinks)]


def _entry(db: sqlite3.Connection, row: tuple[Any, ...], sinks: Sequence[str], sending: SendingNow) -> Entry:
    return Entry(
        uuid=row[1],
        sha512=row[2],
        bytes=row[3],
        published_at=row[4],
        closed_at=row[5],
        stage=row[6],
        facts=msgspec.json.decode(row[7], type=dict[str, str]),
        sinks=_deliveries(db, row[0], sinks, sending),
    )


def _deliveries(db: sqlite3.Connection, seq: int, sinks: Sequence[str], sending: SendingNow) -> tuple[Delivery, ...]:
    rows = db.execute(
        "SELECT sink, state, attempts, next_at, last_at, status, reason, opened(uuid, 'answer', s.answer), target, coalesce(c.answer, 'unknown') "
        "FROM delivery_states s JOIN delivery_vcons USING (seq) LEFT JOIN delivery_confirmations c USING (sink, seq) WHERE seq = ? ORDER BY sink",
        (seq,),
    )
    return tuple(
        Delivery(
            sink=row[0],
            state=_state(row[1], row[6], row[7], under_way=seq in sending.get(row[0], ())),
            attempts=row[2],
            next_at=row[3],
            last_at=row[4],
            status=row[5],
            reason="" if row[7] == sql.UNMATCHED else row[6],
            answer="" if row[7] == sql.UNMATCHED else row[7],
            target=row[8],
            confirmed=row[9],
            configured=row[0] in sinks,
        )
        for row in rows
    )


def _state(state: State, reason: str, answer: str, *, under_way: bool) -> State:
    if state == "dead" and (reason, answer) == (sql.DISCARDED, sql.UNMATCHED):
        return "unmatched"
    return "sending" if state == "pending" and under_way else state
