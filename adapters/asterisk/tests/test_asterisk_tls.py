"""ARI over https and wss: whose certificate is believed."""

import asyncio

import pytest
from aiohttp import web

from vcond.sdk.contract import ConfigError, UnreachableError
from vcond.sdk.tls import Served
from vcond.testing.certificates import certificate
from vcond.testing.time import LoopClock
from vcond_asterisk import Config
from vcond_asterisk.client import Ari


@pytest.fixture
async def pbx(tmp_path):
    """The address of an ARI of two requests, and its certificate."""
    cert, key = certificate(tmp_path)

    async def info(request: web.Request) -> web.Response:
        return web.json_response({"system": {"version": "22.10.1"}})

    async def events(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "ApplicationReplaced", "application": "vcond"})
        await socket.receive()
        return socket

    app = web.Application()
    app.add_routes([web.get("/ari/asterisk/info", info), web.get("/ari/events", events)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=Served(str(cert), str(key), "", "x").context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}", str(cert)
    await runner.cleanup()


async def test_requests_and_events_with_an_authority_of_ones_own(pbx, login):
    url, cert = pbx
    async with Ari(Config(url=url, ca=cert, timeout=5, **login)) as ari:
        assert (await ari.info())["system"] == {"version": "22.10.1"}
        async with asyncio.timeout(5), ari.events("vcond", LoopClock()) as events:
            message, _ = await events.next()
            assert "ApplicationReplaced" in message


async def test_nobody_else_is_believed(pbx, login):
    url, _ = pbx
    async with Ari(Config(url=url, timeout=5, **login)) as ari:
        with pytest.raises(UnreachableError, match="not trusted"):
            await ari.info()
        with pytest.raises(UnreachableError, match="not trusted"):
            await ari.events("vcond", LoopClock()).__aenter__()


async def test_an_authority_that_cannot_be_read_is_the_operators_to_mend(login):
    with pytest.raises(ConfigError, match=r"adapters\.asterisk\.ca"):
        await Ari(Config(url="https://127.0.0.1:1", ca="/nowhere.pem", **login)).__aenter__()
