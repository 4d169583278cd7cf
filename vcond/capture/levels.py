"""How loud each party is just now, for whoever looks at meters. Nothing is done for nobody: frames are noted only while ``wanted``.

What a frame costs is one reference to it, until ``RECENT`` more have come; all are measured together when they are taken, at most a few
times a second.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vcond.media.codecs import Pcm

FLOOR: Final = -60
"""dBFS; what is not louder is told as if it were nothing."""
RECENT: Final = 4
"""Frames of one track that are measured, the last ones since the last look: 80 ms, as they mostly are of 20."""
MOST_TRACKS: Final = 2_000
"""Tracks from one look to the next."""
_FULL: Final = 32_768


class Level(NamedTuple):
    """Of one party just before the look, in dBFS: 0 is as loud as samples can say, of the RMS only a square wave is."""

    party: int
    rms: int
    peak: int


class Sounding(Protocol):
    """A track whose samples are kept."""

    @property
    def call(self) -> str:
        """The call's uuid."""

    @property
    def party(self) -> int:
        """Who it is of."""

    @property
    def recent(self) -> deque[Pcm]:
        """What was kept last; ``RECENT`` frames at most. It is for ``Levels`` alone."""


class Levels:
    """Runs in the event loop."""

    def __init__(self) -> None:
        self.wanted = False
        self._sounding: list[Sounding] = []

    def want(self, on: bool) -> None:
        """Somebody looks from now on, or nobody does any more."""
        self.wanted = on
        self._frames()

    def hear(self, track: Sounding, pcm: Pcm) -> None:
        """Samples of a track that are kept: what is paused or lacks consent has no level."""
        if not len(pcm):
            return
        if not track.recent:
            if len(self._sounding) >= MOST_TRACKS:
                return
            self._sounding.append(track)
        track.recent.append(pcm)

    def _frames(self) -> dict[tuple[str, int], list[Pcm]]:
        """By call and party, what was kept last; none of it is held any more."""
        heard: dict[tuple[str, int], list[Pcm]] = {}
        for track in self._sounding:
            heard.setdefault((track.call, track.party), []).extend(track.recent)
            track.recent.clear()
        self._sounding.clear()
        return heard

    def take(self) -> dict[str, list[Level]]:
        """By call, the parties that were louder than ``FLOOR`` just now, since it was last taken."""
        heard = self._frames()
        found: dict[str, list[Level]] = {}
        if not heard:
            return found
        sizes = np.array([sum(map(len, frames)) for frames in heard.values()])
        starts = np.cumsum(sizes) - sizes
        every = np.concatenate([frame for frames in heard.values() for frame in frames])
        top = np.maximum.reduceat(every, starts).astype(np.int32)
        bottom = np.minimum.reduceat(every, starts).astype(np.int32)
        squares = np.square(every, dtype=np.float32)
        rms = np.sqrt(np.add.reduceat(squares, starts) / sizes)
        for (call, party), loud, peak in zip(heard, _decibels(rms), _decibels(np.maximum(top, -bottom)), strict=True):
            if peak > FLOOR:
                found.setdefault(call, []).append(Level(party, loud, peak))
        return found


def _decibels(values: NDArray[Any]) -> list[int]:
    """Of samples, shape (n,), whole dBFS, not below ``FLOOR``."""
    found: list[int] = np.rint(20 * np.log10(np.maximum(values, 1e-9) / _FULL)).clip(FLOOR, 0).astype(int).tolist()
    return found
