"""``vcond forget``: a conversation goes, here and where it was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What became of one request, for people."""
    names = ", ".join(one["call"] for one in found["conversations"])
    yield f"receipt {found['receipt']}: {found['state']}; {len(found['conversations'])} call(s): {names}"
    for one in found["conversations"]:
        if stays := one.get("stays_without_the_party"):
            yield f"  what stays of {one['call']}: vCon {stays}, without the party"
    for place in found["places"]:
        reason = f": {place['reason']}" if place["reason"] else ""
        after = f"; tried again {place['next_try']}" if place["next_try"] else ""
        yield f"  {place['place']:<20} {place['state']}{reason}{after}"
    if found["state"] == "open":
        yield "  -> how far it is: vcond forget --status"
        yield f"  -> leave a place as it is: vcond forget {found['receipt']} --give-up PLACE"
