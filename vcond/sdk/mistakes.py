"""A mistake of ours, or of a system, with one thing must not cost the others: it is told, and they have their turn."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from typing import TypeVar

from vcond.sdk.contract import AdapterHost

T = TypeVar("T")


def mistake(host: AdapterHost, what: str, why: BaseException, **more: str) -> None:
    """Count and log an exception that nobody expected: its type and its place; its text may hold what callers said or dialled.

    ``what``: what was being done; ``more``: fields of the line of the log.
    """
    where = traceback.extract_tb(why.__traceback__)[-1]
    host.dropped("event", "mistake")
    host.log.error(
        "internal error; please report it",
        what=what,
        error=type(why).__name__,
        where=f"{where.name}:{where.lineno}",
        **more,
    )


def each(host: AdapterHost, things: Iterable[T], handle: Callable[[T], object], what: str) -> None:
    """Do something with every one of many; a mistake with one is told, and the others have their turn."""
    for thing in things:
        try:
            handle(thing)
        except Exception as why:  # noqa: BLE001 - see above
            mistake(host, what, why)
