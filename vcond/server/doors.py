"""What answers a query of the admin socket, and what queries say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from vcond.base.time import Instant, parse_rfc3339, rfc3339

Door = Callable[[dict[str, str]], Awaitable[Any]]
"""Answers a query. Raises OperatorError, LookupError and ValueError, whose texts are for who asked."""

MAY_BE_EMPTY: Final = frozenset({"reason"})
"""It only goes into the record."""


def given(query: Mapping[str, str]) -> dict[str, str]:
    """What a request says. Raises ValueError for what is there and empty: a mistake, and never "all of them"."""
    if empty := sorted(name for name, value in query.items() if not value and name not in MAY_BE_EMPTY):
        raise ValueError(f"{', '.join(empty)}: empty: give a value, or leave it out")
    return dict(query)


def moment(name: str, text: str) -> Instant:
    """A date of a query. Raises ValueError that says which and how."""
    try:
        at = parse_rfc3339(text)
        rfc3339(at)  # the end of 9999 in the west is no date in UTC, and would be shown nowhere
    except ValueError:
        raise ValueError(f"{name} must be a date with an offset, as in 2026-11-29T10:00:00Z: {text[:64]!r}") from None
    return at
