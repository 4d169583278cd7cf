"""Taps: how Asterisk is made to send what a party says, and what is cleaned up behind it.

One tap is a snoop channel on the party's channel (for a bot without one: on the channel that it is sent to), an
externalMedia channel that speaks AudioSocket to us, and a bridge that holds the two. Asterisk removes only the snoop by
itself when the call ends; the other two leak unless they are removed. A tap that breaks (its connection cut, its frames
stopped) is made anew from scratch while the leg lives.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from vcond.sdk.contract import (
    MILLI,
    SECOND,
    AdapterHost,
    ConfigError,
    Instant,
    LiveCall,
    PeerError,
    SpanKind,
    Track,
    UnreachableError,
)
from vcond.sdk.mistakes import mistake
from vcond.sdk.tap import TapState
from vcond_asterisk.calls import Leg
from vcond_asterisk.client import Ari, AriError, together
from vcond_asterisk.config import Config
from vcond_asterisk.media import Link, MediaServer
from vcond_asterisk.wire import Bridge, Channel

PAUSES: Final = (0.05, 0.1, 0.3, 1.0, 2.0, 5.0)
"""Seconds before a tap is made anew, by the tries that failed; the last one for ever, while the leg lives. Never 0: a
tap breaks mostly because its leg ends, and that is told a moment later."""
COMPLAIN: Final = 3
"""Tries that fail before the record and the log say so."""
EARLY: Final = 1.0
"""Seconds without a frame after which a tap in its first second is made anew; later ``stall_seconds`` count."""
PATIENCE: Final = 6
"""Times that ``EARLY`` and the time for setting up grow to, by one with each try that failed: a PBX that is slow would
have only more to do if what it is about to finish were taken down and asked for again at the same pace."""
GAP: Final = 300 * MILLI
"""Nanoseconds between two connections of a tap that are said to be lost, also while somebody holds: frames come then too."""
EDGE: Final = 100 * MILLI
"""Of these, what is left to be placed by the frames themselves."""
SOUND: Final = 50
"""Frames after which a tap is taken to work: one second."""
CLEANUP: Final = 3.0
"""Seconds that removing helpers may take at the very end."""
AGAIN: Final = 0.25
"""Seconds after which helpers are removed once more, when making them was interrupted and may still have succeeded."""


class Helpers(NamedTuple):
    """Ids of what one tap puts into the PBX. The application's name and a dot come first, which no other name has."""

    snoop: str
    media: str
    bridge: str
    token: UUID

    @classmethod
    def new(cls, prefix: str) -> Helpers:
        """Ids that were never used."""
        token = uuid4()
        return cls(f"{prefix}s-{token.hex}", f"{prefix}m-{token.hex}", f"{prefix}b-{token.hex}", token)


