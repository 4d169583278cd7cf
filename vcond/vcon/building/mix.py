"""From tracks to the channels of a recording: one window of time, one channel a party, nothing of a pause.

A window is the stretch of the call that a recording shows. A mix is the audio of one party in it: all of the party's
tracks laid over one another at their places (after a transfer or a crash a party has several), zeros where nothing
came, and zeros wherever recording was paused or the party had not agreed to it, whatever the journal's files hold there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vcond.base.time import MILLI, Instant, nanos, samples
from vcond.call.events import SpanKind
from vcond.call.intervals import Interval
from vcond.call.spans import HEARD
from vcond.call.state import Call, Track
from vcond.vcon.building.resampled import Resampled
from vcond.vcon.building.sound import Sound
from vcond.vcon.building.wav import pieces
from vcond.vcon.pcm import Pcm

LONGEST = 48 * 3600 * 1_000_000_000
"""The longest window, in nanoseconds: beyond it a journal's clock must have been wrong."""


@dataclass(frozen=True, slots=True)
class View:
    """A window of the call at a sample rate. ``start`` is a whole millisecond, so that its date loses nothing."""

    start: Instant
    stop: Instant
    rate: int
    origin: int
    """The sample of the call, from its zero, that is frame 0."""
    frames: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return round(self.frames / self.rate, 3)

    def frame(self, at: Instant) -> int:
        """The frame of a moment, cut to the window."""
        return min(max(samples(at - self.start, self.rate), 0), self.frames)

    def offset(self, at: Instant) -> float:
        """Seconds from the start, cut to the window."""
        return round(min(max(at - self.start, 0), self.stop - self.start) / 1e9, 3)


def over(call: Call) -> Instant:
    """The end of a call; of one that has no end in its journal, the last that is known."""
    return call.ended if call.ended is not None else call.last


def heard(track: Track, audio: Mapping[int, Sound]) -> bool:
    """Whether anything came in on a track, by its spans or, should a crash have lost those, by its samples."""
    if any(kind in HEARD for _, _, kind in track.spans):
        return True
    pcm = audio.get(track.index)
    return pcm is not None and any(np.any(pcm[start:stop]) for start, stop in pieces(len(pcm)))


def view(call: Call, tracks: Sequence[Track]) -> View:
    """The window of the recording of a call that was answered.

    From the answer (or, without one, the first track) or the first audio received, whatever is earlier, to the end;
    never before the call's zero. The rate is the highest of the tracks'; 8,000 Hz without tracks.
    """
    rate = max((track.rate for track in tracks), default=8000)
    begins = [call.answered if call.answered is not None else min((t.opened for t in tracks), default=call.opened)]
    for track in tracks:
        first = next((start for start, _, kind in track.spans if kind in HEARD), None)
        if first is not None:
            begins.append(call.at(first, track.rate))
    stop = over(call)
    start = min(max(min(begins), call.opened), max(stop, call.opened))
    start = Instant(start // MILLI * MILLI)
    stop = Instant(min(max(stop, start), start + LONGEST))
    return View(start, stop, rate, samples(start - call.opened, rate), samples(stop - start, rate))


def pauses(call: Call, shown: View) -> list[tuple[int, int]]:
    """Frames ``[start, stop)`` in which recording was paused, each end widened to whole frames."""
    return _frames(call.pauses, shown)


def withheld(call: Call, shown: View, party: int) -> list[tuple[int, int]]:
    """Likewise those in which nothing of a party was to be kept."""
    return _frames(call.consents.withheld(party, "recording"), shown)


def _frames(windows: Sequence[Interval], shown: View) -> list[tuple[int, int]]:
    found = []
    for window in windows:
        until = window.stop if window.stop is not None else shown.stop
        start = max((window.start - shown.start) * shown.rate // 1_000_000_000, 0)
        stop = min(-((shown.start - until) * shown.rate // 1_000_000_000), shown.frames)
        if stop > start:
            found.append((start, stop))
    return found


def touches_pause(windows: Sequence[Interval], start: Instant, stop: Instant) -> bool:
    """Whether ``[start, stop]`` and a pause have a moment in common."""
    return any(pause.start <= stop and (pause.stop is None or start <= pause.stop) for pause in windows)


class PartyMix:
    """One party's audio in a window; see the module."""

    def __init__(self, shown: View, sources: Sequence[tuple[int, Sound]], silences: Sequence[tuple[int, int]]) -> None:
        """``sources``: samples with the frame at which they begin (may be negative)."""
        self.frames = shown.frames
        self._sources = list(sources)
        self._silences = list(silences)

    def read(self, start: int, stop: int) -> Pcm:
        """Samples ``[start, stop)``; tracks that speak at once are added, and cut off at full scale."""
        out = np.zeros(stop - start, np.int16)
        written = False
        for begin, pcm in self._sources:
            a, b = max(start, begin), min(stop, begin + len(pcm))
            if a >= b:
                continue
            part, into = pcm[a - begin : b - begin], out[a - start : b - start]
            into[:] = np.clip(into.astype(np.int32) + part, -32768, 32767) if written else part
            written = True
        for a, b in self._silences:
            if a < stop and b > start:
                out[max(a - start, 0) : b - start] = 0
        return out

    def silent(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of ``[start, stop)`` that are silenced, whatever came in, in the order in which they are."""
        return [(max(a, start), min(b, stop)) for a, b in self._silences if a < stop and b > start]


def mix(call: Call, shown: View, party: int, audio: Mapping[int, Sound]) -> PartyMix:
    """The mix of a party. Tracks of another rate than the window's are converted."""
    sources: list[tuple[int, Sound]] = []
    silences = pauses(call, shown) + withheld(call, shown, party)
    for track in call.tracks:
        if track.party != party:
            continue
        pcm = audio.get(track.index)
        if pcm is not None and len(pcm):
            sound = pcm if track.rate == shown.rate else Resampled(pcm, track.rate, shown.rate)
            sources.append((-shown.origin, sound))
        for start, stop, kind in track.spans:
            if kind in {SpanKind.PAUSED, SpanKind.WITHHELD}:
                silences.append((scaled(start, track.rate, shown), scaled(stop, track.rate, shown)))
    return PartyMix(shown, sources, [(a, b) for a, b in silences if b > a])


def scaled(position: int, rate: int, shown: View) -> int:
    """A position of a track, in samples from the call's zero, as a frame of the window (cut to it)."""
    frame = (position if rate == shown.rate else samples(nanos(position, rate), shown.rate)) - shown.origin
    return min(max(frame, 0), shown.frames)
