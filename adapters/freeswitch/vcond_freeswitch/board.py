"""The switchboard: events in, conversations out. Which channels belong together, and what they do. No I/O.

Grouping follows the graph of CHANNEL_CREATE (Other-Leg) and CHANNEL_BRIDGE (Bridge-A, Bridge-B), never
Channel-Call-UUID, which changes. Moments are FreeSWITCH's own stamps, mapped to our clock: events arrive 0 to 40 ms
late, with mod_callcenter 400 ms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from vcond.sdk import clean
from vcond.sdk.contract import Cause, Desk, Digit, Instant, LiveCall, RemoteClock
from vcond_freeswitch.calls import Conversation, Leg, Taps
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event, number
from vcond_freeswitch.parties import cause, failure, who
from vcond_freeswitch.transfers import Transfers

BUTTONS: Final = frozenset("0123456789*#ABCD")
MICRO: Final = 1_000
"""Nanoseconds in FreeSWITCH's unit of time."""
MAX_LEGS: Final = 50_000
"""Channels that are known at the same time."""
AWAY: Final = 20
"""Times without an attachment that are remembered."""
SPIES: Final = frozenset({"eavesdrop", "userspy"})
"""Applications that only listen in on others, or whisper to them."""
JOINING: Final = "three_way"
"""The application that takes part in a call that goes on; its argument is a channel of that."""
ANSWERING: Final = frozenset({"", "answer", "pre_answer", "set", "sleep"})
"""Applications after which it is open what a leg that is alone is there for."""
LOOPBACK: Final = "loopback/"
"""Channels that only connect channels of the same switch, in pairs: ``loopback/1002-a``, ``loopback/1002-b``."""


