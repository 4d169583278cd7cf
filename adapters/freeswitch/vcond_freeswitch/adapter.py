"""The adapter: attaches to one FreeSWITCH and stays attached, whatever happens to either side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import ClassVar, Final

from vcond.sdk import clean
from vcond.sdk.contract import AdapterHost, ConfigError, Finding, Instant, RefusedError
from vcond.sdk.mistakes import mistake
from vcond.sdk.reconnect import Reconnecting
from vcond_freeswitch import config as settings
from vcond_freeswitch import resync
from vcond_freeswitch.check import check
from vcond_freeswitch.client import Connection, connected, names
from vcond_freeswitch.commands import wanted
from vcond_freeswitch.events import Event
from vcond_freeswitch.streams import MediaSocketServer
from vcond_freeswitch.tapevents import TapEvents
from vcond_freeswitch.taps import LOOK, TapManager
from vcond_freeswitch.tracker import ChannelTracker

MODULES: Final = {"stream": "mod_audio_stream", "fork": "mod_audio_fork"}


class FreeSwitchAdapter:
    """Listens to the calls of one FreeSWITCH over its event socket: it works on calls that it does not own."""

    name: ClassVar[str] = "freeswitch"
    Config: ClassVar[type[settings.Config]] = settings.Config

    def __init__(self, config: settings.Config) -> None:
        """Raises ConfigError for values that cannot work together."""
        self.config = config.checked()

    async def run(self, host: AdapterHost) -> None:
        """Attach, serve, attach again; ends only when cancelled. The switch is left as it was found."""
        manager: TapManager | None = None
        media_sockets = MediaSocketServer(host, self.config)
        try:
            async with asyncio.TaskGroup() as tasks:
                manager = TapManager(host, self.config, tasks)
                host.taps(after=self.config.stall_seconds, again=manager.again)
                media_sockets.serve(manager)
                attachment = Attachment(self.config, host, manager, tasks)
                tasks.create_task(_look_after(host, manager), name="freeswitch-look")
                tasks.create_task(_end_what_is_over(host, manager, attachment.tracker), name="freeswitch-calls")
                await attachment.keep()
        finally:
            host.attached(False, "stopped")
            if manager is not None:
                await manager.close()
            await media_sockets.close()

    def check(self) -> AsyncIterator[Finding]:
        """What ``vcond check`` prints; no call is touched."""
        return check(self.config)


class Attachment:
    """The event socket, connected again after every loss, and what is done with the events."""

    def __init__(
        self, config: settings.Config, host: AdapterHost, manager: TapManager, tasks: asyncio.TaskGroup
    ) -> None:
        self._config = config
        self._host = host
        self._manager = manager
        self._tap_events = TapEvents(manager)
        self._tasks = tasks
        self.tracker = ChannelTracker(host, config, manager)
        self._lost: Instant | None = None
        self._core = ""
        self._odd = 0

    async def keep(self) -> None:
        """Attach for ever."""
        text = "the attachment ended and is made again"
        again = Reconnecting(self._host, "FreeSWITCH")
        await again.keep(self._attach, self._detached, lambda why: mistake(self._host, text, why))

    async def _attach(self) -> None:
        async with connected(self._config, self._host.clock) as connection:
            await self._serve(connection)

    def _detached(self) -> None:
        self._lost = self._lost or self._host.clock.now()

    async def _serve(self, connection: Connection) -> None:
        self._odd = 0
        try:
            missing = await connection.subscribe()  # before asking for state: nothing falls between
            await self._identify(connection)
            self._manager.kind = await self._choose(connection)
            await resync.resync(connection, self.tracker, self._host, self._manager, lost=self._lost)
            self._lost = None
            self._host.attached(True, f"tap {self._manager.kind}")
            self._host.log.info(
                "attached to FreeSWITCH", tap=self._manager.kind, without=names(wanted(missing, self._manager.kind))
            )
            await self._listen(connection)
        except asyncio.CancelledError:
            await self._manager.close()
            raise
        finally:
            self._manager.detached()

    async def _listen(self, connection: Connection) -> None:
        """Handle events until the connection is lost; look at the table soon, and every few minutes."""
        loop = asyncio.get_running_loop()
        again, looked = loop.time() + resync.AGAIN, False
        doubted: set[str] = set()
        while True:
            wait = min(self._config.heartbeat_seconds, max(0.0, again - loop.time()))
            try:
                async with asyncio.timeout(wait):
                    event, arrived = await connection.next()
            except TimeoutError:
                await self._alive(connection)
            else:
                await self._take(connection, event, arrived)
            if loop.time() >= again:
                if looked:
                    doubted = await resync.compare(connection, self.tracker, self._host, doubted)
                else:
                    await resync.again(connection, self.tracker, self._host)
                again, looked = loop.time() + (resync.AGAIN if doubted else resync.EVERY), True

    async def _alive(self, connection: Connection) -> None:
        """Nothing came for long. Raises UnreachableError when FreeSWITCH does not answer either."""
        if asyncio.get_running_loop().time() - connection.heard >= self._config.heartbeat_seconds:
            await self._core_uuid(connection)

    async def _core_uuid(self, connection: Connection) -> str:
        try:
            return clean(await connection.api("global_getvar core_uuid"))
        except RefusedError:
            return ""  # not permitted: events say it too

    async def _identify(self, connection: Connection) -> None:
        core = await self._core_uuid(connection)
        if core:
            self._is_core(core, self._lost or self._host.clock.now())

    def _is_core(self, core: str, at: Instant) -> None:
        """Which run of FreeSWITCH this is: another one has none of the calls that we know."""
        if self._core and core != self._core:
            self._host.log.warning("FreeSWITCH was restarted; its calls have ended", channels=len(self.tracker.legs))
            self.tracker.all_lost(at, "SYSTEM_SHUTDOWN")
        self._core = core

    async def _choose(self, connection: Connection) -> str:
        """How to listen, when the configuration leaves it to us. Raises ConfigError when there is no way."""
        if self._config.tap != "auto":
            return self._config.tap
        if self._config.local:
            return "file"
        for kind, module in MODULES.items():
            if not self._config.url:
                break
            try:
                if (await connection.api(f"module_exists {module}")).strip() == "true":
                    return kind
            except RefusedError:
                continue
        raise ConfigError(
            "FreeSWITCH is on another machine: install mod_audio_stream or mod_audio_fork there (and module_exists in"
            " esl-allowed-api to find them) and adapters.freeswitch.url; or run vcond beside FreeSWITCH",
            "adapters.freeswitch.tap",
        )

    async def _take(self, connection: Connection, event: Event, arrived: Instant) -> None:
        if connection.odd > self._odd:
            self._host.dropped("event", "not-understood", connection.odd - self._odd)
        self._odd = connection.odd
        if event.name == "SHUTDOWN":
            self._host.log.warning("FreeSWITCH is shutting down")
            return
        if event.core and event.core != self._core:
            self._is_core(event.core, arrived)
        for channel in self.tracker.unknown(event):
            found = await resync.dump(connection, channel)
            if found is not None:
                self._guarded(self.tracker.found, found, self._host.clock.now())
        if self.tracker.in_doubt(event):
            now = await resync.dump(connection, event.leg)
            if now is not None and now.app:
                event.app, event.app_data = now.app, now.app_data
        self._guarded(self._tap_events.event, event, arrived)
        self._guarded(self.tracker.event, event, arrived)

    def _guarded(self, handle: Callable[[Event, Instant], object], event: Event, arrived: Instant) -> None:
        """A mistake of ours with one event must not cost every other call."""
        try:
            handle(event, arrived)
        except Exception as why:  # noqa: BLE001 - see above
            mistake(self._host, "handling an event", why, event_name=clean(event.name))


async def _end_what_is_over(host: AdapterHost, manager: TapManager, tracker: ChannelTracker) -> None:
    """Every second: who was left alone, and calls that the core has ended by itself."""
    while True:
        await asyncio.sleep(1.0)
        for conversation in tracker.conversations():
            try:
                conversation.look(host.clock.now())
                if manager.starter.connection is not None:
                    conversation.again(host.clock.now())
            except Exception as why:  # noqa: BLE001 - one conversation must not cost the others
                mistake(host, "checking a call", why)
        try:
            tracker.let_go(host.clock.now())
        except Exception as why:  # noqa: BLE001 - whoever stays, calls are looked after
            mistake(host, "releasing the parties that stay", why)


async def _look_after(host: AdapterHost, manager: TapManager) -> None:
    """Read what taps deliver, every 20 ms; every second complain of those that deliver nothing."""
    loop = asyncio.get_running_loop()
    complained = loop.time()
    while True:
        if not manager.taps and not manager.leftovers:
            manager.busy.clear()
            await manager.busy.wait()
        await asyncio.sleep(LOOK)
        now = host.clock.now()
        manager.look(now)
        if loop.time() - complained >= 1.0:
            complained = loop.time()
            try:
                manager.complain(now)
            except Exception as why:  # noqa: BLE001 - a mistake with one tap must not cost the others
                mistake(host, "checking taps", why)
