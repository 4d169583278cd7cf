import socket
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest

from vcond.config import OpsConfig
from vcond.server.ops import OpsServer


@asynccontextmanager
async def served(
    wrong: dict[str, str] | None = None, listen: str = "127.0.0.1:0", without: dict[str, str] | None = None
):
    server = OpsServer(
        OpsConfig(listen=listen), alive=dict, ready=lambda: dict(wrong or {}), gives_up=lambda: dict(without or {})
    )
    await server.start()
    async with aiohttp.ClientSession(server.base_url or None) as client:
        yield server, client
    await server.close()


async def test_health_says_what_is_wrong():
    async with served({"journal": "disk full", "adapter x": "not attached"}) as (_, client):
        async with client.get("/livez") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        async with client.get("/readyz") as answer:
            assert answer.status == 503
            assert await answer.text() == "adapter x: not attached\njournal: disk full\n"


@pytest.mark.parametrize(
    ("wrong", "status", "text"),
    [
        ({}, 200, "ok\nmemory: captions are off\nspeech: texts later\n"),
        ({"memory": "no new calls"}, 503, "memory: no new calls\nspeech: texts later\n"),
    ],
)
async def test_what_it_does_without_is_told_and_it_is_ready_all_the_same(wrong, status, text):
    async with served(wrong, without={"speech": "texts later", "memory": "captions are off"}) as (_, client):
        async with client.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (status, text)
        async with client.get("/livez") as answer:
            assert await answer.text() == "ok\n"


async def test_metrics_are_served():
    async with served() as (_, client), client.get("/metrics") as answer:
        assert answer.status == 200
        assert "vcond_dropped_total" in await answer.text()


async def test_nothing_else_is():
    async with served() as (_, client):
        for method, path in (("POST", "/metrics"), ("GET", "/"), ("GET", "/twilio/stream"), ("GET", "/v1/calls")):
            async with client.request(method, path) as answer:
                assert answer.status in {404, 405}, path


async def test_an_address_in_use_costs_no_call():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with served(listen=f"127.0.0.1:{taken.getsockname()[1]}") as (server, _):
            assert "cannot listen" in server.trouble
            assert server.base_url == ""


@pytest.mark.parametrize("listen", ["a..b:8471", f"{'x' * 70}:8471"])
async def test_a_name_that_no_host_can_have_costs_no_call(listen: str):
    server = OpsServer(msgspec.structs.replace(OpsConfig(), listen=listen), alive=dict, ready=dict)
    await server.start()
    await server.close()
    assert server.trouble.startswith(f"cannot listen on {listen}: ")
    assert server.base_url == ""


async def test_it_listens_on_ipv6_too():
    async with served(listen="[::1]:0") as (server, client), client.get("/livez") as answer:
        assert server.base_url.startswith("http://[::1]:")
        assert answer.status == 200


@pytest.mark.parametrize("listen", [""])
async def test_it_need_not_be(listen: str):
    async with served(listen=listen) as (server, _):
        assert (server.base_url, server.trouble) == ("", "")
