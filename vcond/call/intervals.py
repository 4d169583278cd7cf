"""Stretches of a call's time: pauses, interruptions, what is not kept for want of consent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vcond.base.time import MILLI, Instant, nanos, samples


@dataclass(slots=True)
class Interval:
    """A stretch of time that ``stop`` closes (None = still open)."""

    start: Instant
    stop: Instant | None = None
    reason: str = ""
    by: str = ""
    party: int | None = None
    overridden_by: str = ""
    """Who ended a pause that was another's to end; empty = whoever made it did."""
    override_reason: str = ""
    until: Instant | None = None
    """When it is to end by itself; None = not."""


def touches(intervals: Iterable[Interval], start: Instant, stop: Instant) -> bool:
    """Whether any of them has a moment of ``[start, stop)``."""
    return any(one.start < stop and (one.stop is None or start < one.stop) for one in intervals)


def passed(intervals: Iterable[Interval], since: Instant) -> bool:
    """Whether all of them ended before."""
    return all(one.stop is not None and one.stop < since for one in intervals)


def outside(
    intervals: Iterable[Interval], zero: Instant, parts: list[tuple[int, int]], rate: int
) -> list[tuple[int, int]]:
    """What of these stretches of a track, in samples from the call's ``zero``, none of the intervals touches, a sample away from each."""
    if not parts:
        return parts
    stop, passed = parts[-1][1], Instant(zero + nanos(parts[0][0], rate) - MILLI)
    for one in intervals:
        if one.stop is not None and one.stop < passed:
            continue  # asked for each frame, and a call may have had thousands of pauses
        first = samples(one.start - zero, rate) - 1
        last = stop if one.stop is None else samples(one.stop - zero, rate) + 1
        parts = [part for a, b in parts for part in ((a, min(b, first)), (max(a, last), b)) if part[0] < part[1]]
    return parts
