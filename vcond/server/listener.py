"""An address with an application of its own behind it, which takes so many connections and no more: the API's, the hub's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web

from vcond.base.tls import Served
from vcond.config.schema import LOOPBACK
from vcond.server.ingress import url

log = structlog.get_logger()

IDLE: Final = 60.0
"""Seconds that a connection may say nothing between two requests."""
UNREAD: Final = 60
"""Seconds after which a connection is cut that takes nothing of what is sent (TCP_USER_TIMEOUT, tcp(7)); a player asks again."""
HANDSHAKE: Final = 10.0
"""Seconds for TLS."""
BACKLOG: Final = 512


class Listener:
    """Serves from ``start`` to ``close``."""

    def __init__(
        self, host: str, port: int, tls: Served | None, *, most: int, full: Callable[[], None], shutdown: float = 1.0
    ) -> None:
        """``most``: connections at once; ``full`` hears of one too many. ``shutdown``: seconds for requests under way at the end."""
        self._host, self.port, self._tls = host, port, tls
        self._most, self._full, self._shutdown = most, full, shutdown
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    async def start(self, app: web.Application) -> None:
        """Bind, and serve; ``port`` is the one that is bound. Raises OSError, UnicodeError."""
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=self._shutdown, handle_signals=False, keepalive_timeout=IDLE
        )
        await self._runner.setup()
        self._server = await self._bound()
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def base_url(self) -> str:
        """Where it answers."""
        bound = url(self._host, self.port)
        return bound.replace("http", "https", 1) if self._tls is not None else bound

    def warn(self, section: str) -> None:
        """Say so where anybody on the way can read along. ``section``: that of the configuration."""
        if self._tls is None and self._host not in LOOPBACK:
            log.warning(
                "listening beyond this machine without TLS: tokens and what is asked for can be read on the way",
                address=self.base_url,
                hint=f"set {section}.certificate, or {section}.listen to 127.0.0.1 behind a TLS proxy",
            )

    async def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _bound(self) -> asyncio.Server:
        tls, loop = self._tls.context if self._tls is not None else None, asyncio.get_running_loop()
        wait = HANDSHAKE if tls is not None else None
        server = await loop.create_server(
            self._protocol, self._host, self.port, ssl=tls, ssl_handshake_timeout=wait, backlog=BACKLOG
        )
        for one in server.sockets:  # what it accepts is as it is
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD * 1000)
        return server

    def _protocol(self) -> asyncio.BaseProtocol:
        serves = self._runner.server if self._runner is not None else None
        if serves is None or len(serves.connections) >= self._most:
            self._full()
            return _Full()
        return serves()


class _Full(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
