"""A mistake of ours with one thing must not cost the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from typing import TypeVar

from vcond.sdk.contract import AdapterHost

T = TypeVar("T")


def each(host: AdapterHost, things: Iterable[T], handle: Callable[[T], object], text: str) -> None:
    """Do something with every one of many; a mistake with one is told, and the others have their turn."""
    for thing in things:
        try:
            handle(thing)
        except Exception as why:  # noqa: BLE001 - see above
            mistake(host, text, why)


def mistake(host: AdapterHost, text: str, why: Exception, **more: str) -> None:
    """Count and log an exception that nobody expected: its type and place; its text may hold what callers said or dialled."""
    where = traceback.extract_tb(why.__traceback__)[-1]
    host.dropped("event", "mistake")
    host.log.error(
        "internal error; please report it",
        what=text,
        error=type(why).__name__,
        where=f"{where.name}:{where.lineno}",
        **more,
    )
