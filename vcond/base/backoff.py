"""How long to wait before something that failed is tried again. Pure: chance comes from the caller or ``random``."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

MOST_DOUBLINGS = 30
"""No first wait is so short that more were needed; a float stays finite."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from ``first`` up to ``most``, in whatever unit these are; jittered, so that many do not come in step."""

    first: float
    most: float
    steady: float = 0.5
    """The part of a wait that is not left to chance: 0 = all of it is, 1 = nothing."""

    def bound(self, failures: int) -> float:
        """The longest wait after the n-th failure in a row, counted from 1."""
        return min(self.most, self.first * 2.0 ** min(max(failures, 1) - 1, MOST_DOUBLINGS))

    def wait(self, failures: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """How long to wait after the n-th failure in a row; ``uniform`` picks a number between two."""
        bound = self.bound(failures)
        return uniform(bound * self.steady, bound)
