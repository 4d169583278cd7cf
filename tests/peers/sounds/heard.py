"""How much of a voice is in a recording, however late the phone was that said it. Found by path."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np

from vcond.media.codecs import Pcm
from vcond.testing.sounds import RATE, find

FRAME: Final = RATE // 50
"""Samples of one packet."""
WINDOW: Final = RATE // 8
"""Samples that are looked for at once."""
ALIKE: Final = 0.95
"""Least correlation of a voice with itself, coded and decoded."""
GONE: Final = 0.06
"""Most correlation with a ``marker`` where nothing of it may be."""


def marker(seed: int, seconds: float = 4) -> Pcm:
    """White noise of a seed of its own, at 8 kHz."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 4000
    return noise.clip(-32000, 32000).astype(np.int16)


def peak(said: Pcm, blob: bytes) -> float:
    """How well it is found in bytes that may be samples, beginning at either byte."""
    best = 0.0
    for odd in (0, 1):
        pcm = np.frombuffer(blob[odd : len(blob) - (len(blob) - odd) % 2], "<i2")
        pcm = np.concatenate([pcm, np.zeros(max(0, len(said) - len(pcm)), np.int16)])
        best = max(best, find(said, pcm)[0])
    return best


def stored(root: Path) -> bytes:
    """Everything that lies under a folder, in the trash too."""
    return b"".join(file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file())


def likeness(said: Pcm, heard: Pcm, spare: float = 0.0) -> float:
    """Correlation of a ``voice`` with what was heard, -1 to 1, both at 8 kHz.

    Asterisk puts 20 ms of digital silence, which no ``voice`` has, into a tap for each packet that a phone sends late:
    on a busy machine that happens, and says nothing of vcond. So silence is left out. What is missing or is somebody
    else's lowers the result.

    spare: seconds that a PBX which got no processor may have dropped: so much of what fits worst is left out.
    """
    return piecewise(said, without_silence(heard), RATE, spare)


def piecewise(said: Pcm, heard: Pcm, rate: int, spare: float = 0.0) -> float:
    """Correlation, -1 to 1, in which the place of each eighth of a second is looked for near that of the one before.

    A speaker that was late for a moment, whose words are all there, has the same as one that was not. Of the eighths that
    ``spare`` seconds can touch, the worst are left out.
    """
    _, lag = find(said, heard)
    window, reach = rate // 8, math.ceil(rate * max(0.075, spare))
    pieces = []
    for start in range(0, len(said), window):
        piece = said[start : start + window].astype(np.float64)
        first = max(0, start + lag - reach)
        around = heard[first : start + lag + window + reach]
        score, at = find(piece, around)
        match = np.zeros(len(piece))
        found = around[at : at + len(piece)]
        match[: len(found)] = found
        lag = first + at - start if score > 0.5 else lag
        pieces.append((score, piece @ match, piece @ piece, match @ match))
    left = sorted(pieces, key=lambda one: one[0])[math.ceil(spare * rate / window) :]
    both, ours, theirs = (sum(one[at] for one in left) for at in (1, 2, 3))
    return float(both / max(np.sqrt(ours * theirs), 1e-9))


def missing_head(said: Pcm, heard: Pcm) -> float:
    """Seconds of the beginning of what was said that are not there, in eighths; all of it when nothing is."""
    for start in range(0, len(said), WINDOW):
        if likeness(said[start:], heard) >= ALIKE:
            return start / RATE
    return len(said) / RATE


def without_silence(heard: Pcm) -> Pcm:
    """What is left of 8 kHz audio when all digital silence of 20 ms and more is cut out."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], heard == 0, [False]]).astype(np.int8)))
    kept = np.ones(len(heard), bool)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        kept[start:stop] = stop - start < FRAME
    return heard[kept]
