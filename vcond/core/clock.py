"""The one clock: UTC that does not step while calls go on."""

from __future__ import annotations

import time
from collections.abc import Callable

from vcond.calls.time import Instant


class SteadyClock:
    """Wall time read once, carried on by the monotonic clock.

    NTP may slew both; a step of the wall clock changes nothing until ``anchor`` is called, which the desk does when no
    call is open.
    """

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset = wall() - monotonic()

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

    def anchor(self) -> None:
        """Read the wall clock again."""
        self._offset = self._wall() - self._monotonic()
