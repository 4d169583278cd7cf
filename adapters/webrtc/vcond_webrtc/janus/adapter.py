"""The adapter: attaches to one Janus and stays attached, whatever happens to either side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import ClassVar, Final

from vcond.media.rtp.ports import RtpPorts
from vcond.sdk.contract import ConfigError, Desk, Finding, Instant, PeerError, ProtocolError
from vcond.sdk.reconnect import Reconnecting
from vcond_webrtc.janus.check import check, decoder_is_here
from vcond_webrtc.janus.client import Janus
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.rooms import Board
from vcond_webrtc.janus.taps import TapCrew, mistake
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

    async def run(self, desk: Desk) -> None:
        """Attach, serve, attach again; ends only when cancelled. Janus is left as it was found."""
        await asyncio.to_thread(decoder_is_here)
        config = self._config
        try:
            async with RtpPorts[Instant](desk.clock, bind=config.bind, ports=config.ports or (0, 0), mux=True) as ports:
                await self._run(desk, ports)
        finally:
            desk.attached(False, "stopped")

    async def _run(self, desk: Desk, ports: RtpPorts[Instant]) -> None:
        crew: TapCrew | None = None
        board: Board | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                crew = TapCrew(desk, self._config, ports, tasks)
                board = Board(desk, self._config, crew)
                await Reconnecting(desk, "Janus").keep(
                    partial(self._attach, desk, board, crew), partial(crew.attach, None), partial(mistake, desk)
                )
        finally:
            if board is not None and crew is not None:
                board.close()
                await self._leave(desk, crew)

    async def _attach(self, desk: Desk, board: Board, crew: TapCrew) -> None:
        try:
            async with Janus(self._config) as janus:
                await Watch(self._config, desk, janus, board, crew).serve()
        except ProtocolError:
            desk.dropped("message", "malformed")
            raise

    async def _leave(self, desk: Desk, crew: TapCrew) -> None:
        """Remove our forwards, by a connection of its own: the other one may be what was lost."""
        crew.attach(None)
        if not crew.leaves_traces:
            return
        try:
            async with asyncio.timeout(PATIENCE), Janus(self._config) as janus:
                await crew.close(janus)
        except (PeerError, ConfigError, TimeoutError) as why:
            desk.log.warning(
                "could not remove RTP forwards from Janus; the next start removes them",
                why=str(why) or type(why).__name__,
            )
