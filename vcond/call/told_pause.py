"""A pause that comes as a name and a value: a channel variable, a parameter of a stream. Pure.

The name is ``vcond_pause``, written as freely as ``vcond_consent`` is (``vcond.call.told_consent``). ``off``, ``no``, ``false`` and ``0`` let
recording go on, any other value pauses it, and is the reason. It is the platform's: what a user event of a PBX or a mask paused
it ends, too.
"""

from __future__ import annotations

from typing import Final

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.state import Call
from vcond.call.told_consent import plain_name

OFF: Final = frozenset({"off", "no", "false", "0"})
LONGEST: Final = 64
"""Characters of a reason."""


def is_pause(name: str) -> bool:
    """Whether an attribute of that name speaks of a pause."""
    return plain_name(name) == "vcondpause"


def pause_said(value: str, at: Instant) -> ev.RecordingPaused | ev.RecordingResumed:
    """What its value says."""
    reason = value.strip()
    if reason.casefold() in OFF:
        return ev.RecordingResumed(at=at, by="platform")
    return ev.RecordingPaused(at=at, reason=reason[:LONGEST], by="platform")


def pause_of(call: Call, told: ev.Event) -> ev.RecordingPaused | ev.RecordingResumed | None:
    """What an attribute means; None = it speaks of no pause, or ends none."""
    if not isinstance(told, ev.CallAttribute) or not is_pause(told.name):
        return None
    said = pause_said(told.value, told.at)
    return said if isinstance(said, ev.RecordingPaused) or call.ending("platform", None) else None
