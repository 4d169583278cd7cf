"""The SQL of the outbox. Functions of a connection; those that change something run inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from vcond.delivery.model import Stage, State
from vcond.sdk.sink import MAX_RETRY_AFTER

HORIZON: Final = round((MAX_RETRY_AFTER + 60) * 1_000_000_000)
"""No wait is longer. A moment further away was written before the clock was set back: it is now."""
ANY_SIZE: Final = 2**62
"""Bytes that no vCon has."""
TABLES: Final = ("delivery_confirmations", "delivery_states", "delivery_vcons")
"""Those that have rows of a vCon."""
CALL: Final = "coalesce(json_extract(facts, '$.call'), uuid)"
"""The call of a row of ``delivery_vcons``: a vCon that is not a call's original says it in its facts."""
REMOVED: Final = "sink-removed"
MISSING: Final = "file-missing"
DISCARDED: Final = "discarded"
"""The operator gave it up: it counts as done, and is not put back with the others."""
UNMATCHED: Final = "unmatched"
"""As the answer of one that counts as given up: the sink's ``match`` did not take the call. Earlier versions see what was
given up, and leave it alone: nothing that they do by themselves sends it (decision 0043).
"""
UNKNOWN: Final = "match-unknown"
"""Of a dead letter: the row that said whether the sink's ``match`` takes the call is lost."""
IS_UNMATCHED: Final = f"(reason = '{DISCARDED}' AND answer = '{UNMATCHED}')"


Order = Literal["newest", "oldest", "any"]
ORDERS: Final[tuple[Order, ...]] = ("any", "oldest", "newest")
_BY: Final[dict[Order, str]] = {
    "oldest": "seq",
    "newest": "seq DESC",
    "any": "seq * 2654435761 % 4294967296",  # Knuth's multiplicative hash: neighbours lie far apart
}


@dataclass(frozen=True)
class Probe:
    """Which vCon a sink in trouble is tried with: of those that were tried least the first in this order."""

    order: Order = "oldest"
    known: frozenset[int] = frozenset()
    """Places of those that would tell nothing about the sink."""
    only: bool = False
    """None, if there is no other one."""


@dataclass(frozen=True)
class Vcon:
    """A row of ``delivery_vcons``."""

    seq: int
    uuid: str
    sha512: str
    stage: Stage


