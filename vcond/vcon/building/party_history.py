"""The party history of a conversation (core-04 section 4.3): who came, left, held, muted and pressed what, in order.

Digits pressed while recording was paused are not in it, with a margin for platforms that report them late.
"""

from __future__ import annotations

from typing import Any, Final

from vcond.base.time import MILLI, Instant
from vcond.call.parties import Moment
from vcond.call.state import Call
from vcond.vcon.building.mix import touches_pause
from vcond.vcon.dates import date

MARGIN: Final = 500 * MILLI
"""A digit so soon after a pause may have been pressed in it."""


def history(call: Call) -> list[dict[str, Any]]:
    """The history of all parties, by time; of equal times in the order they were told."""
    return [
        {"party": moment.party, "time": date(moment.at), "event": moment.event}
        | ({"button": moment.button} if moment.button else {})
        for moment in sorted(_open(call), key=lambda moment: moment.at)
    ]


def _open(call: Call) -> list[Moment]:
    """All moments but the two of each digit that a pause touches."""
    kept: list[Moment] = []
    pressed: Instant | None = None
    for moment in call.history:
        if moment.event == "keydown":
            pressed = moment.at
            kept.append(moment)
        elif moment.event == "keyup" and pressed is not None:
            down, pressed = pressed, None
            hidden = [*call.pauses, *call.consents.withheld(moment.party, "recording")]
            if touches_pause(hidden, Instant(down - MARGIN), moment.at):
                kept.pop()
            else:
                kept.append(moment)
        else:
            kept.append(moment)
    return kept
