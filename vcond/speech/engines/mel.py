"""The picture of sound that Whisper reads: log-mel frames of 10 ms.

The constants are those of the model's training (Radford et al., "Robust Speech Recognition via Large-Scale Weak
Supervision", section 2.2): 16 kHz, windows of 25 ms every 10 ms, the mel scale of Slaney's Auditory Toolbox with filters
of equal area, log10 over a range of 80 dB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
HOP = 160
"""Samples of a frame."""
WINDOW = 400
FRAMES_A_SECOND = RATE // HOP

Floats = NDArray[np.float32]


def filters(bands: int) -> Floats:
    """Triangular filters, shape (bands, 201): how much each frequency of the transform counts in each band."""
    edges = _hertz(np.linspace(0.0, _mel(RATE / 2), bands + 2))
    bins = np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    height = 2.0 / (edges[2:] - edges[:-2])
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * height[:, None], np.float32)


class Mel:
    """Makes frames for a model of so many bands (80, or 128 since large-v3)."""

    def __init__(self, bands: int) -> None:
        self._filters = filters(bands)
        self._window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)

    def __call__(self, sound: Floats) -> Floats:
        """Frames of sound, shape (bands, len(sound) // 160 + 1). ``sound``: (samples,), 16 kHz, -1 to 1."""
        half = WINDOW // 2
        padded = np.pad(np.pad(sound, (0, max(HOP, half + 1 - len(sound)))), (half, half), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
        power = np.abs(np.fft.rfft(windows * self._window, axis=1)[:-1].T) ** 2
        frames = np.log10(np.maximum(self._filters @ power.astype(np.float32), 1e-10))
        frames = np.maximum(frames, frames.max() - 8.0)
        return np.asarray((frames + 4.0) / 4.0, np.float32)


def _mel(hertz: float) -> float:
    """Slaney: linear below 1,000 Hz (15 mel), logarithmic above."""
    return hertz * 3 / 200 if hertz < 1000 else 15.0 + 27.0 * float(np.log(hertz / 1000) / np.log(6.4))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15.0, mel * 200 / 3, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)))
