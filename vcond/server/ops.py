"""Health and metrics, at an address of their own: what peers reach from outside must not tell how this machine is."""

from __future__ import annotations

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from vcond.config.schema import OpsConfig
from vcond.server.ingress import Health, reason, url

log = structlog.get_logger()


class OpsServer:
    """``/livez``, ``/readyz``, ``/metrics`` for whoever watches this machine; nothing else, and nothing of an adapter."""

    def __init__(self, config: OpsConfig, *, alive: Health, ready: Health, gives_up: Health = dict) -> None:
        """``gives_up``: what it does without, and is ready all the same."""
        self._config = config
        self._alive, self._ready, self._gives_up = alive, ready, gives_up
        self._runner: web.AppRunner | None = None
        self._port = config.port
        self.trouble = ""
        """Why nobody is answered; empty when all is well."""

    @property
    def base_url(self) -> str:
        """Where it answers; empty when it does not."""
        return url(self._config.host, self._port) if self._config.listen and not self.trouble else ""

    async def start(self) -> None:
        """Bind and serve. An address that cannot be bound costs the watching, no call: it is said and lived with."""
        if not self._config.listen:
            return
        app = web.Application(client_max_size=1 << 10)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._config.host, self._config.port).start()
        except (OSError, UnicodeError) as why:
            self.trouble = f"cannot listen on {self._config.listen}: {reason(why)}"
            log.error(  # noqa: TRY400 - the message says it all
                "metrics and health are not available over HTTP",
                error=self.trouble,
                hint="set ops.listen, then restart vcond",
            )
            return
        self._port = self._runner.addresses[0][1]
        log.info("metrics and health listening", address=f"{self._config.host}:{self._port}")

    async def close(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _verdict(self._alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _verdict(self._ready(), self._gives_up())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _verdict(wrong: dict[str, str], besides: dict[str, str] | None = None) -> web.Response:
    """``besides`` is told, and makes nothing worse."""
    lines = [f"{part}: {what}" for part, what in sorted(wrong.items())] or ["ok"]
    lines += [f"{part}: {what}" for part, what in sorted((besides or {}).items()) if part not in wrong]
    return web.Response(status=503 if wrong else 200, text="\n".join(lines) + "\n")
