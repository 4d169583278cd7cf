"""How fast one sink is tried. Pure: time comes in as nanoseconds, chance from the caller's generator."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from vcond.delivery.rows import HORIZON

SECOND: Final = 1_000_000_000
STREAK: Final = 5
"""So many different vCons failed one after another: it is the sink, not the vCons."""
REMEMBERED: Final = 1000
"""So many vCons that the receiver refuses in its own way are known at a time."""


@dataclass
class Pace:
    """When a sink is tried, and with how much at once.

    A sink that is ``down`` is tried with one vCon at a time, at growing distances. A vCon that fails alone waits
    alone. All waits have full jitter: uniform between 0 and the bound, so that many edges do not come in step.
    """

    concurrency: int
    first: float
    """Bound of the first wait in seconds; it doubles with each further failure."""
    most: float
    """Largest bound in seconds."""
    rng: Random
    down: bool = False
    held: bool = False
    """Down until somebody sets something right: it is tried seldom, and what is new is no reason to try."""
    _until: int = 0
    _not_before: int = 0
    _last: int = 0
    _troubles: int = 0
    _streak: set[int] = field(default_factory=set)
    _blamed: set[int] = field(default_factory=set)
    """What held the sink just now."""
    _alone: dict[int, None] = field(default_factory=dict)
    """What held the sink before it took others: then it is about these vCons, and they wait alone."""

    @property
    def _soon(self) -> int:
        """Nanoseconds between two tries that something new is a reason for."""
        return round(max(self.first, self.most / 10) * SECOND)

    def slots(self, now: int, busy: int) -> int:
        """How many deliveries may begin now, when ``busy`` are under way."""
        if not self.down:
            return max(0, self.concurrency - busy)
        return 1 if busy == 0 and self.wait(now) == 0 else 0

    def wait(self, now: int) -> int:
        """Nanoseconds until a sink that is down may be tried."""
        left = self._until - now if self.down else 0
        return left if 0 < left <= HORIZON else 0

    def succeeded(self) -> bool:
        """The sink took or judged a vCon; whether it was down before."""
        was_down, self.down, self.held = self.down, False, False
        self._alone |= dict.fromkeys(self._blamed)
        for seq in list(self._alone)[:-REMEMBERED]:
            del self._alone[seq]
        self._blamed.clear()
        self._until = self._not_before = self._troubles = 0
        self._streak.clear()
        return was_down

    def alone(self, seq: int) -> bool:
        """Whether the sink took others after it was held for this one: the next such answer is about the vCon."""
        return seq in self._alone

    def until(self, now: int) -> int:
        """When a sink that is down is tried again."""
        return now + self.wait(now)

    def failed(self, now: int, seq: int, *, whole_sink: bool, after: float | None, held: bool = False) -> bool:
        """A try ended with Retry; whether the sink is down since this one. ``held`` is not for one that is ``alone``."""
        self._streak.add(seq)
        if held:
            self._blamed.add(seq)
        if not (whole_sink or self.down or len(self._streak) >= STREAK):
            return False
        was_down, self.down = self.down, True
        if after is not None:
            self._not_before = max(self._not_before, now + round(after * SECOND))
        if was_down and now < self._until:  # it began before the sink was known to be down
            self._until = max(self._until, self._not_before)
            return False
        self._troubles += 1
        self._last = now
        self.held = held
        wait = self._seldom(self._troubles) if held else self.backoff(self._troubles)
        self._until = max(now + wait, self._not_before)
        return not was_down

    def backoff(self, failures: int) -> int:
        """Nanoseconds to wait after the n-th failure in a row."""
        bound = min(self.most, self.first * 2.0 ** min(failures - 1, 30))
        return round(self.rng.uniform(0.0, bound) * SECOND)

    def _seldom(self, failures: int) -> int:
        """The same for one that is held: it begins where news is a reason to look, and is never at once."""
        bound = min(self.most * SECOND, self._soon * 2.0 ** min(failures - 1, 30))
        return round(self.rng.uniform(bound / 2, bound))

    def nudge(self, urgent: bool = False) -> None:
        """There is something new to send: a sink that is down is tried sooner, unless it asked us to wait.

        ``urgent``: the operator asked; now.
        """
        if urgent:
            self._until = 0
        elif self.down and not self.held:
            self._until = max(self._not_before, min(self._until, self._last + self._soon))
