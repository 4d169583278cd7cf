"""What is given up when the machine runs short, and in which order. Pure: what is left and the time are arguments.

First words while they are spoken, then texts (they come later), then new calls (they are not recorded, and it is said so).
Never audio of a call that goes on, never a vCon that is finished. What gives nothing back is not given up: without texts
no disk gets emptier. Worse comes at once; better only with some room to spare that lasts, so that nothing flaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

SLACK: Final = 1.25
"""A level ends only when so many times as much is left as where it began."""
HOLD: Final = 10.0
"""Seconds for which that must last."""


class Level(IntEnum):
    """What is given up, and all before it."""

    NOTHING = 0
    PARTIALS = 1
    TEXTS = 2
    CALLS = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """How much is left of one thing, in whatever unit."""

    resource: str
    """``disk``, ``memory``, ``files`` or ``calls``."""
    left: float
    calls: float
    """With less left than this no new call is recorded."""
    detail: str
    """What is left and what is wanted, for the operator."""
    hint: str
    """What the operator can do."""
    texts: float = 0.0
    """With less than this texts are given up; 0 = they give nothing of it back."""
    partials: float = 0.0
    """With less than this words while they are spoken are; 0 as above."""
    slack: float = SLACK
    hold: float = HOLD

    def level(self, slack: float = 1.0) -> Level:
        """What would be given up for it, if so many times as much were wanted."""
        for wanted, level in ((self.calls, Level.CALLS), (self.texts, Level.TEXTS), (self.partials, Level.PARTIALS)):
            if self.left < wanted * slack:
                return level
        return Level.NOTHING


@dataclass(slots=True)
class Standing:
    """What is given up for one thing."""

    reading: Reading
    level: Level = Level.NOTHING
    eased: float | None = None
    """Since when less would do."""

    def judge(self, reading: Reading, now: float) -> bool:
        """Take a newer reading; whether another level stands now."""
        self.reading, before = reading, self.level
        self.level = max(self.level, reading.level())
        less = reading.level(reading.slack)
        if less >= self.level:
            self.eased = None
        else:
            self.eased = now if self.eased is None else self.eased
            if now - self.eased >= reading.hold:
                self.level, self.eased = less, None
        return self.level != before


class Pressure:
    """Knows what is short, of all that was ever read."""

    def __init__(self) -> None:
        self._standing: dict[str, Standing] = {}

    def judge(self, readings: Iterable[Reading], now: float) -> list[Standing]:
        """Take newer readings; those for which another level stands now. ``now``: monotonic seconds."""
        changed = []
        for reading in readings:
            standing = self._standing.setdefault(reading.resource, Standing(reading))
            if standing.judge(reading, now):
                changed.append(standing)
        return changed

    @property
    def standing(self) -> Sequence[Standing]:
        """Of each thing."""
        return list(self._standing.values())

    @property
    def refusing(self) -> Sequence[Reading]:
        """For what no new call is recorded."""
        return [one.reading for one in self._standing.values() if one.level is Level.CALLS]

    @property
    def texts(self) -> Level:
        """What speech gives up, at most ``TEXTS``: for things of which it gives something back."""
        helped = [one.level for one in self._standing.values() if one.reading.partials]
        return min(Level.TEXTS, max(helped, default=Level.NOTHING))
