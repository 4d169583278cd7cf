"""The port that peers reach: adapters' routes behind the token, and nothing else."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from aiohttp import web

from vcond.base import metrics
from vcond.base.errors import ConfigError, StorageError
from vcond.base.tls import Served
from vcond.config.schema import WebConfig
from vcond.sdk.contract import Handler
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

log = structlog.get_logger()

LARGEST_BODY = 1 << 20
IDLE: Final = 20.0
"""Seconds that a connection may take for the head of a request, and between two. WebSockets are their adapters' to bound."""
DEEPEST: Final = 8
"""Segments that a path may have below a route that serves everything below it."""
QUIET: Final = 60.0
"""Seconds between two lines of the log about requests that were refused."""
Health = Callable[[], dict[str, str]]
"""What is wrong now, by part; empty = all is well."""


def url(host: str, port: int) -> str:
    """``http://127.0.0.1:8470``, ``http://[::1]:8470``."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reason(why: Exception) -> str:
    """Why an address cannot be bound, for the operator."""
    return str(why.strerror) if isinstance(why, OSError) else "no host has such a name"


MOST_TOKEN: Final = 4096
"""Bytes of the file with the ingress token."""


def ingress_token(config: WebConfig, state_dir: Path, files: Files) -> str:
    """The configured token, or the one made at the first start. Raises StorageError when it cannot be kept."""
    file, whole = state_dir / "ingress-token", WholeFiles(files)
    try:
        token = config.token or (whole.read(file, MOST_TOKEN).decode("ascii").strip() if file.exists() else "")
        if not token:  # none yet, or a start that was cut short
            token = secrets.token_urlsafe(24)
            whole.publish(file, f"{token}\n".encode())
    except (OSError, UnicodeDecodeError) as why:
        raise StorageError(f"cannot keep the ingress token in {file}: {why}") from None
    return token


class Route(NamedTuple):
    """What an adapter serves; see ``vcond.sdk.contract.Ingress``."""

    owner: str
    handler: Handler
    prefix: bool
    guarded: bool


class WebServer:
    """Serves until closed."""

    def __init__(self, config: WebConfig, *, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        if not token:
            raise ConfigError("must not be empty: anyone could connect", "web.token")
        self._config = config
        self._token = token.encode()
        self._routes: dict[tuple[str, str], Route] = {}
        self._runner: web.AppRunner | None = None
        self._port = config.port
        self._tls = Served(config.certificate, config.key, config.client_ca, "web") if config.certificate else None
        self._clock = clock
        self._refused = 0
        self._told = -QUIET

    def ingress(self, owner: str) -> Mounted:
        """The ``Ingress`` of an adapter; routes it had before are gone."""
        self._routes = {where: route for where, route in self._routes.items() if route.owner != owner}
        return Mounted(self, owner)

    @property
    def base_url(self) -> str:
        """Where peers reach it."""
        bound = url(self._config.host, self._port)
        return self._config.public_url.rstrip("/") or (bound.replace("http", "https", 1) if self._tls else bound)

    def mount(self, method: str, path: str, route: Route) -> None:
        """Serve a path for an adapter. Raises ConfigError when it is taken."""
        if (method, path) in self._routes:
            raise ConfigError(f"two adapters want to serve {method} {path}", "adapters")
        self._routes[method, path] = route

    async def start(self) -> None:
        """Bind and serve. Raises ConfigError when the address cannot be bound."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{tail:.*}", self._dispatch)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=2, handle_signals=False, keepalive_timeout=IDLE
        )
        await self._runner.setup()
        tls = self._tls.context if self._tls is not None else None
        site = web.TCPSite(self._runner, self._config.host, self._config.port, backlog=512, ssl_context=tls)
        try:
            await site.start()
        except (OSError, UnicodeError) as why:  # the latter of a name that no host can have
            await self._runner.cleanup()
            raise ConfigError(f"cannot listen on {self._config.listen}: {reason(why)}", "web.listen") from None
        self._port = self._runner.addresses[0][1]
        log.info("listening", address=f"{self._config.host}:{self._port}")

    async def close(self) -> None:
        """Stop serving; open WebSockets are closed by their handlers."""
        if self._runner is not None:
            await self._runner.cleanup()

    def allowed(self, request: web.Request, tail: str = "") -> bool:
        """Whether a request carries the ingress token, as its bearer or as ``tail``."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        candidates = [tail, given if scheme.lower() == "bearer" else ""]
        # aiohttp hands on bytes that are no UTF-8 as lone surrogates
        return any(hmac.compare_digest(text.encode("utf-8", "backslashreplace"), self._token) for text in candidates)

    def _route(self, method: str, path: str) -> tuple[Route | None, str]:
        """The route for a path, and its last segment where that may be the token."""
        exact = self._routes.get((method, path))
        if exact is not None:
            return exact, ""
        head, _, tail = path.rpartition("/")
        above = self._routes.get((method, head))
        if above is not None:
            return above, "" if above.prefix else tail
        for _ in range(DEEPEST - 1):
            head = head.rpartition("/")[0]
            above = self._routes.get((method, head))
            if above is not None and above.prefix:
                return above, ""
        return None, ""

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        route, tail = self._route(request.method, request.path)
        if route is None:
            raise web.HTTPNotFound
        if route.guarded and not self.allowed(request, tail):
            self._refuse(request)
            raise web.HTTPForbidden(text="ingress token missing or wrong\n")
        return await route.handler(request)

    def _refuse(self, request: web.Request) -> None:
        """Count it, and say it now and then: whoever tries all doors of the internet must not fill the log."""
        metrics.ingress_refused_total.inc()
        self._refused += 1
        if self._clock() - self._told >= QUIET:
            self._told = self._clock()
            log.warning("refused requests without the ingress token", last_from=request.remote, count=self._refused)
            self._refused = 0


class Mounted:
    """One adapter's ``Ingress``."""

    def __init__(self, server: WebServer, owner: str) -> None:
        self._server, self._owner = server, owner

    @property
    def base_url(self) -> str:
        """Where peers reach it."""
        return self._server.base_url

    def route(self, method: str, path: str, handler: Handler, *, prefix: bool = False, guarded: bool = True) -> None:
        """Serve a path; see ``vcond.sdk.contract.Ingress``."""
        self._server.mount(method, path, Route(self._owner, handler, prefix, guarded))

    def allowed(self, request: web.Request) -> bool:
        """Whether a request carries the ingress token; see ``vcond.sdk.contract.Ingress``."""
        return self._server.allowed(request)
