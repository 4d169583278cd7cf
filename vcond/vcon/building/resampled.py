"""A track's samples at another rate, converted where they are read, so that a long call is never in memory as a whole."""

from __future__ import annotations

from typing import Final

import numpy as np
import soxr

from vcond.vcon.building.sound import Sound
from vcond.vcon.building.wav import rounded
from vcond.vcon.pcm import Pcm

SECONDS: Final = 20
"""What is converted in one go, of a fixed grid: whatever is read, in whatever order, the samples are the same."""
AROUND: Final = 1
"""Seconds on both sides that are converted too: far more than a filter remembers."""


class Resampled:
    """Samples of ``pcm`` (int16, ``rate`` Hz) at ``target`` Hz."""

    def __init__(self, pcm: Sound, rate: int, target: int) -> None:
        self._pcm, self._rate, self._target = pcm, rate, target
        self._number, self._block = -1, np.zeros(0, np.int16)
        """The one that was read last."""

    def __len__(self) -> int:
        return (2 * len(self._pcm) * self._target + self._rate) // (2 * self._rate)

    def __getitem__(self, part: slice, /) -> Pcm:
        start, stop, _ = part.indices(len(self))
        length, found = SECONDS * self._target, []
        for number in range(start // length, -(-stop // length)):
            begin = number * length
            found.append(self._converted(number)[max(0, start - begin) : stop - begin])
        return np.concatenate(found) if found else np.zeros(0, np.int16)

    def _converted(self, number: int) -> Pcm:
        if number != self._number:
            first, last = max(0, number * SECONDS - AROUND), (number + 1) * SECONDS + AROUND
            # in floats: soxr adds noise to 16-bit samples
            sound = self._pcm[first * self._rate : last * self._rate].astype(np.float32)
            skipped = (number * SECONDS - first) * self._target
            block = soxr.resample(sound, self._rate, self._target)[skipped : skipped + SECONDS * self._target]
            self._number, self._block = number, rounded(block)
        return self._block
