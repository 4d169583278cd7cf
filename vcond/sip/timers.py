"""Who wants to be called when, without a clock; and the session timers of RFC 4028."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from vcond.base.time import MILLI, SECOND, Instant
from vcond.sip.messages import Headers

T1: Final = 500 * MILLI
"""RFC 3261 section 17.1.1.1: how long a round trip may take before something is sent again."""
T2: Final = 4 * SECOND
"""The longest pause between two of those."""
T4: Final = 5 * SECOND
"""How long something may wander about in the network."""
LIFE: Final = 64 * T1
"""How long a transaction is remembered, and an ACK waited for."""
LONGEST_SESSION: Final = 86_400
"""Seconds between two refreshes that we agree to; may be asked for less often, not more."""

Key = TypeVar("Key", bound=Hashable)


class Timers(Generic[Key]):
    """One moment for each key; the last one that was set counts."""

    def __init__(self) -> None:
        self._at: dict[Key, Instant] = {}
        self._heap: list[tuple[Instant, int, Key]] = []
        self._count = 0

    def set(self, key: Key, at: Instant) -> None:
        """Have ``key`` come up at that moment, and not at an earlier one that was set."""
        self._at[key] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, key))
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = [entry for entry in self._heap if self._at.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def drop(self, key: Key) -> None:
        """Nothing more for ``key``."""
        self._at.pop(key, None)

    def due(self) -> Instant | None:
        """When the next one comes up."""
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: Instant) -> Iterator[Key]:
        """Those whose moment has come; each is gone until it is set again."""
        while (at := self.due()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            self._at.pop(key, None)
            yield key


class Session(NamedTuple):
    """What was agreed on."""

    interval: int
    """Seconds in which a refresh has to come."""
    ours: bool
    """Whether we are to send it."""

    @property
    def field(self) -> tuple[str, str]:
        """Session-Expires of an answer."""
        return "Session-Expires", f"{self.interval};refresher={'uas' if self.ours else 'uac'}"


class TooSmallError(Exception):
    """The interval is below ours: 422 with Min-SE."""


def negotiate(headers: Headers, *, least: int, usual: int) -> Session | None:
    """What to answer to a request's session timer; None is none (RFC 4028 section 9).

    Never one for a client that does not say that it knows them: it would not refresh, and a live call would end.
    Raises TooSmallError.
    """
    if "timer" not in headers.tokens("supported") | headers.tokens("require"):
        return None
    wanted, refresher = session_expires(headers)
    if not wanted:
        return Session(max(usual, _number(headers.get("min-se"))), ours=False) if usual else None
    if wanted < least:
        raise TooSmallError
    return Session(min(wanted, LONGEST_SESSION), ours=refresher == "uas")


def session_expires(headers: Headers) -> tuple[int, str]:
    """Seconds, 0 for none, and who refreshes: ``uac``, ``uas`` or nothing."""
    interval, *params = headers.get("session-expires").split(";", 8)
    names = dict(param.lower().replace(" ", "").partition("=")[::2] for param in params)
    return _number(interval), names.get("refresher", "")


def _number(text: str) -> int:
    text = text.partition(";")[0].strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