@dataclass(frozen=True)
class Job:
    """A vCon to be delivered at some sink. ``attempts`` counts the tries before this one."""

    seq: int
    uuid: str
    sha512: str
    attempts: int
    size: int
    """Bytes, as published."""
    published_at: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a try ended."""

    state: State
    at: int
    next_at: int = 0
    status: int = 0
    reason: str = ""
    answer: str = ""
    target: str = ""
    sent: str = ""
    """Of what was delivered: form and SHA-512 of the bytes that the receiver got."""


def as_json(names: Sequence[str]) -> str:
    """For ``json_each``."""
    return msgspec.json.encode(list(names)).decode()


def find(db: sqlite3.Connection, uuid: str) -> Vcon | None:
    """By uuid."""
    row = db.execute("SELECT seq, uuid, sha512, stage FROM delivery_vcons WHERE uuid = ?", (uuid,)).fetchone()
    return Vcon(*row) if row else None


def newest(db: sqlite3.Connection) -> int:
    """When the last vCon was published, nanoseconds since the epoch; 0 = there is none."""
    row = db.execute("SELECT published_at FROM delivery_vcons ORDER BY seq DESC LIMIT 1").fetchone()
    return int(row[0]) if row else 0


def live(db: sqlite3.Connection) -> dict[str, Vcon]:
    """All that are not gone, by uuid: what must agree with the files."""
    rows = db.execute(
        "SELECT seq, uuid, sha512, stage FROM delivery_vcons WHERE stage IN ('open', 'done', 'kept', 'lost')"
    )
    return {row[1]: Vcon(*row) for row in rows}


def insert(
    db: sqlite3.Connection, uuid: str, sha512: str, size: int, at: int, facts: Mapping[str, str], stage: Stage = "open"
) -> int:
    """A new vCon, without any delivery yet; its place in the order."""
    text = msgspec.json.encode(dict(facts)).decode()
    cursor = db.execute(
        "INSERT INTO delivery_vcons (uuid, sha512, bytes, published_at, stage, facts) VALUES (?, ?, ?, ?, ?, ?)",
        (uuid, sha512, size, at, stage, text),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def add_states(db: sqlite3.Connection, sinks: Sequence[str], unmatched: Collection[str] = ()) -> int:
    """Give every open vCon a delivery at each of these sinks, none to those that are ``unmatched``; how many were missing."""
    added = 0
    for sink in sinks:
        count = db.execute(
            "INSERT OR IGNORE INTO delivery_states (sink, seq, state, reason, answer) "
            "SELECT ?, seq, ?, ?, ? FROM delivery_vcons WHERE stage = 'open'",
            (sink, *_begins(sink in unmatched)),
        ).rowcount
        added += 0 if sink in unmatched else count
    return added


def add_states_of(db: sqlite3.Connection, seq: int, sinks: Sequence[str], unmatched: Collection[str] = ()) -> None:
    """Give one vCon its deliveries, none to the sinks that are ``unmatched``."""
    db.executemany(
        "INSERT OR IGNORE INTO delivery_states (sink, seq, state, reason, answer) VALUES (?, ?, ?, ?, ?)",
        [(sink, seq, *_begins(sink in unmatched)) for sink in sinks],
    )


def _begins(unmatched: bool) -> tuple[State, str, str]:
    """State, reason and answer of a delivery that is new."""
    return ("dead", DISCARDED, UNMATCHED) if unmatched else ("pending", "", "")


def add_unknown(db: sqlite3.Connection, seq: int, matched: Collection[str]) -> None:
    """Of a vCon whose rows are lost: nobody knows whether it is for these sinks, and the operator says."""
    db.executemany(
        "INSERT OR IGNORE INTO delivery_states (sink, seq, state, reason) VALUES (?, ?, 'dead', ?)",
        [(sink, seq, UNKNOWN) for sink in matched],
    )


def unmatched_of(db: sqlite3.Connection, uuid: str) -> dict[str, bool]:
    """By sink, whether its ``match`` left a vCon out; empty when nothing is known of it."""
    found = db.execute(
        f"SELECT sink, {IS_UNMATCHED} FROM delivery_states JOIN delivery_vcons USING (seq) WHERE uuid = ?",  # noqa: S608 - no input in it
        (uuid,),
    )
    return {sink: bool(out) for sink, out in found}


def left_out(db: sqlite3.Connection, call: str, sinks: Sequence[str], unmatched: Collection[str]) -> set[str]:
    """The sinks that a new vCon is not for. What follows the original of its ``call`` goes where that went."""
    before = unmatched_of(db, call)
    return {sink for sink in sinks if before.get(sink, sink in unmatched)}


def learn(
    db: sqlite3.Connection,
    known: Vcon,
    facts: Mapping[str, str],
    sinks: Sequence[str],
    unmatched: Collection[str],
    closes: int | None,
) -> None:
    """A vCon whose row was made again from its file comes once more: now it is known what it is, and whom it is for.

    ``closes``: the moment at which one that is for nobody is done; None = it stays open.
    """
    text = msgspec.json.encode(dict(facts)).decode()
    if db.execute("UPDATE delivery_vcons SET facts = ? WHERE seq = ? AND facts = '{}'", (text, known.seq)).rowcount:
        db.executemany(
            "UPDATE delivery_states SET state = ?, reason = ?, answer = ? WHERE seq = ? AND sink = ? AND state = 'dead' AND reason = ?",
            [(*_begins(sink in unmatched), known.seq, sink, UNKNOWN) for sink in sinks],
        )
        if closes is not None and known.stage == "open":
            complete(db, known.seq, sinks, closes)


def match_anyway(db: sqlite3.Connection, seq: int, sink: str) -> None:
    """The operator sends a vCon to a sink whose ``match`` left it out."""
    db.execute(
        f"UPDATE delivery_states SET reason = '', answer = '' WHERE seq = ? AND sink = ? AND {IS_UNMATCHED}",  # noqa: S608 - no input in it
        (seq, sink),
    )


def set_stage(db: sqlite3.Connection, seq: int, stage: Stage, at: int | None = None) -> None:
    """Move a vCon on; with ``at`` also the moment when every sink had it."""
    if at is None:
        db.execute("UPDATE delivery_vcons SET stage = ? WHERE seq = ?", (stage, seq))
    else:
        db.execute("UPDATE delivery_vcons SET stage = ?, closed_at = ? WHERE seq = ?", (stage, at, seq))


def set_gone(db: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Their files are removed."""
    db.executemany("UPDATE delivery_vcons SET stage = 'gone' WHERE seq = ?", [(seq,) for seq in seqs])


