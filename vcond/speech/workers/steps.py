"""One step of an utterance in a worker: its audio is read, the worker asked, and what it answers becomes of the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from vcond.base import metrics
from vcond.base.errors import OperatorError
from vcond.base.time import SECOND
from vcond.call.events import Transcribed
from vcond.speech.load.admission import Admission, Kind
from vcond.speech.outstanding import Outstanding, emit
from vcond.speech.results import Notes, transcribed
from vcond.speech.scheduler import AGAIN, TRIES, Job, Scheduler, Step
from vcond.speech.segmenting import read
from vcond.speech.source import Clock
from vcond.speech.workers import messages
from vcond.speech.workers.process import EngineAwayError, EngineFailedError, Worker, WorkerLostError

log = structlog.get_logger()

RECENT = 60 * SECOND
STALE = 2.0
"""Seconds after which what was being said is not worth showing any more."""


class Steps:
    """Does what the scheduler says, and tells it, admission and the call what came of it."""

    def __init__(
        self,
        scheduler: Scheduler,
        outstanding: Outstanding,
        admission: Admission,
        *,
        clock: Clock,
        seconds: float,
        wake: Callable[[], None],
    ) -> None:
        """``seconds``: patience with one step, besides twice its audio. ``wake``: there is something to do anew."""
        self._scheduler, self._outstanding, self._admission = scheduler, outstanding, admission
        self._clock, self._seconds, self._wake, self._notes = clock, seconds, wake, Notes()
        self._last: Transcribed | None = None
        """The text that came last of what is said now."""

    @property
    def lag(self) -> float | None:
        """Seconds from the end of an utterance to its text, of the last one; None when there was none for a minute."""
        last = self._last
        return last.lag_ms / 1000 if last is not None and self._clock.now() - last.at < RECENT else None

    def next(self, index: int, *, accept: bool) -> Step | None:
        """What worker ``index`` shall do now; without ``accept`` it takes nothing new."""
        return self._scheduler.next(index, accept=accept)

    def holds(self, index: int) -> bool:
        """Whether it has something in hand."""
        return self._scheduler.holds(index)

    def lost(self, index: int) -> None:
        """It is gone: what it had in hand is done elsewhere."""
        self._scheduler.lost(index)

    async def do(self, step: Step, worker: Worker, ready: messages.Ready) -> None:
        """One step in a worker. Raises WorkerLostError; then, and when it is cancelled, the step waits to be done again."""
        job = step.job
        if step.kind == "drop":
            worker.tell(messages.Drop(job.id))
            return
        seconds = self._seconds + 2 * (step.stop - step.start) / job.source.rate
        began, heard_at = asyncio.get_running_loop().time(), job.heard_at
        try:
            pcm = await read(job.source, step.start, step.stop)
            began = asyncio.get_running_loop().time()
            answer = await worker.ask(requests(step, pcm.tobytes()), seconds)
        except OperatorError as why:
            log.warning(
                "cannot read recorded audio; that part is not transcribed", call=job.source.call, error=str(why)
            )
            job.tries = TRIES
            self.failed(step, "audio-unreadable")
            return
        except EngineFailedError as why:
            log.warning("speech engine failed on an utterance", call=job.source.call, error=str(why))
            self.failed(step, "engine-failed")
            return
        except EngineAwayError:
            # The worker is started again, with pauses that grow, until its engine reaches the server.
            self.failed(step, "engine-failed", blame=False)
            raise WorkerLostError("away") from None
        except WorkerLostError:
            self._took(step, asyncio.get_running_loop().time() - began, step.kind, lost=True)
            self.failed(step, "engine-failed")
            raise
        except BaseException as why:  # speech stops, or fails elsewhere, or here: the step is done again, a few times
            self.failed(step, "engine-failed", blame=isinstance(why, Exception))
            raise
        now = asyncio.get_running_loop().time()
        self._took(step, now - began, step.kind)
        self._scheduler.done(step)
        if isinstance(answer, messages.Done):
            self._text(job, answer, ready)
        elif answer.text not in {"", job.said} and job.stop is None and not job.gone:
            _show(job, step.stop, answer.text, now - heard_at)

    def _took(self, step: Step, seconds: float, kind: Kind, *, lost: bool = False) -> None:
        """Count what a step cost; what is lost with a worker costs and brings nothing."""
        job, costs = step.job, self._admission.costs
        audio = 0.0 if lost else (step.stop - step.start) / job.source.rate
        if kind != "peek":
            job.spent += seconds
        if kind == "final":
            costs["final"].add(job.spent, 0.0 if lost else job.seconds, not lost)
            job.spent = 0.0
        elif not lost:
            costs[kind].add(seconds, audio)
        if kind == "peek":
            self._scheduler.again = max(AGAIN, 2 * costs["peek"].each)

    def answered(self, step: Step, done: messages.Done, ready: messages.Ready, machine: str) -> None:
        """Another machine did it."""
        self._scheduler.done(step)
        self._text(step.job, done, ready, machine)

    def failed(self, step: Step, reason: str, *, blame: bool = True) -> None:
        """It waits to be done again, or, when it was tried often enough, gets no text for ``reason``."""
        job = step.job
        if self._scheduler.failed(step, blame=blame) and job in self._outstanding:
            if job.gone:
                self._outstanding.finished(job)
            else:
                self._outstanding.give_up(job, reason)
        self._wake()

    def _text(self, job: Job, done: messages.Done, ready: messages.Ready, machine: str = "") -> None:
        try:
            if not job.gone:
                event = transcribed(job, done, ready, self._clock.now(), machine)
                if job.live:
                    metrics.stt_lag_seconds.observe(event.lag_ms / 1000)
                    self._last = event
                for one in (event, *self._notes.of(done, event.at)):
                    emit(job.source, one)
        finally:  # whoever waits for the call's texts waits no longer, whatever happened
            self._outstanding.finished(job)


def requests(step: Step, pcm: bytes) -> list[messages.Request]:
    """A step as a worker is told it; ``pcm``: its audio, 16-bit little-endian samples."""
    job = step.job
    out: list[messages.Request] = []
    if step.again:
        out.append(messages.Drop(job.id))
    if step.opens:
        out.append(messages.Open(job.id, job.hint))
    out += [messages.Feed(job.id, pcm[at : at + messages.PIECE]) for at in range(0, len(pcm), messages.PIECE)]
    out.append(messages.Finish(job.id) if step.kind == "final" else messages.Ask(job.id, text=step.text))
    if step.kind == "peek":
        out.append(messages.Drop(job.id))
    return out


def _show(job: Job, stop: int, text: str, lag: float) -> None:
    """Words that are being spoken, unless they come too late: then there will be newer ones, or the final."""
    metrics.stt_partial_lag_seconds.observe(lag)
    if lag <= STALE:
        job.said = text
        job.source.partial(job.start, stop, text)
