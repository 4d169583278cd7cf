"""The ledger and the subject index of a running daemon, in a thread of their own: capture and delivery never wait for them.

What the outbox records is in its queue in the same transaction (``vcond.delivery.facts``); here it is read, written into the chain and only
then dropped. A crash between the two tells it again, and its id keeps it from being written twice.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import structlog

from vcond.base.errors import OperatorError, StorageError
from vcond.base.time import SECOND
from vcond.delivery import facts
from vcond.delivery.database import is_damage
from vcond.records import heads
from vcond.records.chain import End
from vcond.records.config import RecordsConfig
from vcond.records.database import NAME, open_records
from vcond.records.following import Follower, Telling
from vcond.records.identifiers import normalized, of_party
from vcond.records.ledger import Ledger, Made
from vcond.records.subjects import SubjectIndex
from vcond.storage.files import Files
from vcond.vcon import Document

T = TypeVar("T")
log = structlog.get_logger()

LOOK: Final = 2.0
"""Seconds between two looks at the outbox's queue."""
HEAD_EVERY: Final = 3600 * SECOND
BATCH: Final = 500
"""Rows written with one sync."""


class Records(Follower):
    """Opens its database when it is first asked for it, as often as it takes."""

    CANNOT = "cannot write the ledger; it is tried again, and nothing is lost meanwhile"
    MISTAKE = "internal error in the ledger; it is tried again, please report it"

    def __init__(
        self,
        state_dir: Path,
        config: RecordsConfig,
        *,
        key: Callable[[], bytes],
        domain: str,
        forms: Mapping[str, str],
        now: Callable[[], int],
        sign: heads.Sign | None = None,
    ) -> None:
        """``key``: see ``index_key``; ``domain``: that of extensions; ``forms``: by sink how it is sent vCons; ``sign``: of heads."""
        super().__init__()
        self._path = state_dir / NAME
        self._config, self._key, self._domain = config, key, domain
        self._forms, self._now, self._sign = dict(forms), now, sign
        self._heads = heads.Heads(Path(config.heads) if config.heads else state_dir / heads.NAME)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._db: sqlite3.Connection | None = None
        self._index: SubjectIndex
        self._ledger: Ledger
        self._headed, self._headed_at = 0, 0

    async def note(self, vcon: str, call: str, document: Document, made: Made) -> None:
        """A vCon is about to be published: who is in it is in the index when this returns. Raises StorageError."""
        people = self.people(document)
        text = msgspec.json.encode(made).decode()
        await self._call(lambda: self._index.note(vcon, call, people, self._now(), text))

    def people(self, document: Document) -> list[list[str]]:
        """By party of a vCon, all that identifies it, as ``person`` spells it."""
        region, domain = self._config.region, self._domain
        return [list(of_party(p, region=region, domain=domain)) for p in document.get("parties", [])]

    def person(self, identifier: str) -> str:
        """An identifier in its one spelling. Raises ValueError for what is none."""
        return normalized(identifier, region=self._config.region, domain=self._domain)

    async def tell(self, event: str, *, fact: str = "", **fields: Any) -> None:
        """As ``Ledger.tell``, of now: it is on the disk when this returns. Raises StorageError."""
        at = self._now()
        await self._call(lambda: self._ledger.tell(event, at, fact=fact, **fields))

    async def ask(self, question: Callable[[Ledger, SubjectIndex], T]) -> T:
        """Run in the thread that owns the database. Raises StorageError, and what the question raises."""
        return await self._call(lambda: question(self._ledger, self._index))

    async def run(self, outbox: Telling) -> None:
        """Follow the outbox until cancelled."""
        await self._keep(outbox, lambda: self.follow(outbox), LOOK)

    async def follow(self, outbox: Telling) -> None:
        """Write what the outbox's queue has; a head when it is time. Raises StorageError."""
        while found := await outbox.tell("read what the ledger is told", lambda db: facts.waiting(db, BATCH)):
            await self._call(lambda: self._ledger.follow(found, self._forms))
            last = found[-1].n
            await outbox.tell("drop what the ledger has", lambda db: facts.drop(db, last))  # noqa: B023 - it has run when the loop goes on
        await self._call(self._head)

    async def close(self) -> None:
        """A last head, and let go of the database."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    # In the thread.

    async def _call(self, job: Callable[[], T]) -> T:
        def run() -> T:
            self._open()
            try:
                return job()
            except StorageError as why:
                if _is_damage(why) and self._db is not None:  # seen later than when it was opened
                    self._db.close()
                    self._db = None
                    self._set_aside()
                raise

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def _open(self) -> None:
        if self._db is not None:
            return
        key = self._key()
        try:
            db = open_records(self._path)
        except StorageError as why:
            if not _is_damage(why):
                raise
            self._set_aside()
            db = open_records(self._path)
        self._db, self._index = db, SubjectIndex(db, key, region=self._config.region, domain=self._domain)
        self._ledger = Ledger(db, self._index)
        self._compare()

    def _compare(self) -> None:
        """With the last head: rows that are gone are told of at once."""
        try:
            found, _ = self._heads.read()
        except OSError as why:
            log.warning("heads of the ledger cannot be read", file=str(self._heads.path), error=why.strerror)
            return
        if not found:
            return
        head, there = found[-1], self._ledger.hash_of(found[-1].rows)
        if there is None or there.hex() != head.hash:
            log.error(
                "the ledger does not match its last head: rows were removed or changed",
                rows=head.rows, written=head.at, hint="vcond ledger verify says more; restore records.db from a backup if there is one",
            )  # fmt: skip
        else:
            self._headed = head.rows

    def _head(self) -> None:
        end, now = self._ledger.end(), self._now()
        if end.rows != self._headed and not 0 <= now - self._headed_at < HEAD_EVERY:
            self._write_head(end, now)

    def _write_head(self, end: End, now: int) -> None:
        name, sign = self._ledger.id, self._sign
        try:
            line = heads.made(name, end, now, sign)
        except OperatorError as why:
            log.warning("the ledger's head is written without a signature", error=str(why), hint="correct [seal]")
            line = heads.made(name, end, now)
        try:
            self._heads.write(line)
        except OSError as why:
            raise StorageError(f"cannot write {self._heads.path}: {why.strerror}") from why
        self._headed, self._headed_at = end.rows, now
        log.info("ledger head", rows=end.rows, hash=end.hash.hex())

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is None:
            return
        try:
            end = self._ledger.end()
            if end.rows != self._headed:
                self._write_head(end, self._now())
        except StorageError as why:
            log.warning("the ledger's head was not written at the stop; the next start writes it", error=str(why))
        finally:
            db.close()

    def _set_aside(self) -> None:
        broken = f"{self._path.name}.broken-{self._now()}"
        for ending in ("-wal", "-shm", ""):  # the file itself last: a WAL must never meet a new file
            part = self._path.with_name(self._path.name + ending)
            if part.exists():
                Files().rename(str(part), str(part.with_name(broken + ending)))
        log.error(
            "the ledger's database is damaged; it was moved aside and a new one begun, which knows nothing of earlier vCons",
            file=str(self._path.with_name(broken)), hint="restore records.db from a backup, or read it with: sqlite3 FILE .recover",
        )  # fmt: skip


def _is_damage(why: StorageError) -> bool:
    return isinstance(why.__cause__, sqlite3.Error) and is_damage(why.__cause__)
