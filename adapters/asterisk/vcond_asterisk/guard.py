"""A mistake of ours with one thing must not cost the others."""

from __future__ import annotations

import traceback

from vcond.sdk.contract import AdapterHost


def mistake(host: AdapterHost, what: str, why: Exception) -> None:
    """Tell of an exception that should not be, without its text, which may hold what callers said or dialled."""
    where = traceback.extract_tb(why.__traceback__)[-1]
    host.dropped("event", "mistake")
    place = f"{where.name}:{where.lineno}"
    host.log.error("internal error; please report it", handling=what, error=type(why).__name__, where=place)
