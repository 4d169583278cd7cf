"""Two-party calls of recorded speech, for benches: people take turns, each speaks some 45 % of the time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np

from vcond.media.codecs import Codec, encode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers" / "sounds"))

import prompts

RATE = 8000
HISS = 12.0
"""Root mean square of the noise on the line."""
PAUSES = (0.15, 0.5)
"""Seconds between two sentences, and between two speakers."""


class Speakers:
    """Calls that never repeat a sentence before all were used: a decoder is faster on what it has heard before."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._queue: list[np.ndarray] = []

    def call(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """Both parties' samples, shape (seconds * 8000,), int16."""
        total = round(seconds * RATE)
        legs = [self._rng.normal(0, HISS, total) for _ in range(2)]
        at, speaker = round(self._rng.uniform(0, 2) * RATE), int(self._rng.integers(2))
        while at < total:
            until = at + round(self._rng.uniform(2, 8) * RATE)
            while at < min(until, total):
                pcm = self._sentence()[: total - at]
                legs[speaker][at : at + len(pcm)] += pcm
                at += len(pcm) + round(PAUSES[0] * RATE)
            at += round(self._rng.uniform(0, PAUSES[1]) * RATE)
            speaker = 1 - speaker
        first, second = (leg.clip(-32768, 32767).astype(np.int16) for leg in legs)
        return first, second

    def _sentence(self) -> np.ndarray:
        if not self._queue:
            all_ = _recordings()
            self._queue = [all_[index] for index in self._rng.permutation(len(all_))]
        return self._queue.pop()


@cache
def _recordings() -> list[np.ndarray]:
    return [pcm[: 12 * RATE] for pcm in prompts.recordings(1.0)]


def mulaw(pcm: np.ndarray) -> Iterator[bytes]:
    """The samples as PCMU frames of 20 ms."""
    coded = encode(Codec.PCMU, pcm)
    return (coded[at : at + 160] for at in range(0, len(coded) - 159, 160))


def plan(slots: int, seconds: float, until: float, seed: int = 0) -> list[list[tuple[float, tuple]]]:
    """For each of ``slots`` lines the calls on it, one after another: (when it begins, both parties' samples).

    The first call of each line is shorter, so that ends and begins are spread over the time.
    """
    speakers = Speakers(seed)
    out = []
    for slot in range(slots):
        at, calls = 0.0, []
        for number in count():
            if at >= until:
                break
            length = seconds * (slot + 1) / slots if number == 0 else seconds
            length = round(max(length, 5.0), 2)
            calls.append((at, speakers.call(length)))
            at += length + 0.5
        out.append(calls)
    return out
