"""The hub's own listener. It is off until it has an address."""

from __future__ import annotations

import structlog
from aiohttp import web

from vcond.base import metrics
from vcond.base.errors import ConfigError
from vcond.base.tls import Served
from vcond.config.schema import HubConfig
from vcond.server.hub.answers import answers
from vcond.server.hub.api import HubApi
from vcond.server.ingress import reason
from vcond.server.listener import Listener

log = structlog.get_logger()

SHUTDOWN = 10.0
"""Seconds for what is being stored when the hub stops."""


class HubServer:
    """Serves until closed."""

    def __init__(self, config: HubConfig, api: HubApi) -> None:
        """Raises ConfigError for a certificate that cannot be used."""
        self._config, self._api = config, api
        tls = Served(config.certificate, config.key, config.client_ca, "hub") if config.certificate else None
        self._listener = Listener(
            config.host, config.port if config.listen else 0, tls, most=config.max_connections,
            full=metrics.hub_refused_total.labels("connections").inc, shutdown=SHUTDOWN,
        )  # fmt: skip

    @property
    def base_url(self) -> str:
        """Where it answers; empty when it does not."""
        return self._listener.base_url if self._config.listen else ""

    async def start(self) -> None:
        """Bind and serve. Raises ConfigError: nobody needs a hub that cannot be reached."""
        if not self._config.listen:
            return
        app = web.Application(middlewares=[answers])
        self._api.add_to(app)
        try:
            await self._listener.start(app)
        except (OSError, UnicodeError) as why:
            await self._listener.close()
            raise ConfigError(f"cannot listen on {self._config.listen}: {reason(why)}", "hub.listen") from None
        log.info("hub listening", address=self.base_url)
        self._listener.warn("hub")

    async def close(self) -> None:
        """Stop serving; what is being stored may end."""
        await self._listener.close()