class Tap:
    """Listens to one leg: what comes in goes to the track of the leg's party."""

    def __init__(self, leg: Leg, manager: TapManager) -> None:
        self.leg = leg
        self.state = TapState(PAUSES)
        self.heard = False
        """Whether anything but digital silence ever came."""
        self.helpers: Helpers | None = None
        """What is in the PBX for it now."""
        self.fresh = 0
        """Frames since all of it was set up."""
        self._manager = manager
        self._track: Track | None = None
        self._link: Link | None = None
        self._anew = False
        """No frame of this connection came yet."""
        self._started: dict[str, asyncio.Event] = {}
        self._broken = asyncio.Event()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Set up, wait until it breaks, set up again; removes its helpers however it ends."""
        while not self._stopped.is_set():
            try:
                if not await self._once():
                    return
            except Exception as why:  # noqa: BLE001 - a mistake with one tap must not cost every other
                self.state.failures += 1
                mistake(self._manager.host, "setting up a tap", why)
            await self._manager.pause(self.state.pause, self._stopped)

    async def _once(self) -> bool:
        """Whether it is to be set up again, after a pause."""
        if not await self._attached():
            return False
        helpers = self._renew()
        try:
            await self._set_up(helpers)
            await self._broken.wait()
            if self.fresh < SOUND and not self._stopped.is_set():
                raise UnreachableError("the tap was set up, but no audio arrived")
            self.state.failures = 0
        except (PeerError, ConfigError, TimeoutError) as why:
            if isinstance(why, AriError) and (why.what, why.status) == ("snoop", 404):
                return False  # the channel is gone; its last event is on the way
            self.state.failures += 1
            if self.state.failures == COMPLAIN:
                self._complain(why)
        finally:
            self._take_down(helpers)
        return True

    def stop(self, at: Instant) -> None:
        """The leg is gone, or must not be listened to any more."""
        self._stopped.set()
        self._broken.set()
        if self._track is not None:
            self._track.close(at=at)

    def renew(self) -> None:
        """What was set up does not work (any more): make it anew."""
        self._broken.set()

    def stasis_started(self, channel: str) -> None:
        """One of its two channels is under our control."""
        started = self._started.get(channel)
        if started is not None:
            started.set()

    # What the media server calls.

    def opened(self, link: Link) -> None:
        """Asterisk connected."""
        self._link, self._anew = link, True

    def frame(self, payload: bytes, arrived: Instant) -> None:
        """20 ms of audio."""
        if self._stopped.is_set():
            return
        if self._track is None:
            self._track = self.leg.open_track(arrived, self._manager.media.rate)
        if self._track is None:
            return
        if self._anew and self.state.last is not None and arrived - self.state.last > GAP:
            self._track.absent(Instant(self.state.last + EDGE), Instant(arrived - EDGE), SpanKind.LOST)
        self._anew = False
        self.fresh += 1
        self.state.last = arrived
        self.heard = self.heard or payload.count(0) != len(payload)
        self._track.write(payload, arrived=arrived)

    def stalled(self, now: Instant) -> bool:
        """Whether a new tap should have given frames and did not; of one that had worked the core says it."""
        patience = min(EARLY * self._factor, self._manager.config.stall_seconds)
        return self.fresh < SOUND and self.state.stalled(now, patience)

    def stall(self, now: Instant) -> None:
        """It never worked, although silence was sent to it: say so, and make it anew."""
        manager, call = self._manager, self.leg.conversation.call
        manager.host.dropped("tap", "stalled")
        if self.state.first("tap-stalled"):
            self.leg.warn(now, "tap-stalled", "no audio of this party came from the PBX for a while")
            manager.host.log.warning(
                "tap stalled, restarting it; audio in between is lost",
                call=call.uuid if call is not None else "",
                channel=self.leg.channel,
                hint="if it happens often: is the PBX overloaded? core show taskprocessors",
            )
        self.renew()

    def closed(self, link: Link) -> None:
        """The connection is over; without it the tap is of no use."""
        if self._link is link:
            self._link = None
            self._broken.set()

    # Inside.

    @property
    def _factor(self) -> int:
        """How much longer than usual the PBX is waited for."""
        return min(1 + self.state.failures, PATIENCE)

    async def _attached(self) -> bool:
        """Wait until our application is registered; whether the leg is still to be listened to then."""
        if not self._manager.attached.is_set():
            await self._manager.first_of(self._manager.attached, self._stopped)
        return not self._stopped.is_set()

    def _renew(self) -> Helpers:
        helpers = Helpers.new(self._manager.prefix)
        self._started = {helpers.snoop: asyncio.Event(), helpers.media: asyncio.Event()}
        self._broken = asyncio.Event()
        self.helpers, self.state.since = helpers, None
        self._manager.hold(self, helpers)
        return helpers

    async def _set_up(self, helpers: Helpers) -> None:
        manager, ari, app = self._manager, self._manager.ari, self._manager.config.app
        manager.media.expect(helpers.token, self)
        async with asyncio.timeout(manager.config.timeout * self._factor):
            await together(
                ari.snoop(self.leg.runs_on or self.leg.channel, helpers.snoop, app, sent=bool(self.leg.runs_on)),
                ari.external_media(
                    helpers.media,
                    app=app,
                    address=manager.media.address,
                    token=str(helpers.token),
                    rate=manager.media.rate,
                ),
                ari.create_bridge(helpers.bridge),
            )
            for started in self._started.values():
                await manager.first_of(started, self._broken)
                if self._broken.is_set():
                    raise UnreachableError("a channel of the tap ended before the tap was complete")
            await ari.add_channels(helpers.bridge, helpers.snoop, helpers.media)
        self.state.since, self.fresh = manager.host.clock.now(), 0

    def _take_down(self, helpers: Helpers) -> None:
        self._manager.media.forget(helpers.token)
        link, self._link = self._link, None
        if link is not None:
            link.abort()
        self._manager.remove(helpers, interrupted=self.state.since is None)
        self.helpers, self.state.since = None, None

    def _complain(self, why: Exception) -> None:
        manager, call = self._manager, self.leg.conversation.call
        self.leg.warn(manager.host.clock.now(), "tap-failed", "this party could not be listened to for a while")
        manager.host.log.error(
            "cannot tap channel audio",
            call=call.uuid if call is not None else "",
            channel=self.leg.channel,
            error=str(why) or type(why).__name__,
            hint="run: vcond check"
            if isinstance(why, ConfigError)
            else f"Asterisk must reach {manager.media.address} over TCP (bind, advertise); run: vcond check",
        )


class TapManager:
    """All taps of one Asterisk, and the helpers that are still to be removed."""

    def __init__(
        self, host: AdapterHost, config: Config, ari: Ari, media: MediaServer, tasks: asyncio.TaskGroup
    ) -> None:
        self.host = host
        self.config = config
        self.ari = ari
        self.media = media
        self.prefix = f"{config.app}."
        self.attached = asyncio.Event()
        """Set while our application is registered with Asterisk; a snoop made without it would vanish."""
        self._tasks = tasks
        self._taps: dict[str, Tap] = {}
        self._owners: dict[str, Tap] = {}
        self._removals: set[asyncio.Task[None]] = set()
        self._stay = False
        """It was said that helpers stay on the PBX; they are removed when requests are accepted again."""

    # What conversations ask for.

    def start(self, leg: Leg) -> None:
        """Listen to a leg; nothing happens when it is listened to already."""
        if leg.channel not in self._taps:
            tap = self._taps[leg.channel] = Tap(leg, self)
            self._tasks.create_task(tap.run(), name="tap")

    def stop(self, leg: Leg, at: Instant) -> None:
        """Listen no longer."""
        tap = self._taps.pop(leg.channel, None)
        if tap is not None:
            tap.stop(at)

    def own(self, channel_or_bridge: str) -> bool:
        """Whether an id is one of our own helpers, of this run or an earlier one."""
        return channel_or_bridge.startswith(self.prefix)

    def last_heard(self, leg: Leg) -> Instant | None:
        """When the last frame of a leg arrived."""
        tap = self._taps.get(leg.channel)
        return tap.state.last if tap is not None else None

    # What taps ask for.

    def hold(self, tap: Tap, helpers: Helpers) -> None:
        """These helpers are in use from now on."""
        self._owners.update({helpers.snoop: tap, helpers.media: tap, helpers.bridge: tap})

    def remove(self, helpers: Helpers, *, interrupted: bool) -> None:
        """Remove helpers from the PBX, in the background: nobody has to wait for it, and nothing stops it."""
        removal = asyncio.create_task(self._removal(helpers, interrupted), name="tap-removal")
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    async def _removal(self, helpers: Helpers, interrupted: bool) -> None:
        try:
            for wait in (0.0, AGAIN) if interrupted else (0.0,):
                await asyncio.sleep(wait)
                await together(
                    self.ari.hang_up(helpers.media),
                    self.ari.hang_up(helpers.snoop),
                    self.ari.destroy_bridge(helpers.bridge),
                )
        except (PeerError, ConfigError) as why:
            told, self._stay = self._stay, True
            if not told:
                self.host.log.warning(
                    "could not remove tap channels and bridge; will clean up after reconnect", error=str(why)
                )
        except Exception as why:  # noqa: BLE001 - it is nobody's but this task's to tell
            self._stay = True
            mistake(self.host, "removing a tap", why)
        finally:
            for helper in (helpers.snoop, helpers.media, helpers.bridge):
                self._owners.pop(helper, None)

    async def close(self) -> None:
        """Wait until all helpers are removed, for a short while at most."""
        if self._removals:
            _, late = await asyncio.wait(self._removals, timeout=CLEANUP)
            for removal in late:
                removal.cancel()
            if late:
                self.host.log.error("tap channels left on the PBX; the next start removes them", taps=len(late))
                await asyncio.wait(late)

    async def pause(self, seconds: float, stopped: asyncio.Event) -> None:
        """Wait, at most until ``stopped``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stopped.wait()

    async def first_of(self, *events: asyncio.Event) -> None:
        """Wait until one of the events is set."""
        waits = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # What the adapter tells and asks.

    def stasis_started(self, channel: str) -> None:
        """A channel is under our control."""
        if channel in self._owners:
            self._owners[channel].stasis_started(channel)

    def helper_gone(self, channel: str) -> None:
        """A channel is gone."""
        tap = self._owners.get(channel)
        if tap is not None and tap.helpers is not None and channel in tap.helpers:
            tap.renew()

    @property
    def taps(self) -> Mapping[str, Tap]:
        """By the channel that is listened to."""
        return self._taps

    async def sweep(self, channels: list[Channel], bridges: list[Bridge]) -> int:
        """After a connect: remove helpers of ours that no tap owns, renew taps that lost some; how many were removed.

        ``channels`` and ``bridges`` are all that there are. Raises what requests raise.
        """
        there = {channel.id for channel in channels}
        for tap in self._taps.values():
            if (
                tap.helpers is not None
                and tap.state.since is not None
                and not {tap.helpers.snoop, tap.helpers.media} <= there
            ):
                tap.renew()
        return await self.remove_orphans(channels, bridges)

    async def remove_orphans(self, channels: list[Channel], bridges: list[Bridge]) -> int:
        """Remove helpers of ours that no tap owns; how many there were. Raises what requests raise."""
        there = {channel.id for channel in channels}
        orphans = [helper for helper in there if self.own(helper) and helper not in self._owners]
        shells = [bridge.id for bridge in bridges if self.own(bridge.id) and bridge.id not in self._owners]
        await together(
            *(self.ari.hang_up(channel) for channel in orphans), *(self.ari.destroy_bridge(bridge) for bridge in shells)
        )
        self._stay = False
        return len(orphans) + len(shells)

    def look_after(self, now: Instant) -> None:
        """Now and then: renew taps that stalled, tell of legs that nothing is heard of."""
        patience = int(self.config.no_audio_seconds * SECOND)
        for tap in self._taps.values():
            if tap.stalled(now):
                tap.stall(now)
            call = tap.leg.conversation.call
            answered = call.state.answered if call is not None else None
            if answered is None or tap.leg.bot or tap.heard or tap.leg.holding:
                continue
            if now - max(answered, tap.leg.up or now) > patience and tap.state.first("no-audio"):
                self._silent(tap, now)

    def _silent(self, tap: Tap, now: Instant) -> None:
        if tap.state.last is not None:
            text = "the PBX receives only silence from this party"
            fix = "check the phone's microphone, NAT and RTP ports: rtp set debug on, pjsip show channelstats"
        else:
            text = "no audio of this party arrives from the PBX"
            fix = f"Asterisk must reach {self.media.address} over TCP (bind, advertise); run: vcond check"
        tap.leg.warn(now, "no-audio", text)
        call = tap.leg.conversation.call
        uuid = call.uuid if call is not None else ""
        self.host.log.warning("no audio from a party", call=uuid, channel=tap.leg.channel, what=text, hint=fix)


def again(manager: TapManager, call: LiveCall, party: int) -> bool:
    """Make the taps of a party anew whose audio has stopped; False when none of them stands, or stood for long."""
    now, patience = manager.host.clock.now(), manager.config.stall_seconds
    stopped = [
        tap
        for tap in manager.taps.values()
        if tap.leg.conversation.call is call
        and tap.leg.party is not None
        and tap.leg.party.index == party
        and tap.fresh >= SOUND
        and tap.state.stalled(now, patience)
    ]
    for tap in stopped:
        tap.renew()
    return bool(stopped)
