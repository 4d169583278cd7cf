"""Ears on tracks: audio that is placed is read and cut into utterances, a tenth of a second or so at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import structlog

from vcond.base import metrics
from vcond.base.errors import BadMediaError, OperatorError
from vcond.media.detect.segmenter import Begun, Ended, Event, Segmenter
from vcond.speech.engine import Pcm
from vcond.speech.scheduler import Job
from vcond.speech.source import Source

log = structlog.get_logger()

ROUND_SECONDS = 10
"""Most audio of one track that is read at once; a track of an hour that was left over takes many rounds."""


class Ear:
    """Listens to one track: the core says how far audio is placed. Nothing here waits or reads.

    Positions are the source's.
    """

    def __init__(self, source: Source, start: int, changed: Callable[[Ear], None]) -> None:
        self.source = source
        self.segmenter, self.trouble = _segmenter(source.rate)
        """None for a track that cannot be listened to; ``trouble`` says why."""
        self.upto = start
        """How far audio is placed."""
        self.done = start
        """How far it was read and cut."""
        self.closed = False
        """No more audio will come."""
        self.flushed = False
        """Closed, and cut to the end."""
        self.job: Job | None = None
        """The utterance that is being spoken."""
        self.waiting: set[Job] = set()
        """Utterances that have ended and have no text."""
        self._changed = changed

    @property
    def busy(self) -> bool:
        """Whether anything of this track can still get a text."""
        return not self.flushed or bool(self.waiting)

    def advance(self, upto: int) -> None:
        """Audio is placed up to there. Never waits."""
        if not self.closed and upto > self.upto:
            self.upto = upto
            self._changed(self)

    def close(self, upto: int) -> None:
        """Audio is placed up to there and no more will come. A second close does nothing."""
        if not self.closed:
            self.upto = max(self.upto, upto)
            self.closed = True
            self._changed(self)


class Hears(Protocol):
    """Who is told what was heard."""

    def begun(self, ear: Ear, start: int) -> None:
        """Somebody began to speak."""

    def grew(self, ear: Ear) -> None:
        """More of the track was cut."""

    def ended(self, ear: Ear, start: int, stop: int) -> None:
        """An utterance is complete."""

    def dropped(self, ear: Ear) -> None:
        """What began was no speech."""

    def deaf(self, ear: Ear) -> None:
        """A mistake of ours: nothing more of this track is heard, nor the end of what began."""

    def flushed(self, ear: Ear) -> None:
        """No more utterances of this track."""


class Ears:
    """Cuts every track that has new audio, in rounds: all reads of a round in one thread, never in the event loop."""

    def __init__(self, hears: Hears) -> None:
        self._hears = hears
        self._changed: dict[Ear, None] = {}
        self._some = asyncio.Event()

    async def run(self) -> None:
        """Cut what changes, until cancelled. May be run again then."""
        while True:
            await self._some.wait()
            self._some.clear()
            changed, self._changed = self._changed, {}
            try:
                await self._round([ear for ear in changed if not ear.flushed])
            except BaseException:
                for ear in changed:  # a closed one would not come back by itself, and its call would wait for its texts
                    self.changed(ear)
                raise

    async def _round(self, changed: Sequence[Ear]) -> None:
        parts = [(ear, ear.done, min(ear.upto, ear.done + ROUND_SECONDS * ear.source.rate)) for ear in changed]
        audio = await read_many([(ear.source, start, stop) for ear, start, stop in parts])
        for (ear, start, stop), pcm in zip(parts, audio, strict=True):
            self._cut(ear, start, pcm, at_end=ear.closed and ear.upto == stop)
            self._go_on(ear, stop)

    def changed(self, ear: Ear) -> None:
        """There is more of the track, or no more will come."""
        self._changed[ear] = None
        self._some.set()

    def _cut(self, ear: Ear, start: int, pcm: Pcm, *, at_end: bool) -> None:
        """Tell what a stretch of a track holds. A track that breaks us must not end the transcription of all others."""
        try:
            for event in self._find(ear, start, pcm, at_end=at_end):
                if isinstance(event, Begun):
                    self._hears.begun(ear, event.start)
                elif isinstance(event, Ended):
                    self._hears.ended(ear, event.start, event.stop)
                else:
                    self._hears.dropped(ear)
        except Exception:
            log.exception("track is no longer cut into utterances", call=ear.source.call)
            metrics.dropped_total.labels("speech", "segmenter").inc()
            ear.segmenter = None
            self._hears.deaf(ear)

    def _find(self, ear: Ear, start: int, pcm: Pcm, *, at_end: bool) -> list[Event]:
        if ear.segmenter is None:
            return []
        found = ear.segmenter.feed(start, pcm) if len(pcm) else []
        return [*found, *ear.segmenter.close()] if at_end else found

    def _go_on(self, ear: Ear, stop: int) -> None:
        ear.done = stop
        if ear.closed and ear.upto == stop:
            ear.flushed = True
            self._hears.flushed(ear)
            return
        self._hears.grew(ear)
        if ear.upto > stop or ear.closed:
            self.changed(ear)


def _segmenter(rate: int) -> tuple[Segmenter | None, str]:
    try:
        return Segmenter(rate), ""
    except BadMediaError as why:
        return None, str(why)


async def read(source: Source, start: int, stop: int) -> Pcm:
    """Audio of a source without making the event loop wait. Raises OperatorError kinds."""
    while True:
        call = source.call
        pcm = await asyncio.to_thread(source.read, start, stop)
        # A call that was merged in the middle of it may have read the new call's file under the old one's name.
        if source.call == call:
            return pcm


async def read_many(parts: Sequence[tuple[Source, int, int]]) -> list[Pcm]:
    """Audio of many sources in one go, shape (stop - start,) each. What cannot be read is silence, and is counted."""
    calls = [source.call for source, _, _ in parts]
    audio = await asyncio.to_thread(lambda: [_read_or_silence(*part) for part in parts])
    for index, (source, start, stop) in enumerate(parts):
        if source.call != calls[index]:
            audio[index] = await asyncio.to_thread(_read_or_silence, source, start, stop)
    return audio


def _read_or_silence(source: Source, start: int, stop: int) -> Pcm:
    try:
        return source.read(start, stop)
    except OperatorError:
        log.warning("audio cannot be read back, not transcribed", seconds=round((stop - start) / source.rate, 1))
    except Exception:  # one track's mistake; all others are read with it
        log.exception("audio cannot be read back, not transcribed; please report it", call=source.call)
    metrics.dropped_total.labels("speech", "unreadable").inc()
    return np.zeros(stop - start, np.int16)
