"""The channels that are there, and what each of their events says of them, whatever it is about."""

from __future__ import annotations

from typing import Final

from vcond.sdk import clean
from vcond.sdk.contract import (
    AdapterHost,
    Cause,
    Instant,
    RecordingResumed,
    is_consent,
    is_pause,
    pause_said,
    refuses,
)
from vcond_freeswitch import masks
from vcond_freeswitch.calls import Leg, Taps
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event, number
from vcond_freeswitch.groups import Groups
from vcond_freeswitch.parties import who
from vcond_freeswitch.transfers import Transfers

SPIES: Final = frozenset({"eavesdrop", "userspy"})
"""Applications that only listen in on others, or whisper to them."""
JOINING: Final = "three_way"
"""The application that takes part in a call that goes on; its argument is a channel of that."""
LOOPBACK: Final = "loopback/"
"""Channels that only connect channels of the same switch, in pairs: ``loopback/1002-a``, ``loopback/1002-b``."""

_TRANSFERS: Final = frozenset({"CHANNEL_BRIDGE", "CALL_UPDATE", "CHANNEL_HANGUP_COMPLETE"})
"""Events that tell of transfers, beside CHANNEL_UNBRIDGE."""


class Channels:
    """All channels of one FreeSWITCH."""

    def __init__(self, host: AdapterHost, config: Config, taps: Taps) -> None:
        self.legs: dict[str, Leg] = {}
        """By channel id, those that are there now."""
        self.groups = Groups(self.legs, host, config, taps)
        self.transfers = Transfers(self.legs)
        self._config = config

    def new(self, event: Event, at: Instant, *, late: bool = False) -> Leg:
        """A channel that nobody knew; ``late`` = its beginning was not seen."""
        ids = (event.other, event.loopback, event.loopback_from, event.queue_member)
        other = next((self.legs[one] for one in ids if one in self.legs), None)
        if other is not None:
            conversation = other.conversation
        else:
            conversation = self.groups.begun(event.leg, at)
            conversation.late = late
        leg = Leg(
            event.leg, clean(event.channel), self._config.inside(event.channel), conversation, at, clean(event.context)
        )
        leg.who, leg.sip, leg.dialled = who(event, self._config), clean(event.sip_call_id), clean(event.destination)
        leg.source, leg.called = event.transfer_source if late else "", event.direction == "outbound"
        relay = bool(event.loopback) or event.channel.startswith(LOOPBACK)
        leg.relay = relay and not self._config.loops_speak
        self.legs[event.leg] = leg
        conversation.add(leg)
        half = self.legs.get(event.loopback)
        if half is not None:
            self.groups.join(half.conversation, leg.conversation, at)
        return leg

    def update(self, leg: Leg, event: Event, at: Instant) -> None:
        """What any event of a channel says of it."""
        leg.app = clean(event.app) or leg.app
        if leg.relay:
            leg.conversation.behind(leg)
            return
        if event.name in _TRANSFERS:
            self.transfers.seen(leg, event, at)
        leg.sip = leg.sip or clean(event.sip_call_id)
        if event.channel and clean(event.channel) != leg.name:
            leg.name, leg.inside = clean(event.channel), self._config.inside(event.channel)
            leg.conversation.look_at(leg, at)
        if leg.app in SPIES and not leg.peer:  # the name stays when another command connects it
            leg.conversation.listens_in(leg, at)
        if leg.app == JOINING and not leg.peer and event.app == leg.app:
            other = self.legs.get(event.app_data.strip())
            if other is not None and other is not leg:  # there is no bridge, and no event of one
                leg.peer = other.channel
                self.groups.meet(leg, other, at)
        if not leg.met:  # later events of a leg name whoever it talks to (measured after transfers)
            leg.conversation.describe(leg, who(event, self._config), at)
        stereo = number(event.codec_channels) == 2 if event.codec_channels else leg.stereo
        if stereo is not leg.stereo:
            leg.stereo = stereo
            leg.conversation.stop(leg, at)  # a tap is of one kind; who still talks is listened to anew
        for name, value in event.variables.items():
            if not handed_on(leg, event, name, value):
                leg.conversation.variable(name, value, at, leg)
        if leg.key:
            leg.conversation.fact("sip_call_id", leg.sip, at, leg)

    def renamed(self, event: Event) -> None:
        """A channel has another id now."""
        if event.old_leg not in self.legs or not event.leg or event.leg in self.legs:
            return  # no name, or that of another channel: it would be lost with its call
        leg = self.legs.pop(event.old_leg)
        leg.conversation.rename(event.old_leg, event.leg)
        self.legs[event.leg] = leg

    def lost(self, channel: str, at: Instant, text: str = "") -> None:
        """A channel is no longer there, and nobody told us how it ended."""
        leg = self.legs.pop(channel, None)
        if leg is not None:
            self.remove(leg, at, Cause(text=text))

    def remove(self, leg: Leg, at: Instant, why: Cause, *, hung_up: str = "", failure: str = "") -> None:
        """A channel is gone, and perhaps its conversation with it."""
        self.transfers.left(leg)
        masks.gone(leg, at)
        conversation = leg.conversation
        conversation.left(leg, at, why, hung_up=hung_up, failure=failure)
        if conversation.over:
            self.groups.over(conversation, at)


def handed_on(leg: Leg, event: Event, name: str, value: str) -> bool:
    """Whether a channel has a word of consent, or the end of a pause, from the one that called it (``export``): nobody said so there.

    Such a channel has the list of what was exported, too, as ``export_vars``; ``nolocal:`` before a name leaves out the one that
    exports (https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Modules/mod-dptools/). A value that was
    changed since was set there, and that somebody refused is heeded whosever word it was.
    """
    exported = {one.removeprefix("nolocal:").removeprefix("_nolocal_") for one in event.exported.split(",")}
    ends = is_pause(name) and isinstance(pause_said(value, Instant(0)), RecordingResumed)
    if not (is_consent(name) or ends) or event.direction != "outbound" or name not in exported or refuses(value):
        return False
    return leg.handed.setdefault(name, value) == value