class Switchboard:
    """All channels of one FreeSWITCH."""

    def __init__(self, desk: Desk, config: Config, taps: Taps) -> None:
        self.legs: dict[str, Leg] = {}
        """By channel id, those that are there now."""
        self._desk = desk
        self._config = config
        self._taps = taps
        self._clock = RemoteClock()
        self._transfers = Transfers(self.legs)
        self._conferences: dict[str, Conversation] = {}
        self._away: list[tuple[Instant, Instant]] = []
        """When we were not attached, the last few times."""

    def away(self, since: Instant, until: Instant) -> None:
        """Nothing was told between two moments. Holds of that time are told when their leg ends."""
        self._away = [*self._away[-AWAY:], (since, until)]

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
        at = self._at(event, arrived)
        name = event.name
        if name == "CHANNEL_UUID":
            self._renamed(event)
        elif name == "CHANNEL_CREATE":
            self._created(event, at)
        elif name == "CHANNEL_HANGUP_COMPLETE":
            self._gone(event, at)
        elif name == "CHANNEL_BRIDGE":
            self._bridged(event, at)
        elif name == "CHANNEL_UNBRIDGE":
            self._unbridged(event, at)
        elif name == "CUSTOM":
            self._custom(event, at)
        elif name in _OF_A_LEG:
            self._of_leg(event, at)

    def found(self, dump: Event, arrived: Instant) -> Leg | None:
        """A channel that is there, as ``uuid_dump`` tells it: told of after a gap, or never told of. Does not settle."""
        if not dump.leg or len(self.legs) >= MAX_LEGS:
            return None
        at = self._at(dump, arrived)
        known = self.legs.get(dump.leg)
        leg = known or self._new_leg(dump, self._past(dump.created, dump, at) or at, late=True)
        self._update(leg, dump, at)
        if leg.up is None and number(dump.answered):
            leg.up = self._past(dump.answered, dump, at) or at
        leg.bypassed = _bypassed(dump)
        leg.source = dump.transfer_source or leg.source  # when it was sent on is not known
        other = self.legs.get(dump.other) if dump.other else None
        if other is not None:
            self._join(leg.conversation, other.conversation, at)
            if leg.up is not None and other.up is not None and dump.call_state in {"ACTIVE", "HELD", "UNHELD"}:
                leg.peer, other.peer = other.channel, leg.channel
        return leg

    def holds(self, dump: Event, arrived: Instant) -> None:
        """Hold as a dump tells it, once its party is known."""
        leg = self.legs.get(dump.leg)
        if leg is not None:
            at = self._at(dump, arrived)
            if dump.call_state == "HELD":
                leg.conversation.hold(leg, at)
            elif leg.holding:
                leg.conversation.unhold(leg, at)

    def lost(self, channel: str, at: Instant, text: str = "") -> None:
        """A channel is no longer there, and nobody told us how it ended."""
        leg = self.legs.pop(channel, None)
        if leg is not None:
            self._remove(leg, at, Cause(text=text))

    def sweep(self, at: Instant) -> None:
        """End calls of this adapter that no channel belongs to any more."""
        kept = {one.call.uuid for one in self.conversations() if one.call is not None}
        for call in self._desk.open_calls():
            if call.uuid not in kept:
                call.end(at=at, cause=Cause(text="lost"))

    def all_lost(self, at: Instant, text: str) -> None:
        """Every channel is gone: the switch was restarted."""
        for channel in list(self.legs):
            self.lost(channel, at, text)

    def conversations(self) -> list[Conversation]:
        """All that there are."""
        return list({id(leg.conversation): leg.conversation for leg in self.legs.values()}.values())

    def adopt(self, calls: Iterable[LiveCall], at: Instant) -> None:
        """Take up calls of an earlier run whose channels are still there."""
        for call in calls:
            keys = {call.key, *(party.key for party in call.state.parties)}
            found = [leg.conversation for key, leg in self.legs.items() if key in keys]
            conversation = next((one for one in found if one.call is None), None)
            if conversation is not None:
                for other in found:
                    if other is not conversation and other.call is None:
                        self._join(conversation, other, at)
                conversation.key = call.key
                conversation.adopt(self._desk.call(call.key, at=at), at)
                conversation.late = False  # who came meanwhile did so when the dump says

    # Channels.

    def _created(self, event: Event, at: Instant) -> None:
        if not event.leg or event.leg in self.legs:
            return
        if len(self.legs) >= MAX_LEGS:
            self._desk.dropped("channel", "limit")
            return
        leg = self._new_leg(event, at)
        self._update(leg, event, at)
        leg.conversation.settle(at)

    def _new_leg(self, event: Event, at: Instant, *, late: bool = False) -> Leg:
        ids = (event.other, event.loopback, event.loopback_from, event.queue_member)
        other = next((self.legs[one] for one in ids if one in self.legs), None)
        if other is not None:
            conversation = other.conversation
        else:
            conversation = Conversation(event.leg, at, self._desk, self._config, self._taps)
            conversation.late = late
        leg = Leg(
            event.leg, clean(event.channel), self._config.inside(event.channel), conversation, at, clean(event.context)
        )
        leg.who, leg.sip, leg.dialled = who(event, self._config), clean(event.sip_call_id), clean(event.destination)
        leg.source, leg.called = event.transfer_source if late else "", event.direction == "outbound"
        leg.relay = bool(event.loopback) or event.channel.startswith(LOOPBACK)
        self.legs[event.leg] = leg
        conversation.add(leg)
        half = self.legs.get(event.loopback)
        if half is not None:
            self._join(half.conversation, leg.conversation, at)
        return leg

    def _of_leg(self, event: Event, at: Instant) -> None:
        """An event of one channel, which is made known by it when it was not."""
        leg = self.legs.get(event.leg)
        if leg is None:
            if not event.leg or len(self.legs) >= MAX_LEGS or event.name not in _MAKES_KNOWN:
                return
            if self._transfers.ended(event.leg):
                return  # its last events come in any order
            leg = self._new_leg(event, at, late=True)
        self._update(leg, event, at)
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

    def _update(self, leg: Leg, event: Event, at: Instant) -> None:
        leg.app = clean(event.app) or leg.app
        if leg.relay:
            leg.conversation.behind(leg)
            return
        if event.name in _TRANSFERS:
            self._transfers.seen(leg, event, at)
        leg.sip = leg.sip or clean(event.sip_call_id)
        if event.channel and clean(event.channel) != leg.name:
            leg.name, leg.inside = clean(event.channel), self._config.inside(event.channel)
            leg.conversation.look_at(leg, at)
        if leg.app in SPIES and not leg.peer:  # the name stays when another command connects it
            leg.conversation.listens_in(leg, at)
        if leg.app == JOINING and not leg.peer and event.app == leg.app:
            self._comes_to(leg, self.legs.get(event.app_data.strip()), at)
        if not leg.met:  # later events of a leg name whoever it talks to (measured after transfers)
            leg.conversation.describe(leg, who(event, self._config), at)
        stereo = number(event.codec_channels) == 2 if event.codec_channels else leg.stereo
        if stereo is not leg.stereo:
            leg.stereo = stereo
            leg.conversation.stop(leg, at)  # a tap is of one kind; who still talks is listened to anew
        for name, value in event.variables.items():
            leg.conversation.variable(name, value, at)
        if leg.key:
            leg.conversation.fact("sip_call_id", leg.sip, at, leg)

    def _digit(self, leg: Leg, event: Event, at: Instant) -> None:
        party = leg.party
        if party is not None and event.digit in BUTTONS:
            ms = min(number(event.digit_samples) // 8, 60_000)  # always counted at 8 kHz
            conversation = leg.conversation
            conversation.emit(Digit(at=at, party=party.index, button=event.digit, ms=ms))  # type: ignore[arg-type]

    def _renamed(self, event: Event) -> None:
        if event.old_leg not in self.legs or not event.leg or event.leg in self.legs:
            return  # no name, or that of another channel: it would be lost with its call
        leg = self.legs.pop(event.old_leg)
        leg.conversation.rename(event.old_leg, event.leg)
        self.legs[event.leg] = leg

    def _gone(self, event: Event, at: Instant) -> None:
        leg = self.legs.get(event.leg)
        if leg is None:
            return
        self._update(leg, event, at)
        if leg.up is None and number(event.answered):
            leg.up = self._past(event.answered, event, at)  # its CHANNEL_ANSWER was not seen
        self._held_while_away(leg, event, at)
        self.legs.pop(event.leg, None)
        self._remove(leg, at, cause(event), hung_up=event.hung_up, failure=failure(event))

    def _held_while_away(self, leg: Leg, event: Event, at: Instant) -> None:
        """Holds that began and ended while we were not attached: ``{{start_us,end_us},...}``, told at the leg's end."""
        for start, stop in _HOLD.findall(event.holds[:MAX_HOLDS]) if self._away else ():
            began, ended = self._past(start, event, at), self._past(stop, event, at)
            if began is None or ended is None or leg.holding:
                continue
            if any(since <= began <= ended <= until for since, until in self._away):
                leg.conversation.hold(leg, began)
                leg.conversation.unhold(leg, ended)

    def _remove(self, leg: Leg, at: Instant, why: Cause, *, hung_up: str = "", failure: str = "") -> None:
        self._transfers.left(leg)
        conversation = leg.conversation
        conversation.left(leg, at, why, hung_up=hung_up, failure=failure)
        if conversation.over:
            conversation.end(at)
            for relay in conversation.legs:
                self.legs.pop(relay, None)
            for name in [name for name, one in self._conferences.items() if one is conversation]:
                del self._conferences[name]

    # Bridges and conferences.

    def _bridged(self, event: Event, at: Instant) -> None:
        one, two = self.legs.get(event.bridge_a), self.legs.get(event.bridge_b)
        for leg in (one, two):
            if leg is not None and leg.channel == event.leg:
                self._update(leg, event, at)
        if one is None or two is None or one is two:
            return
        for leg, other in ((one, two), (two, one)):
            leg.peer = leg.partner = other.channel
            leg.met, leg.apart = True, None
            leg.conversation.takes_part(leg, at)
            if leg.up is None and leg.channel == event.leg and number(event.answered):
                leg.up = at  # a bridge is no answer: with a 183 it comes at the early media (measured)
        self._meet(one, two, at).settle(at)
        self._transfers.bridged(one, two)

    def _unbridged(self, event: Event, at: Instant) -> None:
        """Two legs are apart: the end of nothing. Whoever was sent on says so here."""
        for one, two in ((event.bridge_a, event.bridge_b), (event.bridge_b, event.bridge_a)):
            leg = self.legs.get(one)
            if leg is not None and leg.peer == two:
                leg.peer = self._still_there(leg, two)
                leg.apart = None if leg.peer else at
        leg = self.legs.get(event.leg)
        if leg is None:
            return
        self._transfers.seen(leg, event, at)
        leg.conversation.settle(at)

    def _still_there(self, leg: Leg, gone: str) -> str:
        """Who a leg goes back to without a word: it asked a colleague beside (``att_xfer``, let go with ``*``)."""
        legs = leg.conversation.legs.items()
        return next((name for name, one in legs if one.peer == leg.channel and name != gone), "")

    def _comes_to(self, leg: Leg, other: Leg | None, at: Instant) -> None:
        """A third one takes part in what two others say: there is no bridge, and no event of one."""
        if other is not None and other is not leg:
            leg.peer = other.channel
            self._meet(leg, other, at)

    def _meet(self, one: Leg, two: Leg, at: Instant) -> Conversation:
        """Two legs are connected: they are in one conversation; who stays leaves the one before behind."""
        for leg, other in ((one, two), (two, one)):
            here, there = leg.conversation, other.conversation
            if here is there or not leg.stays or here.left_alone is not None:
                continue
            if any(left.somebody for left in here.legs.values() if left is not leg):
                here.move(leg, there, at)
        return self._join(one.conversation, two.conversation, at)

    def _join(self, one: Conversation, two: Conversation, at: Instant) -> Conversation:
        """Two conversations are one: the older takes the other in."""
        if one is two:
            return one
        older, newer = (one, two) if one.since <= two.since else (two, one)
        older.absorb(newer, at)
        for name, held in self._conferences.items():
            if held is newer:
                self._conferences[name] = older
        return older

    def _custom(self, event: Event, at: Instant) -> None:
        if event.subclass == "conference::maintenance":
            self._conference(event, at)
        elif event.subclass == "callcenter::info":
            self._queue(event, at)

    def _conference(self, event: Event, at: Instant) -> None:
        leg = self.legs.get(event.leg)
        room = event.conference_id or event.conference
        if leg is None or not room:
            return
        if event.action == "add-member":
            leg.conference, leg.app = room, "conference"
            leg.conversation.takes_part(leg, at)
            conversation = self._conferences.get(room)
            inside = [one for one in conversation.legs.values() if one.conference == room] if conversation else []
            if len(inside) == 1 and inside[0] is not leg:
                conversation = self._meet(inside[0], leg, at)
            elif conversation is not None and conversation.legs:
                conversation = self._join(conversation, leg.conversation, at)
            else:
                conversation = leg.conversation
            self._conferences[room] = conversation
            for one in conversation.legs.values():
                one.apart = None if one.conference == room else one.apart
            conversation.settle(at)
            conversation.fact("conference", event.conference, at)
        elif event.action == "del-member":
            leg.conference = ""
            inside = [one for one in leg.conversation.legs.values() if one.conference == room]
            if len(inside) == 1:
                inside[0].partner, inside[0].apart = leg.channel, at
            leg.conversation.settle(at)

    def let_go(self, at: Instant) -> None:
        """Who stays and was left behind, as his customer was sent on to a colleague, waits for the next."""
        for conversation in self.conversations():
            leg = conversation.left_for_good(at)
            if leg is not None and leg.apart is not None:
                key = f"{leg.channel} {leg.apart}"
                alone = Conversation(key, leg.apart, self._desk, self._config, self._taps)
                conversation.leave(leg, alone, leg.apart)

    def _queue(self, event: Event, at: Instant) -> None:
        member = self.legs.get(event.cc_member_leg)
        if member is None:
            return
        member.waits = True
        member.conversation.fact("queue", event.cc_queue, at)
        agent = self.legs.get(event.cc_agent_leg)
        if event.cc_action == "bridge-agent-start":
            member.conversation.fact("agent", event.cc_agent, at)
            if agent is not None:
                self._meet(member, agent, at).settle(at)

    # Time.

    def _at(self, event: Event, arrived: Instant) -> Instant:
        """When it happened, on our clock."""
        stamp = number(event.stamp)
        return self._clock.at(Instant(stamp * MICRO), arrived) if stamp else arrived

    def _past(self, moment: str, event: Event, at: Instant) -> Instant | None:
        """A moment that a dump names, on our clock; None when it names none, or one that cannot be."""
        then, now = number(moment), number(event.stamp)
        return Instant(at - (now - then) * MICRO) if 0 < then <= now else None


_HOLD: Final = re.compile(r"\{(\d{1,19}),(\d{1,19})\}")
MAX_HOLDS: Final = 4_000
"""Characters that are read of a list of holds: a hundred of them."""
_OF_A_LEG: Final = frozenset({"CHANNEL_ANSWER", "CHANNEL_HOLD", "CHANNEL_UNHOLD", "CALL_UPDATE", "DTMF"})
_MAKES_KNOWN: Final = frozenset({"CHANNEL_ANSWER", "CHANNEL_HOLD", "CHANNEL_UNHOLD", "DTMF"})


_TRANSFERS: Final = frozenset({"CHANNEL_BRIDGE", "CALL_UPDATE", "CHANNEL_HANGUP_COMPLETE"})
"""Events that tell of transfers, beside CHANNEL_UNBRIDGE."""


def _bypassed(event: Event) -> bool:
    return event.bypass == "true" or event.proxy == "true"
