"""The daemon's server and the one in memory serve adapters by the same rules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from vcond.config.schema import WebConfig
from vcond.sdk.contract import Ingress
from vcond.server.ingress import WebServer
from vcond.testing.ingress import MemoryIngress

TOKEN = "t0ken"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def real() -> AsyncIterator[tuple[Ingress, str]]:
    server = WebServer(WebConfig(listen="127.0.0.1:0"), token=TOKEN)
    await server.start()
    try:
        yield server.ingress("x"), server.base_url
    finally:
        await server.close()


@asynccontextmanager
async def memory() -> AsyncIterator[tuple[Ingress, str]]:
    async with MemoryIngress(TOKEN) as ingress:
        yield ingress, ingress.bound_url


@pytest.mark.parametrize("serving", [real, memory])
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/whip", BEARER, 200),
        ("/whip/session", BEARER, 200),
        ("/whip/session/mute", BEARER, 200),
        ("/whip/1/2/3/4/5/6/7/8", BEARER, 200),
        ("/whip/1/2/3/4/5/6/7/8/9", BEARER, 404),
        ("/whipped", BEARER, 404),
        ("/whip", {}, 403),
        (f"/whip/{TOKEN}", {}, 403),
        ("/open", {}, 200),
        ("/open/anything", {}, 200),
        ("/fixed", BEARER, 200),
        (f"/fixed/{TOKEN}", {}, 200),
        ("/fixed/wrong", {}, 403),
        (f"/fixed/more/{TOKEN}", {}, 404),
        ("/under/fixed", {}, 403),
        (f"/under/fixed/{TOKEN}", {}, 200),
        ("/under/other", {}, 200),
    ],
)
async def test_a_route_serves_what_lies_below_it_only_when_asked_to(serving, path, headers, status):
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    async with serving() as (ingress, base), aiohttp.ClientSession(base, headers=headers) as client:
        ingress.route("GET", "/whip", answer, prefix=True)
        ingress.route("GET", "/open", answer, prefix=True, guarded=False)
        ingress.route("GET", "/fixed", answer)
        ingress.route("GET", "/under", answer, prefix=True, guarded=False)
        ingress.route("GET", "/under/fixed", answer)
        async with client.get(path) as response:
            assert response.status == status
            assert status != 200 or await response.text() == path


@pytest.mark.parametrize("serving", [real, memory])
@pytest.mark.parametrize(("given", "allowed"), [("Bearer t0ken", 1), ("bearer t0ken", 1), ("Bearer no", 0), ("", 0)])
async def test_a_handler_can_ask_for_the_token_itself(serving, given, allowed):
    async with serving() as (ingress, base), aiohttp.ClientSession(base) as client:

        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=str(int(ingress.allowed(request))))

        ingress.route("GET", "/x", answer, guarded=False)
        async with client.get(f"/x/{TOKEN}", headers={"Authorization": given} if given else {}) as response:
            assert await response.text() == str(allowed)
