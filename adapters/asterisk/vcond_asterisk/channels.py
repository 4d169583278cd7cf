"""Channels as Asterisk shows them: what a snapshot says of legs, Local channels and bots, and who is in one bridge."""

from __future__ import annotations

from vcond.sdk.contract import AdapterHost, Cause, Instant, is_consent
from vcond.sdk.words import take_over
from vcond_asterisk.applications import SPIES
from vcond_asterisk.bots import Bots
from vcond_asterisk.calls import Conversation, Leg, Taps
from vcond_asterisk.config import LOOPBACK, LOOPBACK_PARTY, Config
from vcond_asterisk.conversations import Conversations
from vcond_asterisk.handed_on import own_word
from vcond_asterisk.identities import Identities
from vcond_asterisk.parties import LOCAL, is_party
from vcond_asterisk.wire import Bridge, Channel
from vcond_asterisk.wiring import LocalEnd, Wiring


class Channels:
    """All channels of one Asterisk that matter: parties, what leads to them, and bots."""

    def __init__(self, host: AdapterHost, config: Config, taps: Taps) -> None:
        self._config = config
        self._only_loopback = config.app == LOOPBACK
        self._taps = taps
        self.wiring = Wiring(taps.own)
        self.legs, self.locals, self.bridges = self.wiring.legs, self.wiring.locals, self.wiring.bridges
        self.conversations = Conversations(host, config, taps, self.wiring)
        self.identities = Identities(config, self.wiring, self.conversations, self._matters)
        self.bots = Bots(self)

    # What bots ask.

    def survivor(self, conversation: Conversation) -> Conversation:
        """The conversation that one became part of, or itself."""
        return self.conversations.survivor(conversation)

    def bridged(self, bridge: Bridge) -> None:
        """Who is in a bridge now."""
        self.wiring.bridged(bridge)

    # Snapshots.

    def _matters(self, channel: Channel) -> bool:
        if self._taps.own(channel.id) or channel.name.endswith("<ZOMBIE>"):
            return False
        if self._only_loopback:
            return channel.id.startswith(LOOPBACK_PARTY)
        return is_party(channel) or channel.technology == LOCAL or channel.id in self.bots.parties

    def is_unknown(self, channel: Channel) -> bool:
        """Whether a channel that is there should be known, and is not."""
        return self._matters(channel) and not self.wiring.knows(channel.id)

    def seen(self, channel: Channel, at: Instant, *, late: bool = False, since: Instant | None = None) -> Leg | None:
        """Take a snapshot of a channel; its leg, None for channels that are no party.

        ``late``: it may have been there before. ``since``: what is new of it may be so since then; else it is new now.
        """
        if self.wiring.is_gone(channel.id) or self._taps.own(channel.id):
            return None
        if not self._only_loopback:
            self.bots.see(channel)
        if not self._matters(channel):
            return None
        leg, half = self.legs.get(channel.id), self.locals.get(channel.id)
        conversation = self.conversations.of(channel.id, self.identities.linkedid(channel), at, late=late)
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
        leg.conversation.identify(leg, self.identities.presentation(channel), at)
        if channel.state == "Up" and self.wiring.took(leg):
            leg.came_up(at)
        if self._config.only_if_variable in channel.channelvars:
            self.want(leg.conversation, channel.channelvars[self._config.only_if_variable])
        for name in self._config.variables:
            value = channel.channelvars.get(name) or ""
            if not is_consent(name) or own_word(leg, value):
                leg.conversation.variable(name, value, at, leg, origin="shown")
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
        leg.inherits = late and self.identities.linkedid(channel) not in {"", channel.id}
        if channel.id in self.bots.parties:
            leg.bot, leg.called, leg.inside = True, False, True
            leg.runs_on = self.bots.runs_on.get(channel.id, "")
        leg.bridge = next((bridge for bridge, members in self.bridges.items() if channel.id in members), "")
        before = self._at(channel)
        self.legs[channel.id] = leg
        conversation.add(leg, since)
        if before is not None:
            conversation.replaced(before, leg, at)
            if before.conversation is conversation:
                del self.legs[before.channel]
            self.remove(before.channel, at, Cause())
        return leg

    def _at(self, channel: Channel) -> Leg | None:
        """The leg of the phone that a channel has now, under another id: no two channels have one name."""
        return next(
            (leg for leg in self.legs.values() if leg.device == channel.name and leg.channel != channel.id), None
        )

    def _renamed(self, leg: Leg, channel: Channel, at: Instant) -> None:
        """Another phone took the channel over (a pickup, some transfers): another party speaks there now.

        Who it is may have said something of consent on the channel that it had, which is gone soon.
        """
        inside, before = self._config.inside(channel.endpoint), self._at(channel)
        leg.conversation.hand_over(leg, channel.endpoint, inside=inside, at=at)
        leg.taken_over(channel)
        if before is not None:
            take_over(leg, before, same=False)
            leg.conversation.take_pause(before.conversation, before.channel, leg.channel, at)

    def want(self, conversation: Conversation, value: str | None) -> None:
        """A call is recorded only when the dialplan says so: this is what it says."""
        if self._config.only_if_variable and (value or "").strip().lower() not in {"", "0", "no", "off", "false"}:
            conversation.wanted = True

    def remove(self, channel: str, at: Instant, cause: Cause) -> None:
        """A channel is gone."""
        self.identities.forget(channel)
        self.bots.forget(channel, at)
        self.wiring.went(channel)
        conversation = self.wiring.conversation(channel)
        leg = self.legs.pop(channel, None)
        self.locals.pop(channel, None)
        if conversation is None:
            return
        conversation = self.survivor(conversation)
        conversation.locals.discard(channel)
        conversation.forget_pause(channel)
        if leg is not None:
            conversation.remove(leg, at, cause)
        self.bots.dismiss(conversation, at)
        self.conversations.close(conversation, at)

    # Who is in one bridge.

    def meet(self, bridge: str, at: Instant) -> None:
        """Whoever shares a bridge is in one conversation."""
        self.bots.meet(bridge, at)
        members = self.bridges.get(bridge, ())
        legs = [self.legs[channel] for channel in members if channel in self.legs]
        for leg in legs[1:]:
            self.conversations.join(legs[0].conversation, leg.conversation, at)
        ends = [self.locals[channel].conversation for channel in members if channel in self.locals]
        for conversation in dict.fromkeys([leg.conversation for leg in legs] + ends):
            self.look_again(conversation, at)

    def look_again(self, conversation: Conversation, at: Instant) -> None:
        """Somebody met or answered: those who were called may be in the conversation now."""
        for leg in conversation.legs.values():
            if leg.up is None and leg.state == "Up" and self.wiring.took(leg):
                leg.came_up(at)
        conversation.settle(at)
