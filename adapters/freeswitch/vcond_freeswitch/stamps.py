"""When things happened: FreeSWITCH's own stamps on our clock, and what happened while we were not attached."""

from __future__ import annotations

import re
from typing import Final

from vcond.sdk.contract import Instant, RemoteClock
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.events import Event, number

MICRO: Final = 1_000
"""Nanoseconds in FreeSWITCH's unit of time."""
AWAY: Final = 20
"""Times without an attachment that are remembered."""
MAX_HOLDS: Final = 4_000
"""Characters that are read of a list of holds: a hundred of them."""

_HOLD: Final = re.compile(r"\{(\d{1,19}),(\d{1,19})\}")


class Stamps:
    """The time of one FreeSWITCH."""

    def __init__(self) -> None:
        self._clock = RemoteClock()
        self._away: list[tuple[Instant, Instant]] = []
        """When we were not attached, the last few times."""

    def at(self, event: Event, arrived: Instant) -> Instant:
        """When it happened, on our clock."""
        stamp = number(event.stamp)
        return self._clock.at(Instant(stamp * MICRO), arrived) if stamp else arrived

    def past(self, moment: str, event: Event, at: Instant) -> Instant | None:
        """A moment that a dump names, on our clock; None when it names none, or one that cannot be."""
        then, now = number(moment), number(event.stamp)
        return Instant(at - (now - then) * MICRO) if 0 < then <= now else None

    def away(self, since: Instant, until: Instant) -> None:
        """Nothing was told between two moments. Holds of that time are told when their leg ends."""
        self._away = [*self._away[-AWAY:], (since, until)]

    def held_while_away(self, leg: Leg, event: Event, at: Instant) -> None:
        """Holds that began and ended while we were not attached: ``{{start_us,end_us},...}``, told at the leg's end."""
        for start, stop in _HOLD.findall(event.holds[:MAX_HOLDS]) if self._away else ():
            began, ended = self.past(start, event, at), self.past(stop, event, at)
            if began is None or ended is None or leg.holding:
                continue
            if any(since <= began <= ended <= until for since, until in self._away):
                leg.conversation.hold(leg, began)
                leg.conversation.unhold(leg, ended)
