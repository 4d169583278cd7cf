"""The API's own listener. Peers of calls never reach it, and it is off until it has an address."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import structlog
from aiohttp import web

from vcond.base import metrics
from vcond.base.tls import Served
from vcond.config.schema import ApiConfig
from vcond.server.api.app import LARGEST_BODY, PREFIX, Api
from vcond.server.ingress import reason, url
from vcond.server.page.serve import Page

log = structlog.get_logger()

IDLE: Final = 60.0
"""Seconds that a connection may say nothing between two requests."""
UNREAD: Final = 60
"""Seconds after which a connection is cut that takes nothing of what is sent (TCP_USER_TIMEOUT, tcp(7)); a player asks again."""
HANDSHAKE: Final = 10.0
"""Seconds for TLS."""
MOST: Final = 500
"""Connections at once, beside those that ``max_watchers`` follow: files that the daemon needs for calls stay free."""
LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}


class ApiServer:
    """Serves until closed."""

    def __init__(self, config: ApiConfig, api: Api) -> None:
        """Raises ConfigError for a certificate that cannot be used."""
        self._config, self._api = config, api
        self._page = Page(api.guard, secure=bool(config.certificate) or config.public_url.startswith("https:"))
        self._tls = Served(config.certificate, config.key, config.client_ca, "api") if config.certificate else None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._port = config.port if config.listen else 0
        self.trouble = ""
        """Why nobody is answered; empty when all is well."""

    @property
    def base_url(self) -> str:
        """Where it answers; empty when it does not."""
        if not self._config.listen or self.trouble:
            return ""
        bound = url(self._config.host, self._port)
        return self._config.public_url.rstrip("/") or (bound.replace("http", "https", 1) if self._tls else bound)

    async def start(self) -> None:
        """Bind and serve. An address that cannot be bound costs the API, no call: it is said and lived with."""
        if not self._config.listen:
            return
        app = web.Application(client_max_size=LARGEST_BODY)
        app.add_subapp(PREFIX, self._api.app(self._api.guard.caller))
        self._page.add_to(app)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1, handle_signals=False, keepalive_timeout=IDLE
        )
        await self._runner.setup()
        try:
            self._server = await self._bound()
        except (OSError, UnicodeError) as why:
            self.trouble = f"cannot listen on {self._config.listen}: {reason(why)}"
            hint = "set api.listen, then restart vcond"
            log.error("the API is not available over HTTP", error=self.trouble, hint=hint)  # noqa: TRY400 - it says it all
            return
        self._port = self._server.sockets[0].getsockname()[1]
        log.info("API listening", address=self.base_url)
        if self._tls is None and self._config.host not in LOOPBACK:
            log.warning(
                "the API listens beyond this machine without TLS: tokens and calls can be read on the way",
                address=self._config.listen,
                hint="set api.certificate, or api.listen to 127.0.0.1 behind a TLS proxy",
            )

    async def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _bound(self) -> asyncio.Server:
        """Raises OSError, UnicodeError."""
        tls, loop = self._tls.context if self._tls is not None else None, asyncio.get_running_loop()
        wait = HANDSHAKE if tls is not None else None
        server = await loop.create_server(
            self._protocol, self._config.host, self._config.port, ssl=tls, ssl_handshake_timeout=wait
        )
        for one in server.sockets:  # what it accepts is as it is
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD * 1000)
        return server

    def _protocol(self) -> asyncio.BaseProtocol:
        serves = self._runner.server if self._runner is not None else None
        if serves is None or len(serves.connections) >= MOST + self._config.max_watchers:
            metrics.api_refused_total.labels("connections").inc()
            return _Full()
        return serves()


class _Full(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