def prune(db: sqlite3.Connection, closed_before: int, limit: int) -> None:
    """Of the oldest that are gone forget those closed before a moment: no more is looked at than may be forgotten.

    Their uuids may then be published anew.
    """
    gone = db.execute(
        "SELECT seq FROM (SELECT seq, closed_at FROM delivery_vcons WHERE stage = 'gone' ORDER BY seq LIMIT ?) "
        "WHERE closed_at < ?",
        (limit, closed_before),
    ).fetchall()
    for table in TABLES:
        db.executemany(f"DELETE FROM {table} WHERE seq = ?", gone)  # noqa: S608 - no input in it


def lose(db: sqlite3.Connection, seq: int, at: int) -> None:
    """Its file vanished: no sink that lacks it will get it."""
    set_stage(db, seq, "lost")
    db.execute(
        "UPDATE delivery_states SET state = 'dead', reason = ?, last_at = ? WHERE seq = ? AND state = 'pending'",
        (MISSING, at, seq),
    )


def find_again(db: sqlite3.Connection, seq: int, sinks: Sequence[str], matched: Collection[str] = ()) -> None:
    """A lost one has its file again."""
    set_stage(db, seq, "open")
    db.execute(
        "UPDATE delivery_states SET state = 'pending', reason = '', next_at = 0 WHERE seq = ? AND reason = ?",
        (seq, MISSING),
    )
    add_states_of(db, seq, sinks, matched)


def clamp_waits(db: sqlite3.Connection, latest: int) -> None:
    """After a start no delivery waits longer than until ``latest``, whatever the clock was before."""
    db.execute("UPDATE delivery_states SET next_at = ? WHERE state = 'pending' AND next_at > ?", (latest, latest))


def due(db: sqlite3.Connection, sink: str, now: int, limit: int, below: int = ANY_SIZE) -> list[Job]:
    """What can be sent now, oldest first; only what has fewer bytes than ``below``."""
    rows = db.execute(
        "SELECT seq, uuid, sha512, attempts, bytes, published_at FROM delivery_states INDEXED BY delivery_states_pending "
        "JOIN delivery_vcons USING (seq) WHERE sink = ? AND state = 'pending' AND (next_at <= ? OR next_at > ?) "
        "AND bytes < ? ORDER BY seq LIMIT ?",
        (sink, now, now + HORIZON, below, limit),
    )
    return [Job(*row) for row in rows]


def least_tried(db: sqlite3.Connection, sink: str, limit: int, probe: Probe, below: int = ANY_SIZE) -> list[Job]:
    """What to try a sink in trouble with: so that one vCon that it cannot take is not all it is tried with."""
    rows = db.execute(
        "SELECT seq, uuid, sha512, attempts, bytes, published_at FROM delivery_states INDEXED BY delivery_states_pending "  # noqa: S608 - no input in it
        "JOIN delivery_vcons USING (seq) WHERE sink = ? AND state = 'pending' AND bytes < ? "
        f"AND seq NOT IN (SELECT value FROM json_each(?)) ORDER BY attempts, {_BY[probe.order]} LIMIT ?",
        (sink, below, str(sorted(probe.known)), limit),
    )
    found = [Job(*row) for row in rows]
    if found or probe.only or not probe.known:
        return found
    return least_tried(db, sink, limit, Probe(probe.order), below)


def next_due(db: sqlite3.Connection, sink: str, now: int) -> int | None:
    """The first moment after ``now`` when something will be due, or None."""
    row = db.execute(
        "SELECT min(next_at) FROM delivery_states INDEXED BY delivery_states_pending "
        "WHERE sink = ? AND state = 'pending' AND next_at > ?",
        (sink, now),
    ).fetchone()
    moment: int | None = row[0]
    return moment


