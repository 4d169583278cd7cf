"""Asks a receiver whether it still has what it took, and sends again what is gone.

A receiver's yes is worth nothing when it loses the vCon afterwards. It is asked after its own expiry, when only what it
really keeps can answer, one vCon at a time and slowly, for as long as the vCon's file is kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol

import structlog

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.delivery import confirmations
from vcond.delivery.circuit_breaker import SECOND
from vcond.delivery.confirmations import Answer
from vcond.delivery.model import Clock
from vcond.delivery.resend import Again
from vcond.delivery.sink_worker import wait_for
from vcond.delivery.store import OutboxStore
from vcond.sdk.sink import Refused, Retry

log = structlog.get_logger()

LOOK: Final = 60.0
"""Seconds between two rounds."""
PACE: Final = 0.5
"""Seconds between two questions."""
ROUND: Final = 100
"""Questions of a round at most."""
AGAIN: Final = 600.0
"""Seconds until a receiver is asked again that did not say."""
PATIENCE: Final = 60.0
"""Seconds that one answer may take."""
TIMES: Final = 3
"""A vCon that was gone so often is not sent again: it would be gone once more."""


class Asked(Protocol):
    """A sink whose receiver can be asked."""

    @property
    def name(self) -> str:
        """Of the sink."""

    confirm_after: float
    """Seconds after a delivery."""

    async def has(self, uuid: str) -> bool:
        """Whether the receiver has a vCon. Raises Retry or Refused when it does not say."""


class Confirmer:
    """Looks after one sink's deliveries."""

    def __init__(
        self,
        sink: Asked,
        call: Callable[[Callable[[OutboxStore], Any]], Awaitable[Any]],
        clock: Clock,
        sent_again: Callable[[], None],
    ) -> None:
        """``call`` runs a job in the thread that owns files and database; ``sent_again`` hears that something is to be sent."""
        self.name = sink.name
        self._sink, self._call, self._clock, self._sent_again = sink, call, clock, sent_again
        self._since = 0
        """What every sink had before this moment was asked about."""
        self._silent = ""
        self._losing = False
        self._stop = asyncio.Event()
        self._log = log.bind(sink=sink.name)

    def begin(self) -> None:
        """``run`` is to go on until ``stop``."""
        self._stop.clear()

    async def run(self) -> None:
        """Ask until stopped."""
        while not self._stop.is_set():
            try:
                pause = await self._round()
            except StorageError:
                pause = AGAIN  # the outbox itself says what is wrong with the disk
            await wait_for(self._stop, pause)

    def stop(self) -> None:
        """Ask nothing more."""
        self._stop.set()

    async def _round(self) -> float:
        """Ask about what is due; seconds until the next round."""
        name, before = self._sink.name, self._clock.now() - round(self._sink.confirm_after * SECOND)
        query = partial(confirmations.due, sink=name, before=before, since=self._since, limit=ROUND)
        losing = False
        due = await self._call(lambda store: store.ask(query))
        for seq, uuid, closed_at, times in due:
            now = self._clock.now()
            answer = await self._answer(uuid)
            if answer is None or self._stop.is_set():
                return AGAIN
            if answer == "gone":
                losing = True
                await self._send_again(uuid, times + 1)
            saved = partial(confirmations.answered, sink=name, seq=seq, answer=answer, at=now)
            await self._call(partial(OutboxStore.tell, what="record what a receiver has", change=saved))
            self._since = closed_at
            await wait_for(self._stop, PACE)
        self._losing = losing or (self._losing and not due)
        return 0 if len(due) == ROUND else LOOK

    async def _answer(self, uuid: str) -> Answer | None:
        """None: the receiver does not say; that is told once."""
        why = ""
        answer: Answer | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                answer = "confirmed" if await self._sink.has(uuid) else "gone"
        except (Retry, Refused) as problem:
            why = problem.reason
        except TimeoutError:
            why = "timeout"
        except Exception as problem:  # noqa: BLE001 - a mistake in one sink costs a question, never the daemon
            why = f"error:{type(problem).__name__}"
        if why and why != self._silent:
            hint = "vcond asks again every ten minutes; `vcond check` looks at the sink"
            self._log.warning("cannot ask the receiver whether it still has its vCons", error=why, hint=hint)
        self._silent = why
        metrics.confirmations_total.labels(self._sink.name, answer or "unknown").inc()
        return answer

    async def _send_again(self, uuid: str, times: int) -> None:
        if not self._losing:
            self._losing = True
            self._log.error(
                "the receiver has lost vCons that it had taken; each is sent again, twice at most",
                call=uuid,
                hint="look at its storage and its workers; vcond outbox counts what is gone",
            )
        if times < TIMES:
            await self._call(partial(OutboxStore.resend, again=Again(uuid, self._sink.name), after=0))
            self._sent_again()
