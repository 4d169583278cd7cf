"""The adapter: attaches to one Janus and stays attached, whatever happens to either side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import ClassVar, Final

from vcond.media.rtp.ports import RtpPorts
from vcond.sdk.contract import AdapterHost, ConfigError, Finding, Instant, PeerError, ProtocolError
from vcond.sdk.mistakes import mistake
from vcond.sdk.reconnect import Reconnecting
from vcond_webrtc.janus.check import check, decoder_is_here
from vcond_webrtc.janus.client import Janus
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.rooms import RoomTracker
from vcond_webrtc.janus.taps import STOPPED_AFTER, TapManager
from vcond_webrtc.janus.watch import Watch

PATIENCE: Final = 5.0
"""Seconds for the removal of our forwards when the adapter ends."""


class JanusAdapter:
    """Taps the VideoRooms of one Janus without joining them."""

    name: ClassVar[str] = "janus"
    Config: ClassVar[type[JanusConfig]] = JanusConfig

    def __init__(self, config: JanusConfig) -> None:
        """Raises ConfigError for values that cannot work together."""
        self._config = config.checked()

    def check(self) -> AsyncIterator[Finding]:
        """What ``vcond check`` prints; no room is touched."""
        return check(self._config)

    async def run(self, host: AdapterHost) -> None:
        """Attach, serve, attach again; ends only when cancelled. Janus is left as it was found."""
        await asyncio.to_thread(decoder_is_here)
        config = self._config
        try:
            async with RtpPorts[Instant](host.clock, bind=config.bind, ports=config.ports or (0, 0), mux=True) as ports:
                await self._run(host, ports)
        finally:
            host.attached(False, "stopped")

    async def _run(self, host: AdapterHost, ports: RtpPorts[Instant]) -> None:
        manager: TapManager | None = None
        tracker: RoomTracker | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                manager = TapManager(host, self._config, ports, tasks)
                host.taps(after=STOPPED_AFTER, again=manager.again)
                tracker = RoomTracker(host, self._config, manager)
                await Reconnecting(host, "Janus").keep(
                    partial(self._attach, host, tracker, manager),
                    partial(manager.attach, None),
                    partial(mistake, host, "attaching"),
                )
        finally:
            if tracker is not None and manager is not None:
                tracker.close()
                await self._leave(host, manager)

    async def _attach(self, host: AdapterHost, tracker: RoomTracker, manager: TapManager) -> None:
        try:
            async with Janus(self._config) as janus:
                await Watch(self._config, host, janus, tracker, manager).serve()
        except ProtocolError:
            host.dropped("message", "malformed")
            raise

    async def _leave(self, host: AdapterHost, manager: TapManager) -> None:
        """Remove our forwards, by a connection of its own: the other one may be what was lost."""
        manager.attach(None)
        if not manager.leaves_traces:
            return
        try:
            async with asyncio.timeout(PATIENCE), Janus(self._config) as janus:
                await manager.close(janus)
        except (PeerError, ConfigError, TimeoutError) as why:
            host.log.warning(
                "could not remove RTP forwards from Janus; the next start removes them",
                error=str(why) or type(why).__name__,
            )
