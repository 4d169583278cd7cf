"""Utterances that have no text yet: whose they are, who waits for them, and how each ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog

from vcond.base import metrics
from vcond.base.errors import VcondError
from vcond.call.events import Event, Untranscribed
from vcond.speech.scheduler import Job, Scheduler
from vcond.speech.segmenting import TrackListener
from vcond.speech.source import Clock, Source

log = structlog.get_logger()


def emit(source: Source, event: Event) -> None:
    """Into the call with it; one that its journal does not take is counted."""
    try:
        source.emit(event)
    except VcondError:
        log.warning("a transcription event could not be written", call=source.call)
        metrics.dropped_total.labels("event", "speech").inc()


class Outstanding:
    """Every track that can still get a text, and every utterance that waits for its own."""

    def __init__(self, scheduler: Scheduler, *, clock: Clock, most: int, changed: Callable[[], None]) -> None:
        """``most``: utterances of one call that may wait. ``changed`` is called when another number waits."""
        self._scheduler, self._clock, self._most, self._changed = scheduler, clock, most, changed
        self._busy: set[TrackListener] = set()
        self._of: dict[Job, TrackListener] = {}
        self._per_call: Counter[str] = Counter()
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}

    def __contains__(self, job: Job) -> bool:
        return job in self._of

    @property
    def going(self) -> dict[str, Source]:
        """A source of each call of which more will be heard."""
        return {listener.source.call: listener.source for listener in self._busy if not listener.closed}

    def listening(self, listener: TrackListener) -> None:
        """Somebody listens to one more track."""
        self._busy.add(listener)

    def full(self, job: Job) -> bool:
        """Whether so many utterances of its call wait that this one may not; it is counted then."""
        if self._per_call[job.call_id] < self._most:
            return False
        metrics.dropped_total.labels("utterance", "too-many").inc()
        return True

    def put(self, listener: TrackListener, job: Job, hopeless: str) -> None:
        """An utterance wants its text, unless it is said why there will be none."""
        self._of[job] = listener
        listener.waiting.add(job)
        self._busy.add(listener)
        self._per_call[job.call_id] += 1
        if hopeless:
            self._scheduler.abandon(job)
            self.give_up(job, hopeless)
        else:
            self._scheduler.end(job)
        self._changed()

    def give_up(self, job: Job, reason: str) -> None:
        """It gets no text; the call is told why."""
        emit(job.source, Untranscribed(at=self._clock.now(), utterance=job.number, reason=reason))
        self.finished(job)

    def finished(self, job: Job) -> None:
        """It has its text, or never will."""
        listener = self._of.pop(job)
        listener.waiting.discard(job)
        self._per_call[job.call_id] -= 1
        if self._per_call[job.call_id] <= 0:
            del self._per_call[job.call_id]
        self._changed()
        self.settle(listener)

    def settle(self, listener: TrackListener) -> None:
        """Tell those who wait, if nothing of this track can get a text any more."""
        if listener.busy:
            return
        self._busy.discard(listener)
        for call in {"", listener.source.call} & self._waiters.keys():
            for waiter in self._waiters[call] if self._is_settled(call) else []:
                if not waiter.done():
                    waiter.set_result(None)

    async def settled(self, call: str, timeout: float) -> bool:  # noqa: ASYNC109 - a deadline that returns, not raises
        """Whether every utterance of a call has its text, or never will, within so many seconds; "" = of all calls."""
        if self._is_settled(call):
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(call, []).append(waiter)
        self._scheduler.wanted[call] += 1
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters[call].remove(waiter)
            if not self._waiters[call]:
                del self._waiters[call]
            self._scheduler.wanted[call] -= 1
            if not self._scheduler.wanted[call]:
                del self._scheduler.wanted[call]
        return True

    def forget(self, unwanted: Callable[[Source], bool]) -> int:
        """Nobody wants the texts of these sources any more: whatever waits is left out. How many utterances that were."""
        for listener in [listener for listener in self._busy if unwanted(listener.source)]:
            listener.closed = listener.flushed = True
            listener.job = None
            self.settle(listener)
        out = [job for job in self._scheduler.forget(lambda job: unwanted(job.source)) if job.stop is not None]
        for job in out:
            self.finished(job)
        return len(out)

    def _is_settled(self, call: str) -> bool:
        return not any(call in {"", listener.source.call} for listener in self._busy)
