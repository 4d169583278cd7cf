"""Segmenting on tracks: audio that is placed is read and cut into utterances, a tenth of a second or so at a time."""

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


class TrackListener:
    """Listens to one track: the core says how far audio is placed. Nothing here waits or reads.

    Positions are the source's.
    """

    def __init__(self, source: Source, start: int, changed: Callable[[TrackListener], None]) -> None:
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


class SegmentHandler(Protocol):
    """Who is told what was heard."""

    def begun(self, listener: TrackListener, start: int) -> None:
        """Somebody began to speak."""

    def grew(self, listener: TrackListener) -> None:
        """More of the track was cut."""

    def ended(self, listener: TrackListener, start: int, stop: int) -> None:
        """An utterance is complete."""

    def dropped(self, listener: TrackListener) -> None:
        """What began was no speech."""

    def segmenter_failed(self, listener: TrackListener) -> None:
        """A mistake of ours: nothing more of this track is heard, nor the end of what began."""

    def flushed(self, listener: TrackListener) -> None:
        """No more utterances of this track."""


class Segmenting:
    """Cuts every track that has new audio, in rounds: all reads of a round in one thread, never in the event loop."""

    def __init__(self, hears: SegmentHandler) -> None:
        self._hears = hears
        self._changed: dict[TrackListener, None] = {}
        self._some = asyncio.Event()

    async def run(self) -> None:
        """Cut what changes, until cancelled. May be run again then."""
        while True:
            await self._some.wait()
            self._some.clear()
            changed, self._changed = self._changed, {}
            try:
                await self._round([listener for listener in changed if not listener.flushed])
            except BaseException:
                for (
                    listener
                ) in changed:  # a closed one would not come back by itself, and its call would wait for its texts
                    self.changed(listener)
                raise

    async def _round(self, changed: Sequence[TrackListener]) -> None:
        parts = [
            (listener, listener.done, min(listener.upto, listener.done + ROUND_SECONDS * listener.source.rate))
            for listener in changed
        ]
        audio = await read_many([(listener.source, start, stop) for listener, start, stop in parts])
        for (listener, start, stop), pcm in zip(parts, audio, strict=True):
            self._cut(listener, start, pcm, at_end=listener.closed and listener.upto == stop)
            self._go_on(listener, stop)

    def changed(self, listener: TrackListener) -> None:
        """There is more of the track, or no more will come."""
        self._changed[listener] = None
        self._some.set()

    def _cut(self, listener: TrackListener, start: int, pcm: Pcm, *, at_end: bool) -> None:
        """Tell what a stretch of a track holds. A track that breaks us must not end the transcription of all others."""
        try:
            for event in self._find(listener, start, pcm, at_end=at_end):
                if isinstance(event, Begun):
                    self._hears.begun(listener, event.start)
                elif isinstance(event, Ended):
                    self._hears.ended(listener, event.start, event.stop)
                else:
                    self._hears.dropped(listener)
        except Exception:
            log.exception("segmentation failed; rest of track will not be transcribed", call=listener.source.call)
            metrics.dropped_total.labels("speech", "segmenter").inc()
            listener.segmenter = None
            self._hears.segmenter_failed(listener)

    def _find(self, listener: TrackListener, start: int, pcm: Pcm, *, at_end: bool) -> list[Event]:
        if listener.segmenter is None:
            return []
        found = listener.segmenter.feed(start, pcm) if len(pcm) else []
        return [*found, *listener.segmenter.close()] if at_end else found

    def _go_on(self, listener: TrackListener, stop: int) -> None:
        listener.done = stop
        if listener.closed and listener.upto == stop:
            listener.flushed = True
            self._hears.flushed(listener)
            return
        self._hears.grew(listener)
        if listener.upto > stop or listener.closed:
            self.changed(listener)


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
        log.warning(
            "cannot read recorded audio; that part is not transcribed", seconds=round((stop - start) / source.rate, 1)
        )
    except Exception:  # one track's mistake; all others are read with it
        log.exception("audio cannot be read back, not transcribed; please report it", call=source.call)
    metrics.dropped_total.labels("speech", "unreadable").inc()
    return np.zeros(stop - start, np.int16)
