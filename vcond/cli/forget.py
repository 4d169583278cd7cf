"""``vcond forget``: a conversation goes, here and where it was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SHOWN = 1000
"""Lines of a plan; as JSON all of it is shown."""


def plan_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What retention would have go, for people."""
    if not rows:
        yield "nothing is due"
    for row in rows[:SHOWN]:
        held = "  ON LEGAL HOLD: stays" if row["held"] else ""
        yield f"{row['due']}  {row['place']:<20} {row['vcon']}  {row['why']}{held}"
    if len(rows) > SHOWN:
        yield f"... and {len(rows) - SHOWN} more"


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What became of one request, for people."""
    names = ", ".join(one["call"] for one in found["conversations"])
    yield f"receipt {found['receipt']}: {found['state']}; {len(found['conversations'])} call(s): {names}"
    for place in found["places"]:
        reason = f": {place['reason']}" if place["reason"] else ""
        after = f"; tried again {place['next_try']}" if place["next_try"] else ""
        yield f"  {place['place']:<20} {place['state']}{reason}{after}"
    if found["state"] == "open":
        yield "  -> vcond forget --status tells how far it is; vcond forget --give-up PLACE leaves a place as it is"
