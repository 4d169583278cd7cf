"""The daemon's HTTP server as adapters see it, on a free port of loopback."""

from __future__ import annotations

import hmac
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from vcond.sdk.contract import ConfigError, Handler

CLOSING: Final = 2.0
"""Seconds that handlers get when the server stops."""
DEEPEST: Final = 8
"""Segments that a path may have below a route that serves everything below it."""


class MemoryIngress:
    """A real aiohttp server with the token rules of ``vcond.sdk.contract.Ingress``. Routes may be added while it runs."""

    def __init__(self, token: str, public_url: str = "") -> None:
        self.token = token
        self._public = public_url.rstrip("/")
        self._bound = ""
        self._routes: dict[tuple[str, str], tuple[Handler, bool, bool]] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        self._bound = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def base_url(self) -> str:
        """The public URL if one was given, else the bound address. RuntimeError before the server runs."""
        return self._public or self.bound_url

    @property
    def bound_url(self) -> str:
        """Where the server listens, without a slash at the end. RuntimeError before it runs."""
        if not self._bound:
            raise RuntimeError("the ingress runs only inside `async with`")
        return self._bound

    def route(self, method: str, path: str, handler: Handler, *, prefix: bool = False, guarded: bool = True) -> None:
        """Serve ``path`` as ``vcond.sdk.contract.Ingress`` says. ConfigError when it is taken."""
        if (method, path) in self._routes:
            raise ConfigError(f"two adapters want to serve {method} {path}", "adapters")
        self._routes[method, path] = (handler, prefix, guarded)

    def allowed(self, request: web.Request) -> bool:
        """Whether a request carries the token as its bearer."""
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            bearer.encode("utf-8", "backslashreplace"), self.token.encode()
        )

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path, below = request.path, ""
        for depth in range(DEEPEST + 1):
            handler, prefix, guarded = self._routes.get((request.method, path), (None, False, True))
            if handler is not None and (prefix or depth < 2):
                break
            path, _, last = path.rpartition("/")
            below = "" if depth else last
        else:
            raise web.HTTPNotFound
        tail = "" if prefix else below
        if guarded and not self.allowed(request) and not hmac.compare_digest(tail.encode(), self.token.encode()):
            raise web.HTTPForbidden(text="ingress token missing or wrong\n")
        return await handler(request)
