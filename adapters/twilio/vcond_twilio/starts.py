"""How often Twilio is asked for a stream of one call: each costs, and where none reaches us another would not, either. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from vcond.sdk.contract import SECOND, Instant

FIRST: Final = 5
"""Seconds after a stream was asked for before another one is; from the third on each doubles them."""
LONGEST: Final = 300
"""Seconds between two at most."""
MOST: Final = 20
"""Streams in a row that bring nothing for long, after which none is asked for any more: about an hour."""
LASTED: Final = 60 * SECOND
"""A stream that was there for so long begins the count anew, ns."""
NEVER: Final = Instant(0)
REMEMBERED: Final = 10_000
"""Calls of which it is known; those that were asked for longest ago are forgotten first."""


@dataclass(slots=True)
class _Asked:
    count: int = 0
    due: Instant = NEVER
    last: Instant = NEVER


class Starts:
    """Of all calls."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, _Asked] = OrderedDict()

    def wait(self, call: str, now: Instant) -> float:
        """Seconds before a stream of the call may be asked for; 0 = it may."""
        known = self._calls.get(call)
        return max(0, known.due - now) / SECOND if known is not None else 0.0

    def spent(self, call: str) -> bool:
        """Whether none is asked for any more."""
        known = self._calls.get(call)
        return known is not None and known.count >= MOST

    def asked(self, call: str, now: Instant) -> int:
        """A stream was asked for. Returns how many were, in a row."""
        known = self._calls.setdefault(call, _Asked())
        self._calls.move_to_end(call)
        while len(self._calls) > REMEMBERED:
            self._calls.popitem(last=False)
        known.due = Instant(now + min(FIRST << max(0, known.count - 2), LONGEST) * SECOND)
        known.count, known.last = known.count + 1, now
        return known.count

    def forget(self, call: str) -> None:
        """A stream of the call had come, and we had it stopped for a pause: that is no failure, however short it was."""
        self._calls.pop(call, None)

    def left(self, call: str, at: Instant) -> None:
        """No stream carries the call any more. One that had lasted is no failure."""
        known = self._calls.get(call)
        if known is not None and at - known.last >= LASTED:
            del self._calls[call]
