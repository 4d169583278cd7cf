"""A mistake of ours with one thing must not cost the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from typing import TypeVar

from vcond.sdk.contract import Desk

T = TypeVar("T")


def each(desk: Desk, things: Iterable[T], handle: Callable[[T], object], text: str) -> None:
    """Do something with every one of many; a mistake with one is told, and the others have their turn."""
    for thing in things:
        try:
            handle(thing)
        except Exception as why:  # noqa: BLE001 - see above
            mistake(desk, text, why)


def mistake(desk: Desk, text: str, why: Exception, **more: str) -> None:
    """Count and log an exception that nobody expected: its type and place; its text may hold what callers said or dialled."""
    where = traceback.extract_tb(why.__traceback__)[-1]
    desk.dropped("event", "mistake")
    desk.log.error(
        "internal error; please report it",
        what=text,
        error=type(why).__name__,
        where=f"{where.name}:{where.lineno}",
        **more,
    )
