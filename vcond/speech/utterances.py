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
from vcond.speech.segmenting import TrackListener


class Utterances:
    """Is told what tracks hold (``segmenting.SegmentHandler``)."""

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

    def begun(self, listener: TrackListener, start: int) -> None:
        """Somebody began to speak."""
        job = self._job(Job(listener.source, start, call_id=listener.source.call))
        if self._engine and self.understands(job) and not listener.flushed:
            listener.job = job
            self._scheduler.begin(job)

    def grew(self, listener: TrackListener) -> None:
        """More of the track was cut."""
        if listener.job is not None:
            self._spoken(listener.job, listener.done)
            self._wake()

    def ended(self, listener: TrackListener, start: int, stop: int) -> None:
        """An utterance is complete: into the journal with it, then it waits for its text."""
        if listener.flushed:
            return
        job = listener.job or self._job(Job(listener.source, start, call_id=listener.source.call))
        self._spoken(job, stop)
        job.stop, job.number = stop, listener.source.next_utterance()
        at = listener.source.at(stop)
        emit(
            listener.source, Utterance(at=at, utterance=job.number, track=listener.source.track, start=start, stop=stop)
        )
        listener.job = None
        self._outstanding.put(listener, job, self._hopeless(job))
        self._wake()

    def dropped(self, listener: TrackListener) -> None:
        """What began was no speech: nobody wants a text of it."""
        job, listener.job = listener.job, None
        if job is not None:
            self._scheduler.abandon(job)
            self._wake()

    def segmenter_failed(self, listener: TrackListener) -> None:
        """A mistake of ours: nothing more of this track is heard, and the record says so."""
        self.dropped(listener)
        text = "internal error: the rest of a track is not transcribed"
        emit(listener.source, Warned(at=listener.source.at(listener.done), code="not-transcribed", text=text))

    def flushed(self, listener: TrackListener) -> None:
        """No more utterances of this track."""
        self._outstanding.settle(listener)

    def again(self, listener: TrackListener, utterance: Utterance) -> None:
        """One that an earlier run left without a text; ``listener`` hears nothing more."""
        job = self._job(Job(listener.source, utterance.start, utterance.stop, call_id=listener.source.call, live=False))
        job.number = utterance.utterance
        self._outstanding.put(listener, job, self._hopeless(job))

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
