"""Moments and spans of time: integer nanoseconds, so that nothing is ever compared as a float.

``Instant`` is a moment, in nanoseconds since 1970-01-01T00:00:00Z. It is read once, at the border.
Lengths of time are nanoseconds too. Positions in audio are integer samples of their track.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NewType

Instant = NewType("Instant", int)
"""Nanoseconds since the epoch, UTC."""

EPOCH = Instant(0)
SECOND = 1_000_000_000
MILLI = 1_000_000


def seconds(ns: int) -> float:
    """Nanoseconds as float seconds, for people and JSON only."""
    return ns / SECOND


def samples(ns: int, rate: int) -> int:
    """How many samples of ``rate`` Hz fit ``ns``, rounded to the nearest; negative lengths stay negative."""
    return (ns * rate + SECOND // 2) // SECOND


def nanos(count: int, rate: int) -> int:
    """The length of ``count`` samples at ``rate`` Hz, rounded to the nearest nanosecond."""
    return (count * SECOND + rate // 2) // rate


def rfc3339(at: Instant) -> str:
    """As vCon dates are written (RFC 3339 as in RFC 8620 section 1.4): capital T and Z, no zero fraction, milliseconds."""
    whole, rest = divmod((at + MILLI // 2) // MILLI, 1000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:03d}".rstrip("0") + "Z" if rest else text + "Z"


def of_uuid(uuid: str) -> Instant:
    """The moment in a uuid that carries one: its first 48 bits are milliseconds (RFC 9562 sections 5.7, 5.8)."""
    return Instant(int(uuid[:8] + uuid[9:13], 16) * MILLI)


def dated(uuid: str) -> Instant | None:
    """As ``of_uuid``; None of a uuid that carries no moment (versions 7 and 8 do), or one that is no date."""
    at = of_uuid(uuid)
    try:
        rfc3339(at)
    except (OverflowError, ValueError):
        return None
    return at if uuid[14] in "78" else None


def parse_rfc3339(text: str) -> Instant:
    """A date with an offset, as an Instant. A leap second (``:60``, section 5.7) is the second after it, as in POSIX.

    Raises ValueError when it is not a date or carries no offset.
    """
    if text[16:19] == ":60":
        return Instant(parse_rfc3339(f"{text[:16]}:59{text[19:]}") + SECOND)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("date without offset")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return Instant((delta.days * 86400 + delta.seconds) * SECOND + delta.microseconds * 1000)
