"""Which commands load rich: it is a third of a second, and structlog and typer would load it for tracebacks that vcond does not print."""

from __future__ import annotations

import sys


def keep_rich_out() -> None:
    """Nobody imports it from now on, unless it is loaded."""
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type] # import says then that there is none


def let_rich_in() -> None:
    """For what prints with it."""
    if sys.modules.get("rich", sys) is None:
        del sys.modules["rich"]
