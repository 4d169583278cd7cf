"""Sound like speech that nobody spoke, to warm recognizers with: pulses and noise through formants that move.

Made here rather than recorded, so that no voice of anybody is in a recognizer before the first caller.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIECE_MS = 80
"""How long one sound is."""
PAUSES, VOICED = 0.12, 0.7
"""Shares of the sounds."""
FORMANTS = ((250, 850, 80, 1.0), (800, 2400, 120, 0.6), (2200, 3600, 180, 0.4))
"""Lowest and highest frequency, width (Hz) and amplitude of each."""


def warmup_audio(seconds: float, rate: int) -> NDArray[np.int16]:
    """So much of it at ``rate`` Hz (8,000 or more), always the same."""
    rng = np.random.default_rng(0)
    count = rate * PIECE_MS // 1000
    pieces = [_sound(rng, count, rate) for _ in range(round(seconds * 1000 / PIECE_MS))]
    return np.clip(np.concatenate(pieces), -32_000, 32_000).astype(np.int16)


def _sound(rng: np.random.Generator, count: int, rate: int) -> NDArray[np.float64]:
    if rng.random() < PAUSES:
        return rng.normal(0, 10, count)
    source = rng.normal(0, 0.15, count)
    if rng.random() < VOICED:
        pitch = rng.uniform(90, 220)
        source = np.where((np.arange(count) * pitch / rate) % 1 < pitch / rate, 1.0, 0.0)
    at = np.fft.rfftfreq(count, 1 / rate)
    shape = np.zeros(len(at))
    for low, high, width, amplitude in FORMANTS:
        shape += amplitude / (1 + ((at - rng.uniform(low, high)) / width) ** 2)
    sound = np.fft.irfft(np.fft.rfft(source) * shape, count)
    return np.asarray(sound * rng.uniform(800, 4000) / max(1e-9, float(sound.std())))
