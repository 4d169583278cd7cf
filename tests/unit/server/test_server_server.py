import asyncio
import os
import stat
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import structlog
from aiohttp import web

from vcond.base.errors import ConfigError
from vcond.base.tls import client as trusting_context
from vcond.config import WebConfig
from vcond.server.ingress import IDLE, WebServer, ingress_token
from vcond.storage.files import Files
from vcond.testing.certificates import certificate
from vcond.testing.time import run_virtual

TOKEN = "t0ken"


@asynccontextmanager
async def served(**more):
    server = WebServer(WebConfig(listen="127.0.0.1:0"), token=TOKEN, **more)
    await server.start()
    async with aiohttp.ClientSession(server.base_url) as client:
        yield server, client
    await server.close()


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/x/stream/t0ken", {}, 200),
        ("/x/stream", {"Authorization": "Bearer t0ken"}, 200),
        ("/x/stream", {"Authorization": "bearer t0ken"}, 200),
        ("/x/stream", {}, 403),
        ("/x/stream/wrong", {}, 403),
        ("/x/stream/", {}, 403),
        ("/x/stream", {"Authorization": "Basic t0ken"}, 403),
        ("/x/stream?token=t0ken", {}, 403),
        ("/x/stream/t0ken/more", {}, 404),
        ("/nowhere", {}, 404),
        ("/x/stream/%ff%00", {}, 403),
    ],
)
async def test_ingress_takes_a_token(path: str, headers: dict[str, str], status: int):
    async with served() as (server, client):
        server.ingress("x").route("GET", "/x/stream", hello)
        async with client.get(path, headers=headers) as answer:
            assert answer.status == status


@pytest.mark.parametrize("said", [b"", b"GET /x HTTP/1.1\r\nHost: h\r\n", b"GET /x/t0ken HTTP/1.1\r\nHost: h\r\n\r\n"])
def test_a_connection_that_asks_for_nothing_in_time_is_closed(said):
    async def main():
        async with served() as (server, _):
            server.ingress("x").route("GET", "/x", hello)
            at = urlsplit(server.base_url)
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            writer.write(said)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            await asyncio.wait_for(reader.read(), 2 * IDLE)
            assert loop.time() - begun == pytest.approx(IDLE, abs=1)
            writer.close()

    run_virtual(main())


async def test_a_token_that_is_no_text_is_a_wrong_one():
    async with served() as (server, _):
        server.ingress("x").route("GET", "/x", hello)
        at = urlsplit(server.base_url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).split()[1] == b"403"
        writer.close()
        await writer.wait_closed()


async def test_routes_of_an_adapter_that_starts_again_are_replaced():
    async with served() as (server, client):
        server.ingress("x").route("GET", "/x", hello)
        server.ingress("x").route("GET", "/x", hello)
        with pytest.raises(ConfigError, match="two adapters"):
            server.ingress("y").route("GET", "/x", hello)
        async with client.get("/x/t0ken") as answer:
            assert await answer.text() == "hello"


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/livez"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer t0ken"}, {"X-Forwarded-For": "203.0.113.7"}])
async def test_what_peers_reach_tells_nothing_of_this_machine(path: str, headers: dict[str, str]):
    async with served() as (server, client):
        server.ingress("x").route("GET", "/x/stream", hello)
        async with client.get(path, headers=headers) as answer:
            assert answer.status == 404
            assert "vcond" not in await answer.text()


async def test_a_scanner_does_not_fill_the_log(capsys):
    structlog.reset_defaults()
    now = [0.0]
    async with served(clock=lambda: now[0]) as (server, client):
        server.ingress("x").route("GET", "/x/stream", hello)
        for second in range(200):
            now[0] = second
            async with client.get("/x/stream/wrong") as answer:
                assert answer.status == 403
    told = [line for line in capsys.readouterr().out.splitlines() if "without the ingress token" in line]
    assert len(told) == 4
    assert "count=60" in told[-1]


async def test_an_address_in_use_is_the_operators_to_mend():
    async with served() as (server, _):
        second = WebServer(WebConfig(listen=server.base_url.removeprefix("http://")), token=TOKEN)
        with pytest.raises(ConfigError, match=r"web\.listen: cannot listen"):
            await second.start()


def test_the_token_is_made_once_and_readable_by_vcond_only(tmp_path: Path):
    made = ingress_token(WebConfig(), tmp_path, Files())
    assert len(made) >= 24
    assert ingress_token(WebConfig(), tmp_path, Files()) == made
    assert stat.S_IMODE((tmp_path / "ingress-token").stat().st_mode) == 0o600
    assert ingress_token(WebConfig(token="mine"), tmp_path, Files()) == "mine"


def test_an_empty_token_never_lets_anybody_in(tmp_path: Path):
    (tmp_path / "ingress-token").touch()  # a start that was cut short
    assert len(ingress_token(WebConfig(), tmp_path, Files())) >= 24
    with pytest.raises(ConfigError, match="anyone could connect"):
        WebServer(WebConfig(), token="")


def test_the_public_url_wins_over_the_bound_address():
    server = WebServer(WebConfig(public_url="https://edge.example.com/"), token="t")
    assert server.base_url == "https://edge.example.com"
    assert os.sep not in server.base_url.removeprefix("https://")


async def test_with_a_certificate_tls_is_spoken_and_nothing_else(tmp_path: Path):
    cert, key = certificate(tmp_path)
    server = WebServer(WebConfig(listen="127.0.0.1:0", certificate=str(cert), key=str(key)), token=TOKEN)
    server.ingress("x").route("GET", "/x", hello)
    await server.start()
    assert server.base_url.startswith("https://127.0.0.1:")
    connector = aiohttp.TCPConnector(ssl=trusting_context(str(cert), "x"))
    async with aiohttp.ClientSession(server.base_url, connector=connector) as trusting:
        async with trusting.get("/x/t0ken") as answer:
            assert (answer.status, await answer.text()) == (200, "hello")
        with pytest.raises(aiohttp.ClientError):
            await trusting.get(server.base_url.replace("https", "http") + "/x/t0ken")
    await server.close()


def test_a_certificate_that_cannot_be_used_is_the_operators_to_mend():
    with pytest.raises(ConfigError, match=r"web\.certificate: cannot be used: No such file"):
        WebServer(WebConfig(certificate="/nowhere.pem"), token=TOKEN)
