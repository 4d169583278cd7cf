"""From what is cut out of tracks to what waits for a text: each utterance gets its number, its language, its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from vcond.call.events import NO_ENGINE, Utterance, Warned
from vcond.speech.config import SpeechConfig
from vcond.speech.engine import Hint
from vcond.speech.load.admission import Admission
from vcond.speech.outstanding import Outstanding, emit
from vcond.speech.scheduler import TRIES, Job, Scheduler
from vcond.speech.segmenting import Ear


class Utterances:
    """Is told what tracks hold (``segmenting.Hears``)."""

    def __init__(
        self,
        config: SpeechConfig,
        scheduler: Scheduler,
        outstanding: Outstanding,
        admission: Admission,
        *,
        engine: bool,
        wake: Callable[[], None],
    ) -> None:
        """``engine``: whether there is one. ``wake``: workers have more to do."""
        self.languages: Sequence[str] = ()
        """Those that the engine understands; empty = it was not said yet, or all."""
        self._config, self._scheduler, self._outstanding, self._admission = config, scheduler, outstanding, admission
        self._engine, self._wake, self._jobs = engine, wake, 0

    def begun(self, ear: Ear, start: int) -> None:
        """Somebody began to speak."""
        job = self._job(Job(ear.source, start, lane=ear.source.call))
        if self._engine and self.understands(job) and not ear.flushed:
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
        emit(ear.source, Utterance(at=at, utterance=job.number, track=ear.source.track, start=start, stop=stop))
        ear.job = None
        self._outstanding.put(ear, job, self._hopeless(job))
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
        emit(ear.source, Warned(at=ear.source.at(ear.done), code="not-transcribed", text=text))

    def flushed(self, ear: Ear) -> None:
        """No more utterances of this track."""
        self._outstanding.settle(ear)

    def again(self, ear: Ear, utterance: Utterance) -> None:
        """One that an earlier run left without a text; ``ear`` hears nothing more."""
        job = self._job(Job(ear.source, utterance.start, utterance.stop, lane=ear.source.call, live=False))
        job.number = utterance.utterance
        self._outstanding.put(ear, job, self._hopeless(job))

    def understands(self, job: Job) -> bool:
        """Whether the engine knows the language of an utterance, as far as anybody has said."""
        language = job.hint.language.partition("-")[0].lower()
        return not language or not self.languages or language in self.languages

    def _spoken(self, job: Job, upto: int) -> None:
        """More of an utterance is known, or less when it turns out to have ended before."""
        now = asyncio.get_running_loop().time()
        if self._engine and self.understands(job):
            self._admission.spoke(job.source.call, (upto - job.heard) / job.source.rate, now)
        job.heard, job.heard_at = upto, now

    def _job(self, job: Job) -> Job:
        self._jobs += 1
        job.id = self._jobs
        source, words = job.source, job.source.vocabulary
        vocabulary = tuple(self._config.vocabulary) if words is None else words
        job.hint = Hint(source.rate, source.language or self._config.language, vocabulary)
        return job

    def _hopeless(self, job: Job) -> str:
        """Why it gets no text; empty when it may."""
        if not self._engine:
            return NO_ENGINE
        if not self.understands(job):
            return "language"
        if job.tries >= TRIES:
            return "engine-failed"
        return "too-many" if self._outstanding.full(job) else ""
