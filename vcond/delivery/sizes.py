"""The largest vCon that something on the way to a sink lets through, as its answers showed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from vcond.base.backoff import Backoff
from vcond.delivery.circuit_breaker import SECOND
from vcond.delivery.rows import ANY_SIZE, HORIZON

WAITS: Final = Backoff(120.0, 3600.0)
"""Seconds that those wait which are too large."""


@dataclass
class SizeLimit:
    """vCons of ``bytes`` and more wait; smaller ones go on. After each wait the oldest of them are tried again."""

    rng: Random
    bytes: int = 0
    """Of the smallest that was refused for its size; 0 = no limit is known."""
    until: int = 0
    """When larger ones are tried again, nanoseconds."""
    _refusals: int = 0

    def below(self, now: int) -> int:
        """Only vCons of fewer bytes are to be tried now."""
        return self.bytes if self.bytes and 0 < self.until - now <= HORIZON else ANY_SIZE

    def refused(self, now: int, size: int) -> bool:
        """One was refused for its size; whether that is news."""
        smaller = self.bytes == 0 or size < self.bytes
        if self.below(now) == ANY_SIZE:
            self._refusals += 1
            self.until = now + round(WAITS.wait(self._refusals, self.rng.uniform) * SECOND)
        self.bytes = min(self.bytes or ANY_SIZE, size)
        return smaller

    def taken(self, size: int) -> bool:
        """One was delivered; whether that shows that the limit is gone."""
        if not self.bytes or size < self.bytes:
            return False
        self.bytes = self.until = self._refusals = 0
        return True

    def look(self) -> None:
        """The operator says that it may be gone: try now."""
        self.until = 0
