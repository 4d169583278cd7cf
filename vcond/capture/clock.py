"""The one clock: UTC that does not step while calls go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from vcond.base.time import SECOND, Instant

LATEST = 3_600 * SECOND
"""A moment that was read longer than this before the step was nobody's."""


def since_boot() -> Callable[[], int]:
    """Nanoseconds of a clock that never steps; time in suspend counts, where the machine tells it (clock_gettime(2))."""
    try:
        time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return time.monotonic_ns
    return partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)


FARTHEST = 86_400 * SECOND
"""A moment further ahead was written by a clock that was wrong then; no call of it goes on."""


class SteadyClock:
    """Wall time read once, carried on by the monotonic clock, in suspend too where the machine has such a clock.

    NTP may slew both; a step of the wall clock changes nothing until ``anchor`` is called, which the registry does when
    no call is open.
    """

    def __init__(self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] | None = None) -> None:
        self._wall, self._monotonic = wall, monotonic or since_boot()
        self._offset = wall() - self._monotonic()
        self._before: tuple[Instant, int] | None = None
        """When the wall clock was last read again, as it was called before, and how far it had stepped."""

    @classmethod
    def of_speed(
        cls, speed: float, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> SteadyClock:
        """A clock that is right now and runs ``speed`` times as fast from here on: for a call played faster."""
        if speed == 1:
            return cls(wall, monotonic)
        zero, begun = wall(), monotonic()
        return cls(*[lambda: zero + round((monotonic() - begun) * speed)] * 2)

    def now(self) -> Instant:
        """This moment."""
        return Instant(self._monotonic() + self._offset)

    def off(self) -> int:
        """How many nanoseconds the wall clock is ahead of this one."""
        return self._wall() - self.now()

    def anchor(self) -> int:
        """Read the wall clock again; how far that moves this one, in nanoseconds."""
        before = self.now()
        self._offset = self._wall() - self._monotonic()
        step = self.now() - before
        self._before = (before, step)
        return step

    def not_before(self, at: Instant) -> int:
        """Go on from a moment that an earlier run wrote, if it lies ahead; how far that moves this one, in nanoseconds."""
        step = max(0, min(at - self.now(), FARTHEST))
        self._offset += step
        return step

    def moved(self, at: Instant) -> Instant:
        """A moment that may have been read before ``anchor``, as it is called since: an adapter had it in its hands.

        Backwards it can only be told from moments of now while it lies ahead of them.
        """
        if self._before is None:
            return at
        before, step = self._before
        old = at <= before if step > 0 else at > self.now() + SECOND
        return Instant(at + step) if old and before - at < LATEST else at
