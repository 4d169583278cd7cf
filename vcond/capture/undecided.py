"""How much memory the voices of those who may still agree to be recorded take in all, and what is said when there is no more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from vcond.base import metrics
from vcond.media.placement.put_aside import MOST, Room

log = structlog.get_logger()

QUIET: Final = 600.0
"""Seconds between two log lines."""


class Undecided(Room):
    """Of one daemon. Each track that gets no more room loses its own oldest, so that no call takes what another has."""

    def __init__(self, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(most)
        self._clock, self._said = clock, -QUIET

    def full(self) -> None:
        """It is counted, and logged once in a while."""
        metrics.dropped_total.labels("audio", "no-consent-yet").inc()
        if self._clock() - self._said >= QUIET:
            self._said = self._clock()
            log.warning(
                "the memory for audio that waits for consent is full; the oldest is dropped and not recorded, also if consent comes",
                megabytes=self.most >> 20, hint="a smaller buffer_seconds in [[policy]], or ask for consent earlier in the call",
            )  # fmt: skip
