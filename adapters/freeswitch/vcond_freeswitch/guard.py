"""A mistake of ours with one thing must not cost the others."""

from __future__ import annotations

import traceback

from vcond.adapter import Desk


def mistake(desk: Desk, text: str, why: Exception, **more: str) -> None:
    """Count and log an exception that nobody expected: its type and place; its text may hold what callers said or dialled."""
    where = traceback.extract_tb(why.__traceback__)[-1]
    desk.dropped("event", "mistake")
    desk.log.error(
        "a mistake in vcond, please report it",
        what=text,
        error=type(why).__name__,
        where=f"{where.name}:{where.lineno}",
        **more,
    )
