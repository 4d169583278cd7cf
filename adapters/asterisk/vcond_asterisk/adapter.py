"""The adapter: attaches to one Asterisk and stays attached, whatever happens to either side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import ClassVar, Final, NoReturn

from vcond.sdk import clean
from vcond.sdk.contract import (
    AdapterHost,
    ConfigError,
    Finding,
    Instant,
    PeerError,
    ProtocolError,
)
from vcond.sdk.mistakes import mistake
from vcond.sdk.reconnect import LONGEST, Reconnecting, pause
from vcond_asterisk import config as settings
from vcond_asterisk import wire
from vcond_asterisk.asking import Asking
from vcond_asterisk.check import check
from vcond_asterisk.client import Ari, AriError, EventSocket, together
from vcond_asterisk.compare import Comparing
from vcond_asterisk.media import MediaServer
from vcond_asterisk.resync import resync
from vcond_asterisk.taps import TapManager, again
from vcond_asterisk.tracker import ChannelTracker

IN_USE: Final = 10.0
"""Seconds between looks whether our application is free again, when another client has it."""
PROBE: Final = 2.0
"""Seconds between tries whether our user is accepted again, and whether questions are answered."""
LOOK: Final = 0.25
"""Seconds between looks at taps that stall."""


class InUseError(PeerError):
    """Another client has our application: it would hear nothing more if we took it, and its taps would be removed."""


class AsteriskAdapter:
    """Listens to the calls of one Asterisk over ARI, passively: it works on calls that it does not own."""

    name: ClassVar[str] = "asterisk"
    Config: ClassVar[type[settings.Config]] = settings.Config

    def __init__(self, config: settings.Config) -> None:
        """Raises ConfigError for values that cannot work together."""
        self.config = config.checked()

    async def run(self, host: AdapterHost) -> None:
        """Attach, serve, attach again; ends only when cancelled. The PBX is left as it was found."""
        try:
            while True:
                try:
                    await self._serve(host)
                except ConfigError as why:
                    host.attached(False, str(why))
                    host.log.error("cannot serve Asterisk", error=str(why), hint="run: vcond check")  # noqa: TRY400 - the operator's to mend
                await asyncio.sleep(LONGEST)
        finally:
            host.attached(False, "stopped")

    async def _serve(self, host: AdapterHost) -> None:
        """Serve until cancelled. Raises ConfigError when the audio port or the password cannot be had."""
        media = MediaServer(self.config, host.clock, lambda why: mistake(host, "sending silence", why))
        await media.start()
        try:
            async with Ari(self.config) as ari:
                await self._run(host, ari, media)
        finally:
            await media.close()

    def check(self) -> AsyncIterator[Finding]:
        """What ``vcond check`` prints; no call is touched."""
        return check(self.config)

    async def _run(self, host: AdapterHost, ari: Ari, media: MediaServer) -> None:
        manager: TapManager | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                manager = TapManager(host, self.config, ari, media, tasks)
                host.taps(after=self.config.stall_seconds, again=partial(again, manager))
                attachment = Attachment(self.config, host, ari, manager)
                tasks.create_task(_look_after(host, attachment, manager, media), name="asterisk-look")
                tasks.create_task(attachment.mind_refusals(), name="asterisk-refusals")
                tasks.create_task(attachment.mind_questions(), name="asterisk-questions")
                tasks.create_task(attachment.mind_lists(), name="asterisk-lists")
                await attachment.keep()
        finally:
            if manager is not None:
                await manager.close()


class Reattaching(Reconnecting):
    """Attaches again, and leaves the application to whoever else has it."""

    def __init__(self, host: AdapterHost, app: str) -> None:
        super().__init__(host, "Asterisk")
        self._app = app
        self.ours = False
        """Nobody else had the application since we did."""

    def explain(self, why: Exception, failures: int) -> float:
        """Say why we are not attached; how many seconds to wait before the next try."""
        if not isinstance(why, InUseError):
            return super().explain(why, failures)
        self._host.attached(False, str(why))
        if self.ours or failures <= 1 or failures % 30 == 0:
            fix = (
                "is another vcond running? give each its own adapters.asterisk.app; vcond waits until the name is free"
            )
            self._host.log.error("not attached: another client uses this ARI application", app=self._app, hint=fix)
        self.ours = False
        return pause(failures) if failures <= 1 else IN_USE


class Attachment:
    """The connection for events, made again after every loss, and what is done with the events."""

    def __init__(self, config: settings.Config, host: AdapterHost, ari: Ari, manager: TapManager) -> None:
        self._config = config
        self._host = host
        self._ari = ari
        self._manager = manager
        self.tracker = ChannelTracker(host, config, manager)
        self._lost: Instant | None = None
        self._version = ""
        self._again = Reattaching(host, config.app)
        self.refused = False
        """The event socket lives, and our requests are refused."""
        self._asking = Asking(ari, self.tracker, host)
        self._comparing = Comparing(ari, self.tracker, host, manager, self._asking)
        self._events: EventSocket | None = None
        """The one that is served now."""

    async def keep(self) -> None:
        """Attach for ever."""
        await self._again.keep(self._attach, self._detached, lambda why: mistake(self._host, "attaching", why))

    async def _attach(self) -> None:
        await self._leave_others_alone()
        async with self._ari.events(self._config.app, self._host.clock) as events:
            await self._serve(events)

    def _detached(self) -> None:
        self._manager.attached.clear()
        self._lost = self._lost or self._host.clock.now()

    async def _leave_others_alone(self) -> None:
        """Raise InUseError when somebody else has our application. Our own, if it was lost, we take again."""
        if not self._again.ours and await self._ari.registered(self._config.app):
            raise InUseError("another client uses this ARI application")

    async def mind_refusals(self) -> None:
        """For ever: while requests are refused (a password that was changed) we are not attached, whatever is heard."""
        while True:
            await asyncio.sleep(PROBE)
            why = self._ari.refusal
            if why is None or not self._manager.attached.is_set():
                continue
            if not self.refused:
                self.refused = True
                self._again.explain(why, 0)
            self._ari.refusal = None
            try:
                await self._prepare()
                removed = await self._manager.remove_orphans(await self._ari.channels(), await self._ari.bridges())
                await self._asking.again()
            except (PeerError, ConfigError):
                self._ari.refusal = why
                continue
            if self._manager.attached.is_set():
                self.refused = False
                self._host.attached(True, self._version)
                self._host.log.info("Asterisk accepts requests again", helpers_removed=removed)

    async def mind_questions(self) -> None:
        """For ever: ask again what was asked and not answered."""
        while True:
            await asyncio.sleep(PROBE)
            if not self.serving:
                continue
            try:
                await self._asking.probe()
            except Exception as why:  # noqa: BLE001 - a mistake with one call must not cost every other
                mistake(self._host, "asking about calls", why)

    async def mind_lists(self) -> None:
        """For ever: compare what the PBX lists with what its events said."""
        while True:
            await asyncio.sleep(self._comparing.pause)
            if self._events is None or not self.serving:
                continue
            try:
                await self._comparing.look(self._events)
            except Exception as why:  # noqa: BLE001 - a mistake with one call must not cost every other
                mistake(self._host, "comparing lists", why)

    @property
    def serving(self) -> bool:
        """Whether events come and requests are accepted."""
        return self._manager.attached.is_set() and not self.refused

    async def _serve(self, events: EventSocket) -> NoReturn:
        await self._prepare()
        await self._resync()
        self._lost = self._ari.refusal = None
        self._again.ours, self.refused, self._events = True, False, events
        self._manager.attached.set()
        self._host.attached(True, self._version)
        self._host.log.info("attached to Asterisk", version=self._version, app=self._config.app)
        while True:
            await self._take(*await events.next())

    async def _prepare(self) -> None:
        """Filter and subscription, after every connect: Asterisk forgets them with the application."""
        system = (await self._ari.info()).get("system")
        version = system.get("version") if isinstance(system, dict) else ""
        self._version = f"Asterisk {clean(str(version))}"
        extra = ("ChannelVarset",) if self._variables() else ()
        try:
            await self._ari.filter_events(self._config.app, extra=extra)
        except AriError as why:
            self._host.log.warning("cannot set an event filter; Asterisk sends all events", error=str(why))
        await self._ari.subscribe(self._config.app)

    async def _resync(self) -> None:
        channels, bridges = await self._ari.channels(), await self._ari.bridges()
        await self._asking.again()
        for channel in channels:
            await self._asking.about_found(channel)
        at = self._host.clock.now()
        resync(self.tracker, self._host, self._manager, channels=channels, bridges=bridges, at=at, lost=self._lost)
        await self._ask_variables(channels, at)
        removed = await self._manager.sweep(channels, bridges)
        if removed:
            self._host.log.info("removed tap channels of an earlier run from the PBX", count=removed)

    async def _ask_variables(self, channels: list[wire.Channel], at: Instant) -> None:
        """Variables of calls found at a resync; later ones are told by events."""
        unknown = [channel.id for channel in channels if channel.id in self.tracker.legs]

        async def ask(channel: str, name: str) -> None:
            try:
                self.tracker.asked(channel, name, await self._ari.variable(channel, name), at)
            except AriError:
                return  # gone, or without that variable

        await together(*(ask(channel, name) for name in self._variables() for channel in unknown))

    def _variables(self) -> set[str]:
        """Channel variables that we want to know."""
        return {*self._config.variables, self._config.only_if_variable} - {""}

    async def _take(self, message: str | bytes, arrived: Instant) -> None:
        try:
            event = wire.decode_event(message)
        except ProtocolError as why:
            self._host.dropped("event", "not-understood")
            self._host.log.warning("malformed Asterisk event skipped", error=str(why))
            return
        if event is None:
            return
        if isinstance(event, wire.ApplicationReplaced):
            raise InUseError("another client uses this ARI application")
        await self._asking.about(event)
        self._tell(event, arrived)

    def _tell(self, event: wire.Event, arrived: Instant) -> None:
        if isinstance(event, wire.StasisStart):
            self._manager.stasis_started(event.channel.id)
        elif isinstance(event, wire.StasisEnd | wire.ChannelDestroyed):
            self._manager.helper_gone(event.channel.id)
        try:
            self.tracker.event(event, arrived)
        except Exception as why:  # noqa: BLE001 - a mistake with one event must not cost every other call
            mistake(self._host, type(event).__name__, why)


async def _look_after(host: AdapterHost, attachment: Attachment, manager: TapManager, media: MediaServer) -> None:
    odd = strangers = 0
    while True:
        await asyncio.sleep(LOOK)
        now = host.clock.now()
        for conversation in list(attachment.tracker.conversations):
            try:
                conversation.look(now)
                if attachment.serving:
                    conversation.again(now)
            except Exception as why:  # noqa: BLE001 - a mistake with one call must not cost every other
                mistake(host, "checking a call", why)
        try:
            manager.look_after(now)
        except Exception as why:  # noqa: BLE001 - nor one with the taps
            mistake(host, "checking taps", why)
        if media.odd > odd:
            host.dropped("frame", "wrong-format", media.odd - odd)
            host.log.warning(
                "audio frames of the wrong format rejected", count=media.odd - odd, expected_rate=media.rate,
                hint="adapters.asterisk.rate = 16000 needs Asterisk 20.17, 22.7, 23.1 or newer",
            )  # fmt: skip
        if media.strangers > strangers:
            host.log.warning(
                "rejected unexpected AudioSocket connections", count=media.strangers - strangers,
                hint="keep adapters.asterisk.bind on loopback, or in a network that only the PBX reaches",
            )  # fmt: skip
        odd, strangers = media.odd, media.strangers
