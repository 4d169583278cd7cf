"""RTCP as far as a recorder needs it (RFC 3550 section 6): sender reports and goodbyes are read, receiver reports written."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
DESCRIPTION: Final = 202
BYE: Final = 203
CNAME: Final = 1
COUNT: Final = 0x1F
MOST: Final = 32
"""Packets of one compound that are looked at."""
SECOND: Final = 1_000_000_000
STAMPS: Final = (1 << 32) - 1
HALF: Final = 1 << 31
UNIX: Final = 2_208_988_800
"""Seconds from 1900, where NTP counts from, to 1970."""
STEP: Final = SECOND
"""A report this far from what the one before says is a step of the sender's clocks, ns."""
BASE: Final = 8 * SECOND
"""The least time between two reports that say something of the speed of a clock, ns."""
_header: Final = Struct("!BBH").unpack_from
_report: Final = Struct("!IIII").unpack_from
_ssrc: Final = Struct("!I").unpack_from
_received: Final = Struct("!BBHIIIIIII").pack
_described: Final = Struct("!BBHIBB").pack
_goodbye: Final = Struct("!BBHI").pack


class Report(NamedTuple):
    """Two clocks of a sender at the same moment (section 6.4.1)."""

    ssrc: int
    wall: int
    """Its wall clock, ns since 1970; 0 when it has none."""
    stamp: int
    """The timestamp that a sample of that moment would have."""
    middle: int = 0
    """The middle 32 bits of its wall clock, as it sent them: what a report of ours names it by."""


class Block(NamedTuple):
    """What came of a source (section 6.4.1)."""

    ssrc: int
    fraction: int
    """Lost since the report before, in 256ths."""
    lost: int
    """Lost in all."""
    highest: int
    """The highest number, and above 16 bits how often they wrapped."""
    jitter: int
    """Ticks."""
    last: int
    """``Report.middle`` of its latest report; 0 when there is none."""
    since: int
    """How long ago that came, in 65536ths of a second."""


class Bye(NamedTuple):
    """A source says that it is over (section 6.6)."""

    ssrc: int


def read(datagram: bytes) -> list[Report | Bye] | None:
    """What a compound packet says; None when it is none. Kinds that are not needed are skipped."""
    out: list[Report | Bye] = []
    at = packets = 0
    while at < len(datagram):
        if at + 4 > len(datagram) or packets >= MOST:
            return None
        first, kind, words = _header(datagram, at)
        stop = at + 4 + 4 * words
        if first >> 6 != 2 or stop > len(datagram):
            return None
        if kind == SENDER_REPORT and words >= 6:
            ssrc, seconds, fraction, stamp = _report(datagram, at + 4)
            middle = (seconds & 0xFFFF) << 16 | fraction >> 16
            out.append(Report(ssrc, _unix(seconds, fraction), stamp, middle))
        elif kind == BYE:
            out += _byes(datagram, at + 4, min(first & COUNT, words))
        at = stop
        packets += 1
    return out if packets else None


def _byes(datagram: bytes, at: int, count: int) -> Iterator[Bye]:
    for i in range(count):
        yield Bye(_ssrc(datagram, at + 4 * i)[0])


def _unix(seconds: int, fraction: int) -> int:
    """NTP's 64 bits as ns since 1970; before 1968 means after 2036, when they wrap (RFC 5905 section 6)."""
    if not seconds and not fraction:
        return 0
    era = 0 if seconds >> 31 else 1 << 32
    return (era + seconds - UNIX) * SECOND + (fraction * SECOND >> 32)


def report(ssrc: int, name: bytes, of: Block, *, bye: bool = False) -> bytes:
    """A compound: what was received, who says so, and if it is the last one, that too. ``name``: at most 255 bytes."""
    made = _received(
        0x81, RECEIVER_REPORT, 7, ssrc, of.ssrc, of.fraction << 24 | min(of.lost, 0x7F_FFFF), of.highest & STAMPS,
        of.jitter & STAMPS, of.last, of.since & STAMPS,
    )  # fmt: skip
    item = name + bytes(4 - (2 + len(name)) % 4)
    made += _described(0x81, DESCRIPTION, (6 + len(item)) // 4, ssrc, CNAME, len(name)) + item
    return made + _goodbye(0x81, BYE, 1, ssrc) if bye else made


class SenderClock:
    """Maps the timestamps of a stream to its sender's wall clock, which all streams of that sender share."""

    __slots__ = ("_first", "_last", "_ticks", "rate", "reports", "steps")

    def __init__(self, rate: int) -> None:
        """``rate``: ticks a second."""
        self.rate = rate
        self._first = self._last = Report(0, 0, 0)
        self._ticks = 0
        self.reports = 0
        """Reports with a wall clock so far."""
        self.steps = 0
        """How often the sender set a clock, or began its timestamps anew."""

    def take(self, report: Report) -> None:
        """Hear a report of the stream's sender."""
        if not report.wall:
            return
        self.reports += 1
        if self.reports > 1:
            ticks = _signed(report.stamp - self._last.stamp)
            off = (report.wall - self._last.wall) - ticks * SECOND // self.rate
            if abs(off) < STEP and ticks >= 0:
                self._ticks += ticks
                self._last = report
                return
            self.steps += 1
        self._first = self._last = report
        self._ticks = 0

    def wall(self, stamp: int) -> int | None:
        """The sender's wall clock at a timestamp, ns since 1970; None before the first report.

        By the latest report: right to within the skew of the time since.
        """
        if not self.reports:
            return None
        return self._last.wall + _signed(stamp - self._last.stamp) * SECOND // self.rate

    @property
    def ppm(self) -> float | None:
        """How much faster than its wall clock the sender samples, in millionths; None while that is not known."""
        passed = self._last.wall - self._first.wall
        if passed < BASE:
            return None
        return (self._ticks * SECOND / self.rate / passed - 1) * 1e6


def _signed(ticks: int) -> int:
    return ((ticks + HALF) & STAMPS) - HALF
