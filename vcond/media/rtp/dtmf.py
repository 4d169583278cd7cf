"""Keys pressed, as telephone events in RTP (RFC 4733): each once, however often its packets came or were lost."""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import Final, Generic, NamedTuple

from vcond.call.events import BUTTONS, Button
from vcond.media.placement.clocks import Moment

BY_EVENT: Final = tuple(BUTTONS.values())
"""By number of their events. Other events are no keys: flash, tones, modems."""
LOST_END: Final = 200_000_000
"""A key about which nothing more came for this long is up, ns. Senders repeat every 20 to 50 ms (section 2.5.1.2)."""
REMEMBERED: Final = 16
"""Ended keys whose repeated packets are known as such."""
END: Final = 0x80
SEGMENT, LONGEST = 0xF000, 0xFFFF
"""Ticks from one segment of a key that is held long to the next: what a duration can say at most, or nearly so."""
STAMPS: Final = (1 << 32) - 1
HALF: Final = 1 << 31
_unpack: Final = Struct("!BBH").unpack


class Pressed(NamedTuple, Generic[Moment]):
    """A key that was pressed and let go."""

    button: Button
    at: Moment
    """Key down."""
    ms: int
    """How long, as far as its packets tell."""


class _Key(Generic[Moment]):
    """A key that is down."""

    __slots__ = ("at", "base", "duration", "event", "heard", "stamp")

    def __init__(self, event: int, stamp: int, at: Moment) -> None:
        self.event, self.stamp, self.at = event, stamp, at
        self.base = self.duration = 0
        """Ticks of the segments before this one, and of this one."""
        self.heard = at


class Keys(Generic[Moment]):
    """The keys of one stream."""

    __slots__ = ("_down", "_ended", "_rate", "bad")

    def __init__(self, rate: int) -> None:
        """``rate``: ticks of the timestamp a second."""
        self._rate = rate
        self._down: _Key[Moment] | None = None
        self._ended: deque[int] = deque(maxlen=REMEMBERED)
        self.bad = 0
        """Payloads that are no event."""

    def take(self, payload: bytes, stamp: int, arrived: Moment) -> list[Pressed[Moment]]:
        """Take one packet; return the keys that are known to be up by now.

        A payload is one or more events of four bytes that follow one another in time (section 2.5.1.5).
        """
        out: list[Pressed[Moment]] = []
        if not payload or len(payload) % 4 or len(payload) > 4 * REMEMBERED:
            self.bad += 1
            return out
        for at in range(0, len(payload), 4):
            event, flags, duration = _unpack(payload[at : at + 4])
            if event < len(BY_EVENT):
                self._event(event, stamp, duration, arrived, out, ended=flags >= END)
            stamp = (stamp + duration) & STAMPS
        return out

    def tick(self, now: Moment) -> list[Pressed[Moment]]:
        """Time passes: a key whose end was lost is up."""
        if self._down is None or now - self._down.heard < LOST_END:
            return []
        return [self._up(self._down)]

    def flush(self) -> list[Pressed[Moment]]:
        """Nothing more comes."""
        return [] if self._down is None else [self._up(self._down)]

    def _event(
        self, event: int, stamp: int, duration: int, arrived: Moment, out: list[Pressed[Moment]], *, ended: bool
    ) -> None:
        if stamp in self._ended:
            return
        key = self._down
        if key is not None and stamp != key.stamp:
            behind = ((stamp - key.stamp + HALF) & STAMPS) - HALF
            if behind < 0:
                return  # a late packet of an earlier key, or of an earlier segment of this one
            if event == key.event and SEGMENT <= behind <= LONGEST:
                self._segment(key, stamp)
            else:
                out.append(self._up(key))
                key = None
        if key is None:
            key = self._down = _Key(event, stamp, arrived)
        key.duration = max(key.duration, duration)
        key.heard = arrived
        # the least delayed of its packets knows best when it began
        began = arrived - (key.base + duration) * 1_000_000_000 // self._rate
        if began < key.at:
            key.at = type(arrived)(began)
        if ended:
            out.append(self._up(key))

    def _segment(self, key: _Key[Moment], stamp: int) -> None:
        """A key that is held for longer than a duration can say goes on under a new timestamp (section 2.5.1.3)."""
        self._ended.append(key.stamp)
        key.base += (stamp - key.stamp) & STAMPS
        key.stamp, key.duration = stamp, 0

    def _up(self, key: _Key[Moment]) -> Pressed[Moment]:
        self._down = None
        self._ended.append(key.stamp)
        return Pressed(BY_EVENT[key.event], key.at, (key.base + key.duration) * 1000 // self._rate)
