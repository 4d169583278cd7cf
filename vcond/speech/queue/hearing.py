"""One job of the queue, heard by the engine of this machine, and what is answered."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from vcond.base.errors import BadMediaError, ProtocolError
from vcond.base.time import Instant, nanos
from vcond.call.events import Event, Transcribed, Untranscribed, Utterance, Warned
from vcond.speech.dispatcher import Speech
from vcond.speech.engine import Final as Text
from vcond.speech.engine import Heard, Pcm
from vcond.speech.queue import audio, messages
from vcond.speech.queue.messages import Answer, Cipher, Envelope, QueuedUtterance, Refusal
from vcond.speech.queue.tally import Tally

log = structlog.get_logger()

LONGEST: Final = 3600.0
"""Seconds that a job may want, whatever its deadline says."""
ZERO: Final = Instant(0)


@dataclass(eq=False)
class HeardElsewhere:
    """A job as the speech service sees it (``vcond.speech.source.Source``): one utterance, in memory."""

    call: str
    pcm: Pcm
    rate: int
    language: str
    vocabulary: tuple[str, ...] | None
    track: int = 0
    text: Transcribed | None = None
    reason: str = "engine-failed"
    notes: list[str] = field(default_factory=list)

    def read(self, start: int, stop: int) -> Pcm:
        """Samples ``[start, stop)``."""
        return self.pcm[start:stop]

    def emit(self, event: Event) -> None:
        """The text, or why there is none."""
        if isinstance(event, Transcribed):
            self.text = event
        elif isinstance(event, Untranscribed):
            self.reason = event.reason
        elif isinstance(event, Warned):
            self.notes.append(event.text)

    def next_utterance(self) -> int:
        """There is one only."""
        return 0

    def partial(self, start: int, stop: int, text: str) -> None:
        """Nobody watches."""

    def at(self, position: int) -> Instant:
        """The moment of a position, from the beginning."""
        return Instant(ZERO + nanos(position, self.rate))

    def utterance(self) -> Utterance:
        """All of it."""
        return Utterance(at=ZERO, utterance=0, track=0, start=0, stop=len(self.pcm))


class Hearing:
    """Makes an answer of a job."""

    def __init__(self, speech: Speech, machine: str, cipher: Cipher, tally: Tally) -> None:
        """``machine``: what this one is called in answers."""
        self._speech, self._machine, self._cipher, self._tally = speech, machine, cipher, tally
        self._count = itertools.count()

    async def answer(self, outside: Envelope) -> Answer | None:
        """What is answered; None = its deadline came while it was worked on: nobody waits."""
        try:
            job = messages.job(self._cipher.open("job", outside))
        except messages.OtherKeyError as why:
            log.warning(
                "a job is refused",
                machine=outside.edge,
                error=str(why),
                hint="speech.queue.key must be the same on all machines",
            )
            return self.no("key")
        except ProtocolError:
            return self._refused(outside, "invalid")
        if (left := job.deadline - time.time()) <= 0:
            return msgspec.structs.replace(self._refused(outside, "late"), deadline=job.deadline)
        try:
            pcm = await asyncio.to_thread(_samples, job)
        except BadMediaError as why:
            return self._refused(outside, "audio" if str(why) else "hash")
        return await self._transcribed(outside, job, pcm, min(left, LONGEST))

    async def _transcribed(self, outside: Envelope, job: QueuedUtterance, pcm: Pcm, seconds: float) -> Answer | None:
        source = HeardElsewhere(f"{outside.id}.{next(self._count)}", pcm, job.rate, job.language, tuple(job.vocabulary))
        self._speech.catch_up(source, [source.utterance()])
        try:
            if not await self._speech.settled(source.call, seconds):
                return None
        finally:
            self._speech.forget(source.call)
        text = source.text
        if text is None:
            return self._refused(outside, "language" if source.reason == "language" else "engine-failed")
        self._tally.seconds += len(pcm) / job.rate
        words = tuple(Heard(w.start / job.rate, w.stop / job.rate, w.text, w.confidence) for w in text.words)
        heard = Text(text.text, words, text.language, text.confidence, next(iter(source.notes), ""))
        return Answer(self._machine, "", text.engine, text.model, heard, text.took_ms)

    def _refused(self, outside: Envelope, why: Refusal) -> Answer:
        log.warning("a job is refused", machine=outside.edge, reason=why)
        return self.no(why)

    def no(self, why: Refusal) -> Answer:
        """It is not transcribed here."""
        return Answer(self._machine, why)


def _samples(job: QueuedUtterance) -> Pcm:
    """Its audio, shape (samples,). Raises BadMediaError; without a text when it is not what its hash says."""
    if hashlib.sha256(job.audio).digest() != job.sha256:
        raise BadMediaError("")
    return audio.decoded(job.audio, job.rate)
