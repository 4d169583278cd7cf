"""Confidence that means something: of a hundred words with a confidence of 0.9, some ninety are right.

What a Whisper model says of itself (the probability of its tokens) is too low where it is right and too high where it is
wrong. So it is mapped, by a monotone curve of straight lines that was fitted on recorded people with hiss, noise and
loud noise (``tests/bench/bench_speech_confidence.py --fit``; what it is worth: docs/decisions/0005). A curve holds for
the model it was fitted on; other models keep what they say.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple


@dataclass(frozen=True)
class Curve:
    """Straight lines between points (what the model says, what it is worth), both rising, 0 to 1."""

    points: tuple[tuple[float, float], ...]

    def __call__(self, raw: float) -> float:
        """What it is worth; before the first point and after the last that of these."""
        for (x, low), (after, high) in pairwise(self.points):
            if raw <= after:
                return low + (high - low) * max(0.0, raw - x) / (after - x)
        return self.points[-1][1]


class Calibration(NamedTuple):
    """The curves of a model."""

    words: Curve
    utterances: Curve
    """Share of an utterance's words that are right."""


RAW: Final = Calibration(Curve(((0, 0), (1, 1))), Curve(((0, 0), (1, 1))))
"""As the model says it."""
TINY_EN: Final = Calibration(
    Curve(((0, 0), (0.443, 0.613), (0.736, 0.893), (0.889, 0.948), (0.952, 0.976), (0.984, 0.987), (0.997, 0.999))),
    Curve(((0, 0), (0.633, 0.776), (0.78, 0.912), (0.84, 0.96), (0.868, 0.971), (0.9, 0.982), (0.934, 0.991))),
)
