"""The example is a package as a third party would write it; here it is importable without being installed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parent))

from vcond_httpput import HttpPutConfig, HttpPutSink

from vcond.testing.sink_rig import SinkRig

TOKEN = "a-secret-token"


class HttpPutRig(SinkRig):
    can = frozenset({"down", "refuse", "stall", "lose"})
    private = (TOKEN,)

    def __init__(self, kind=HttpPutSink) -> None:
        self.kind, self.files, self.next, self.port = kind, {}, "", 0
        self.hangs = asyncio.Event()

    def sink(self) -> HttpPutSink:
        return self.kind(HttpPutConfig(f"http://127.0.0.1:{self.port}/files", token=TOKEN))

    async def received(self):
        return {name: [body] for name, body in self.files.items()}

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/files{name:.*}", self.answer)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        await self.runner.cleanup()

    async def answer(self, request):
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        name, body = request.match_info["name"].removeprefix("/").removesuffix(".json"), await request.read()
        if request.method == "DELETE":
            return web.Response(status=404 if self.files.pop(name, None) is None else 204)
        if request.method != "PUT":
            return web.Response()
        now, self.next = self.next, ""
        if now == "refuse":
            return web.Response(status=422, text="no")
        if now == "stall":
            self.hangs.set()
            await asyncio.Event().wait()
        self.files[name] = body
        if now == "lose":
            request.transport.abort()
        return web.Response(status=201)

    async def down(self, *, on) -> None:
        await (self.stop() if on else self.start())

    async def refuse(self) -> None:
        self.next = "refuse"

    async def stall(self) -> None:
        self.next = "stall"

    async def stalled(self) -> None:
        await self.hangs.wait()

    async def lose(self) -> None:
        self.next = "lose"


@pytest.fixture
def httpput_rig():
    """The rig's class; called with a sink's class it tests that one."""
    return HttpPutRig
