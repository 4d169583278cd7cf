"""Sequence numbers of one RTP source: what is next, late, double, missing, or no part of the stream at all."""

from __future__ import annotations

from enum import Enum
from typing import Final

from vcond.media.placement.reorder import MAX_DROPOUT, MAX_MISORDER

MASK: Final = (1 << 16) - 1
HALF: Final = 1 << 15


class Turn(Enum):
    """Where a packet stands in its stream."""

    NEXT = "next"
    """The awaited one, or a later one: those between are missing so far."""
    LATE = "late"
    """One that was missing."""
    DOUBLE = "double"
    """One that came before, or one that came too late to tell."""
    ODD = "odd"
    """Far from all others. Two of them in a row are a new numbering; one alone is no part of the stream."""
    RESTART = "restart"
    """The second of two such: the sender counts anew."""


class Sequence:
    """Follows one source (RFC 3550 appendix A.1; probation of new sources is the receiver's)."""

    __slots__ = ("_high", "_holes", "_odd", "double", "late", "lost", "next", "odd", "restarts")

    def __init__(self, first: int) -> None:
        """``first``: the number that is awaited first."""
        self.next = first
        """The number that should come next."""
        self.lost = 0
        """Numbers that never came, so far."""
        self.late = self.double = self.odd = self.restarts = 0
        self._high = 0  # the number of the latest, counted from 1 and never wrapping
        self._holes: dict[int, int] = {}
        self._odd = -1

    @property
    def received(self) -> int:
        """Packets, without double and odd ones."""
        return self._high - self.lost

    @property
    def highest(self) -> int:
        """The latest number, and above 16 bits how often they wrapped (RFC 3550 section 6.4.1)."""
        return ((self.next - self._high) & MASK) + self._high - 1

    @property
    def expected(self) -> int:
        """Packets that there should be: those that came and those that are missing."""
        return self._high

    def step(self, packets: int) -> None:
        """So many came, each the next one: ``take`` in short, for the usual case."""
        self.next = (self.next + packets) & MASK
        self._high += packets

    def take(self, seq: int) -> Turn:
        """Say what a packet is, and count it."""
        ahead = ((seq - self.next + HALF) & MASK) - HALF
        if 0 <= ahead <= MAX_DROPOUT:
            if ahead:
                self._open(ahead)
            self._high += ahead + 1
            self.next = (seq + 1) & MASK
            self._odd = -1
            return Turn.NEXT
        if -MAX_MISORDER <= ahead < 0:
            return self._behind(seq, self._high + 1 + ahead)
        return self._far(seq)

    def missing(self, seq: int) -> bool:
        """Whether a number is one that can still come."""
        return seq in self._holes and self._high - self._holes[seq] < MAX_MISORDER

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing of the latest packets."""
        return all(self._high - number >= MAX_MISORDER for number in self._holes.values())

    def _open(self, missing: int) -> None:
        """Remember what is missing from the awaited number on, as far back as a late packet can be."""
        self.lost += missing
        reach = self._high + 1 + missing - MAX_MISORDER
        holes = {seq: number for seq, number in self._holes.items() if number >= reach}
        for i in range(max(missing - MAX_MISORDER, 0), missing):
            holes[(self.next + i) & MASK] = self._high + 1 + i
        self._holes = holes

    def _behind(self, seq: int, number: int) -> Turn:
        if self._holes.get(seq) != number:
            self.double += 1
            return Turn.DOUBLE
        del self._holes[seq]
        self.lost -= 1
        self.late += 1
        return Turn.LATE

    def _far(self, seq: int) -> Turn:
        if seq != self._odd:
            self._odd = (seq + 1) & MASK
            self.odd += 1
            return Turn.ODD
        self._odd = -1
        self._holes.clear()
        self.odd -= 1  # the one before was no stray after all
        self.restarts += 1
        self._high += 2
        self.next = (seq + 1) & MASK
        return Turn.RESTART
