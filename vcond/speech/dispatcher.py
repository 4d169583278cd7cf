"""Speech: ears on tracks, utterances in turn, workers that turn them into text. One object for the whole daemon.

What waits here are references into journals, never audio. A worker that dies costs nothing but time: what it had in hand
is read from the journal again. Capture only says how far it is (``Ear.advance``) and never waits for any of this.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import structlog

from vcond.base import metrics
from vcond.base.errors import OperatorError, VcondError
from vcond.call.events import NO_ENGINE, Event, SpeechState, Untranscribed, Utterance, Warned
from vcond.speech.config import SpeechConfig
from vcond.speech.engine import Hint
from vcond.speech.engine_choice import Choice, choose
from vcond.speech.load.admission import STATES, Admission, Kind
from vcond.speech.load.metrics import backlog, measure
from vcond.speech.results import Notes, transcribed
from vcond.speech.scheduler import AGAIN, TRIES, Job, Scheduler, Step
from vcond.speech.segmenting import Ear, Ears, read
from vcond.speech.source import Clock, Source
from vcond.speech.workers import messages
from vcond.speech.workers.process import EngineAwayError, EngineFailedError, Worker, WorkerLostError
from vcond.speech.workers.spawn import Workers

__all__ = ["Ear", "Source", "Speech", "SpeechConfig"]

log = structlog.get_logger()

WORRYING_PAUSE = 4.0
"""Seconds between two starts from which on it is said that something is wrong."""
LONGEST_PAUSE = 30.0
"""Seconds between two starts of a worker that always dies."""
JUDGED_EVERY = 0.5
"""Seconds between two looks at what calls need and what there is."""
STALE = 2.0
"""Seconds after which what was being said is not worth showing any more."""

Starts = Callable[..., Awaitable[tuple[Worker, messages.Ready]]]
"""As ``Worker.start``."""


class Speech:
    """Turns what is said on tracks into ``Utterance``, ``Transcribed`` and ``Untranscribed`` events of their calls."""

    def __init__(
        self, config: SpeechConfig, *, clock: Clock, choice: Choice | None = None, start: Starts | None = None
    ) -> None:
        self.config = config
        self.choice = choice or choose(config)
        self.ready = asyncio.Event()
        """A worker has its model, or no engine is configured."""
        self.trouble = f"{self.choice.trouble}: {self.choice.fix}" if self.choice.trouble else ""
        """Why nothing is transcribed now, and what to do about it; empty while all is well."""
        self.engine: messages.Ready | None = None
        """What the workers said they are."""
        self._clock, self._workers = clock, Workers()
        self._start = start or self._workers.start
        self.admission = Admission(config.worker_count, partials=config.partials)
        self._scheduler = Scheduler(
            streaming=False, partials=config.partials, workers=config.worker_count, streams=config.streams,
            state=lambda job: self.admission.state(job.source.call),
        )  # fmt: skip
        self._ears = Ears(self)
        self._busy: set[Ear] = set()
        self._of: dict[Job, Ear] = {}
        self._per_call: Counter[str] = Counter()
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._wakes = [asyncio.Event() for _ in range(config.worker_count)]
        self._pauses = [0.0] * config.worker_count
        self._jobs, self._notes = 0, Notes()
        self.house: Sequence[Speech] = [self]
        """All that are measured together: one for each model."""
        self.calls: Counter[str] = Counter()
        """Calls that go on, by state."""
        self.pids: dict[int, int] = {}
        """Process ids of the workers that run, by their index."""

    # For the core.

    def listen(self, source: Source, start: int = 0) -> Ear:
        """An ear on a track, from a position on. A track that cannot be listened to gets one that hears nothing."""
        ear = Ear(source, max(0, start), self._ears.changed)
        if ear.segmenter is None:
            log.warning("track cannot be cut into utterances", call=source.call, rate=source.rate)
            self._emit(source, Warned(at=source.at(ear.upto), code="not-transcribed", text=ear.trouble))
        self._busy.add(ear)
        return ear

    def catch_up(self, source: Source, utterances: Sequence[Utterance]) -> None:
        """Transcribe utterances that an earlier run left without a text, when no live call needs the workers.

        ``start`` and ``stop`` are positions as the source counts them.
        """
        ear = Ear(source, 0, self._ears.changed)
        ear.closed = ear.flushed = True
        for utterance in utterances:
            job = self._job(Job(source, utterance.start, utterance.stop, lane=source.call, live=False))
            job.number = utterance.utterance
            self._await_text(ear, job)
        self._wake()

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

    def forget(self, call: str) -> int:
        """Nobody wants the texts of a call any more: whatever waits is left out. How many utterances that were."""
        for ear in [ear for ear in self._busy if ear.source.call == call]:
            ear.closed = ear.flushed = True
            ear.job = None
            self._settle(ear)
        out = [job for job in self._scheduler.forget(lambda job: job.source.call == call) if job.stop is not None]
        for job in out:
            self._finished(job)
        return len(out)

    def status(self) -> dict[str, object]:
        """How it keeps up, for people."""
        late, seconds = self._scheduler.deferred
        going = {ear.source.call for ear in self._busy if not ear.closed}
        calls = Counter(self.admission.state(call) for call in going) if self.choice.engine else Counter()
        return {
            "engine": self.choice.engine,
            "workers": len(self.pids),
            "calls": {state: calls[state] for state in STATES},
            "load": round(self.admission.load, 2),
            "waiting": self.waiting,
            "deferred": late,
            "deferred_seconds": round(seconds, 1),
        }

    @property
    def deferred(self) -> tuple[int, float]:
        """Utterances that were deferred or left over and wait, and their seconds."""
        return self._scheduler.deferred

    @property
    def waiting(self) -> int:
        """Utterances of all calls that have ended and have no text."""
        return self._scheduler.waiting

    async def run(self) -> None:
        """Own the ears and the workers until cancelled. Workers are ended then. May be run again: nothing is forgotten."""
        if not self.choice.engine:
            if self.trouble:
                log.warning("nothing is transcribed", why=self.choice.trouble, fix=self.choice.fix)
            self.ready.set()
        else:
            log.info("speech", engine=self.choice.engine, workers=self.config.worker_count)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ears.run(), name="ears")
                if self.choice.engine:
                    tasks.create_task(self._judge(), name="speech admission")
                for index in range(self.config.worker_count if self.choice.engine else 0):
                    tasks.create_task(self._tend(index, tasks), name=f"speech worker {index}")
        except Exception:
            self.trouble = "a mistake of vcond, speech is started again: see the log" if self.choice.engine else ""
            raise
        finally:
            await self._workers.close()

    # What ears hear.

    def begun(self, ear: Ear, start: int) -> None:
        """Somebody began to speak."""
        job = self._job(Job(ear.source, start, lane=ear.source.call))
        if self.choice.engine and self._understands(job) and not ear.flushed:
            ear.job = job
            self._scheduler.begin(job)

    def grew(self, ear: Ear) -> None:
        """More of the track was cut."""
        if ear.job is not None:
            self._spoken(ear.job, ear.done)
            self._wake()

    def ended(self, ear: Ear, start: int, stop: int) -> None:
        """An utterance is complete: into the journal with it, then it waits for its text."""
        if ear.flushed:
            return
        job = ear.job or self._job(Job(ear.source, start, lane=ear.source.call))
        self._spoken(job, stop)
        job.stop, job.number = stop, ear.source.next_utterance()
        at = ear.source.at(stop)
        self._emit(ear.source, Utterance(at=at, utterance=job.number, track=ear.source.track, start=start, stop=stop))
        ear.job = None
        self._await_text(ear, job)
        self._wake()

    def dropped(self, ear: Ear) -> None:
        """What began was no speech: nobody wants a text of it."""
        job, ear.job = ear.job, None
        if job is not None:
            self._scheduler.abandon(job)
            self._wake()

    def deaf(self, ear: Ear) -> None:
        """A mistake of ours: nothing more of this track is heard, and the record says so."""
        self.dropped(ear)
        text = "a mistake of vcond: the rest of a track is not transcribed"
        self._emit(ear.source, Warned(at=ear.source.at(ear.done), code="not-transcribed", text=text))

    def flushed(self, ear: Ear) -> None:
        """No more utterances of this track."""
        self._settle(ear)

    # Which calls there is time for.

    def _spoken(self, job: Job, upto: int) -> None:
        """More of an utterance is known, or less when it turns out to have ended before."""
        now = asyncio.get_running_loop().time()
        if self.choice.engine and self._understands(job):
            self.admission.spoke(job.source.call, (upto - job.heard) / job.source.rate, now)
        job.heard, job.heard_at = upto, now

    async def _judge(self) -> None:
        await self.ready.wait()
        while True:
            going = {ear.source.call: ear.source for ear in self._busy if not ear.closed}
            now = asyncio.get_running_loop().time()
            changed = self.admission.judge(going, self._scheduler.awaited(), len(self.pids), now)
            for call, state in changed.items():
                self._emit(going[call], SpeechState(at=self._clock.now(), state=state))
            self.calls = Counter(self.admission.state(call) for call in going)
            if changed:
                self._scheduler.regrade()
                self._wake()
                log.info("speech keeps up otherwise", load=round(self.admission.load, 2), calls=dict(self.calls))
            measure(self.house)
            await asyncio.sleep(JUDGED_EVERY)

    def _took(self, step: Step, seconds: float, kind: Kind, *, lost: bool = False) -> None:
        """Count what a step cost; what is lost with a worker costs and brings nothing."""
        job, costs = step.job, self.admission.costs
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

    # What waits.

    def _job(self, job: Job) -> Job:
        self._jobs += 1
        job.id = self._jobs
        source, words = job.source, job.source.vocabulary
        vocabulary = tuple(self.config.vocabulary) if words is None else words
        job.hint = Hint(source.rate, source.language or self.config.language, vocabulary)
        return job

    def _await_text(self, ear: Ear, job: Job) -> None:
        reason = self._hopeless(job)
        self._of[job] = ear
        ear.waiting.add(job)
        self._busy.add(ear)
        self._per_call[job.lane] += 1
        if reason:
            self._scheduler.abandon(job)
            self._give_up(job, reason)
        else:
            self._scheduler.end(job)
        backlog(self.house)

    def _hopeless(self, job: Job) -> str:
        if not self.choice.engine:
            return NO_ENGINE
        if not self._understands(job):
            return "language"
        if job.tries >= TRIES:
            return "engine-failed"
        if self._per_call[job.lane] >= self.config.max_utterances:
            metrics.dropped_total.labels("utterance", "too-many").inc()
            return "too-many"
        return ""

    def _give_up(self, job: Job, reason: str) -> None:
        self._emit(job.source, Untranscribed(at=self._clock.now(), utterance=job.number, reason=reason))
        self._finished(job)

    def _finished(self, job: Job) -> None:
        ear = self._of.pop(job)
        ear.waiting.discard(job)
        self._per_call[job.lane] -= 1
        if self._per_call[job.lane] <= 0:
            del self._per_call[job.lane]
        backlog(self.house)
        self._settle(ear)

    def _is_settled(self, call: str) -> bool:
        return not any(call in {"", ear.source.call} for ear in self._busy)

    def _settle(self, ear: Ear) -> None:
        """Tell those who wait, if nothing of this track can get a text any more."""
        if ear.busy:
            return
        self._busy.discard(ear)
        for call in {"", ear.source.call} & self._waiters.keys():
            for waiter in self._waiters[call] if self._is_settled(call) else []:
                if not waiter.done():
                    waiter.set_result(None)

    def _understands(self, job: Job) -> bool:
        language = job.hint.language.partition("-")[0].lower()
        return not language or self.engine is None or not self.engine.languages or language in self.engine.languages

    def _emit(self, source: Source, event: Event) -> None:
        try:
            source.emit(event)
        except VcondError:
            log.warning("an event of speech was not kept", call=source.call)
            metrics.dropped_total.labels("event", "speech").inc()

    # Workers.

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    async def _tend(self, index: int, tasks: asyncio.TaskGroup) -> None:
        """Keep one worker running for ever."""
        while True:
            await asyncio.sleep(self._pauses[index])
            choice = self.choice
            start = messages.Start(
                choice.engine, choice.model, self.config.threads, self.config.nice, choice.server,
                self.config.streams, tuple(self.config.vocabulary), any(one.vocabulary for one in self.config.routes),
                growth=2 * self.config.memory_mb << 20, search=self.config.search, allocator=self.config.allocator,
            )  # fmt: skip
            wake = self._wakes[index]
            try:
                worker, ready = await self._start(start, seconds=self.config.start_seconds, tasks=tasks, wake=wake)
            except OperatorError as why:
                self.trouble = str(why)
                log.warning("speech worker cannot start", why=str(why))
                self._died(index, "start")
                continue
            except WorkerLostError as why:
                log.warning("speech worker died while it started", reason=why.reason)
                self._died(index, "start")
                continue
            self.pids[index] = worker.pid
            try:
                self._started(worker, ready)
                reason = await self._serve(index, worker, ready)
            except WorkerLostError as why:
                reason = why.reason
            finally:
                self._scheduler.lost(index)
                await worker.close()
                del self.pids[index]
            say = log.info if reason == "warm" else log.warning
            say("speech worker is replaced", reason=reason, grown_mb=worker.memory >> 20)
            self._died(index, reason)

    def _started(self, worker: Worker, ready: messages.Ready) -> None:
        log.info("speech worker ready", pid=worker.pid, engine=ready.engine, model=ready.model, mb=ready.memory >> 20)
        if max(self._pauses) < WORRYING_PAUSE:
            self.trouble = ""
        self.engine = ready
        self._scheduler.streaming = self.admission.streaming = ready.streaming
        for job in self._scheduler.forget(lambda job: not self._understands(job)):
            if job.stop is not None:
                self._give_up(job, "language")
        self.ready.set()

    def _died(self, index: int, reason: str) -> None:
        metrics.stt_worker_restarts_total.labels(reason).inc()
        if reason in {"memory", "warm"}:
            return
        self._pauses[index] = min(LONGEST_PAUSE, 2 * self._pauses[index] or self.config.restart_seconds)
        if self._pauses[index] >= WORRYING_PAUSE and not self.trouble:
            self.trouble = (
                f"speech workers die again and again ({reason}): see the log for where, and try another model"
            )

    async def _serve(self, index: int, worker: Worker, ready: messages.Ready) -> str:
        """Give a worker one step after another. Returns why it is to be replaced; raises WorkerLostError."""
        wake = self._wakes[index]
        while True:
            if worker.lost:
                raise WorkerLostError(worker.lost)
            wake.clear()
            outgrown = "memory" if worker.memory > self.config.memory_mb << 20 else ""
            outgrown = outgrown or ("warm" if self._workers.stale(worker) else "")
            step = self._scheduler.next(index, accept=not outgrown)
            if step is not None:
                await self._do(step, worker, ready)
                self._pauses[index], self.trouble = 0.0, ""
            elif outgrown and not self._scheduler.holds(index):
                return outgrown
            else:
                await wake.wait()

    async def _do(self, step: Step, worker: Worker, ready: messages.Ready) -> None:
        job = step.job
        if step.kind == "drop":
            worker.tell(messages.Drop(job.id))
            return
        seconds = self.config.step_seconds + 2 * (step.stop - step.start) / job.source.rate
        began, heard_at = asyncio.get_running_loop().time(), job.heard_at
        try:
            pcm = await read(job.source, step.start, step.stop)
            began = asyncio.get_running_loop().time()
            answer = await worker.ask(self._messages(step, pcm.tobytes()), seconds)
        except OperatorError as why:
            log.warning("audio cannot be read back, not transcribed", call=job.source.call, why=str(why))
            job.tries = TRIES
            self._failed(step, "audio-unreadable")
            return
        except EngineFailedError as why:
            log.warning("speech engine failed on an utterance", call=job.source.call, why=str(why))
            self._failed(step, "engine-failed")
            return
        except EngineAwayError:
            # The worker is started again, with pauses that grow, until its engine reaches the server.
            self._failed(step, "engine-failed", blame=False)
            raise WorkerLostError("away") from None
        except WorkerLostError:
            self._took(step, asyncio.get_running_loop().time() - began, step.kind, lost=True)
            self._failed(step, "engine-failed")
            raise
        except BaseException as why:  # speech stops, or fails elsewhere, or here: the step is done again, a few times
            self._failed(step, "engine-failed", blame=isinstance(why, Exception))
            raise
        now = asyncio.get_running_loop().time()
        self._took(step, now - began, step.kind)
        self._scheduler.done(step)
        if isinstance(answer, messages.Done):
            self._text(job, answer, ready)
        elif answer.text not in {"", job.said} and job.stop is None and not job.gone:
            self._show(job, step.stop, answer.text, now - heard_at)

    def _show(self, job: Job, stop: int, text: str, lag: float) -> None:
        """Words that are being spoken, unless they come too late: then there will be newer ones, or the final."""
        metrics.stt_partial_lag_seconds.observe(lag)
        if lag <= STALE:
            job.said = text
            job.source.partial(job.start, stop, text)

    def _messages(self, step: Step, pcm: bytes) -> list[messages.Request]:
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

    def _failed(self, step: Step, reason: str, *, blame: bool = True) -> None:
        job = step.job
        if self._scheduler.failed(step, blame=blame) and job in self._of:
            if job.gone:
                self._finished(job)
            else:
                self._give_up(job, reason)
        self._wake()

    def _text(self, job: Job, done: messages.Done, ready: messages.Ready) -> None:
        try:
            if not job.gone:
                event = transcribed(job, done, ready, self._clock.now())
                if job.live:
                    metrics.stt_lag_seconds.observe(event.lag_ms / 1000)
                for one in (event, *self._notes.of(done, event.at)):
                    self._emit(job.source, one)
        finally:  # whoever waits for the call's texts waits no longer, whatever happened
            self._finished(job)
