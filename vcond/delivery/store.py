"""What the outbox holds: files with the bytes, rows with the states. Blocks; used from one thread only.

The file is the commit point. Whatever the rows lack is made again from the files at the next start, so that losing
the database costs a second delivery, never a vCon.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import structlog

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.delivery import backlog, erasing, keeping, resend, rows
from vcond.delivery.backlog import Query, SendingNow
from vcond.delivery.database import is_full, open_database, storage_errors, transaction
from vcond.delivery.erasing import Changing
from vcond.delivery.model import ConflictError, Entry, ForgottenError
from vcond.delivery.outbox_files import OutboxFiles, check_body
from vcond.delivery.reconcile import reconcile, say_lost
from vcond.delivery.reserve import Reserve
from vcond.storage.columns import Columns
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

T = TypeVar("T")
Facts = Mapping[str, str]
log = structlog.get_logger()

BATCH: Final = 1000
"""Rows looked at in one go."""


class OutboxStore:
    """Opens everything, and makes files and rows agree. Raises StorageError when it cannot."""

    def __init__(
        self, root: Path, database: Path, sinks: Sequence[str], *, now: int, latest: int,
        files: Files | None = None, held: Callable[[], Sequence[str]] = tuple,
        forgotten: Callable[[str], bool] = lambda _: False, matched: Collection[str] = (),
        columns: Columns | None = None, keeps: bool = False,
    ) -> None:  # fmt: skip
        """``now``, ``latest`` in nanoseconds: nothing waits beyond ``latest``. ``columns``: how texts in rows are encrypted. vCons of calls that are ``held`` stay, ``forgotten`` ones go.

        The sinks ``matched`` are not for every call: of a vCon that was here before them they get nothing by themselves. ``keeps``: see ``keeping``.
        """
        files, self._held, self._forgotten = files or Files(), held, forgotten
        self._sinks, self._matched, self._keeps = tuple(sinks), frozenset(matched), keeps
        self._whole = WholeFiles(files)
        self._files = OutboxFiles(root, self._whole)
        self._reserve = Reserve(database.with_name(f"{database.name}.reserve"), files)
        with storage_errors("open the outbox"):
            self._files.open()
            self._whole.make_folder(database.parent)
        self._db = _open(partial(open_database, database, now, columns), self._reserve)
        try:
            with storage_errors("check the outbox"):
                erasing.erase_forgotten(self._db, self._files, self._change, forgotten, set(held()))
                lost = self._change(lambda: reconcile(self._db, self._files, sinks, matched, now=now, latest=latest))
                if keeps:
                    self._change(lambda: keeping.settle(self._db, sinks, now))
        except BaseException:
            self._db.close()
            raise
        for uuid in lost:
            say_lost(uuid)

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    # What comes in.

    def publish(self, uuid: str, body: bytes, facts: Facts, now: int, unmatched: Collection[str] = ()) -> str:
        """Durable when it returns the SHA-512 in hex; see ``Outbox.publish``."""
        check_body(uuid, body)
        if self._forgotten(uuid) or self._forgotten(facts.get("call", uuid)):
            raise ForgottenError("this vCon was forgotten: it is not taken")
        sha512 = hashlib.sha512(body).hexdigest()
        with storage_errors("store a vCon in the outbox"):
            known = rows.find(self._db, uuid)
            # what a hub makes of a vCon has a match of its own; an amended vCon goes where the original went
            call = facts.get("call", uuid)
            alone = self._keeps or call == uuid
            out = unmatched if alone else rows.left_out(self._db, call, self._sinks, unmatched)
            if known is None:
                return self._take(uuid, body, sha512, facts, now, out)
            if known.sha512 != sha512:
                _conflict(uuid, self._files.set_aside(uuid, sha512, body))
            self._change(partial(rows.learn, self._db, known, facts, self._sinks, out, now if self._keeps else None))
            if self._keeps and known.stage in {"kept", "gone"}:
                self._reserve.ensure()
                keeping.again(self._db, self._files, self._change, known, body)
            elif known.stage in {"done", "kept", "gone"}:
                self._change(lambda: rows.set_stage(self._db, known.seq, "done"))  # the core is told once more
            elif known.stage == "lost" or not self._files.file(uuid).exists():
                self._reserve.ensure()
                self._files.publish(uuid, body)
                self._change(lambda: rows.find_again(self._db, known.seq, self._sinks, self._matched))
            return sha512

    # What goes out.

    def due(
        self, sink: str, now: int, limit: int, *, probe: rows.Probe | None, below: int = rows.ANY_SIZE
    ) -> tuple[list[rows.Job], int | None]:
        """Up to ``limit`` vCons of fewer bytes than ``below`` to deliver now, and when more may be due."""
        with storage_errors("read the outbox"):
            if probe is not None:
                found = rows.least_tried(self._db, sink, limit, probe, below)
            else:
                found = rows.due(self._db, sink, now, limit, below)
            return found, rows.next_due(self._db, sink, now)

    def read(self, uuid: str) -> tuple[bytes, str]:
        """The bytes in the file, and their SHA-512 in hex. Raises OSError. May be called from any thread."""
        body = self._files.read(self._files.file(uuid))
        return body, hashlib.sha512(body).hexdigest()

    def record(self, sink: str, seq: int, outcome: rows.Outcome) -> bool:
        """Keep how a try ended; whether every sink has the vCon now."""

        def change() -> bool:
            rows.record(self._db, sink, seq, outcome)
            return outcome.state == "delivered" and rows.complete(self._db, seq, self._sinks, outcome.at)

        with storage_errors("record a delivery"):
            return self._change(change)

    def lose(self, seq: int, uuid: str, now: int) -> None:
        """The file of an open vCon vanished while we run."""
        with storage_errors("record a loss"):
            if rows.find(self._db, uuid) is None:
                return  # it was forgotten
            self._change(lambda: rows.lose(self._db, seq, now))
        say_lost(uuid)

    def done(self) -> list[rows.Vcon]:
        """What every sink has, and the core was not told yet."""
        with storage_errors("read the outbox"):
            return rows.in_stage(self._db, "done", BATCH)

    def put_away(self, vcon: rows.Vcon, *, keep: bool) -> None:
        """The core knows: keep or remove the file. That of a call on hold is kept."""
        with storage_errors("remove a delivered vCon"):
            keep = keep or rows.call_of(self._db, vcon.uuid) in self._held()
            if keep:
                self._whole.move(self._files.file(vcon.uuid), self._files.kept)
            else:
                self._whole.remove(self._files.file(vcon.uuid))
                self._whole.remove(self._files.kept_file(vcon.uuid))
            self._change(lambda: rows.set_stage(self._db, vcon.seq, "kept" if keep else "gone"))

    def expire(self, closed_before: int, limit: int = BATCH) -> int:
        """Remove kept files of vCons that were closed before a moment, the oldest first; how many."""
        with storage_errors("remove old vCons"):
            old = rows.kept_before(self._db, closed_before, limit, self._held())
            for vcon in old:
                self._whole.remove(self._files.kept_file(vcon.uuid))
            self._change(lambda: rows.set_gone(self._db, [vcon.seq for vcon in old]))
            return len(old)

    # For the operator.

    def resend(self, again: resend.Again, after: int) -> list[tuple[int, bool]]:
        """Kept vCons are sent once more, ``BATCH`` at most of those after a ``seq``; theirs, in order, and whether some sink gets it."""
        with storage_errors("send vCons again"):
            found = resend.kept(self._db, again, after, BATCH)
            reopen = partial(
                resend.reopen, self._db, self._files, again=again, sinks=self._sinks, matched=self._matched
            )
            return [(vcon.seq, self._change(partial(reopen, vcon))) for vcon in found]

    def work(self, what: str, job: Callable[[sqlite3.Connection, OutboxFiles, Changing], T]) -> T:
        """What concerns rows and files; ``what`` that is, for an error."""
        with storage_errors(what):
            return job(self._db, self._files, self._change)

    def page(self, query: Query, sending: SendingNow) -> list[Entry]:
        """See ``backlog.page``."""
        with storage_errors("read the outbox"):
            return backlog.page(self._db, query, self._sinks, sending)

    def get(self, uuid: str, sending: SendingNow) -> Entry | None:
        """See ``backlog.find``."""
        with storage_errors("read the outbox"):
            return backlog.find(self._db, uuid, self._sinks, sending)

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """What is read from the rows."""
        with storage_errors("read the outbox"):
            return question(self._db)

    def tell(self, what: str, change: Callable[[sqlite3.Connection], T]) -> T:
        """What changes rows alone, in one transaction; ``what`` that is, for an error."""
        with storage_errors(what):
            return self._change(lambda: change(self._db))

    # Inside.

    def _take(self, uuid: str, body: bytes, sha512: str, facts: Facts, now: int, unmatched: Collection[str]) -> str:
        """A new vCon: all of it, or nothing."""
        kept = self._keeps and len(unmatched) == len(self._sinks)
        file = self._files.kept_file(uuid) if kept else self._files.file(uuid)

        def enter() -> None:
            seq = rows.insert(self._db, uuid, sha512, len(body), now, facts)
            rows.add_states_of(self._db, seq, self._sinks, unmatched)
            if kept:
                rows.set_stage(self._db, seq, "kept", now)

        self._reserve.ensure()  # what delivers must keep its room: no room for it, no new vCon
        try:
            self._whole.publish(file, body)
            self._change(enter, spend_reserve=False)
        except (sqlite3.Error, OSError):
            with suppress(OSError):
                self._whole.remove(file)
            raise
        if len(unmatched) == len(self._sinks) and not kept:
            _say_unmatched(uuid)
        return sha512

    def _change(self, change: Callable[[], T], *, spend_reserve: bool = True) -> T:
        """One transaction. What records progress may use the reserve of a full disk."""
        try:
            with transaction(self._db):
                return change()
        except sqlite3.Error as why:
            if not (spend_reserve and is_full(why) and self._reserve.release()):
                raise
        with transaction(self._db):
            return change()


def _open(opened: Callable[[], sqlite3.Connection], reserve: Reserve) -> sqlite3.Connection:
    """SQLite needs a little room even to read."""
    try:
        return opened()
    except StorageError:
        if not reserve.release():
            raise
        return opened()


def _conflict(uuid: str, aside: Path) -> NoReturn:
    metrics.quarantined_total.inc()
    log.error(
        "another vCon with the same uuid is in the outbox or was delivered; set this one aside",
        call=uuid,
        file=str(aside),
        hint="compare it with the vCon that the sinks have; remove it if it adds nothing",
    )
    raise ConflictError("another vCon was already published with this uuid; the new one was set aside")


def _say_unmatched(uuid: str) -> None:
    log.warning(
        "no sink's match takes this vCon: it stays in the outbox, and nobody gets it",
        call=uuid,
        hint="vcond outbox retry UUID --sink NAME sends it, vcond outbox discard UUID gives it up (--unmatched instead of UUID: all such); "
        "a sink without match takes what no other does",
    )
