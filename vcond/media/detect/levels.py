"""How loud audio is, in decibels of full scale (dBFS): 0 is a square wave of +-32768, -inf digital zero."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from vcond.media.codecs import Pcm

FULL: Final = 32768.0
HEARD: Final = -50.0
"""Root mean square above which somebody can be heard: above line and comfort noise, below quiet speech."""


class Level(NamedTuple):
    """Loudness of one window, dBFS."""

    rms: float
    peak: float


def dbfs(amplitude: float) -> float:
    """An amplitude of 16-bit samples in dBFS; ``-inf`` for 0."""
    return 20 * math.log10(amplitude / FULL) if amplitude > 0 else -math.inf


def rms(pcm: Pcm) -> float:
    """Root mean square of samples, shape (n,); 0 for none."""
    return math.sqrt(float(np.mean(np.square(pcm, dtype=np.float64)))) if len(pcm) else 0.0


def heard(pcm: Pcm) -> bool:
    """Whether there is anything to hear: neither digital silence nor line noise. Tones and music count."""
    return dbfs(rms(pcm)) > HEARD


class Meter:
    """Loudness of a stream, one ``Level`` a window, however the stream is cut."""

    __slots__ = ("_count", "_peak", "_squares", "_window")

    def __init__(self, rate: int, window_ms: int = 1000) -> None:
        """``rate`` in Hz."""
        self._window = max(rate * window_ms // 1000, 1)
        self._count, self._squares, self._peak = 0, 0.0, 0

    def feed(self, pcm: Pcm) -> list[Level]:
        """Take samples, shape (n,); return the windows that they completed."""
        out = []
        while len(pcm):
            part, pcm = pcm[: self._window - self._count], pcm[self._window - self._count :]
            wide = part.astype(np.float64)
            self._count += len(part)
            self._squares += float(wide @ wide)
            self._peak = max(self._peak, int(np.abs(wide).max()))
            if self._count == self._window:
                out.append(Level(dbfs(math.sqrt(self._squares / self._window)), dbfs(self._peak)))
                self._count, self._squares, self._peak = 0, 0.0, 0
        return out
