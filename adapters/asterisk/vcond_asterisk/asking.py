"""What events do not say and Asterisk is asked for: a channel's linkedid, and whether its caller hides the number."""

from __future__ import annotations

from typing import Final

from vcond.sdk.contract import AdapterHost, ConfigError, PeerError
from vcond_asterisk import wire
from vcond_asterisk.client import Ari, AriError
from vcond_asterisk.tracker import ChannelTracker
from vcond_asterisk.wire import Channel

MOST_UNASKED: Final = 1_000
"""Channels of which something could not be asked, before those that are gone are forgotten."""


class Asking:
    """Asks about channels, one request after another, before their events are told.

    Events wait for the answers. So once a request was not answered (in time), nothing is asked any more until ``again``
    got an answer: each call would cost its time-out. What was not asked is asked then.
    """

    def __init__(self, ari: Ari, tracker: ChannelTracker, host: AdapterHost) -> None:
        self._ari = ari
        self._tracker = tracker
        self._host = host
        self._unasked: set[str] = set()
        self._unanswered = ""
        """The channel of a request that was not answered."""

    async def about(self, event: wire.Event) -> None:
        """Ask what must be known before ``event`` is told."""
        for channel in self._tracker.identities.nameless(event):
            await self._linkedid(channel)
        for channel in self._tracker.identities.unpresented(event):
            await self._presentation(channel)

    async def about_found(self, channel: Channel) -> None:
        """Ask what must be known of a channel that was found in a list."""
        if self._tracker.identities.is_nameless(channel):
            await self._linkedid(channel.id)
        if self._tracker.identities.may_hide(channel):
            await self._presentation(channel.id)

    async def again(self) -> None:
        """Ask what could not be asked, of channels that are still there."""
        self._unanswered = ""
        for channel in sorted(self._unasked & self._there()):
            self._unasked.discard(channel)
            if channel in self._tracker.identities.linkedids:
                await self._linkedid(channel)
            await self._presentation(channel)

    async def probe(self) -> None:
        """When a request was not answered: look whether one is now, and ask then what could not be asked."""
        if not self._unanswered:
            return
        try:
            await self._ari.variable(self._unanswered, wire.LINKEDID)
        except AriError:
            pass  # that the channel is gone is an answer, too
        except (PeerError, ConfigError):
            return
        await self.again()

    async def _linkedid(self, channel: str) -> None:
        self._tracker.identities.told(channel, await self._variable(channel, wire.LINKEDID))

    async def _presentation(self, channel: str) -> None:
        presentation = await self._variable(channel, wire.PRESENTATION)
        self._tracker.identities.presented(channel, presentation, self._host.clock.now())

    async def _variable(self, channel: str, name: str) -> str:
        """Its value; empty when the channel is gone, or could not be asked."""
        if self._unanswered:
            self._not_asked(channel)
            return ""
        try:
            return await self._ari.variable(channel, name)
        except AriError:
            return ""  # gone already
        except ConfigError:
            self._not_asked(channel)
        except PeerError as why:
            self._not_asked(channel)
            self._unanswered = channel
            self._host.log.warning("cannot read caller ids from Asterisk, retrying", error=str(why))
        return ""

    def _not_asked(self, channel: str) -> None:
        if len(self._unasked) > MOST_UNASKED:
            self._unasked &= self._there()
        self._unasked.add(channel)

    def _there(self) -> set[str]:
        return self._tracker.legs.keys() | self._tracker.locals.keys()
