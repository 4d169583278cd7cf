"""How loud each party is just now, for whoever looks at meters. Nothing is done for nobody: frames are noted only while ``wanted``.

What a frame costs is one reference to it; all are measured together when they are taken, at most a few times a second.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcond.media.codecs import Pcm

FLOOR: Final = -60
"""dBFS; what is not louder is told as if it were nothing."""
MOST_FRAMES: Final = 100
"""Frames of one party from one look to the next; of what is beyond it nothing is told."""
MOST_PARTIES: Final = 2_000
"""Parties from one look to the next."""
_FULL: Final = 32_768


class Level(NamedTuple):
    """Of one party since the last look, in dBFS: 0 is as loud as samples can say, of the RMS only a square wave is."""

    party: int
    rms: int
    peak: int


class Levels:
    """Runs in the event loop."""

    def __init__(self) -> None:
        self.wanted = False
        self._frames: dict[tuple[str, int], list[Pcm]] = {}

    def want(self, on: bool) -> None:
        """Somebody looks from now on, or nobody does any more."""
        self.wanted = on
        self._frames = {}

    def hear(self, call: str, party: int, pcm: Pcm) -> None:
        """Samples of a party that are kept: what is paused or lacks consent has no level."""
        frames = self._frames.get((call, party))
        if frames is None:
            if len(self._frames) >= MOST_PARTIES:
                return
            frames = self._frames[call, party] = []
        if len(pcm) and len(frames) < MOST_FRAMES:
            frames.append(pcm)

    def take(self) -> dict[str, list[Level]]:
        """By call, the parties that were louder than ``FLOOR`` since it was last taken."""
        heard = {of: frames for of, frames in self._frames.items() if frames}
        self._frames = {}
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
