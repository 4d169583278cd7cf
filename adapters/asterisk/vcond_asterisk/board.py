"""The switchboard: what Asterisk's events mean for the conversations that go on. No sockets, nothing waits.

Channels of a call are found by their linkedid; a bridge in which two conversations meet makes them one. Local channels
are followed so that a transfer's target is found behind them, and are no parties.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec import structs

from vcond.sdk import clean
from vcond.sdk.contract import MILLI, Cause, Desk, Digit, Instant, RemoteClock, Transferred, Warned
from vcond_asterisk import wire
from vcond_asterisk.bots import Bots
from vcond_asterisk.calls import SPIES, Conversation, Leg, Taps, index_of, newest
from vcond_asterisk.config import Config
from vcond_asterisk.parties import CALLED, LOCAL, is_party
from vcond_asterisk.wire import Bridge, Channel
from vcond_asterisk.wiring import LocalEnd, Wiring

REMEMBERED: Final = 4_000
"""Channels that are gone, whose last events may still come."""
FEATURE: Final = "N/A"
"""Music class of a hold that Asterisk does for a feature of features.conf."""
ASKED_WITH: Final = 4
"""Legs of a conversation that are asked with another of its channels whether they hide their number."""
ASKING: Final = "FollowMe"
"""Application that says ANSWER of whom it still asks whether he takes the call."""


class Switchboard:
    """All conversations of one Asterisk."""

    def __init__(self, desk: Desk, config: Config, taps: Taps) -> None:
        self._desk = desk
        self._config = config
        self._taps = taps
        self._clock = RemoteClock()
        self.wiring = Wiring()
        self.legs, self.locals, self.bridges = self.wiring.legs, self.wiring.locals, self.wiring.bridges
        self.linkedids: dict[str, str] = {}
        """Of channels whose events do not say it; filled by ``told``."""
        self.presentations: dict[str, str] = {}
        """Whether callers hide, as asked for (``presented``)."""
        self._by_id: dict[str, Conversation] = {}
        self.bots = Bots(self)
        self._gone: OrderedDict[str, None] = OrderedDict()

    @property
    def conversations(self) -> list[Conversation]:
        """Those that go on, each once."""
        return list(dict.fromkeys(self._by_id.values()))

    # What the adapter asks and tells.

    def nameless(self, event: wire.Event) -> list[str]:
        """Channels of an event whose linkedid is not known and must be asked for before ``event`` is told."""
        channels = (getattr(event, name, None) for name in ("channel", "peer", "caller"))
        return [c.id for c in channels if isinstance(c, Channel) and self.is_nameless(c)]

    def is_nameless(self, channel: Channel) -> bool:
        """Whether the linkedid of a channel must be asked for."""
        return not channel.linkedid and channel.id not in self.linkedids and self.is_unknown(channel)

    def told(self, channel: str, linkedid: str) -> None:
        """The linkedid of a channel, as asked for. An empty one (it is gone already) is its own."""
        self.linkedids[channel] = linkedid or channel

    def unpresented(self, event: wire.Event) -> list[str]:
        """Channels of which must be asked whether they hide their number before ``event`` is told.

        A snapshot does not say it, and what ari.conf lets it say may have changed without an event since. It is asked
        for when a channel is new, before its party is told of for the first time, and when it meets somebody.
        """
        if not isinstance(event, wire.ChannelCreated | wire.ChannelStateChange | wire.Dial | wire.ChannelEnteredBridge):
            return []
        channels = [c for name in ("channel", "peer", "caller") if isinstance(c := getattr(event, name, None), Channel)]
        asked = [c.id for c in channels if self.may_hide(c) and self._meets(event, c)]
        for conversation in filter(None, map(self._found, channels)):
            if not conversation.refused:
                asked += [leg.channel for leg in conversation.legs.values() if leg.may_hide][:ASKED_WITH]
        return list(dict.fromkeys(asked))

    def may_hide(self, channel: Channel) -> bool:
        """Whether it must be asked whether a channel hides its number: of none of ours, of none that Asterisk called."""
        shows = bool(channel.caller.number or channel.caller.name) and not channel.presentation
        ours = self._config.inside(channel.endpoint) or channel.dialplan.app_name in CALLED
        leg = self.legs.get(channel.id)
        called = leg.called or leg.hidden if leg is not None else channel.state in {"Down", "Ringing"}
        return shows and not ours and not called and self._matters(channel) and channel.technology != LOCAL

    def _meets(self, event: wire.Event, channel: Channel) -> bool:
        leg = self.legs.get(channel.id)
        return leg is None or not leg.key or isinstance(event, wire.ChannelEnteredBridge)

    def presented(self, channel: str, presentation: str, at: Instant) -> None:
        """Whether a channel hides its number, as asked for; empty when it is gone already, and nobody knows."""
        if channel in self.legs:
            self.legs[channel].conversation.identify(self.legs[channel], presentation, at)
        elif presentation:
            self.presentations[channel] = presentation

    def _found(self, channel: Channel) -> Conversation | None:
        """The conversation of a channel, as far as is known."""
        return self._by_id.get(channel.linkedid or self.linkedids.get(channel.id) or channel.id)

    def event(self, event: wire.Event, arrived: Instant) -> None:
        """Take what happened. Never waits."""
        at = self._moment(event, arrived)
        match event:
            case wire.ChannelCreated():
                self._gone.pop(event.channel.id, None)
                self.seen(event.channel, at)
            case wire.ChannelDestroyed():
                self._destroyed(event, at)
            case wire.ChannelEnteredBridge():
                self.bridged(event.bridge)
                leg = self.seen(event.channel, at) if event.channel is not None else None
                if leg is not None:
                    leg.asking = None  # the feature led to somebody, and its end is told
                self.meet(event.bridge.id, at)
            case wire.ChannelLeftBridge():
                self.bridged(event.bridge)
                self.seen(event.channel, at)
                self.bots.release_idle(at)
            case wire.BridgeDestroyed():
                self.bridged(structs.replace(event.bridge, channels=[]))
                self.bridges.pop(event.bridge.id, None)
            case wire.BridgeMerged():
                self._merged(event, at)
            case wire.BridgeBlindTransfer():
                self._blind(event, at)
            case wire.BridgeAttendedTransfer():
                self._attended(event, at)
            case wire.ChannelDialplan():
                self._goes_on(event, at)
            case wire.Dial():
                self._dial(event, at)
            case wire.ChannelVarset():
                self._varset(event, at)
            case wire.ChannelDtmfReceived():
                self._digit(event, at)
            case _:
                self._of_channel(event, at)

    def _of_channel(self, event: wire.Event, at: Instant) -> None:
        """Events that say only something about one channel."""
        channel = getattr(event, "channel", None)
        leg = self.seen(channel, at) if isinstance(channel, Channel) else None
        if leg is None:
            return
        match event:
            case wire.ChannelHold():
                leg.conversation.hold(leg, at, feature=event.musicclass == FEATURE)
            case wire.ChannelUnhold():
                leg.conversation.unhold(leg, at)
            case wire.ChannelHangupRequest(soft=False):
                leg.conversation.hung_up(leg, event.cause)

    # Channels.

    def _matters(self, channel: Channel) -> bool:
        if self._taps.own(channel.id) or channel.name.endswith("<ZOMBIE>"):
            return False
        return is_party(channel) or channel.technology == LOCAL or channel.id in self.bots.parties

    def is_unknown(self, channel: Channel) -> bool:
        """Whether a channel that is there should be known, and is not."""
        known = channel.id in self.legs or channel.id in self.locals or channel.id in self._gone
        return not known and self._matters(channel)

    def seen(self, channel: Channel, at: Instant, *, late: bool = False, since: Instant | None = None) -> Leg | None:
        """Take a snapshot of a channel; its leg, None for channels that are no party.

        ``late``: it may have been there before. ``since``: what is new of it may be so since then; else it is new now.
        """
        if channel.id in self._gone or self._taps.own(channel.id):
            return None
        self.bots.see(channel)
        if not self._matters(channel):
            return None
        leg, half = self.legs.get(channel.id), self.locals.get(channel.id)
        before = self._conversation_of(channel.id)
        conversation = self._conversation(channel, before, at, late=late)
        if channel.technology == LOCAL:
            if leg is not None:  # its party went elsewhere, and only the channel is left
                conversation.remove(self.legs.pop(channel.id), at, Cause())
            half = half or LocalEnd(channel.name, conversation)
            self.locals[channel.id] = half._replace(name=channel.name, conversation=conversation)
            conversation.locals.add(channel.id)
            self.bots.run(channel, conversation, at, up=channel.state == "Up")
            return None
        self.locals.pop(channel.id, None)
        conversation.locals.discard(channel.id)
        if leg is None:
            leg = self._leg(channel, conversation, at, since, late=late)
        elif leg.name != channel.endpoint:
            self._renamed(leg, channel, at if since is None else since)
        leg.update(channel)
        if leg.app in SPIES:
            leg.conversation.listens_in(leg, at)
        leg.conversation.identify(leg, channel.presentation or self.presentations.pop(channel.id, ""), at)
        if channel.state == "Up" and self.wiring.took(leg):
            leg.conversation.came_up(leg, at)
        if self._config.only_if_variable in channel.channelvars:
            self._want(leg.conversation, channel.channelvars[self._config.only_if_variable])
        for name in self._config.variables:
            leg.conversation.variable(name, channel.channelvars.get(name) or "", at)
        leg.conversation.settle(at)
        leg.conversation.know(leg, channel, at)
        self.bots.run(channel, leg.conversation, at, up=leg.up is not None)
        return leg

    def _leg(
        self, channel: Channel, conversation: Conversation, at: Instant, since: Instant | None, *, late: bool
    ) -> Leg:
        inside = self._config.inside(channel.endpoint)
        leg = Leg(channel.id, channel.endpoint, inside, conversation, at, channel.dialplan.context)
        leg.made(channel, late=late)
        if channel.id in self.bots.parties:
            leg.bot, leg.called, leg.inside = True, False, True
            leg.runs_on = self.bots.runs_on.get(channel.id, "")
        leg.bridge = next((bridge for bridge, members in self.bridges.items() if channel.id in members), "")
        self.legs[channel.id] = leg
        conversation.add(leg, since)
        return leg

    def _renamed(self, leg: Leg, channel: Channel, at: Instant) -> None:
        """Another phone took the channel over (a pickup, some transfers): another party speaks there now."""
        inside = self._config.inside(channel.endpoint)
        leg.conversation.hand_over(leg, channel.endpoint, inside=inside, at=at)
        leg.taken_over(channel)

    def _conversation(self, channel: Channel, before: Conversation | None, at: Instant, *, late: bool) -> Conversation:
        """That of a channel: by its linkedid, which may have changed, or else the one it was in ``before``."""
        known = before.key if before is not None else channel.id
        linkedid = channel.linkedid or self.linkedids.get(channel.id) or known
        found = self._by_id.get(linkedid)
        if before is not None and found is None:
            found = self.survivor(before)
            found.ids.add(linkedid)
            self._by_id[linkedid] = found
        elif before is not None and found is not None:
            found = self._join(before, found, at)
        if found is None:
            found = Conversation(linkedid, at, self._desk, self._config, self._taps, self.legs)
            found.late = found.waiting = late
            self._by_id[linkedid] = found
        return found

    def _destroyed(self, event: wire.ChannelDestroyed, at: Instant) -> None:
        channel = event.channel.id
        leg = self.legs.get(channel)
        cause = Cause(q850=event.cause or None, sip=event.tech_cause or None)
        if leg is not None:
            self.seen(event.channel, at)
        self.remove(channel, at, cause)

    def remove(self, channel: str, at: Instant, cause: Cause) -> None:
        """A channel is gone."""
        self._gone[channel] = None
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)
        self.linkedids.pop(channel, None)
        self.bots.forget(channel, at)
        self.presentations.pop(channel, None)
        for members in self.bridges.values():
            members.discard(channel)
        conversation = self._conversation_of(channel)
        leg = self.legs.pop(channel, None)
        self.locals.pop(channel, None)
        if conversation is None:
            return
        conversation = self.survivor(conversation)
        conversation.locals.discard(channel)
        if leg is not None:
            conversation.remove(leg, at, cause)
        self.bots.dismiss(conversation, at)
        self._close(conversation, at)

    def _close(self, conversation: Conversation, at: Instant) -> None:
        if not conversation.over:
            return
        conversation.end(at)
        for linkedid in conversation.ids:
            self._by_id.pop(linkedid, None)
        for half in conversation.locals:
            self.locals.pop(half, None)

    # Conversations that meet.

    def survivor(self, conversation: Conversation) -> Conversation:
        """The conversation that one became part of, or itself."""
        return self._by_id.get(conversation.key, conversation)

    def _join(self, one: Conversation, two: Conversation, at: Instant) -> Conversation:
        """Make two conversations one: the older stays."""
        one, two = self.survivor(one), self.survivor(two)
        if one is two:
            return one
        old, new = (one, two) if (one.since, one.key) <= (two.since, two.key) else (two, one)
        old.absorb(new, at)
        for linkedid in new.ids:
            self._by_id[linkedid] = old
        for half in new.locals:
            self.locals[half] = self.locals[half]._replace(conversation=old)
        return old

    def bridged(self, bridge: Bridge) -> None:
        """Who is in a bridge now."""
        if bridge.bridge_type != "mixing" or self._taps.own(bridge.id):
            return
        before, now = self.bridges.get(bridge.id, set()), set(bridge.channels) - self._gone.keys()
        self.bridges[bridge.id] = now
        for channel in before - now:
            leg = self.legs.get(channel)
            if leg is not None and leg.bridge == bridge.id:
                leg.bridge = ""
        for channel in now:
            leg = self.legs.get(channel)
            if leg is not None:
                leg.bridge = bridge.id

    def meet(self, bridge: str, at: Instant) -> None:
        """Whoever shares a bridge is in one conversation."""
        self.bots.meet(bridge, at)
        members = self.bridges.get(bridge, ())
        legs = [self.legs[channel] for channel in members if channel in self.legs]
        for leg in legs[1:]:
            self._join(legs[0].conversation, leg.conversation, at)
        ends = [self.locals[channel].conversation for channel in members if channel in self.locals]
        for conversation in dict.fromkeys([leg.conversation for leg in legs] + ends):
            self._look_again(conversation, at)

    def _merged(self, event: wire.BridgeMerged, at: Instant) -> None:
        members = (*event.bridge.channels, *event.bridge_from.channels)
        conversations = list(filter(None, map(self._conversation_of, members)))
        for other in conversations[1:]:
            self._join(conversations[0], other, at).settle(at)

    # Who was called.

    def _look_again(self, conversation: Conversation, at: Instant) -> None:
        """Somebody met or answered: those who were called may be in the conversation now."""
        for leg in conversation.legs.values():
            if leg.up is None and leg.state == "Up" and self.wiring.took(leg):
                conversation.came_up(leg, at)
        conversation.settle(at)

    # Transfers.

    def _blind(self, event: wire.BridgeBlindTransfer, at: Instant) -> None:
        leg = self.seen(event.channel, at)
        moved = self.seen(event.transferee, at) if event.transferee is not None else None
        if leg is None or leg.party is None:
            return
        leg.conversation.transferred(
            Transferred(
                at=at,
                kind="blind",
                transferor=leg.party.index,
                transferee=index_of(moved, leg.conversation),
                outcome=event.outcome,
                to=clean(event.exten),
            )
        )

    def _attended(self, event: wire.BridgeAttendedTransfer, at: Instant) -> None:
        first, second = self.seen(event.transferer_first_leg, at), self.seen(event.transferer_second_leg, at)
        moved = self.seen(event.transferee, at) if event.transferee is not None else None
        target = self.wiring.behind(event.transfer_target, {leg.channel for leg in (first, second) if leg is not None})
        target = target or newest([leg for leg in (first, second, moved) if leg is not None])
        outcome = event.outcome
        known = [leg for leg in (first, second, moved, target) if leg is not None]
        if not known:
            return
        if outcome == "success":
            for leg in known[1:]:
                self._join(known[0].conversation, leg.conversation, at)
        conversation = known[0].conversation
        conversation.settle(at)
        conversation.transferred(
            Transferred(
                at=at,
                kind="attended",
                transferor=index_of(first, conversation) if first is not None else index_of(second, conversation),
                transferee=index_of(moved, conversation),
                target=index_of(target, conversation),
                outcome=outcome,
            ),
            rings=event.transfer_target is not None and event.transfer_target.state != "Up",
        )

    # Other events.

    def _dial(self, event: wire.Dial, at: Instant) -> None:
        caller, peer = event.caller, event.peer.id
        if caller is not None:
            self.seen(caller, at)
        answered = event.dialstatus == "ANSWER" and (caller is None or caller.dialplan.app_name != ASKING)
        if peer in self.legs:
            known = self.legs[peer]
            known.dialstring = known.dialstring or event.dialstring
            known.by, known.answered = caller.id if caller is not None else known.by, known.answered or answered
        leg = self.seen(event.peer, at)
        if peer in self.locals:
            half = self.locals[peer]
            by = caller.id if caller is not None else half.by
            self.locals[peer] = half._replace(by=by, answered=half.answered or answered)
        conversation = self._conversation_of(peer)
        if conversation is None:
            return
        other = self._conversation_of(caller.id) if caller is not None else None
        if other is not None:
            conversation = self._join(other, conversation, at)  # also when another phone took the call: a pickup
        if leg is not None:
            conversation.dial_ended(event.dialstatus)
        self._look_again(conversation, at)

    def _conversation_of(self, channel: str) -> Conversation | None:
        there = self.legs.get(channel) or self.locals.get(channel)
        return there.conversation if there is not None else None

    def _goes_on(self, event: wire.ChannelDialplan, at: Instant) -> None:
        """Dialplans have hundreds of steps a call: only what begins to listen in, or may, and bots are looked at."""
        leg = self.legs.get(event.channel.id)
        listens = leg is not None and (event.dialplan_app in SPIES or leg.conversation.undecided)
        if listens or self.bots.concerns(event.channel.id, event.dialplan_app):
            self.seen(event.channel, at)

    def _digit(self, event: wire.ChannelDtmfReceived, at: Instant) -> None:
        leg = self.seen(event.channel, at)
        if leg is None or leg.party is None:
            return
        leg.asking = at if leg.asking is not None else None
        ms = min(max(event.duration_ms, 0), 60_000)
        down = Instant(at - ms * MILLI)
        leg.conversation.emit(Digit(at=down, party=leg.party.index, button=event.digit, ms=ms))

    def _varset(self, event: wire.ChannelVarset, at: Instant) -> None:
        leg = self.seen(event.channel, at) if event.channel is not None else None
        if leg is not None:
            self.variable(leg.channel, event.variable.lstrip("_"), event.value, at)

    def variable(self, channel: str, name: str, value: str, at: Instant) -> None:
        """A variable of a channel, as told or asked for."""
        leg = self.legs.get(channel)
        if leg is None:
            return
        if name in self._config.variables:
            leg.conversation.variable(name, value, at)
        if name == self._config.only_if_variable:
            self._want(leg.conversation, value)
            leg.conversation.settle(at)

    def _want(self, conversation: Conversation, value: str | None) -> None:
        if self._config.only_if_variable and (value or "").strip().lower() not in {"", "0", "no", "off", "false"}:
            conversation.wanted = True

    def _moment(self, event: wire.Event, arrived: Instant) -> Instant:
        said = wire.stamp(event)
        if said is None:
            return arrived
        steps = self._clock.steps
        at = self._clock.at(said, arrived)
        if self._clock.steps != steps:
            self._desk.log.warning("the PBX's clock stepped", steps=self._clock.steps)
            for conversation in self.conversations:
                conversation.emit(Warned(at=at, code="clock-stepped", text="the PBX's clock stepped"))
        return at
