"""When what came of a source is reported to it, and in what words (RFC 3550 section 6). Pure.

Clients that hear nothing of whoever they send to may take the session for dead. What is said costs them nothing: 60 bytes
every five seconds or so, to where media comes from and never to where none came from.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from random import SystemRandom
from typing import Final, Generic

from vcond.media.placement.clocks import Moment
from vcond.media.rtp.rtcp import Block, report
from vcond.media.rtp.sources import SECOND, Feed

LEAST: Final = 5.0
"""Seconds between two reports, on average (section 6.2)."""
EARLY: Final = 1.21828
"""The ratio that divides an interval that chance made between a half and one and a half of that (section 6.3.1)."""


class Reporter(Generic[Moment]):
    """Of one receiver."""

    def __init__(self, chance: Callable[[], float] | None = None) -> None:
        """``chance``: numbers from 0 to 1."""
        self._chance = chance or SystemRandom().random
        self._ssrc = secrets.randbits(32)
        self._name = secrets.token_urlsafe(12).encode()  # RFC 7022 section 4.2: for this session only
        self._due: Moment | None = None
        self._told: Feed[Moment] | None = None
        """The source of the latest report."""
        self._expected = self._lost = 0
        """What that said."""

    def look(self, feed: Feed[Moment] | None, now: Moment) -> bytes | None:
        """The report that is due now of what is received; None when there is none."""
        if feed is None or feed.over or (self._due is not None and now < self._due):
            return None
        first = self._due is None
        self._due = self._after(now, LEAST / 2 if first else LEAST)
        return None if first else self._report(feed, now)

    def last(self, feed: Feed[Moment] | None, now: Moment) -> bytes | None:
        """The last report, which says goodbye; None to a source that nothing was said to (section 6.3.7)."""
        if feed is None or feed.over or feed is not self._told:
            return None
        return self._report(feed, now, bye=True)

    def _after(self, now: Moment, seconds: float) -> Moment:
        return type(now)(now + round(seconds * (0.5 + self._chance()) / EARLY * SECOND))

    def _report(self, feed: Feed[Moment], now: Moment, *, bye: bool = False) -> bytes:
        if feed is not self._told:
            self._told, self._expected, self._lost = feed, 0, 0
        if feed.ssrc == self._ssrc:
            self._ssrc = secrets.randbits(32)
        sequence = feed.sequence
        expected, lost = sequence.expected - self._expected, sequence.lost - self._lost
        self._expected, self._lost = sequence.expected, sequence.lost
        middle, came = feed.reported or (0, now)
        return report(self._ssrc, self._name, Block(
            ssrc=feed.ssrc,
            fraction=min(max(lost, 0) * 256 // max(expected, 1), 255),
            lost=sequence.lost,
            highest=sequence.highest,
            jitter=round(feed.jitter * feed.rate / SECOND),
            last=middle,
            since=(now - came) * 65_536 // SECOND,
        ), bye=bye)  # fmt: skip
