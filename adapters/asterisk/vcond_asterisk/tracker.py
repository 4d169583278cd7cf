"""The tracker: what Asterisk's events mean for the conversations that go on. No sockets, nothing waits.

Channels of a call are found by their linkedid; a bridge in which two conversations meet makes them one. Local channels
are followed so that a transfer's target is found behind them, and are no parties.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from vcond.sdk.contract import (
    MILLI,
    AdapterHost,
    Cause,
    Dtmf,
    Instant,
    RecordingResumed,
    RemoteClock,
    Warned,
    is_consent,
    is_pause,
    pause_said,
)
from vcond.sdk.words import Origin
from vcond_asterisk import transfers, userevents, wire
from vcond_asterisk.applications import SPIES
from vcond_asterisk.calls import Conversation, Leg, Taps
from vcond_asterisk.channels import Channels
from vcond_asterisk.config import Config
from vcond_asterisk.handed_on import own_word
from vcond_asterisk.wire import Channel

FEATURE: Final = "N/A"
"""Music class of a hold that Asterisk does for a feature of features.conf."""
ASKING: Final = "FollowMe"
"""Application that says ANSWER of whom it still asks whether he takes the call."""


class ChannelTracker:
    """All conversations of one Asterisk."""

    def __init__(self, host: AdapterHost, config: Config, taps: Taps) -> None:
        self._host = host
        self._config = config
        self._clock = RemoteClock()
        self.channels = Channels(host, config, taps)
        self.identities = self.channels.identities
        self.legs, self.locals, self.bridges = self.channels.legs, self.channels.locals, self.channels.bridges

    @property
    def conversations(self) -> list[Conversation]:
        """Those that go on, each once."""
        return self.channels.conversations.all()

    def event(self, event: wire.Event, arrived: Instant) -> None:
        """Take what happened. Never waits."""
        at = self._moment(event, arrived)
        match event:
            case wire.ChannelCreated():
                self.channels.wiring.came(event.channel.id)
                self.channels.seen(event.channel, at)
            case wire.ChannelDestroyed():
                self._destroyed(event, at)
            case wire.ChannelEnteredBridge():
                self.channels.bridged(event.bridge)
                leg = self.channels.seen(event.channel, at) if event.channel is not None else None
                if leg is not None:
                    leg.asking = None  # the feature led to somebody, and its end is told
                self.channels.meet(event.bridge.id, at)
            case wire.ChannelLeftBridge():
                self.channels.bridged(event.bridge)
                self.channels.seen(event.channel, at)
                self.channels.bots.release_idle(at)
            case wire.BridgeDestroyed():
                self.channels.bridged(structs.replace(event.bridge, channels=[]))
                self.bridges.pop(event.bridge.id, None)
            case wire.BridgeMerged():
                self._merged(event, at)
            case wire.BridgeBlindTransfer():
                transfers.blind(self.channels, event, at)
            case wire.BridgeAttendedTransfer():
                transfers.attended(self.channels, event, at)
            case wire.ChannelDialplan():
                self._goes_on(event, at)
            case wire.Dial():
                self._dial(event, at)
            case wire.ChannelVarset():
                self._varset(event, at)
            case wire.ChannelDtmfReceived():
                self._digit(event, at)
            case wire.ChannelUserevent():
                userevents.told(self.channels, event, at)
            case _:
                self._of_channel(event, at)

    def _of_channel(self, event: wire.Event, at: Instant) -> None:
        """Events that say only something about one channel."""
        channel = getattr(event, "channel", None)
        leg = self.channels.seen(channel, at) if isinstance(channel, Channel) else None
        if leg is None:
            return
        match event:
            case wire.ChannelHold():
                leg.conversation.hold(leg, at, feature=event.musicclass == FEATURE)
            case wire.ChannelUnhold():
                leg.conversation.unhold(leg, at)
            case wire.ChannelHangupRequest(soft=False):
                leg.conversation.hung_up(leg, event.cause)

    def _destroyed(self, event: wire.ChannelDestroyed, at: Instant) -> None:
        channel = event.channel.id
        leg = self.legs.get(channel)
        cause = Cause(q850=event.cause or None, sip=event.tech_cause or None)
        if leg is not None:
            self.channels.seen(event.channel, at)
        self.channels.remove(channel, at, cause)

    def _merged(self, event: wire.BridgeMerged, at: Instant) -> None:
        members = (*event.bridge.channels, *event.bridge_from.channels)
        conversations = list(filter(None, map(self.channels.wiring.conversation, members)))
        for other in conversations[1:]:
            self.channels.conversations.join(conversations[0], other, at).settle(at)

    def _dial(self, event: wire.Dial, at: Instant) -> None:
        caller, peer = event.caller, event.peer.id
        if caller is not None:
            self.channels.seen(caller, at)
        answered = event.dialstatus == "ANSWER" and (caller is None or caller.dialplan.app_name != ASKING)
        if peer in self.legs:
            known = self.legs[peer]
            known.dialstring = known.dialstring or event.dialstring
            known.by, known.answered = caller.id if caller is not None else known.by, known.answered or answered
        leg = self.channels.seen(event.peer, at)
        if peer in self.locals:
            half = self.locals[peer]
            by = caller.id if caller is not None else half.by
            self.locals[peer] = half._replace(by=by, answered=half.answered or answered)
        conversation = self.channels.wiring.conversation(peer)
        if conversation is None:
            return
        other = self.channels.wiring.conversation(caller.id) if caller is not None else None
        if other is not None:
            conversation = self.channels.conversations.join(
                other, conversation, at
            )  # also when another phone took the call: a pickup
        if leg is not None:
            conversation.dial_ended(event.dialstatus)
        self.channels.look_again(conversation, at)

    def _goes_on(self, event: wire.ChannelDialplan, at: Instant) -> None:
        """Dialplans have hundreds of steps a call: only what begins to listen in, or may, and bots are looked at."""
        leg = self.legs.get(event.channel.id)
        listens = leg is not None and (event.dialplan_app in SPIES or leg.conversation.undecided)
        if listens or self.channels.bots.concerns(event.channel.id, event.dialplan_app):
            self.channels.seen(event.channel, at)

    def _digit(self, event: wire.ChannelDtmfReceived, at: Instant) -> None:
        leg = self.channels.seen(event.channel, at)
        if leg is None:
            return
        leg.asking = at if leg.asking is not None else None
        ms = min(max(event.duration_ms, 0), 60_000)
        down = Instant(at - ms * MILLI)
        leg.conversation.pressed(leg, Dtmf(at=down, party=0, button=event.digit, ms=ms))

    def _varset(self, event: wire.ChannelVarset, at: Instant) -> None:
        if event.channel is None:
            return
        leg = self.channels.seen(event.channel, at)
        name = event.variable.lstrip("_")
        conversation = self.channels.wiring.conversation(event.channel.id)
        if conversation is None:
            return
        pause = pause_said(event.value, at) if is_pause(name) and name in self._config.variables else None
        counts_handed_on = not is_consent(name) and not isinstance(pause, RecordingResumed)
        if not counts_handed_on and conversation.handed_on.is_from(leg, event, at):
            return
        if leg is not None:
            self._variable(leg, name, event.value, at, "set")
        elif isinstance(pause, RecordingResumed):  # a Local channel is nobody, but the pause is of the whole call
            conversation.resume(at)
        elif pause is not None and event.value:
            conversation.pause(event.channel.id, pause)

    def asked(self, channel: str, name: str, value: str, at: Instant) -> None:
        """A variable of a channel, as it was asked for."""
        leg = self.legs.get(channel)
        if leg is not None and (not is_consent(name) or own_word(leg, value)):
            self._variable(leg, name, value, at, "shown" if leg.mixed else "asked")

    def _variable(self, leg: Leg, name: str, value: str, at: Instant, origin: Origin) -> None:
        if name in self._config.variables:
            leg.conversation.variable(name, value, at, leg, origin=origin)
        if name == self._config.only_if_variable:
            self.channels.want(leg.conversation, value)
            leg.conversation.settle(at)

    def _moment(self, event: wire.Event, arrived: Instant) -> Instant:
        said = wire.stamp(event)
        if said is None:
            return arrived
        steps = self._clock.steps
        at = self._clock.at(said, arrived)
        if self._clock.steps != steps:
            self._host.log.warning("the PBX's clock jumped", steps=self._clock.steps)
            for conversation in self.conversations:
                conversation.emit(Warned(at=at, code="clock-stepped", text="the PBX's clock stepped"))
        return at
