"""What came in on a track as a whole: nothing, comfort noise, somebody's sound, or the noise of a wrong codec."""

from __future__ import annotations

from typing import Final, Literal, Protocol

import numpy as np

from vcond.media.codecs import Pcm

SoundKind = Literal["silence", "comfort-noise", "noise", "sound"]
QUIET: Final = 10 ** (-50 / 20) * 32768
"""RMS below which nobody speaks: comfort noise of PBXs lies at -60 to -70 dBov (RFC 3389 gives its level so)."""
LOUD: Final = 10 ** (-20 / 20) * 32768
"""RMS that no voice holds without a pause."""
CROSSING: Final = 0.3
"""Changes of sign a sample from which on sound is as noise: white noise has 0.5, speech and music under 0.2."""
SHORTEST: Final = 3
"""Seconds that are needed to call something the noise of a wrong codec."""
CHUNK: Final = 60
"""Seconds that are looked at in one go."""


class Samples(Protocol):
    """Samples of shape (n,): an array of int16, or what reads one when it is asked."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, part: slice, /) -> Pcm:
        """Those of a stretch."""


def sound_kind(pcm: Samples, rate: int) -> SoundKind:
    """The kind of a track's samples, shape (n,), at ``rate`` Hz. What is digital silence counts for nothing."""
    levels: list[float] = []
    noisy, anything = 0, False
    frame = max(rate // 10, 1)
    for start in range(0, len(pcm), CHUNK * rate):
        part = np.asarray(pcm[start : start + CHUNK * rate], np.float32)
        anything = anything or bool(np.any(part))
        frames = part[: len(part) // frame * frame].reshape(-1, frame)
        level = np.sqrt(np.mean(frames**2, axis=1))
        crossing = np.mean(frames[:, 1:] * frames[:, :-1] < 0, axis=1)
        levels += level[level > 0].tolist()
        noisy += int(np.sum((level > LOUD) & (crossing > CROSSING)))
    if not levels:
        return "sound" if anything else "silence"
    if max(levels) < QUIET:
        return "comfort-noise"
    return "noise" if len(levels) >= 10 * SHORTEST and noisy > 0.9 * len(levels) else "sound"
