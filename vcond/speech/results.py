"""From what an engine answers to what the journal keeps: times on the track, confidences between 0 and 1."""

from __future__ import annotations

import structlog

from vcond.base.time import MILLI, Instant
from vcond.call.events import VOCABULARY, Transcribed, Warned, Word
from vcond.speech.engine import Final, Heard
from vcond.speech.scheduler import Job
from vcond.speech.workers.messages import Done, Ready

LONGEST_NOTE = 500
"""Characters."""
MOST_NOTES = 100
log = structlog.get_logger()


def transcribed(job: Job, done: Done, ready: Ready, now: Instant, machine: str = "") -> Transcribed:
    """The event for an utterance that an engine understood, or did not: then the text is empty. ``machine``: another one."""
    assert job.stop is not None
    final = done.final
    return Transcribed(
        at=now,
        utterance=job.number,
        engine=ready.engine,
        model=ready.model,
        text=final.text,
        words=words(final, job.start, job.stop, job.source.rate),
        language=final.language,
        confidence=_unit(final.confidence),
        took_ms=done.cpu_ms,
        lag_ms=max(0, now - job.source.at(job.stop)) // MILLI,
        deferred=not job.live,
        machine=machine,
    )


class Notes:
    """What of how texts were made belongs into records; the operator is told of each kind once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def of(self, done: Done, now: Instant) -> list[Warned]:
        """For the record of the utterance's call."""
        text = done.final.note[:LONGEST_NOTE]
        if text and text not in self._told and len(self._told) < MOST_NOTES:
            self._told.add(text)
            log.warning("cannot use the whole vocabulary", error=text, hint="run: vcond check, it lists the words")
        return [Warned(at=now, code=VOCABULARY, text=text)] if text else []


def words(final: Final, start: int, stop: int, rate: int) -> list[Word]:
    """An engine's words as positions in the track: within the utterance and in order, whatever the engine says."""
    out: list[Word] = []
    earliest = start
    for heard in final.words:
        since = min(max(earliest, start + _samples(heard.start, rate)), stop)
        until = min(max(since, start + _samples(heard.stop, rate)), stop)
        out.append(_word(heard, since, until))
        earliest = since
    return out


def _word(heard: Heard, since: int, until: int) -> Word:
    return Word(start=since, stop=until, text=heard.text, confidence=_unit(heard.confidence))


def _samples(seconds: float, rate: int) -> int:
    return round(min(max(seconds, 0.0), 1e6) * rate) if seconds == seconds else 0  # noqa: PLR0124 - NaN is not itself


def _unit(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 3) if value == value else 0.0  # noqa: PLR0124 - NaN is not itself
