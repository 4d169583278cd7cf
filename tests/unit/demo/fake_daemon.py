"""A daemon that goes wrong in a chosen way, for what the real one cannot be made to do. Run by test_demo_run.py."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tomllib
from pathlib import Path

from aiohttp import web

DOCUMENT = {
    "vcon": "0.4.0",
    "uuid": "019f155a-5131-80ec-832a-bc92ac6830cd",
    "created_at": "2026-11-22T09:00:00Z",
    "subject": "Call",
    "parties": [{"name": "Rita", "validation": "none"}, {"name": "Marcus", "validation": "none"}],
}


class Fake:
    def __init__(self, way: str, config: dict) -> None:
        self.way = way
        self.token = config["web"]["token"]
        self.admin = config["vcond"]["admin_socket"]
        self.sink = Path(config["sinks"][0]["path"])
        self.port = 0
        self.viewed = False

    async def status(self, _: web.Request) -> web.Response:
        return web.json_response({"listen": f"http://127.0.0.1:{self.port}"})

    async def link(self, _: web.Request) -> web.Response:
        if self.way == "no-page":
            raise web.HTTPNotFound
        if self.viewed and self.way == "viewed":
            os.kill(os.getppid(), signal.SIGINT)
        if self.viewed and self.way == "dies-viewed":
            os._exit(3)
        self.viewed = True
        return web.json_response({"url": "http://127.0.0.1:1/login?code=x"})

    async def live(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        line = {"call": "u", "kind": "final", "text": "Good morning.", "party": 1, "start": 0.5, "stop": 1.5}
        await response.write(b"rubbish\n" if self.way == "rubbish" else json.dumps(line).encode() + b"\n")
        await asyncio.Event().wait()
        return response

    async def stream(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != self.token or self.way == "refuses":
            raise web.HTTPUnauthorized
        socket_ = web.WebSocketResponse()
        await socket_.prepare(request)
        async for message in socket_:
            event = json.loads(message.data)["event"]
            if event == "media" and self.way == "dies":
                print("out of memory", flush=True)
                os._exit(3)
            if event == "media" and self.way.startswith("SIG"):
                os.kill(os.getppid(), getattr(signal, self.way))
                self.way = ""
        self.deliver()
        return socket_

    def deliver(self) -> None:
        if self.way == "silent":
            return
        document = {**DOCUMENT, "parties": "nobody"} if self.way == "invalid" else DOCUMENT
        body = "not JSON" if self.way == "garbage" else json.dumps(document)
        self.sink.mkdir(exist_ok=True)
        hidden = self.sink / ".new"
        hidden.write_text(body)
        hidden.rename(self.sink / f"{DOCUMENT['uuid']}.vcon.json")

    async def serve(self) -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        app = web.Application()
        app.router.add_get("/v1/status", self.status)
        app.router.add_get("/v1/live", self.live)
        app.router.add_post("/v1/page-link", self.link)
        app.router.add_get("/twilio/stream/{token}", self.stream)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        await web.UnixSite(runner, self.admin).start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notes:
            notes.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
        await stopped.wait()
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(Fake(sys.argv[1], tomllib.loads(Path(sys.argv[2]).read_text())).serve())
