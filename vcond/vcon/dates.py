"""Dates as a vCon writes them, for any instant that a journal may hold."""

from __future__ import annotations

from typing import Final

from vcond.base.time import SECOND, Instant, rfc3339

_LAST: Final = Instant(253_402_300_799 * SECOND)
"""The last whole second of the year 9999, beyond which RFC 3339 has no words."""


def date(at: Instant) -> str:
    """RFC 3339 with capital T and Z and no zero fraction; moments outside 1970 to 9999 are moved to the nearest end."""
    return rfc3339(Instant(min(max(at, 0), _LAST)))
