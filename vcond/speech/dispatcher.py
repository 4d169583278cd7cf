"""Speech: listeners on tracks, utterances in turn, workers that turn them into text. One object for the whole daemon.

What waits here are references into journals, never audio. A worker that dies costs nothing but time: what it had in hand
is read from the journal again. Capture only says how far it is (``TrackListener.advance``) and never waits for any of this.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog

from vcond.call.events import SpeechState, Utterance, Warned
from vcond.speech.config import SpeechConfig
from vcond.speech.engine_choice import Choice, choose
from vcond.speech.load.admission import STATES, Admission, State
from vcond.speech.load.metrics import Measured, backlog, measure
from vcond.speech.outstanding import Outstanding, emit
from vcond.speech.queue.client import SpeechQueue
from vcond.speech.queue.messages import cipher
from vcond.speech.scheduler import Scheduler
from vcond.speech.segmenting import Segmenting, TrackListener
from vcond.speech.source import Clock, Source
from vcond.speech.utterances import Utterances
from vcond.speech.workers import messages
from vcond.speech.workers.pool import Pool, Starts
from vcond.speech.workers.steps import Steps

__all__ = ["Source", "Speech", "SpeechConfig", "TrackListener"]

log = structlog.get_logger()

JUDGED_EVERY = 0.5
"""Seconds between two looks at what calls need and what there is."""


class Speech:
    """Turns what is said on tracks into ``Utterance``, ``Transcribed`` and ``Untranscribed`` events of their calls."""

    def __init__(
        self,
        config: SpeechConfig,
        *,
        clock: Clock,
        choice: Choice | None = None,
        start: Starts | None = None,
        machine: str = "",
        number: int = 0,
    ) -> None:
        """``machine`` and ``number``: what this machine, and which of its models, is called in the queue. Raises ConfigError."""
        self.config, self.choice = config, choice or choose(config)
        self.ready = asyncio.Event()
        """A worker has its model, or no engine is configured."""
        self.engine: messages.Ready | None = None
        """What the workers said they are."""
        self._own_workers = config.worker_count if self.choice.engine and config.where != "queue" else 0
        self.admission = Admission(max(1, self._own_workers), partials=config.partials and config.where != "queue")
        self.house: Sequence[Measured] = [self]
        """All that are measured together: one for each model."""
        self.calls: Counter[str] = Counter()
        """Calls that go on, by state."""
        self._clock = clock
        self._scheduler = Scheduler(
            streaming=False, partials=config.partials, workers=config.worker_count, streams=config.streams,
            state=lambda job: self.admission.state(job.source.call),
        )  # fmt: skip
        self._outstanding = Outstanding(
            self._scheduler, clock=clock, most=config.max_utterances, changed=lambda: backlog(self.house)
        )
        self.steps = Steps(
            self._scheduler, self._outstanding, self.admission,
            clock=clock, seconds=config.step_seconds, wake=self._wake,
        )  # fmt: skip
        self._pool = Pool(config, self.choice, self.steps, self._started, start)
        self._utterances = Utterances(
            config, self._scheduler, self._outstanding, self.admission,
            engine=bool(self.choice.engine), wake=self._wake,
        )  # fmt: skip
        self._queue: SpeechQueue | None = None
        if config.where != "here" and self.choice.engine:
            self._queue = SpeechQueue(
                config, self._scheduler, self.steps, self.admission, self._answers,
                machine=machine, number=number, cipher=cipher(config.queue.key),
            )  # fmt: skip
        self._segmenting = Segmenting(self._utterances)

    @property
    def trouble(self) -> str:
        """Why nothing is transcribed now, and what to do about it; empty while all is well."""
        return self._pool.trouble or (self._queue.trouble if self._queue is not None else "")

    @property
    def pids(self) -> dict[int, int]:
        """Process ids of the workers that run, by their index."""
        return self._pool.pids

    @property
    def deferred(self) -> tuple[int, float]:
        """Utterances that were deferred or left over and wait, and their seconds."""
        return self._scheduler.deferred

    @property
    def waiting(self) -> int:
        """Utterances of all calls that have ended and have no text."""
        return self._scheduler.waiting

    def listen(self, source: Source, start: int = 0) -> TrackListener:
        """A listener on a track, from a position on. A track that cannot be listened to gets one that hears nothing."""
        listener = TrackListener(source, max(0, start), self._segmenting.changed)
        if listener.segmenter is None:
            log.warning("track cannot be cut into utterances", call=source.call, rate=source.rate)
            emit(source, Warned(at=source.at(listener.upto), code="not-transcribed", text=listener.trouble))
        self._outstanding.listening(listener)
        return listener

    def catch_up(self, source: Source, utterances: Sequence[Utterance]) -> None:
        """Transcribe utterances that an earlier run left without a text, when no live call needs the workers.

        ``start`` and ``stop`` are positions as the source counts them.
        """
        listener = TrackListener(source, 0, self._segmenting.changed)
        listener.closed = listener.flushed = True
        for utterance in utterances:
            self._utterances.again(listener, utterance)
        self._wake()

    async def settled(self, call: str, timeout: float) -> bool:  # noqa: ASYNC109 - a deadline that returns, not raises
        """Whether every utterance of a call has its text, or never will, within so many seconds; "" = of all calls."""
        return await self._outstanding.settled(call, timeout)

    def forget(self, call: str) -> int:
        """Nobody wants the texts of a call any more: whatever waits is left out. How many utterances that were."""
        return self._outstanding.forget(lambda source: source.call == call)

    def forget_track(self, source: Source) -> int:
        """The same of one track."""
        return self._outstanding.forget(lambda one: one is source)

    def at_most(self, best: State) -> None:
        """The machine is short of something: no call is transcribed better than that, and ``deferred`` waits until it ends."""
        if best != self.admission.best:
            self.admission.best, self._scheduler.held = best, best == "deferred"
            self._scheduler.regrade()
            self._wake()

    def status(self) -> dict[str, object]:
        """How it keeps up, for people."""
        late, seconds = self._scheduler.deferred
        going = self._outstanding.going if self.choice.engine else ()
        calls = Counter(self.admission.state(call) for call in going)
        return {
            "engine": self.choice.engine,
            "workers": len(self.pids),
            "calls": {state: calls[state] for state in STATES},
            "load": round(self.admission.load, 2),
            "lag": self.steps.lag,
            "waiting": self.waiting,
            "deferred": late,
            "deferred_seconds": round(seconds, 1),
        }

    async def run(self) -> None:
        """Own the listeners and the workers until cancelled. Workers are ended then. May be run again: nothing is forgotten."""
        if not self.choice.engine:
            if self.trouble:
                log.warning("calls are not transcribed", error=self.choice.trouble, hint=self.choice.fix)
            self.ready.set()
        else:
            log.info("speech engine chosen", engine=self.choice.engine, workers=self._own_workers)
            if not self._own_workers:
                self.ready.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._segmenting.run(), name="listeners")
                if self.choice.engine:
                    tasks.create_task(self._judge(), name="speech admission")
                if self._queue is not None:
                    tasks.create_task(self._queue.run(), name="speech queue")
                for index in range(self._own_workers):
                    tasks.create_task(self._pool.tend(index, tasks), name=f"speech worker {index}")
        except Exception:
            self._pool.trouble = "internal error, restarting speech: see the log" if self.choice.engine else ""
            raise
        finally:
            await self._pool.close()

    def _started(self, ready: messages.Ready) -> None:
        """A worker has its model: what it does not understand gets no text."""
        self.engine = ready
        self._utterances.languages = ready.languages
        self._scheduler.streaming = self.admission.streaming = ready.streaming
        for job in self._scheduler.forget(lambda job: not self._utterances.understands(job)):
            if job.stop is not None:
                self._outstanding.give_up(job, "language")
        self.ready.set()

    def _answers(self, ready: messages.Ready) -> None:
        """Other machines have an engine, too."""
        if not self._own_workers:
            self.engine = ready

    def _wake(self) -> None:
        """There may be something to do."""
        self._pool.wake()
        if self._queue is not None:
            self._queue.wake()

    async def _judge(self) -> None:
        """Which calls there is time for."""
        await self.ready.wait()
        while True:
            going = self._outstanding.going
            now = asyncio.get_running_loop().time()
            changed = self.admission.judge(going, self._scheduler.awaited(), len(self.pids), now)
            for call, state in changed.items():
                emit(going[call], SpeechState(at=self._clock.now(), state=state))
            self.calls = Counter(self.admission.state(call) for call in going)
            if changed:
                self._scheduler.regrade()
                self._wake()
                log.info("transcription mode changed", load=round(self.admission.load, 2), calls=dict(self.calls))
            measure(self.house)
            await asyncio.sleep(JUDGED_EVERY)
