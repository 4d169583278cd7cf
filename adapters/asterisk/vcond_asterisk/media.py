"""Where Asterisk brings the audio: a TCP server that speaks AudioSocket and takes only connections that were announced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast
from uuid import UUID

from vcond.sdk.contract import SECOND, Clock, ConfigError, Instant, ProtocolError
from vcond_asterisk.config import Config, split_advertised
from vcond_asterisk.framing import ERROR, HANGUP, Framer, identity, is_audio, silence

CONNECTIONS: Final = 10_000
"""At the same time; a tap has one."""
INTRODUCTION: Final = 5.0
"""Seconds within which a connection must say who it is."""

STILL: Final = 0.06
"""Seconds without a frame after which a connection is sent one of silence. Asterisk sends every 20 ms; a connection that
stands still goes on when something comes in (docs/decisions/0013)."""
LOOK: Final = 0.04
"""Seconds between looks at connections that stand still."""


class Sink(Protocol):
    """Who takes the audio of one connection."""

    def opened(self, link: Link) -> None:
        """The connection is there."""

    def frame(self, payload: bytes, arrived: Instant) -> None:
        """20 ms of 16-bit little endian samples."""

    def closed(self, link: Link) -> None:
        """The connection is over, whoever ended it."""


class MediaServer:
    """Listens on ``bind``:``port``. Audio is handed on as it arrives; a connection that stands still is sent silence."""

    def __init__(self, config: Config, clock: Clock, mistake: Callable[[Exception], None] = lambda _: None) -> None:
        """``mistake`` is told of an exception that should not be; its connection is hung up on."""
        self._config = config
        self._mistake = mistake
        self.clock = clock
        self.expected: dict[UUID, Sink] = {}
        """By the name with which a connection will introduce itself."""
        self.links: set[Link] = set()
        self.strangers = 0
        """Connections that were hung up on because nobody expected them."""
        self.odd = 0
        """Frames that were no audio of the format asked for."""
        self.silences = 0
        """Frames of silence that were sent."""
        self._silence = silence(config.rate)
        self._timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None
        self.closed = False
        """Whoever connects now is hung up on."""

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self._config.rate

    @property
    def address(self) -> str:
        """``host:port`` for Asterisk to connect to."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return split_advertised(self._config.advertise or (f"[{host}]" if ":" in host else host), port)

    async def start(self, port: int | None = None) -> None:
        """Listen, on ``port`` when given. Raises ConfigError when the address cannot be had."""
        where = self._config.port if port is None else port
        self.closed = False
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Link(self), self._config.bind, where, backlog=512
            )
        except OSError as why:
            raise ConfigError(
                f"cannot listen on {self._config.bind} port {where}: {why.strerror}", "adapters.asterisk.bind"
            ) from why

    async def close(self) -> None:
        """Hang up on everybody."""
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self.closed = True
            self._server.close()
            for link in tuple(self.links):
                link.abort()
            await self._server.wait_closed()  # since Python 3.12 for every connection, also one that was just coming

    def expect(self, token: UUID, sink: Sink) -> None:
        """Take a connection that introduces itself as ``token``, once."""
        self.expected[token] = sink

    def forget(self, token: UUID) -> None:
        """Take it no longer."""
        self.expected.pop(token, None)

    def watch(self) -> None:
        """Look at connections that stand still, as long as there are any."""
        if self._timer is None and self.links:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LOOK, self._look, loop.time() + 2 * LOOK)

    def _look(self, latest: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() > latest:  # we were late, not they: what waits in the sockets is read first
            self._timer = loop.call_later(0.001, self._look, float("inf"))
            return
        now = self.clock.now()
        for link in tuple(self.links):
            try:
                self.silences += link.prod(now, self._silence)
            except Exception as why:  # noqa: BLE001 - a mistake with one connection must not silence every other
                self.links.discard(link)
                link.abort()
                self._mistake(why)
        self._timer = None
        self.watch()


class Link(asyncio.Protocol):
    """One connection of Asterisk."""

    def __init__(self, server: MediaServer) -> None:
        self._server = server
        self._framer = Framer()
        self._sink: Sink | None = None
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._moved: Instant = server.clock.now()
        """When something last came, or was sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: Asterisk connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        if self._server.closed:
            self._transport.abort()
            return
        self._server.links.add(self)
        if len(self._server.links) > CONNECTIONS:
            self._stranger()
        self._deadline = asyncio.get_running_loop().call_later(INTRODUCTION, self._stranger)
        self._server.watch()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        arrived = self._moved = self._server.clock.now()
        for frame in self._framer.feed(data):
            if self._transport is None or self._transport.is_closing():
                return
            if self._sink is None:
                try:
                    self._introduce(identity(frame))
                except ProtocolError:
                    self._stranger()
            elif is_audio(frame, self._server.rate):
                self._sink.frame(frame.payload, arrived)
            elif frame.kind in {HANGUP, ERROR}:
                self.abort()
            elif frame.kind & 0x10:
                self._server.odd += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio: the connection is over."""
        self._server.links.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._sink is not None:
            self._sink.closed(self)

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def prod(self, now: Instant, frame: bytes) -> bool:
        """Send ``frame`` when nothing came for ``STILL`` and all before it was taken; whether that was so."""
        if self._sink is None or self._transport is None or self._transport.is_closing():
            return False
        if now - self._moved < STILL * SECOND or self._transport.get_write_buffer_size():
            return False
        self._transport.write(frame)
        self._moved = now
        return True

    def _introduce(self, token: UUID) -> None:
        sink = self._server.expected.pop(token, None)
        if sink is None:
            self._stranger()
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._sink = sink
        sink.opened(self)

    def _stranger(self) -> None:
        self._server.strangers += 1
        self.abort()
