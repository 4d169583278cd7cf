"""Voices for tests, and how to find them again in a recording."""

from __future__ import annotations

import numpy as np

from vcond.media.codecs import Pcm

RATE = 8000


def voice(seed: int, seconds: float, rate: int = RATE) -> Pcm:
    """Noise in the band of speech that swells and fades, as loud as speech, unlike every other seed's.

    Shape (seconds * rate,), G.711 carries it with little loss, and it is at no moment digital silence.
    """
    length = round(seconds * rate)
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal(length))
    hertz = np.fft.rfftfreq(length, 1 / rate)
    spectrum[(hertz < 300) | (hertz > 3000)] = 0
    noise = np.fft.irfft(spectrum, length)
    noise /= max(float(np.std(noise)), 1e-9)
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * (np.arange(length) / rate * 1.7 + seed))
    return np.clip(noise * swell * 3000, -32000, 32000).astype(np.int16)


def find(said: Pcm, heard: Pcm) -> tuple[float, int]:
    """How well, and where, ``said`` is found in ``heard``: the best correlation (-1 to 1) and its lag in samples.

    The lag counts from the start of ``heard``; (0, 0) when either is silent or ``heard`` is the shorter one by more
    than half of ``said``. The correlation is taken over the whole of ``said``, so a hole in ``heard`` lowers it.
    """
    spoken, recorded = said.astype(np.float64), heard.astype(np.float64)
    if len(recorded) * 2 < len(spoken) or not spoken.any() or not recorded.any():
        return 0.0, 0
    size = 1 << (len(spoken) + len(recorded)).bit_length()
    product = np.fft.irfft(np.fft.rfft(recorded, size) * np.conj(np.fft.rfft(spoken, size)), size)
    lags = np.arange(len(recorded))
    power = np.concatenate([[0.0], np.cumsum(recorded**2)])
    stop = np.minimum(lags + len(spoken), len(recorded))
    energy = np.sqrt((power[stop] - power[lags]) * float(np.sum(spoken**2)))
    enough = stop - lags >= len(spoken) // 2
    scores = np.where(enough & (energy > 0), product[: len(recorded)] / np.maximum(energy, 1e-9), -1.0)
    best = int(np.argmax(scores))
    return float(scores[best]), best
