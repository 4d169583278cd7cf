"""The outbox: takes finished vCons durably, and brings each to every sink.

See docs/delivery.md for what is promised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from sqlite3 import Connection
from typing import Final, Self, TypeVar

from vcond.base import metrics
from vcond.base.errors import ConfigError, StorageError
from vcond.base.tasks import kept
from vcond.delivery import confirmations, nobodys, rows
from vcond.delivery.backlog import Query, SendingNow
from vcond.delivery.circuit_breaker import SECOND, CircuitBreaker
from vcond.delivery.config import OutboxConfig
from vcond.delivery.confirmer import Confirmer
from vcond.delivery.eraser import Eraser
from vcond.delivery.maintenance import Maintenance
from vcond.delivery.model import Clock, Entry, SinkState, State
from vcond.delivery.resend import Again
from vcond.delivery.sink_worker import Shared, SinkWorker
from vcond.delivery.store import OutboxStore
from vcond.delivery.store_thread import StoreThread
from vcond.sdk.sink import Confirming, Sink
from vcond.storage.columns import Columns
from vcond.storage.files import Files

T = TypeVar("T")

MAX_FACTS: Final = 32
MAX_FACT: Final = 256


Part = Maintenance | SinkWorker | Confirmer


class Outbox:
    """Open it, publish into it, run it, close it; or use it as an async context manager around ``run``."""

    def __init__(
        self, root: Path, sinks: Sequence[Sink], *, database: Path, clock: Clock, rng: Random,
        config: OutboxConfig | None = None, on_delivered: Callable[[str], Awaitable[None] | None] | None = None,
        disk_low: Callable[[], bool] = lambda: False, files: Files | None = None, held: Callable[[], Sequence[str]] = tuple,
        forgotten: Callable[[str], bool] = lambda _: False, matched: Collection[str] = (),
        columns: Columns | None = None, keeps: bool = False,
    ) -> None:  # fmt: skip
        """``on_delivered`` is called with each uuid that every sink has, at least once, also for those of earlier runs.

        While ``disk_low``, or while nothing new can be stored, what every sink has is not kept: it goes, the oldest first,
        but what is of calls that are ``held``. What was ``forgotten`` is not taken, and goes if an old backup brings it back.
        ``matched``: the sinks that are not for every call. ``columns``: how the database has receivers' answers.
        ``keeps``: it may have no sink, and what every sink has goes after ``keep_days`` alone (``vcond.delivery.keeping``).
        Raises ConfigError without sinks, or with two of one name.
        """
        names = [sink.name for sink in sinks]
        if not (names or keeps) or len(set(names)) < len(names):
            why = "two sinks have the same name" if names else "no sink is configured: vCons cannot be delivered"
            raise ConfigError(why, "sinks")
        self.root, self._clock, self._config = root, clock, config or OutboxConfig()
        made = partial(OutboxStore, root, database, names, files=files, held=held, columns=columns)
        self._make = partial(made, forgotten=forgotten, matched=matched, keeps=keeps)
        self._thread = StoreThread()
        self._call, self.opened = self._thread.call, self._thread.opened
        self._trouble = ""
        self._maintenance = Maintenance(
            self._call,
            self.measure,
            self._config,
            clock,
            on_delivered,
            lambda: not keeps and (disk_low() or bool(self._trouble)),
        )
        shared = Shared(self._call, self._thread.read, clock, self._maintenance.wake.set, self._config.attempt_timeout)
        waits = (self._config.backoff_min, self._config.backoff_max)
        self._workers = [SinkWorker(sink, CircuitBreaker(sink.concurrency, *waits, rng), shared) for sink in sinks]
        self.eraser = Eraser(self._call, self._workers)
        self._confirmers = [
            Confirmer(worker.sink, self._call, clock, worker.nudge)
            for worker in self._workers
            if isinstance(worker.sink, Confirming) and worker.sink.confirm_after
        ]
        self._parts: list[Part] = [self._maintenance, *self._workers, *self._confirmers]

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def open(self) -> None:
        """Bring files and database in order; what is to be published or delivered waits for it. Raises StorageError."""
        now, longest = self._clock.now(), round(self._config.backoff_max * SECOND)
        await self._thread.open(partial(self._make, now=now, latest=now + longest))

    async def close(self) -> None:
        """After ``run`` has ended: let go of the database, the threads and the sinks' connections."""
        await self._thread.close()
        for worker in self._workers:
            await worker.close()

    @property
    def trouble(self) -> str:
        """Why vCons cannot be stored or recorded just now; empty when all is well. For readiness."""
        own = (self._thread.trouble, self._trouble, self._maintenance.trouble)
        return next(filter(None, [*own, *(worker.trouble for worker in self._workers)]), "")

    def sinks(self) -> Sequence[SinkState]:
        """How each sink takes deliveries just now, in the order of the configuration."""
        return [worker.state() for worker in self._workers]

    # What the core uses.

    async def publish(
        self, uuid: str, body: bytes, facts: Mapping[str, str] | None = None, unmatched: Collection[str] = ()
    ) -> str:
        """Take a vCon; it is on disk when this returns its SHA-512 in hex, and will arrive at every sink but those ``unmatched``.

        The same bytes again are no second vCon. One that every sink has already is reported to ``on_delivered`` once
        more. ``facts`` (32 at most, cut to 256 characters) are for the operator's list only.
        Raises StorageError when the disk does not take it (then nothing of it is kept: try again), ConflictError when
        other bytes have this uuid (the new ones are set aside), ValueError for what is no vCon of that uuid.
        """
        taken = partial(OutboxStore.publish, uuid=uuid, body=body, facts=_short(facts or {}), unmatched=unmatched)
        now = self._clock.now()
        await self.opened.wait()
        try:
            sha512: str = await self._call(partial(taken, now=now))
        except StorageError as why:
            self._trouble = str(why)
            raise
        self._trouble = ""
        for worker in self._workers:
            worker.nudge()
        self._maintenance.wake.set()
        return sha512

    async def run(self) -> None:
        """Deliver until cancelled; deliveries under way then get ``drain`` seconds to end."""
        await self.opened.wait()
        for part in self._parts:
            part.begin()
        work = asyncio.create_task(self._work(), name="outbox")
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self._stop()
            await asyncio.wait({work}, timeout=self._config.drain)
            raise
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    # What the operator uses.

    async def retry(self, uuid: str | None = None, sink: str | None = None) -> int:
        """Put dead letters back (of one vCon, of one sink, or all), and try now what waits; how many were dead."""
        count = await self.tell("put dead letters back", lambda db: rows.put_back(db, uuid, sink))
        self.nudge(sink)
        return count

    async def tell(self, what: str, change: Callable[[Connection], T]) -> T:
        """Change or read rows in one transaction. Raises StorageError, which says ``what``."""
        return await self._call(lambda store: store.tell(what, change))

    async def resend(self, again: Again) -> int:
        """Send what every sink had once more, where its file is kept (``keep_days``); how many vCons."""
        count = after = 0
        while found := await self._call(partial(OutboxStore.resend, again=again, after=after)):
            count, after = count + sum(sent for _, sent in found), found[-1][0]
        self.nudge(again.sink)
        return count

    async def list(
        self,
        *,
        sink: str | None = None,
        state: State | None = None,
        undelivered: bool = False,
        before: str | None = None,
        limit: int = 100,
    ) -> Sequence[Entry]:
        """Newest first, at most 1,000; without a condition all, page by page.

        Those with a delivery at ``sink`` in ``state``; ``undelivered``: that some sink lacks; ``before``: the last one seen.
        """
        query, sending = Query(sink, state, before, max(1, min(limit, 1000)), undelivered), self._sending()
        return await self._call(lambda store: store.page(query, sending))

    async def get(self, uuid: str) -> Entry | None:
        """One vCon, also long after it was delivered; None when it was never published here."""
        return await self._call(partial(OutboxStore.get, uuid=uuid, sending=self._sending()))

    async def confirmations(self) -> dict[str, dict[str, int]]:
        """By sink that is asked what it has: how many kept vCons are ``confirmed``, ``gone`` and ``unknown``."""
        names = [confirmer.name for confirmer in self._confirmers if self.opened.is_set()]
        if not names:
            return {}
        return await self.tell("count", lambda db: {name: confirmations.counts(db, sink=name) for name in names})

    async def measure(self) -> None:
        """Set the gauges. ``run`` does it every few seconds."""
        figures = await self._call(lambda store: store.ask(rows.figures))
        metrics.outbox_unmatched.set((await self._call(lambda store: store.ask(nobodys.count))).vcons)
        for worker in self._workers:
            worker.measure(figures)

    def nudge(self, sink: str | None) -> None:
        """The operator wants something sent now, to one sink or all."""
        for worker in self._workers:
            if sink in {None, worker.sink.name}:
                worker.nudge(urgent=True)

    # Inside.

    def _sending(self) -> SendingNow:
        return {worker.sink.name: frozenset(worker.sending) for worker in self._workers}

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for worker in self._workers:
                name = f"sink {worker.sink.name}"
                tasks.create_task(kept(name, worker.run), name=name)
            for confirmer in self._confirmers:
                tasks.create_task(kept("confirm", confirmer.run), name="confirm")
            tasks.create_task(kept("outbox house", self._maintenance.run), name="outbox house")

    def _stop(self) -> None:
        for part in self._parts:
            part.stop()


def _short(facts: Mapping[str, str]) -> dict[str, str]:
    return {str(key)[:MAX_FACT]: str(value)[:MAX_FACT] for key, value in list(facts.items())[:MAX_FACTS]}
