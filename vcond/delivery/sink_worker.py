"""One sink's way out of the outbox: what to try and when, and that its outcome is recorded."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.delivery.circuit_breaker import SECOND, CircuitBreaker
from vcond.delivery.model import Clock, SinkState
from vcond.delivery.rows import Job, Outcome
from vcond.delivery.said import sound
from vcond.delivery.sink_condition import Result, SinkCondition
from vcond.delivery.store import OutboxStore
from vcond.sdk.sink import OutgoingVcon, Refused, Retry, Sink

log = structlog.get_logger()

LOOK_AGAIN: Final = 60.0
"""Seconds after which a worker looks even when nothing woke it: no clock jump and no lost wake-up costs more."""
DISK_PAUSE: Final = 5.0
"""Seconds between tries to read or record on a disk in trouble."""


@dataclass(frozen=True)
class Shared:
    """What all workers of an outbox have in common."""

    call: Callable[[Callable[[OutboxStore], Any]], Awaitable[Any]]
    """Run a job in the thread that owns files and database."""
    read: Callable[[str], Awaitable[tuple[bytes, str]]]
    """The bytes of a vCon and their SHA-512 in hex. Raises OSError."""
    clock: Clock
    completed: Callable[[], None]
    """Some vCon is at every sink now."""
    attempt_timeout: float
    """Seconds."""


class SinkWorker:
    """Tries one sink, as its breaker allows. Sinks do not know of each other: one that is down holds up nobody else."""

    def __init__(self, sink: Sink, breaker: CircuitBreaker, shared: Shared) -> None:
        self.sink = sink
        self.sending: dict[int, asyncio.Task[None]] = {}
        """By place (``seq``) of a vCon under way, its try."""
        self._unread = self._unrecorded = ""
        self._breaker = breaker
        self._condition = SinkCondition(sink.name, breaker)
        self._shared = shared
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._log = log.bind(sink=sink.name)

    @property
    def trouble(self) -> str:
        """Why the outbox cannot be read, or outcomes not recorded, just now; empty when all is well."""
        return self._unrecorded or self._unread

    def state(self) -> SinkState:
        """How the sink takes deliveries just now."""
        return self._condition.state(self._shared.clock.now())

    def measure(self, figures: Sequence[tuple[str, str, int, int]]) -> None:
        """Set the gauges of this sink; see ``rows.figures``."""
        now = self._shared.clock.now()
        of_sink = [row for row in figures if row[0] == self.sink.name]
        counts = {row[1]: row[2] for row in of_sink}
        waiting = counts.get("pending", 0)
        sending = min(waiting, len(self.sending))
        for state, count in (("pending", waiting - sending), ("sending", sending), ("dead", counts.get("dead", 0))):
            metrics.outbox_vcons.labels(self.sink.name, state).set(count)
        oldest = min((row[3] for row in of_sink), default=now)
        metrics.outbox_oldest_seconds.labels(self.sink.name).set(max(0, now - oldest) / SECOND)

    def begin(self) -> None:
        """``run`` is to go on until ``stop``."""
        self._stop.clear()

    async def run(self) -> None:
        """Deliver until stopped, and then until what is under way has ended."""
        self._condition.show()
        self.sending.clear()  # a try that was cancelled before its first step takes itself out of nothing
        async with asyncio.TaskGroup() as tries:
            while not self._stop.is_set():
                self._wake.clear()
                pause = await self._begin(tries)
                await wait_for(self._wake, pause)

    def stop(self) -> None:
        """Begin nothing new."""
        self._stop.set()
        self._wake.set()

    def nudge(self, *, urgent: bool = False) -> None:
        """There is something to send; ``urgent`` = the operator says so."""
        self._breaker.nudge(urgent=urgent)
        if urgent:
            self._condition.sizes.look()
        self._wake.set()

    async def ended(self, seq: int) -> None:
        """A try with this vCon is over, if there is one."""
        if (under_way := self.sending.get(seq)) is not None:
            await asyncio.wait({under_way})

    async def erase(self, uuid: str) -> str:
        """Have the receiver forget a vCon; why it did not, or ""."""
        try:
            async with asyncio.timeout(self._shared.attempt_timeout):
                await self.sink.erase(uuid)
        except (Retry, Refused) as why:
            return why.reason
        except TimeoutError:
            return "timeout"
        except Exception as why:  # noqa: BLE001 - a mistake in one sink must not keep the others from forgetting
            return f"error:{type(why).__name__}"
        return ""

    async def close(self) -> None:
        """Let go of the sink, whatever it says."""
        try:
            await self.sink.close()
        except Exception as why:  # noqa: BLE001 - one sink must not keep the others from being closed
            self._log.warning("sink could not be closed", error=type(why).__name__)

    async def _begin(self, tries: asyncio.TaskGroup) -> float:
        """Start what can be started now; seconds until to look again, unless woken."""
        now = self._shared.clock.now()
        slots = self._breaker.slots(now, len(self.sending))
        if slots == 0:
            return LOOK_AGAIN if self.sending else min(LOOK_AGAIN, self._breaker.wait(now) / SECOND)
        name, busy = self.sink.name, frozenset(self.sending)
        probe = self._breaker.probe() if self._breaker.down else None
        many, below = slots + len(busy), self._condition.sizes.below(now)
        try:
            jobs, next_at = await self._shared.call(lambda store: store.due(name, now, many, probe=probe, below=below))
        except StorageError as why:
            self._unread = self._say("cannot read the outbox, retrying", why, self._unread)
            return DISK_PAUSE
        self._unread = ""
        if self._breaker.doubted and not jobs:
            self._condition.confirm(now)
            return min(LOOK_AGAIN, self._breaker.wait(now) / SECOND)
        for job in [job for job in jobs if job.seq not in busy][:slots]:
            self._breaker.begins(job.seq)
            self.sending[job.seq] = tries.create_task(self._try(job), name=f"{name} {job.uuid}")
        return LOOK_AGAIN if next_at is None else min(LOOK_AGAIN, max(0, next_at - now) / SECOND)

    async def _try(self, job: Job) -> None:
        try:
            result = await self._deliver(job)
            outcome = self._condition.evaluate(job, result, self._shared.clock.now())
            await self._record(job, outcome)
        finally:
            self.sending.pop(job.seq, None)
            self._wake.set()

    async def _deliver(self, job: Job) -> Result:
        """One try. Whatever a sink raises becomes one of its four ends; only cancellation passes."""
        try:
            body, sha512 = await self._shared.read(job.uuid)
        except FileNotFoundError as why:
            return why
        except OSError as why:
            return Retry("disk-read", answer=why.strerror or type(why).__name__)
        except Exception as why:  # noqa: BLE001 - no memory or thread for one vCon must not end what records calls
            return self._mistake("cannot read a vCon to deliver it, will retry", job, why)
        if sha512 != job.sha512:
            hint = "the file was changed on the disk: restore it from a copy, then: vcond outbox retry"
            return Refused("damaged", hint=hint, asked=False)
        try:
            with metrics.delivery_seconds.labels(self.sink.name).time():
                async with asyncio.timeout(self._shared.attempt_timeout):
                    return sound(await self.sink.deliver(OutgoingVcon(job.uuid, body, sha512)))
        except (Retry, Refused) as why:
            return sound(why)
        except TimeoutError:
            return Retry("timeout", whole_sink=True)
        except Exception as why:  # noqa: BLE001 - a mistake in one sink costs a try, never the daemon
            return self._mistake("internal error in the sink driver, will retry; please report it", job, why)

    def _mistake(self, event: str, job: Job, why: Exception) -> Retry:
        where = traceback.extract_tb(why.__traceback__)[-1]
        self._log.error(  # without the text of a foreign exception: it may hold what was said
            event, call=job.uuid, error=type(why).__name__, where=f"{where.filename}:{where.lineno}"
        )
        return Retry(f"error:{type(why).__name__}")

    async def _record(self, job: Job, outcome: Outcome | None) -> None:
        """Until it is recorded: what was delivered must not be sent again for the sake of a full disk."""
        name, now = self.sink.name, self._shared.clock.now()

        def record(store: OutboxStore) -> bool:
            if outcome is None:
                store.lose(job.seq, job.uuid, now)
                return False
            return store.record(name, job.seq, outcome)

        while True:
            try:
                if await self._shared.call(record):
                    self._shared.completed()
            except StorageError as why:
                self._unrecorded = self._say("cannot store the result of a delivery; retrying", why, self._unrecorded)
                if self._stop.is_set():
                    return  # delivered once more after the next start
                await wait_for(self._stop, DISK_PAUSE)
            else:
                self._unrecorded = ""
                return

    def _say(self, event: str, why: StorageError, before: str) -> str:
        """Once per trouble, not once per try."""
        if before != str(why):
            self._log.error(event, error=str(why))
        return str(why)


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, or so many seconds have passed."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
