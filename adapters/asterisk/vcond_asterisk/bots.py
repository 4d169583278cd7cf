"""Voice bots: another application that talks with a party, and what tells of it.

It has a channel of its own (ExternalMedia, ``Dial(AudioSocket/...)``), which shares a bridge with whom it talks to; or the
dialplan runs it on a channel that is there (``AudioSocket()``): what is sent to that channel then is what it says.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Protocol

from msgspec import structs

from vcond.sdk import clean
from vcond.sdk.contract import Cause, Instant
from vcond_asterisk import wire
from vcond_asterisk.calls import Conversation, Leg
from vcond_asterisk.parties import MEDIA
from vcond_asterisk.wire import Bridge, Channel

MOST: Final = 4_000
"""Media channels that are known at the same time."""
RUN: Final = frozenset({"AudioSocket"})
"""Applications that are a bot on the channel on which the dialplan runs them."""
NAME: Final = 200
"""Characters of what is told to such an application that may become part of a name."""


class Tracker(Protocol):
    """The tracker, as bots see it."""

    legs: dict[str, Leg]
    bridges: dict[str, set[str]]
    """Members of each bridge."""

    def survivor(self, conversation: Conversation) -> Conversation:
        """The conversation that one became part of, or itself."""

    def seen(self, channel: Channel, at: Instant) -> Leg | None:
        """Take a snapshot of a channel."""

    def bridged(self, bridge: Bridge) -> None:
        """Take a snapshot of a bridge."""


class Bots:
    """Media channels that are not ours, what the dialplan runs, and which of these are parties."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.parties: set[str] = set()
        """Ids of those that share a bridge with a party, and so are one; and of those that run."""
        self.runs_on: dict[str, str] = {}
        """The channel on which the dialplan runs one, by the name that we gave to it: it has no channel itself."""
        self._known: OrderedDict[str, Channel] = OrderedDict()

    def see(self, channel: Channel) -> None:
        """Take a snapshot of a channel that is not ours and is there."""
        if channel.technology in MEDIA and channel.id not in self.runs_on:
            self._known[channel.id] = channel
            if len(self._known) > MOST:
                self._known.popitem(last=False)

    def forget(self, channel: str, at: Instant) -> None:
        """A channel is gone, and what ran on it."""
        for bot in self.on(channel):
            self._stop(bot, at)
        self._known.pop(channel, None)
        self.parties.discard(channel)

    # Bots with a channel of their own.

    def meet(self, bridge: str, at: Instant) -> None:
        """Media of another application that shares a bridge with a party speaks to it: a party too."""
        tracker = self._tracker
        members = tracker.bridges.get(bridge, set())
        legs = [tracker.legs[one] for one in sorted(members) if one in tracker.legs]
        party = next((leg for leg in legs if not leg.bot), None)
        if party is None:
            return
        talking = {tracker.survivor(leg.conversation) for leg in legs if not leg.bot}
        for leg in legs:
            if leg.bot and tracker.survivor(leg.conversation) not in talking:
                self.release(leg, at)
        for bot in sorted((members & self._known.keys()) - self.parties):
            self._join(self._known[bot], party.conversation, at)

    def release_idle(self, at: Instant) -> None:
        """Let go of those that share a bridge with nobody any more."""
        for bot in [self._tracker.legs[one] for one in sorted(self.parties) if one in self._tracker.legs]:
            if not bot.bridge:
                self.release(bot, at)

    def release(self, bot: Leg, at: Instant) -> None:
        """A bot left whom it talked to. Whom it meets next is another conversation, which must not become part of this."""
        self.parties.discard(bot.channel)
        self._tracker.survivor(bot.conversation).remove(self._tracker.legs.pop(bot.channel), at, Cause())

    def dismiss(self, conversation: Conversation, at: Instant) -> None:
        """Bots are nobody's call: when they are left alone it is over, whenever their channels go."""
        if any(not leg.bot for leg in conversation.legs.values()):
            return
        for bot in list(conversation.legs.values()):
            self._stop(bot.channel, at)

    def _join(self, bot: Channel, conversation: Conversation, at: Instant) -> None:
        self.parties.add(bot.id)
        linkedid = min(self._tracker.survivor(conversation).ids)
        self._tracker.seen(structs.replace(bot, channelvars={**bot.channelvars, wire.LINKEDID: linkedid}), at)

    # Bots that the dialplan runs on somebody else's channel.

    def on(self, channel: str) -> list[str]:
        """Those that run on a channel: one at most, but while another takes its place."""
        return [bot for bot, host in self.runs_on.items() if host == channel]

    def concerns(self, channel: str, app: str) -> bool:
        """Whether one may begin or end when a channel goes on to an application of the dialplan."""
        return app in RUN or bool(self.on(channel))

    def run(self, channel: Channel, conversation: Conversation, at: Instant, *, up: bool) -> None:
        """Look whether the dialplan runs one on a channel now; ``up``: whoever is there has answered.

        In a bridge the channel hears who is in there, whatever its application is still called.
        """
        if not self.concerns(channel.id, channel.dialplan.app_name):
            return
        bridges = self._tracker.bridges
        bridged = any(channel.id in members for ident, members in bridges.items() if ident not in self.runs_on)
        with_somebody = any(not leg.bot for leg in self._tracker.survivor(conversation).legs.values())
        runs = channel.dialplan.app_name in RUN and up and with_somebody and not bridged
        bot = _described(channel) if runs else None
        for other in self.on(channel.id):
            if bot is None or other != bot.id:
                self._stop(other, at)
        if bot is None:
            return
        self.runs_on[bot.id] = channel.id
        self._tracker.bridged(Bridge(bot.id, bridge_type="mixing", channels=[channel.id, bot.id]))
        if bot.id not in self._tracker.legs:
            self._join(bot, conversation, at)
        self._tracker.survivor(conversation).settle(at)

    def _stop(self, bot: str, at: Instant) -> None:
        leg = self._tracker.legs.get(bot)
        if leg is not None:
            self.release(leg, at)
        self.parties.discard(bot)
        if self.runs_on.pop(bot, ""):
            self._tracker.bridged(Bridge(bot, bridge_type="mixing"))
            self._tracker.bridges.pop(bot, None)


def _described(channel: Channel) -> Channel:
    """A bot as if it had a channel: named after the channel that it runs on and its service (``uuid,host:port``)."""
    app = channel.dialplan.app_name
    service = clean(channel.dialplan.app_data.partition(",")[2])[:NAME]
    name = f"{app}/{service}" if service else app
    return Channel(f"{channel.id} {name}", name, state="Up")
