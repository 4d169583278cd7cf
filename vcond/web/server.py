"""The daemon's one listening port: adapters' routes behind the token, health, metrics."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from pathlib import Path

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from vcond.adapter import Handler
from vcond.config.schema import WebConfig
from vcond.errors import ConfigError

log = structlog.get_logger()

LARGEST_BODY = 1 << 20
Health = Callable[[], dict[str, str]]
"""What is wrong now, by part; empty = all is well."""


def ingress_token(config: WebConfig, state_dir: Path) -> str:
    """The configured token, or the one made at the first start. Raises OSError when the folder cannot be written."""
    if config.token:
        return config.token
    file = state_dir / "ingress-token"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24) + "\n", "ascii")
    return file.read_text("ascii").strip()


class WebServer:
    """Serves until closed."""

    def __init__(self, config: WebConfig, *, token: str, alive: Health, ready: Health) -> None:
        self._config = config
        self._token = token.encode()
        self._alive, self._ready = alive, ready
        self._routes: dict[tuple[str, str], tuple[str, Handler]] = {}
        self._runner: web.AppRunner | None = None
        self._port = config.port

    def ingress(self, owner: str) -> Mounted:
        """The ``Ingress`` of an adapter; routes it had before are gone."""
        self._routes = {where: route for where, route in self._routes.items() if route[0] != owner}
        return Mounted(self, owner)

    @property
    def base_url(self) -> str:
        """Where peers reach it."""
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        return self._config.public_url.rstrip("/") or f"http://{host}:{self._port}"

    def mount(self, owner: str, method: str, path: str, handler: Handler) -> None:
        """Serve a path for an adapter."""
        if (method, path) in self._routes:
            raise ConfigError(f"two adapters want to serve {method} {path}", "adapters")
        self._routes[method, path] = (owner, handler)

    async def start(self) -> None:
        """Bind and serve. Raises ConfigError when the address cannot be bound."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_route("*", "/{tail:.*}", self._dispatch)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._config.host, self._config.port, backlog=512)
        try:
            await site.start()
        except OSError as why:
            await self._runner.cleanup()
            raise ConfigError(f"cannot listen on {self._config.listen}: {why.strerror}", "web.listen") from None
        self._port = self._runner.addresses[0][1]
        log.info("listening", address=f"{self._config.host}:{self._port}")

    async def close(self) -> None:
        """Stop serving; open WebSockets are closed by their handlers."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _allowed(self, request: web.Request, tail: str) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        candidates = [tail, given if scheme.lower() == "bearer" else ""]
        return any(hmac.compare_digest(text.encode(), self._token) for text in candidates)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        route, tail = self._routes.get((request.method, request.path)), ""
        if route is None:
            head, _, tail = request.path.rpartition("/")
            route = self._routes.get((request.method, head))
        if route is None:
            raise web.HTTPNotFound
        if not self._allowed(request, tail):
            log.warning("request without the ingress token refused", peer=request.remote)
            raise web.HTTPForbidden(text="ingress token missing or wrong\n")
        return await route[1](request)

    async def _livez(self, _: web.Request) -> web.Response:
        return _verdict(self._alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _verdict(self._ready())

    async def _metrics(self, request: web.Request) -> web.Response:
        if request.remote not in {"127.0.0.1", "::1"} and not self._allowed(request, ""):
            raise web.HTTPForbidden(text="metrics need the ingress token from outside this machine\n")
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


class Mounted:
    """One adapter's ``Ingress``."""

    def __init__(self, server: WebServer, owner: str) -> None:
        self._server, self._owner = server, owner

    @property
    def base_url(self) -> str:
        """Where peers reach it."""
        return self._server.base_url

    def route(self, method: str, path: str, handler: Handler) -> None:
        """Serve a path; see ``vcond.adapter.Ingress``."""
        self._server.mount(self._owner, method, path, handler)


def _verdict(wrong: dict[str, str]) -> web.Response:
    lines = [f"{part}: {what}" for part, what in sorted(wrong.items())] or ["ok"]
    return web.Response(status=503 if wrong else 200, text="\n".join(lines) + "\n")
