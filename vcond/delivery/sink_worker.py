"""One sink's way out of the outbox: what to try, when, and what each outcome means."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.delivery.circuit_breaker import SECOND, Pace
from vcond.delivery.model import Clock, SinkState
from vcond.delivery.rows import Job, Outcome
from vcond.delivery.sizes import SizeLimit
from vcond.delivery.store import OutboxStore
from vcond.sdk.sink import Receipt, Refused, Retry, Sealed, Sink

log = structlog.get_logger()

LOOK_AGAIN: Final = 60.0
"""Seconds after which a lane looks even when nothing woke it: no clock jump and no lost wake-up costs more."""
REMIND: Final = round(3600 * SECOND)
"""A sink that stays held is said again after so many nanoseconds."""
ABOUT_ALL: Final = frozenset({"unreachable", "tls"})
"""Reasons that no vCon brings about."""
DISK_PAUSE: Final = 5.0
"""Seconds between tries to read or record on a disk in trouble."""


@dataclass(frozen=True)
class Shared:
    """What all lanes of an outbox have in common."""

    call: Callable[[Callable[[OutboxStore], Any]], Awaitable[Any]]
    """Run a job in the thread that owns files and database."""
    read: Callable[[str], Awaitable[tuple[bytes, str]]]
    """The bytes of a vCon and their SHA-512 in hex. Raises OSError."""
    clock: Clock
    completed: Callable[[], None]
    """Some vCon is at every sink now."""
    attempt_timeout: float
    """Seconds."""


class Lane:
    """Tries one sink, as its pace allows. Sinks do not know of each other: one that is down holds up nobody else."""

    def __init__(self, sink: Sink, pace: Pace, shared: Shared) -> None:
        self.sink = sink
        self.sending: set[int] = set()
        """Places (``seq``) of the vCons under way."""
        self._unread = self._unrecorded = ""
        self._pace = pace
        self._sizes = SizeLimit(pace.rng)
        self._why: Retry | None = None
        """Why it does not take deliveries."""
        self._too_large: Retry | None = None
        self._since = self._said = 0
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
        pace, why, now = self._pace, self._why, self._shared.clock.now()
        if pace.down and not pace.doubted and why is not None:
            return SinkState(
                self.sink.name,
                "held" if pace.held else "down",
                why.reason,
                why.detail,
                why.hint,
                self._since,
                pace.until(now),
                self._sizes.bytes,
            )
        large = self._too_large
        if self._sizes.bytes and large is not None:
            limit, until = self._sizes.bytes, self._sizes.until
            return SinkState(self.sink.name, "ok", large.reason, large.detail, large.hint, self._since, until, limit)
        return SinkState(self.sink.name, "ok")

    async def run(self) -> None:
        """Deliver until stopped, and then until what is under way has ended."""
        self._stop.clear()
        self._show()
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
        self._pace.nudge(urgent=urgent)
        if urgent:
            self._sizes.look()
        self._wake.set()

    async def close(self) -> None:
        """Let go of the sink, whatever it says."""
        try:
            await self.sink.close()
        except Exception as why:  # noqa: BLE001 - one sink must not keep the others from being closed
            self._log.warning("sink not closed", error=type(why).__name__)

    async def _begin(self, tries: asyncio.TaskGroup) -> float:
        """Start what can be started now; seconds until to look again, unless woken."""
        now = self._shared.clock.now()
        slots = self._pace.slots(now, len(self.sending))
        if slots == 0:
            return LOOK_AGAIN if self.sending else min(LOOK_AGAIN, self._pace.wait(now) / SECOND)
        name, busy = self.sink.name, frozenset(self.sending)
        probe = self._pace.probe() if self._pace.down else None
        many, below = slots + len(busy), self._sizes.below(now)
        try:
            jobs, next_at = await self._shared.call(lambda store: store.due(name, now, many, probe=probe, below=below))
        except StorageError as why:
            self._unread = self._say("the outbox cannot be read; trying again", why, self._unread)
            return DISK_PAUSE
        self._unread = ""
        if self._pace.doubted and not jobs:
            self._pace.confirm(now)
            if self._why is not None:
                self._say_down(self._why, now, began=True)
            return min(LOOK_AGAIN, self._pace.wait(now) / SECOND)
        for job in [job for job in jobs if job.seq not in busy][:slots]:
            self.sending.add(job.seq)
            self._pace.begins(job.seq)
            tries.create_task(self._try(job), name=f"{name} {job.uuid}")
        return LOOK_AGAIN if next_at is None else min(LOOK_AGAIN, max(0, next_at - now) / SECOND)

    async def _try(self, job: Job) -> None:
        try:
            result = await self._deliver(job)
            outcome = self._judge(job, result)
            await self._record(job, outcome)
        finally:
            self.sending.discard(job.seq)
            self._wake.set()

    async def _deliver(self, job: Job) -> Receipt | Retry | Refused | FileNotFoundError:
        """One try. Whatever a sink raises becomes one of its four ends; only cancellation passes."""
        try:
            body, sha512 = await self._shared.read(job.uuid)
        except FileNotFoundError as why:
            return why
        except OSError as why:
            return Retry("disk-read", answer=why.strerror or type(why).__name__)
        if sha512 != job.sha512:
            hint = "the file changed on the disk: put it back from a copy, then: vcond outbox retry"
            return Refused("damaged", hint=hint, asked=False)
        try:
            with metrics.delivery_seconds.labels(self.sink.name).time():
                async with asyncio.timeout(self._shared.attempt_timeout):
                    return await self.sink.deliver(Sealed(job.uuid, body, sha512))
        except (Retry, Refused) as why:
            return why
        except TimeoutError:
            return Retry("timeout", whole_sink=True)
        except Exception as why:  # noqa: BLE001 - a mistake in one sink costs a try, never the daemon
            where = traceback.extract_tb(why.__traceback__)[-1]
            self._log.error(  # without the text of a foreign exception: it may hold what was said
                "the sink itself failed; please report it",
                call=job.uuid,
                error=type(why).__name__,
                where=f"{where.filename}:{where.lineno}",
            )
            return Retry(f"error:{type(why).__name__}")

    def _judge(self, job: Job, result: Receipt | Retry | Refused | FileNotFoundError) -> Outcome | None:
        """What it means for the vCon and for the sink's pace; None = the vCon's file is gone."""
        now = self._shared.clock.now()
        if isinstance(result, FileNotFoundError):
            return None
        if isinstance(result, Retry):
            metrics.deliveries_total.labels(self.sink.name, "retry").inc()
            return self._too_big(job, result, now) if result.too_large else self._later(job, result, now)
        if (isinstance(result, Receipt) or result.asked) and self._pace.succeeded(now, job.seq):
            self._log.info("sink takes deliveries again")
        self._show()
        if isinstance(result, Refused):
            metrics.deliveries_total.labels(self.sink.name, "refused").inc()
            self._log.error(
                "vCon refused; it is in the dead letters", call=job.uuid, reason=result.reason, fix=result.hint
            )
            return Outcome("dead", now, status=result.status, reason=result.reason, answer=result.answer)
        if self._sizes.taken(job.size):
            self._log.info("large vCons are taken again", bytes=job.size)
        metrics.deliveries_total.labels(self.sink.name, "delivered").inc()
        self._log.info("vCon delivered", call=job.uuid, status=result.status, tries=job.attempts + 1)
        return Outcome("delivered", now, status=result.status, answer=result.answer, target=result.target)

    def _later(self, job: Job, why: Retry, now: int) -> Outcome:
        """A sink that is down makes the vCons wait for itself; else the vCon waits alone."""
        about_all = why.after is not None or why.reason.partition(":")[0] in ABOUT_ALL
        if why.whole_sink and not about_all and self._is_about(job, why, now):
            wait, news = self._pace.refused_alone(job.seq)
            if news:
                self._log.warning(
                    "the sink takes other vCons, but not this one; it is tried again, in the end once an hour",
                    call=job.uuid, reason=why.reason, detail=why.detail, fix=why.hint,
                )  # fmt: skip
            return Outcome("pending", now, now + wait, why.status, why.reason, why.answer)
        was_down = self._pace.down
        began = self._pace.failed(
            now, job.seq, whole_sink=why.whole_sink, after=why.after, held=why.held, about_all=about_all
        )
        if self._pace.doubted:
            self._why = why if why.held else self._why
        elif self._pace.down:
            self._say_down(why, now, began=began)
        else:
            self._log.info("delivery failed; it is tried again", call=job.uuid, reason=why.reason, detail=why.detail)
        next_at = 0
        if not (why.held or (was_down and why.whole_sink)):
            next_at = now + max(self._pace.backoff(job.attempts + 1), round((why.after or 0) * SECOND))
        return Outcome("pending", now, next_at, why.status, why.reason, why.answer)

    def _is_about(self, job: Job, why: Retry, now: int) -> bool:
        """Whether it is this vCon that the sink does not take."""
        if self._pace.alone(job.seq, held=why.held):
            return True
        return why.held and self._pace.vouched(now, job.seq, job.published_at)

    def _say_down(self, why: Retry, now: int, *, began: bool) -> None:
        """When it begins, when the reason is another one, and every hour while somebody must set something right."""
        before, self._why = self._why, why
        if began:
            self._since = now
        again = self._pace.held and not 0 <= now - self._said < REMIND
        if not began and before is not None and before.reason == why.reason and not again:
            return
        self._said = now
        told = {"reason": why.reason, "status": why.status, "detail": why.detail, "fix": why.hint}
        if self._pace.held:
            self._log.error("sink is held: it refuses every delivery until this is set right; vCons wait", **told)
        else:
            self._log.warning("sink does not take deliveries; vCons wait", **told)
        self._show()

    def _too_big(self, job: Job, why: Retry, now: int) -> Outcome:
        """Something on the way refuses what is so large: this one and larger ones wait, smaller ones go on."""
        if not self._sizes.bytes:
            self._since = now
        self._too_large = why
        if self._sizes.refused(now, job.size):
            self._log.error(
                "vCons of this size and more wait: something on the way to the sink refuses them; smaller ones go on",
                call=job.uuid, bytes=job.size, reason=why.reason, detail=why.detail, fix=why.hint,
            )  # fmt: skip
        self._show()
        return Outcome("pending", now, self._sizes.until, why.status, why.reason, why.answer)

    def _show(self) -> None:
        metrics.sink_up.labels(self.sink.name).set(not self._pace.down or self._pace.doubted)
        metrics.sink_held.labels(self.sink.name).set(self._pace.held or self._sizes.bytes > 0)

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
                self._unrecorded = self._say("an outcome cannot be recorded; trying again", why, self._unrecorded)
                if self._stop.is_set():
                    return  # delivered once more after the next start
                await wait_for(self._stop, DISK_PAUSE)
            else:
                self._unrecorded = ""
                return

    def _say(self, event: str, why: StorageError, before: str) -> str:
        """Once per trouble, not once per try."""
        if before != str(why):
            self._log.error(event, why=str(why))
        return str(why)


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, or so many seconds have passed."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
