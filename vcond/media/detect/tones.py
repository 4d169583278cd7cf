"""Tells steady tones (dial, ringback, busy, DTMF, modem) from speech: voice detectors take tones for speech."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

TONAL: Final = 10 ** (-26 / 10)
"""Unexplained part of the energy below which a frame is a tone. Measured: clean tones through G.711 lie under -30 dB,
with noise 40 dB below them under -27; so does one voiced frame of speech in ten, which hangover and majority bridge."""
NOISY: Final = 10 ** (-20 / 10)
"""The most that is taken off for noise."""


def is_steady_tone(frame: NDArray[np.floating[Any]], noise: float = 0.0) -> bool:
    """Whether a frame, shape (n,), n about 160 at 8 kHz, is made of one or two sine waves that do not change.

    Two steady sines obey ``x[i] + x[i-4] = p (x[i-1] + x[i-3]) + q x[i-2]`` exactly, whatever their frequencies,
    levels and phases. ``p`` and ``q`` are fitted by least squares; what they leave is compared with the energy,
    reckoned as noise at the input of that filter. ``noise`` is the part of the energy that is known to be noise.
    """
    outer = frame[4:] + frame[:-4]
    inner = frame[3:-1] + frame[1:-3]
    middle = frame[2:-2]
    ii, mm, im = float(inner @ inner), float(middle @ middle), float(inner @ middle)
    oi, om, oo = float(outer @ inner), float(outer @ middle), float(outer @ outer)
    determinant = ii * mm - im * im
    if determinant > 1e-9 * ii * mm:
        p, q = (oi * mm - om * im) / determinant, (om * ii - oi * im) / determinant
    else:
        # one sine at a frequency where both sums are multiples of each other
        p, q = 0.0, (om / mm if mm else 0.0)
    left = max(oo - p * oi - q * om, 0.0)
    return left < min(TONAL + 2 * noise, NOISY) * mm * (2 + 2 * p * p + q * q)
