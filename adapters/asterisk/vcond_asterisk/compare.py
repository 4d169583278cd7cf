"""Every few minutes while we are attached: the lists of the PBX against what we believe. Events can be lost unnoticed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import structs

from vcond.sdk.contract import AdapterHost, Cause, ConfigError, Instant, PeerError
from vcond_asterisk.asking import Asking
from vcond_asterisk.client import Ari, EventSocket
from vcond_asterisk.parties import LOCAL
from vcond_asterisk.resync import gone, redraw, take_up
from vcond_asterisk.taps import TapManager
from vcond_asterisk.tracker import ChannelTracker
from vcond_asterisk.wire import Bridge, Channel

EVERY: Final = 180.0
"""Seconds between looks."""
AGAIN: Final = 5.0
"""Seconds until the second look, when the first one differed from what we believe."""
PATIENCE: Final = 30.0
"""Seconds for the events that came before the answer to be told."""


class Comparing:
    """Looks at one attachment's lists. What differs is acted on only when a second look a moment later says the same.

    The events that had come before the answer are told first. An event that is still on its way then has until the
    second look.
    """

    def __init__(
        self, ari: Ari, tracker: ChannelTracker, host: AdapterHost, manager: TapManager, asking: Asking
    ) -> None:
        self._ari = ari
        self._tracker = tracker
        self._host = host
        self._manager = manager
        self._asking = asking
        self._events: EventSocket | None = None
        self._doubted: set[str] = set()

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        return AGAIN if self._doubted else EVERY

    async def look(self, events: EventSocket) -> None:
        """Compare once. Never raises what requests raise: the next look is as good."""
        doubted = self._doubted if events is self._events else set()
        self._events, self._doubted = events, set()
        try:
            channels, bridges = await self._ari.channels(), await self._ari.bridges()
            async with asyncio.timeout(PATIENCE):
                await events.caught_up()
            differs = gone(self._tracker, channels) | self._unknown(channels)
            new = [channel for channel in channels if channel.id in differs & doubted]
            for channel in new:
                await self._asking.about_found(channel)
        except (PeerError, ConfigError, TimeoutError):
            return
        if events.over:
            return  # all is compared after the next connect
        self._act(differs & doubted, channels, bridges)
        self._doubted = differs - doubted
        with contextlib.suppress(PeerError, ConfigError):
            await self._manager.remove_orphans(channels, bridges)

    def _unknown(self, channels: Sequence[Channel]) -> set[str]:
        """Parties that we do not know. Local channels alone are nobody, and may outlive their conversation."""
        return {one.id for one in channels if one.technology != LOCAL and self._tracker.channels.is_unknown(one)}

    def _act(self, differs: set[str], channels: Sequence[Channel], bridges: Sequence[Bridge]) -> None:
        """Make the tracker agree, in what is still so after questions were answered."""
        tracker, at = self._tracker, self._host.clock.now()
        ended, began = gone(tracker, channels) & differs, self._unknown(channels) & differs
        if not ended and not began:
            return
        counts = {"ended": len(ended), "began": len(began)}
        self._host.log.warning("missed Asterisk events found by comparing channels", **counts)
        heard = [(self._last(channel, at), channel) for channel in ended]
        for last, channel in sorted(heard):
            tracker.channels.remove(channel, last, Cause(text="lost"))
        if began:
            new = [
                one
                for one in channels
                if one.id in began or (one.technology == LOCAL and tracker.channels.is_unknown(one))
            ]
            redraw(tracker, new, list(self._joined(bridges, began)), at, None)
            take_up(tracker, self._host, at)

    def _last(self, channel: str, at: Instant) -> Instant:
        leg = self._tracker.legs.get(channel)
        return min(at, self._manager.last_heard(leg) or at) if leg is not None else at

    def _joined(self, bridges: Sequence[Bridge], began: set[str]) -> Iterator[Bridge]:
        """Bridges with who is new in them; who else is there events may have told since."""
        for bridge in bridges:
            new = began.intersection(bridge.channels)
            if new:
                known = self._tracker.bridges.get(bridge.id)
                yield bridge if known is None else structs.replace(bridge, channels=[*known, *new])
