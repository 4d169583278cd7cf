"""After a start: what the files say and what the rows say become one. The files win; runs inside a transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Sequence

import structlog

from vcond.base import metrics
from vcond.delivery import rows
from vcond.delivery.outbox_files import OutboxFiles, check_body

log = structlog.get_logger()


def reconcile(
    db: sqlite3.Connection,
    files: OutboxFiles,
    sinks: Sequence[str],
    matched: Collection[str] = (),
    *,
    now: int,
    latest: int,
) -> list[str]:
    """Files without rows are entered again, rows without files are lost; returns the uuids just lost.

    Sinks that are new get a delivery of every open vCon, but not those that are ``matched``, as nobody knows any more whether
    it is for them; where that stood in rows that are lost, the operator says. Waits end at ``latest`` at most.
    """
    known = rows.live(db)
    there, strange = files.names(files.pending)
    for name in strange:
        _move_aside(files, name, "not the file name of a vCon")
    kept = files.names(files.kept)[0]
    lost = [vcon for uuid, vcon in known.items() if uuid not in there and _without_file(db, files, kept, vcon)]
    for vcon in lost:
        rows.lose(db, vcon.seq, now)
    for uuid in there & known.keys():
        _with_file(db, known[uuid], sinks, matched)
    _enter(db, files, there - known.keys(), matched)
    _enter_kept(db, files, kept - known.keys(), now)
    added = rows.add_states(db, sinks, matched)
    if added:
        log.info("vCons queued for newly added sinks", deliveries=added)
    again = rows.take_up(db, sinks)
    if again:
        log.warning(
            "dead letters of an earlier version are retried: a proxy had refused them, not the receiver",
            deliveries=again,
        )
    for sink, count in rows.waiting_elsewhere(db, sinks).items():
        log.warning(
            "queued for a removed sink; will be dropped there once all other sinks have them",
            sink=sink,
            deliveries=count,
        )
    rows.clamp_waits(db, latest)
    for seq in rows.partly_delivered(db):
        rows.complete(db, seq, sinks, now)
    return [vcon.uuid for vcon in lost]


def say_lost(uuid: str) -> None:
    """The one case in which a vCon is gone: somebody or something removed its file."""
    metrics.dropped_total.labels("vcon", rows.MISSING).inc()
    log.error(
        "vCon lost: its file disappeared from the outbox before every sink had it",
        call=uuid,
        hint="restore the file from a copy and restart, or run: vcond recover (its journal may still exist)",
    )


def _without_file(db: sqlite3.Connection, files: OutboxFiles, kept: set[str], vcon: rows.Vcon) -> bool:
    """A row whose file is not in ``pending/``: whether that is a loss. ``kept``: whose file is there."""
    if vcon.stage == "open" and vcon.uuid in kept:  # rows from an older copy of the database
        files.files.move(files.kept_file(vcon.uuid), files.pending)
        return False
    if vcon.stage == "kept" and vcon.uuid not in kept:
        rows.set_stage(db, vcon.seq, "gone")
    return vcon.stage == "open"


def _with_file(db: sqlite3.Connection, vcon: rows.Vcon, sinks: Sequence[str], matched: Collection[str]) -> None:
    if vcon.stage == "lost":
        rows.find_again(db, vcon.seq, sinks, matched)
        log.info("missing vCon file found again", call=vcon.uuid)
    elif vcon.stage == "kept":
        rows.set_stage(db, vcon.seq, "done")


def _enter(db: sqlite3.Connection, files: OutboxFiles, uuids: set[str], matched: Collection[str]) -> None:
    """Files that no row knows, oldest first."""
    entered = 0
    aged = sorted((files.file(uuid).stat().st_mtime_ns, uuid) for uuid in uuids)
    for at, uuid in aged:
        gone = rows.find(db, uuid)
        if gone is not None:
            rows.set_stage(db, gone.seq, "done")
            continue
        try:
            body = files.read(files.file(uuid))
            check_body(uuid, body)
        except ValueError as why:
            _move_aside(files, files.file(uuid).name, str(why))
            continue
        except OSError as why:
            _cannot_read(uuid, why)
            continue
        rows.add_unknown(db, rows.insert(db, uuid, hashlib.sha512(body).hexdigest(), len(body), at, {}), matched)
        entered += 1
    if entered and matched:
        log.warning(
            "the rows of these vCons are lost; for sinks that have a match they are dead letters now",
            vcons=entered, sinks=list(matched), hint="vcond outbox dead lists them; vcond outbox retry sends them, discard gives them up",
        )  # fmt: skip
    if aged:
        log.warning("unrecorded vCons found in the outbox; sending them", vcons=len(aged))


def _enter_kept(db: sqlite3.Connection, files: OutboxFiles, uuids: set[str], now: int) -> None:
    """Kept files that no row knows, so that they go when their time has come."""
    for uuid in sorted(uuids):
        if rows.find(db, uuid) is None:
            try:
                body = files.read(files.kept_file(uuid))
            except OSError as why:
                _cannot_read(uuid, why)
                continue
            seq = rows.insert(db, uuid, hashlib.sha512(body).hexdigest(), len(body), now, {}, "kept")
            rows.set_stage(db, seq, "kept", now)


def _cannot_read(uuid: str, why: OSError) -> None:
    """One bad sector, or a data key that is gone, must not keep the daemon from starting."""
    log.error("cannot read a vCon in the outbox; the next start tries again", call=uuid, error=why.strerror)


def _move_aside(files: OutboxFiles, name: str, why: str) -> None:
    metrics.quarantined_total.inc()
    path = files.move_aside(name)
    log.error("unusable file in the outbox moved aside", file=str(path), error=why)
