"""What an outbox does beside delivering: it tells the core what every sink has, puts files away, and counts."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog

from vcond.base.errors import StorageError
from vcond.delivery import rows
from vcond.delivery.circuit_breaker import SECOND
from vcond.delivery.model import Clock
from vcond.delivery.sink_worker import wait_for
from vcond.delivery.store import BATCH, OutboxStore

log = structlog.get_logger()

TICK: Final = 15.0
"""Seconds between two looks at figures and old files."""
DAY: Final = 86_400 * SECOND
LOW: Final = 1.0
"""Seconds between two looks while disk space is low."""
SPARE: Final = 100
"""Kept files that go in one of them: after that the disk may have room again."""
ANY_TIME: Final = 2**62
"""After every moment."""


class Keeping(Protocol):
    """How long things stay: part of ``OutboxConfig``."""

    @property
    def keep_days(self) -> float:
        """Of a vCon's file after every sink has it."""

    @property
    def ledger_days(self) -> float:
        """Of the memory of who received it; 0 = for ever."""


class Maintenance:
    """Set ``wake`` when some vCon may be at every sink."""

    def __init__(
        self,
        call: Callable[[Callable[[OutboxStore], Any]], Awaitable[Any]],
        measure: Callable[[], Awaitable[None]],
        config: Keeping,
        clock: Clock,
        on_delivered: Callable[[str], Awaitable[None] | None] | None,
        disk_low: Callable[[], bool],
    ) -> None:
        """``call`` runs a job in the thread that owns files and database; ``measure`` sets the gauges.

        While ``disk_low`` nothing is kept: what every sink has goes before anything else must.
        """
        self.wake = asyncio.Event()
        self.trouble = ""
        """Why records cannot be kept just now; empty when all is well."""
        self._call, self._measure = call, measure
        self._config, self._clock = config, clock
        self._on_delivered, self._disk_low = on_delivered, disk_low
        self._stopping = self._sparing = False

    def begin(self) -> None:
        """``run`` is to go on until ``stop``."""
        self._stopping = False

    def stop(self) -> None:
        """End ``run`` after one more look: what is delivered by now is told."""
        self._stopping = True
        self.wake.set()

    async def run(self) -> None:
        """Tell the core what is delivered everywhere, put files away, count."""
        loop = asyncio.get_running_loop()
        next_look, last = loop.time(), False
        while not last:
            last = self._stopping
            self.wake.clear()
            try:
                done = await self._call(lambda store: store.done())
                troubles = [why for vcon in done if (why := await self._tell(vcon))]
                if len(done) >= BATCH and len(troubles) < len(done):
                    self.wake.set()  # there may be more
                await self._spare()
                if loop.time() >= next_look:
                    next_look = loop.time() + TICK
                    await self._expire()
                    await self._measure()
            except StorageError as why:
                troubles = [str(why)]
            if troubles:
                self._say(troubles[0])
            else:
                self.trouble = ""
            if not last:
                await wait_for(self.wake, LOW if self._sparing else TICK)

    async def _spare(self) -> None:
        """While disk space is low kept files go before their time."""
        low = self._disk_low()
        gone = await self._call(lambda store: store.expire(ANY_TIME, SPARE)) if low else 0
        if gone and not self._sparing:
            log.warning(
                "disk space low: vCons that every sink has are no longer kept for keep_days; the oldest go first",
                hint="free space; what is gone cannot be sent again",
            )
        self._sparing = low and (gone > 0 or self._sparing)

    async def _expire(self) -> None:
        now, config = self._clock.now(), self._config
        before = now - round(config.keep_days * DAY)
        await self._call(lambda store: store.expire(before))
        if config.ledger_days:
            oldest = now - round((config.keep_days + config.ledger_days) * DAY)
            await self._call(
                lambda store: store.tell("forget old deliveries", lambda db: rows.prune(db, oldest, BATCH))
            )

    def _say(self, why: str) -> None:
        """Once per trouble, not once per try."""
        if self.trouble != why:
            self.trouble = why
            log.error("cannot write outbox records; deliveries continue", error=why)

    async def _tell(self, vcon: rows.Vcon) -> str:
        """The core first: it removes the journal. Then the file. A crash between the two tells it again.

        Why the file cannot be put away, or "": one that cannot must not keep the core from hearing of the others.
        """
        try:
            told = self._on_delivered(vcon.uuid) if self._on_delivered is not None else None
            if inspect.isawaitable(told):
                await told
        except Exception:  # the core's trouble is not the outbox's
            log.exception("internal error after a delivery, retrying", call=vcon.uuid)
            return ""
        try:
            keep = self._config.keep_days > 0 and not self._disk_low()
            await self._call(lambda store: store.put_away(vcon, keep=keep))
        except StorageError as why:
            return str(why)
        return ""
