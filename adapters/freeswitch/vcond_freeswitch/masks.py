"""Pauses that FreeSWITCH tells of: its own recordings that are masked, and what the dial plan says to us.

``uuid_record ID mask PATH`` (and ``pause``) tells nobody but by the event API, which every api command has when it has run,
``API-Command-Argument`` = its words, whether it did something or not (``switch_api_execute`` in ``switch_loadable_module.c``,
``session_record_function`` in ``mod_commands.c``, cc93a68; read, not recorded). The application ``record_session_mask`` has no such event.

The application ``event`` says so without a recording of the switch's own: ``Event-Name=CUSTOM,Event-Subclass=vcond::pause,Reason=card,
Seconds=90``, and ``vcond::resume`` (``event_function`` in ``mod_dptools.c``). It is of the channel on which it runs.

Each is an owner of its own: recording goes on when the last of a conversation's channels has ended the last of its own, or has left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vcond.sdk import clean
from vcond.sdk.contract import SECOND, Instant, RecordingPaused
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.events import Event, number

PAUSE, RESUME = "vcond::pause", "vcond::resume"
LONGEST: Final = 86_400
"""Seconds of a pause that ends by itself."""
MOST: Final = 16
"""What pauses at one channel at a time; a path of more than ``LONG`` letters is none."""
LONG: Final = 1024
_PAUSED: Final = {"mask": "mask", "pause": "pause", "unmask": "mask", "resume": "pause"}
"""What each action of ``uuid_record`` begins or ends."""
_DIALPLAN: Final = "dialplan"


def told(legs: Mapping[str, Leg], event: Event, at: Instant) -> None:
    """Take an event; one that says nothing of pauses means nothing."""
    if event.name == "API" and event.api.casefold() == "uuid_record":
        _recorded(legs, event.api_argument.split(), at)
    elif event.subclass in {PAUSE, RESUME} and (leg := legs.get(event.leg)) is not None:
        if event.subclass == PAUSE:
            seconds = min(number(event.seconds), LONGEST)
            end = Instant(at + seconds * SECOND) if seconds else None
            _pause(leg, _DIALPLAN, RecordingPaused(at=at, by="platform", reason=clean(event.reason)[:64], until=end))
        else:
            _resume(leg, _DIALPLAN, at)


def gone(leg: Leg, at: Instant) -> None:
    """A channel has ended, and with it its recordings."""
    if leg.pausing:
        leg.pausing.clear()
        _go_on(leg, at)


def _recorded(legs: Mapping[str, Leg], words: list[str], at: Instant) -> None:
    """``ID mask PATH``."""
    leg = legs.get(words[0]) if len(words) > 2 else None
    action = words[1].casefold() if leg is not None else ""
    if leg is None or action not in _PAUSED or len(words[2]) > LONG:
        return
    of = f"{_PAUSED[action]} {words[2]}"
    if action in {"mask", "pause"}:
        _pause(leg, of, RecordingPaused(at=at, by="platform", reason="mask"))
    else:
        _resume(leg, of, at)


def _pause(leg: Leg, of: str, event: RecordingPaused) -> None:
    if len(leg.pausing) < MOST:
        leg.pausing.add(of)
    leg.conversation.pause(leg.channel, event)


def _resume(leg: Leg, of: str, at: Instant) -> None:
    """It may be of a pause of before this run, which is in the call and not here."""
    leg.pausing.discard(of)
    _go_on(leg, at)


def _go_on(leg: Leg, at: Instant) -> None:
    if not any(one.pausing for one in leg.conversation.legs.values()):
        leg.conversation.resume(at)
