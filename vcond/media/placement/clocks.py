"""How frames find their place in time, and how a peer's wall clock is mapped to ours."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Final, TypeVar

from vcond.media.placement.sliding_min import SlidingMin

Moment = TypeVar("Moment", bound=int)
"""Nanoseconds since the epoch, by whatever name the caller has for them."""


@dataclass(frozen=True, slots=True)
class RtpClock:
    """Frames carry an RTP timestamp and a sequence number (RFC 3550 section 5.1), both of which wrap."""

    rate: int
    """Ticks a second: the sampling rate but for G.722, whose clock says 8,000 (RFC 3551 section 4.5.2)."""
    reorder: int = 16
    """Packets that wait for an earlier one, and for at most 200 ms."""


@dataclass(frozen=True, slots=True)
class MillisClock:
    """Frames carry milliseconds from the stream's start; ``seq`` counts the frames of the track (Twilio's chunk).

    They come over a connection that loses nothing, so a frame that is late is no sign that something is missing, for up
    to a minute.
    """


@dataclass(frozen=True, slots=True)
class ArrivalClock:
    """Frames carry nothing: a steady stream whose samples count its time (AudioSocket)."""

    jitter_ms: int = 200
    """How long frames may be delayed on their way in normal operation."""


TrackClock = RtpClock | MillisClock | ArrivalClock

WINDOW: Final = 120_000_000_000
"""How long the least delay counts, ns: clocks that drift by 200 ppm are 24 ms apart after it."""
STEP: Final = 2_000_000_000
"""A delay this much below the least one so far is a step of the peer's clock, ns."""
LATE: Final = 30_000_000_000
"""A delay this much above the least one is a step too: no event is on its way that long, ns."""
BACK: Final = 1_000_000_000
"""Stamps may be out of order by this much without a step, ns."""
RECENT: Final = 64
"""Stamps whose order is kept among each other."""


class RemoteClock:
    """Maps moments that a peer stamped with its own wall clock to ours.

    A stamp is as old as its event, an arrival is late by a delay that varies; the least delay of the last two minutes
    is taken as the distance between the clocks. So distances between stamps stay what the peer says, however late the
    messages come. The order of stamps (of the last 64) is kept, and no moment is later than its arrival. A step of
    the peer's clock starts afresh.
    """

    __slots__ = ("_delays", "_recent", "steps")

    def __init__(self) -> None:
        self._delays = SlidingMin(WINDOW)
        self._recent: list[tuple[int, int]] = []
        self.steps = 0
        """Steps of the peer's clock seen so far."""

    def at(self, stamp: Moment, arrived: Moment) -> Moment:
        """The moment on our clock of an event that the peer stamped ``stamp`` and that reached us at ``arrived``."""
        delay = arrived - stamp
        if self._delays and self._stepped(stamp, delay):
            self.steps += 1
            self._delays.clear()
            self._recent.clear()
        moment = self._ordered(stamp, stamp + self._delays.add(arrived, delay), arrived)
        return type(arrived)(moment)

    def _stepped(self, stamp: int, delay: int) -> bool:
        above = delay - self._delays.value
        if above < -STEP or above > LATE:
            return True
        # A stalled connection delivers late but in order; a clock set back stamps anew what it had stamped before.
        return above > STEP and bool(self._recent) and stamp < self._recent[-1][0] - BACK

    def _ordered(self, stamp: int, moment: int, arrived: int) -> int:
        """``moment`` moved between its neighbours by stamp, and not past ``arrived``."""
        recent = self._recent
        i = bisect_left(recent, (stamp,))
        if i < len(recent) and recent[i][0] == stamp:
            return min(recent[i][1], arrived)
        if i < len(recent):
            moment = min(moment, recent[i][1])
        if i:
            moment = max(moment, recent[i - 1][1])
        moment = min(moment, arrived)
        insort(recent, (stamp, moment))
        if len(recent) > RECENT:
            del recent[0]
        return moment