def take_up(db: sqlite3.Connection, sinks: Sequence[str]) -> int:
    """Dead letters of earlier versions that judged the way, not the vCon, are pending again, once; how many.

    Today such answers hold the sink. Of 400, 413 and 422 those stay that were the receiver's own.
    """
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'delivery_taken_up'").fetchone():
        return 0
    db.execute("CREATE TABLE delivery_taken_up (once INTEGER)")  # a table that earlier versions do not mind
    return sum(
        db.execute(
            "UPDATE delivery_states SET state = 'pending', attempts = 0, next_at = 0 WHERE sink = ? AND state = 'dead' "
            "AND (reason LIKE 'unexpected:%' OR reason LIKE 'refused:%' AND (reason NOT IN ('refused:400', 'refused:413', "
            "'refused:422') OR answer NOT LIKE '%\"detail\"%')) "
            "AND seq IN (SELECT seq FROM delivery_vcons WHERE stage = 'open')",
            (sink,),
        ).rowcount
        for sink in sinks
    )


def record(db: sqlite3.Connection, sink: str, seq: int, outcome: Outcome) -> None:
    """How a try ended. What was delivered stays delivered; who had it once stays written."""
    db.execute(
        "UPDATE delivery_states SET state = ?, attempts = attempts + 1, next_at = ?, last_at = ?, status = ?, "
        "reason = ?, answer = sealed((SELECT uuid FROM delivery_vcons v WHERE v.seq = delivery_states.seq), 'answer', ?), target = coalesce(nullif(?, ''), target), sent = coalesce(nullif(?, ''), sent) WHERE sink = ? AND seq = ? AND state != 'delivered'",
        (
            outcome.state,
            outcome.next_at,
            outcome.at,
            outcome.status,
            outcome.reason,
            outcome.answer,
            outcome.target,
            outcome.sent,
            sink,
            seq,
        ),
    )


def complete(db: sqlite3.Connection, seq: int, sinks: Sequence[str], now: int) -> bool:
    """Close a vCon when every configured sink has it, or was given up; whether that is so.

    Deliveries at sinks that were removed from the configuration do not hold it back: they become dead.
    """
    rows = db.execute(
        "SELECT sink FROM delivery_states WHERE seq = ? AND (state = 'delivered' OR state = 'dead' AND reason = ?)",
        (seq, DISCARDED),
    )
    if not {row[0] for row in rows}.issuperset(sinks):
        return False
    set_stage(db, seq, "done", now)
    db.execute(
        "UPDATE delivery_states SET state = 'dead', reason = ? WHERE seq = ? AND state = 'pending'", (REMOVED, seq)
    )
    return True


def partly_delivered(db: sqlite3.Connection) -> list[int]:
    """Open vCons that some sink has."""
    rows = db.execute(
        "SELECT DISTINCT seq FROM delivery_vcons JOIN delivery_states USING (seq) "
        "WHERE stage = 'open' AND state = 'delivered'"
    )
    return [row[0] for row in rows]


def in_stage(db: sqlite3.Connection, stage: Stage, limit: int) -> list[Vcon]:
    """Oldest first."""
    rows = db.execute(
        "SELECT seq, uuid, sha512, stage FROM delivery_vcons WHERE stage = ? ORDER BY seq LIMIT ?", (stage, limit)
    )
    return [Vcon(*row) for row in rows]


def kept_before(db: sqlite3.Connection, closed_before: int, limit: int, held: Sequence[str] = ()) -> list[Vcon]:
    """Of those whose files are kept the ones that every sink had before a moment, and longest; none of calls that are held."""
    rows = db.execute(
        f"SELECT seq, uuid, sha512, stage FROM delivery_vcons INDEXED BY delivery_vcons_kept "  # noqa: S608 - no input in it
        f"WHERE stage = 'kept' AND closed_at < ? AND {CALL} NOT IN (SELECT value FROM json_each(?)) "
        "ORDER BY closed_at LIMIT ?",
        (closed_before, as_json(held), limit),
    )
    return [Vcon(*row) for row in rows]


