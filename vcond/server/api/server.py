"""The API's own listener. Peers of calls never reach it, and it is off until it has an address."""

from __future__ import annotations

from typing import Final

import structlog
from aiohttp import web

from vcond.base import metrics
from vcond.base.tls import Served
from vcond.config.schema import ApiConfig
from vcond.server.api.app import LARGEST_BODY, PREFIX, Api
from vcond.server.ingress import reason
from vcond.server.listener import Listener
from vcond.server.page.serve import Page

log = structlog.get_logger()

MOST: Final = 500
"""Connections at once, beside those that ``max_watchers`` follow: files that the daemon needs for calls stay free."""


class ApiServer:
    """Serves until closed."""

    def __init__(self, config: ApiConfig, api: Api) -> None:
        """Raises ConfigError for a certificate that cannot be used."""
        self._config, self._api = config, api
        self._page = Page(api.guard, secure=bool(config.certificate) or config.public_url.startswith("https:"))
        tls = Served(config.certificate, config.key, config.client_ca, "api") if config.certificate else None
        self._listener = Listener(
            config.host, config.port if config.listen else 0, tls, most=MOST + config.max_watchers,
            full=metrics.api_refused_total.labels("connections").inc,
        )  # fmt: skip
        self.trouble = ""
        """Why nobody is answered; empty when all is well."""

    @property
    def base_url(self) -> str:
        """Where it answers; empty when it does not."""
        if not self._config.listen or self.trouble:
            return ""
        return self._config.public_url.rstrip("/") or self._listener.base_url

    async def start(self) -> None:
        """Bind and serve. An address that cannot be bound costs the API, no call: it is said and lived with."""
        if not self._config.listen:
            return
        app = web.Application(client_max_size=LARGEST_BODY)
        app.add_subapp(PREFIX, self._api.app(self._api.guard.caller))
        self._page.add_to(app)
        try:
            await self._listener.start(app)
        except (OSError, UnicodeError) as why:
            self.trouble = f"cannot listen on {self._config.listen}: {reason(why)}"
            hint = "set api.listen, then restart vcond"
            log.error("the API is not available over HTTP", error=self.trouble, hint=hint)  # noqa: TRY400 - it says it all
            return
        log.info("API listening", address=self.base_url)
        self._listener.warn("api")

    async def close(self) -> None:
        """Stop serving."""
        await self._listener.close()
