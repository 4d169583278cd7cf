"""The routes behind the guard, as a part of an aiohttp application: on the API's listener, and on the admin socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from vcond.base.errors import AmbiguousError, OperatorError, PeerError, StorageError
from vcond.server.api.guard import Guard, RefusedHere, Who
from vcond.server.api.model import Problem
from vcond.server.api.openapi import described
from vcond.server.api.routes import Asked, Route, decoded

PREFIX: Final = "/api/v1"
LARGEST_BODY: Final = 1 << 16
"""Bytes, on the listener."""
BODY: Final = 10.0
"""Seconds for a body to come."""
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Find = Callable[[web.Request], Who]


class Api:
    """Makes applications of one table of routes."""

    def __init__(self, routes: list[Route], guard: Guard) -> None:
        self.guard = guard
        self.routes = routes

    def app(self, who: Find) -> web.Application:
        """To be mounted at ``PREFIX``. ``who`` finds out who asks, or raises RefusedHere."""
        app = web.Application(middlewares=[answers])
        for route in self.routes:
            app.router.add_route(route.method, route.path, self._served(route, who))
        app.router.add_route("GET", "/openapi.json", self._described(who))
        return app

    def _served(self, route: Route, who: Find) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            caller = who(request)
            self.guard.check(caller, route.role, request)
            values = decoded(route, await _given(request))
            result = await route.run(Asked(caller, values, request))
            if isinstance(result, web.StreamResponse):
                return result
            return _json(msgspec.convert(result, route.answer, from_attributes=True))

        return serve

    def _described(self, who: Find) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def describe(request: web.Request) -> web.StreamResponse:
            who(request)
            return _json(described(self.routes))

        return describe


async def whole(request: web.Request) -> bytes:
    """The body. Raises HTTPRequestTimeout when it does not come."""
    try:
        async with asyncio.timeout(BODY):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body did not come within {BODY:.0f} s") from None


async def _given(request: web.Request) -> dict[str, Any]:
    """What is in path, query and JSON body; the path counts most. Raises ValueError."""
    body: Any = {}
    if request.body_exists:
        if request.content_type != "application/json":
            raise ValueError("a body must be application/json")
        try:
            body = msgspec.json.decode(await whole(request))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise ValueError("the body is not JSON that can be read") from None
        if not isinstance(body, dict):
            raise ValueError("the body must be a JSON object")
    return {**request.query, **body, **request.match_info}


@web.middleware
async def answers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Whatever goes wrong is an answer in JSON with the right status; a mistake of ours is in the log."""
    try:
        response = await handler(request)
    except RefusedHere as why:
        more = {"Retry-After": str(why.wait)} if why.wait else {}
        response = _problem(
            why.status, why.message, more | ({"WWW-Authenticate": "Bearer"} if why.status == 401 else {})
        )
    except web.HTTPException as why:
        kept = {key: why.headers[key] for key in ("Allow", "Content-Range") if key in why.headers}
        response = _problem(why.status, (why.text or why.reason).strip(), kept)
    except AmbiguousError as why:
        response = _problem(409, str(why))
    except LookupError as why:
        response = _problem(404, str(why.args[0]) if why.args else "not found")
    except StorageError as why:
        response = _problem(503, str(why))
    except (OperatorError, PeerError, ValueError) as why:
        response = _problem(400, str(why))
    if not response.prepared:
        response.headers.update({key: value for key, value in HEADERS.items() if key not in response.headers})
    return response


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _problem(status: int, error: str, headers: dict[str, str] | None = None) -> web.Response:
    response = _json(Problem(error[:1000]), status)
    response.headers.update(headers or {})
    return response
