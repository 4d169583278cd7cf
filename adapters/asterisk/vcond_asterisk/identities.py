"""What events do not say of a channel, and must be asked for before they are told: its linkedid, and whether it hides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vcond.sdk.contract import Instant
from vcond_asterisk import wire
from vcond_asterisk.calls import Conversation
from vcond_asterisk.config import Config
from vcond_asterisk.conversations import Conversations
from vcond_asterisk.parties import CALLED, LOCAL
from vcond_asterisk.wire import Channel
from vcond_asterisk.wiring import Wiring

ASKED_WITH: Final = 4
"""Legs of a conversation that are asked with another of its channels whether they hide their number."""


class Identities:
    """What was asked of channels, and what is to be asked."""

    def __init__(
        self, config: Config, wiring: Wiring, conversations: Conversations, matters: Callable[[Channel], bool]
    ) -> None:
        """``matters``: whether a channel is one that is looked at."""
        self._config = config
        self._wiring = wiring
        self._conversations = conversations
        self._matters = matters
        self.linkedids: dict[str, str] = {}
        """Of channels whose events do not say it; filled by ``told``."""
        self.presentations: dict[str, str] = {}
        """Whether callers hide, as asked for (``presented``)."""

    def linkedid(self, channel: Channel) -> str:
        """That of a channel, empty when nobody knows."""
        return channel.linkedid or self.linkedids.get(channel.id, "")

    def presentation(self, channel: Channel) -> str:
        """Whether the caller of a channel hides, as far as it is known; to be taken once."""
        return channel.presentation or self.presentations.pop(channel.id, "")

    def forget(self, channel: str) -> None:
        """A channel is gone."""
        self.linkedids.pop(channel, None)
        self.presentations.pop(channel, None)

    def nameless(self, event: wire.Event) -> list[str]:
        """Channels of an event whose linkedid is not known and must be asked for before ``event`` is told."""
        channels = (getattr(event, name, None) for name in ("channel", "peer", "caller"))
        return [c.id for c in channels if isinstance(c, Channel) and self.is_nameless(c)]

    def is_nameless(self, channel: Channel) -> bool:
        """Whether the linkedid of a channel must be asked for."""
        return (
            not channel.linkedid
            and channel.id not in self.linkedids
            and self._matters(channel)
            and not self._wiring.knows(channel.id)
        )

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
        leg = self._wiring.legs.get(channel.id)
        called = leg.called or leg.hidden if leg is not None else channel.state in {"Down", "Ringing"}
        return shows and not ours and not called and self._matters(channel) and channel.technology != LOCAL

    def _meets(self, event: wire.Event, channel: Channel) -> bool:
        leg = self._wiring.legs.get(channel.id)
        return leg is None or not leg.key or isinstance(event, wire.ChannelEnteredBridge)

    def presented(self, channel: str, presentation: str, at: Instant) -> None:
        """Whether a channel hides its number, as asked for; empty when it is gone already, and nobody knows."""
        if channel in self._wiring.legs:
            self._wiring.legs[channel].conversation.identify(self._wiring.legs[channel], presentation, at)
        elif presentation:
            self.presentations[channel] = presentation

    def _found(self, channel: Channel) -> Conversation | None:
        """The conversation of a channel, as far as is known."""
        return self._conversations.named(self.linkedid(channel) or channel.id)