def call_of(db: sqlite3.Connection, uuid: str) -> str | None:
    """The call that a vCon is of: of an original the same uuid. None: no vCon of that uuid is known."""
    row = db.execute(f"SELECT {CALL} FROM delivery_vcons WHERE uuid = ?", (uuid,)).fetchone()  # noqa: S608 - no input in it
    return row[0] if row else None


def known(db: sqlite3.Connection, uuids: Sequence[str]) -> set[str]:
    """Of these the vCons that there are."""
    rows = db.execute(
        "SELECT uuid FROM delivery_vcons WHERE uuid IN (SELECT value FROM json_each(?))", (as_json(uuids),)
    )
    return {row[0] for row in rows}


def of_call(db: sqlite3.Connection, call: str) -> list[Vcon]:
    """Every vCon of a call, the oldest first."""
    rows = db.execute(
        f"SELECT seq, uuid, sha512, stage FROM delivery_vcons WHERE uuid = ? OR {CALL} = ? ORDER BY seq",  # noqa: S608 - no input in it
        (call, call),
    )
    return [Vcon(*row) for row in rows]


def put_back(db: sqlite3.Connection, uuid: str | None, sink: str | None) -> int:
    """Dead deliveries of open vCons are pending again; those that wait are due now. How many were dead.

    What the operator gave up is not among them, nor what a ``match`` left out, unless both vCon and sink are named.
    """
    if uuid and sink and (found := find(db, uuid)) and found.stage == "open":
        match_anyway(db, found.seq, sink)
    which = (
        "reason != :discarded AND (:uuid IS NULL OR seq = (SELECT seq FROM delivery_vcons WHERE uuid = :uuid)) "
        "AND (:sink IS NULL OR sink = :sink) "
        "AND seq IN (SELECT seq FROM delivery_vcons WHERE stage = 'open')"
    )
    asked = {"uuid": uuid, "sink": sink, "discarded": DISCARDED}
    db.execute(f"UPDATE delivery_states SET next_at = 0 WHERE state = 'pending' AND {which}", asked)  # noqa: S608 - no input in it
    return db.execute(
        f"UPDATE delivery_states SET state = 'pending', attempts = 0, next_at = 0 WHERE state = 'dead' AND {which}",  # noqa: S608 - no input in it
        asked,
    ).rowcount


def discard(db: sqlite3.Connection, uuid: str, sinks: Sequence[str], now: int) -> list[str]:
    """The dead deliveries of an open vCon are given up, which stays written; of which sinks.

    Those that a ``match`` left out are only given up where the vCon is for no sink at all.
    """
    found = find(db, uuid)
    if found is None or found.stage != "open":
        return []
    states = unmatched_of(db, uuid)
    if states and all(states.values()):
        db.execute("UPDATE delivery_states SET reason = '', answer = '' WHERE seq = ?", (found.seq,))
    dead = db.execute(
        f"SELECT sink FROM delivery_states WHERE seq = ? AND state = 'dead' AND NOT {IS_UNMATCHED}",  # noqa: S608 - no input in it
        (found.seq,),
    ).fetchall()
    db.execute(
        f"UPDATE delivery_states SET reason = ?, last_at = ? WHERE seq = ? AND state = 'dead' AND NOT {IS_UNMATCHED}",  # noqa: S608 - no input in it
        (DISCARDED, now, found.seq),
    )
    if dead:
        complete(db, found.seq, sinks, now)
    return [row[0] for row in dead]


def waiting_elsewhere(db: sqlite3.Connection, sinks: Sequence[str]) -> dict[str, int]:
    """Deliveries that wait at sinks which are not configured (any more), by sink."""
    rows = db.execute("SELECT sink, count(*) FROM delivery_states WHERE state = 'pending' GROUP BY sink")
    return {sink: count for sink, count in rows if sink not in sinks}


def figures(db: sqlite3.Connection) -> list[tuple[str, str, int, int]]:
    """Sink, state, how many, and when the oldest was published; of open vCons, deliveries that are not done."""
    return db.execute(
        "SELECT sink, state, count(*), min(published_at) FROM delivery_vcons JOIN delivery_states USING (seq) "  # noqa: S608 - no input in it
        f"WHERE stage = 'open' AND state != 'delivered' AND NOT {IS_UNMATCHED} GROUP BY sink, state"
    ).fetchall()
