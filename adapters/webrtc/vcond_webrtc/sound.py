"""Decoded audio to what a track takes: one channel, and 16 kHz out of 48. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vcond.media.codecs import Pcm

FACTOR: Final = 3
"""48,000 to 16,000 Hz."""
TAPS: Final = 144
CUTOFF: Final = 7_600.0
"""Hz at which the filter has half its amplitude: flat up to 7.2 kHz, nothing from 8 kHz on."""


def _lowpass() -> NDArray[np.float32]:
    """A windowed sinc (Hamming: 53 dB down in the stop band), unity at 0 Hz."""
    n = np.arange(TAPS) - (TAPS - 1) / 2
    taps = np.sinc(2 * CUTOFF / 48_000 * n) * np.hamming(TAPS)
    return np.asarray(taps / taps.sum(), np.float32)


_LOWPASS: Final = _lowpass()


def mono(interleaved: Pcm, channels: int) -> Pcm:
    """The mean of the channels; shape (n * channels,) to (n,)."""
    if channels == 1:
        return interleaved
    together = interleaved.reshape(-1, channels).sum(axis=1, dtype=np.int32)
    return np.asarray(together // channels, np.int16)


class Thirds:
    """Every third sample of a stream, after a low pass. Frame by frame, without a seam; 1.5 ms late for ever."""

    def __init__(self) -> None:
        self._before = np.zeros(TAPS - FACTOR, np.float32)

    def reset(self) -> None:
        """Something is missing in the stream: what comes next does not continue it."""
        self._before[:] = 0

    def take(self, pcm: Pcm) -> Pcm:
        """A frame of shape (3 * n,) as one of (n,). What is no multiple of three is cut; Opus frames always are."""
        samples = np.concatenate([self._before, pcm[: len(pcm) // FACTOR * FACTOR]])
        self._before = samples[len(samples) - len(self._before) :]
        if len(samples) < TAPS:
            return np.zeros(0, np.int16)
        windows = np.lib.stride_tricks.sliding_window_view(samples, TAPS)[::FACTOR]
        return np.clip(np.rint(windows @ _LOWPASS), -32768, 32767).astype(np.int16)
