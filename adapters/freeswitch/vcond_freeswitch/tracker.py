"""The tracker: events in, conversations out. Which channels belong together, and what they do. No I/O.

Grouping follows the graph of CHANNEL_CREATE (Other-Leg) and CHANNEL_BRIDGE (Bridge-A, Bridge-B), never
Channel-Call-UUID, which changes. Moments are FreeSWITCH's own stamps, mapped to our clock: events arrive 0 to 40 ms
late, with mod_callcenter 400 ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vcond.sdk.contract import BUTTONS, AdapterHost, Cause, Dtmf, Instant, LiveCall
from vcond_freeswitch import masks
from vcond_freeswitch.calls import Conversation, Leg, Taps
from vcond_freeswitch.channels import Channels
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event, number
from vcond_freeswitch.parties import cause, failure
from vcond_freeswitch.stamps import Stamps

MAX_LEGS: Final = 50_000
"""Channels that are known at the same time."""
ANSWERING: Final = frozenset({"", "answer", "pre_answer", "set", "sleep"})
"""Applications after which it is open what a leg that is alone is there for."""


class ChannelTracker:
    """All channels of one FreeSWITCH."""

    def __init__(self, host: AdapterHost, config: Config, taps: Taps) -> None:
        self._host = host
        self._config = config
        self._channels = Channels(host, config, taps)
        self.legs = self._channels.legs
        """By channel id, those that are there now."""
        self._groups = self._channels.groups
        self._stamps = Stamps()

    # Events.

    def unknown(self, event: Event) -> list[str]:
        """Channels that an event speaks of and nobody has told us of: to be dumped before it is handled."""
        if event.name == "CHANNEL_BRIDGE":
            return [leg for leg in (event.bridge_a, event.bridge_b) if leg and leg not in self.legs]
        if event.name == "CHANNEL_CREATE" and event.other and event.other not in self.legs:
            return [event.other]
        return []

    def in_doubt(self, event: Event) -> bool:
        """Whether an answered leg is alone, and its next application says whether it only listens in on others."""
        leg = self.legs.get(event.leg)
        if leg is None or event.name != "CHANNEL_ANSWER" or event.app not in ANSWERING:
            return False
        return self._config.record_supervisors is False and len(leg.conversation.legs) == 1

    def event(self, event: Event, arrived: Instant) -> None:
        """Handle one event."""
        at = self._stamps.at(event, arrived)
        name = event.name
        if name == "CHANNEL_UUID":
            self._channels.renamed(event)
        elif name == "CHANNEL_CREATE":
            self._created(event, at)
        elif name == "CHANNEL_HANGUP_COMPLETE":
            self._gone(event, at)
        elif name == "CHANNEL_BRIDGE":
            self._bridged(event, at)
        elif name == "CHANNEL_UNBRIDGE":
            self._unbridged(event, at)
        elif name in {"API", "CUSTOM"}:
            masks.told(self.legs, event, at)
            self._groups.custom(event, at)
        elif name in _OF_A_LEG:
            self._of_leg(event, at)

    # What is found without an event.

    def away(self, since: Instant, until: Instant) -> None:
        """Nothing was told between two moments. Holds of that time are told when their leg ends."""
        self._stamps.away(since, until)

    def lost(self, channel: str, at: Instant, text: str = "") -> None:
        """A channel is no longer there, and nobody told us how it ended."""
        self._channels.lost(channel, at, text)

    def conversations(self) -> list[Conversation]:
        """All that there are."""
        return self._groups.conversations()

    def let_go(self, at: Instant) -> None:
        """Who stays and was left behind, as his customer was sent on to a colleague, waits for the next."""
        self._groups.let_go(at)

    def found(self, dump: Event, arrived: Instant) -> Leg | None:
        """A channel that is there, as ``uuid_dump`` tells it: told of after a gap, or never told of. Does not settle."""
        if not dump.leg or len(self.legs) >= MAX_LEGS:
            return None
        at = self._stamps.at(dump, arrived)
        known = self.legs.get(dump.leg)
        leg = known or self._channels.new(dump, self._stamps.past(dump.created, dump, at) or at, late=True)
        self._channels.update(leg, dump, at)
        if leg.up is None and number(dump.answered):
            leg.up = self._stamps.past(dump.answered, dump, at) or at
        leg.bypassed = _bypassed(dump)
        leg.source = dump.transfer_source or leg.source  # when it was sent on is not known
        other = self.legs.get(dump.other) if dump.other else None
        if other is not None:
            self._groups.join(leg.conversation, other.conversation, at)
            if leg.up is not None and other.up is not None and dump.call_state in {"ACTIVE", "HELD", "UNHELD"}:
                leg.peer, other.peer = other.channel, leg.channel
        return leg

    def holds(self, dump: Event, arrived: Instant) -> None:
        """Hold as a dump tells it, once its party is known."""
        leg = self.legs.get(dump.leg)
        if leg is not None:
            at = self._stamps.at(dump, arrived)
            if dump.call_state == "HELD":
                leg.conversation.hold(leg, at)
            elif leg.holding:
                leg.conversation.unhold(leg, at)

    def sweep(self, at: Instant) -> None:
        """End calls of this adapter that no channel belongs to any more."""
        kept = {one.call.uuid for one in self.conversations() if one.call is not None}
        for call in self._host.open_calls():
            if call.uuid not in kept:
                call.end(at=at, cause=Cause(text="lost"))

    def all_lost(self, at: Instant, text: str) -> None:
        """Every channel is gone: the switch was restarted."""
        for channel in list(self.legs):
            self.lost(channel, at, text)

    def adopt(self, calls: Iterable[LiveCall], at: Instant) -> None:
        """Take up calls of an earlier run whose channels are still there."""
        for call in calls:
            keys = {call.key, *(party.key for party in call.state.parties)}
            found = [leg.conversation for key, leg in self.legs.items() if key in keys]
            conversation = next((one for one in found if one.call is None), None)
            if conversation is not None:
                for other in found:
                    if other is not conversation and other.call is None:
                        self._groups.join(conversation, other, at)
                conversation.key = call.key
                conversation.adopt(self._host.call(call.key, at=at), at)
                conversation.late = False  # who came meanwhile did so when the dump says

    # Channels.

    def _created(self, event: Event, at: Instant) -> None:
        if not event.leg or event.leg in self.legs:
            return
        if len(self.legs) >= MAX_LEGS:
            self._host.dropped("channel", "limit")
            return
        leg = self._channels.new(event, at)
        self._channels.update(leg, event, at)
        leg.conversation.settle(at)

    def _of_leg(self, event: Event, at: Instant) -> None:
        """An event of one channel, which is made known by it when it was not."""
        leg = self.legs.get(event.leg)
        if leg is None:
            if not event.leg or len(self.legs) >= MAX_LEGS or event.name not in _MAKES_KNOWN:
                return
            if self._channels.transfers.ended(event.leg):
                return  # its last events come in any order
            leg = self._channels.new(event, at, late=True)
        self._channels.update(leg, event, at)
        conversation = leg.conversation
        if event.name == "CHANNEL_ANSWER":
            leg.up = leg.up or at
            leg.bypassed = _bypassed(event)
        elif event.name == "CHANNEL_HOLD":
            conversation.hold(leg, at)
        elif event.name == "CHANNEL_UNHOLD":
            conversation.unhold(leg, at)
        elif event.name == "DTMF":
            self._digit(leg, event, at)
        conversation.settle(at)

    def _digit(self, leg: Leg, event: Event, at: Instant) -> None:
        party, button = leg.party, BUTTONS.get(event.digit)
        if party is not None and button is not None:
            ms = min(number(event.digit_samples) // 8, 60_000)  # always counted at 8 kHz
            conversation = leg.conversation
            conversation.emit(Dtmf(at=at, party=party.index, button=button, ms=ms))

    def _gone(self, event: Event, at: Instant) -> None:
        leg = self.legs.get(event.leg)
        if leg is None:
            return
        self._channels.update(leg, event, at)
        if leg.up is None and number(event.answered):
            leg.up = self._stamps.past(event.answered, event, at)  # its CHANNEL_ANSWER was not seen
        self._stamps.held_while_away(leg, event, at)
        self.legs.pop(event.leg, None)
        self._channels.remove(leg, at, cause(event), hung_up=event.hung_up, failure=failure(event))

    # Bridges and conferences.

    def _bridged(self, event: Event, at: Instant) -> None:
        one, two = self.legs.get(event.bridge_a), self.legs.get(event.bridge_b)
        for leg in (one, two):
            if leg is not None and leg.channel == event.leg:
                self._channels.update(leg, event, at)
        if one is None or two is None or one is two:
            return
        for leg, other in ((one, two), (two, one)):
            leg.peer = leg.partner = other.channel
            leg.met, leg.apart = True, None
            leg.conversation.takes_part(leg, at)
            if leg.up is None and leg.channel == event.leg and number(event.answered):
                leg.up = at  # a bridge is no answer: with a 183 it comes at the early media (measured)
        self._groups.meet(one, two, at).settle(at)
        self._channels.transfers.bridged(one, two)

    def _unbridged(self, event: Event, at: Instant) -> None:
        """Two legs are apart: the end of nothing. Whoever was sent on says so here."""
        self._groups.part(event.bridge_a, event.bridge_b, at)
        leg = self.legs.get(event.leg)
        if leg is None:
            return
        self._channels.transfers.seen(leg, event, at)
        leg.conversation.settle(at)


_OF_A_LEG: Final = frozenset({"CHANNEL_ANSWER", "CHANNEL_HOLD", "CHANNEL_UNHOLD", "CALL_UPDATE", "DTMF"})
_MAKES_KNOWN: Final = frozenset({"CHANNEL_ANSWER", "CHANNEL_HOLD", "CHANNEL_UNHOLD", "DTMF"})


def _bypassed(event: Event) -> bool:
    return event.bypass == "true" or event.proxy == "true"
