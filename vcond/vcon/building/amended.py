"""The amended vCon: the same call once more, with the texts that were missing when its vCon had to leave."""

from __future__ import annotations

from vcond.base.errors import JournalError
from vcond.call.state import Call
from vcond.vcon.dates import date
from vcond.vcon.model import Document


def announced(call: Call, *, amended: bool) -> list[str]:
    """What a vCon says of the one that is to follow."""
    if call.amending is None or amended:
        return []
    until = date(call.amending.until)
    return [f"an amended vCon {call.amending.vcon} follows if the missing texts are there by {until}"]


def amend(document: Document, call: Call) -> None:
    """Make a call's vCon its amended one (core-04 section 4.1.8): a uuid of its own, that of the earlier one, its date.

    Raises JournalError when none was announced.
    """
    if call.amending is None:
        raise JournalError("no amended vCon without an Amending event")
    document["uuid"] = call.amending.vcon
    document["created_at"] = date(max(call.added_at, call.amending.at))
    document["amended"] = {"uuid": call.uuid}
