"""A receiver over HTTP for tests: files under their path (PUT, HEAD, DELETE), and what was POSTed by its idempotency key.

It can be told to fail with the next delivery: ``next = "refuse" | "stall" | "lose" | "half" | (status, headers, body)``.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiohttp import web


class HttpReceiver:
    """``up`` and ``down`` as often as wanted, on one port."""

    def __init__(self, *, context: ssl.SSLContext | None = None) -> None:
        self.files: dict[str, bytes] = {}
        """By path, or by ``Idempotency-Key`` for what was POSTed."""
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        """All that came: method, path, headers, body."""
        self.next: Any = None
        self.always: Any = None
        self.port = 0
        self.hangs = asyncio.Event()
        self._context = context
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    async def up(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def down(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.path, dict(request.headers), body))
        delivers = request.method in {"PUT", "POST"}
        now = self.always
        if delivers and self.next is not None:
            now, self.next = self.next, None
        match now:
            case (status, headers, text):
                return web.Response(status=status, headers=headers, body=text)
            case "refuse":
                return web.json_response({"error": "no such party"}, status=422)
            case "stall":
                self.hangs.set()
                await asyncio.Event().wait()
        name = request.headers.get("Idempotency-Key", request.path) if delivers else request.path
        known = name in self.files
        match request.method:
            case "PUT" | "POST":
                self.files[name] = body
            case "DELETE":
                uuid = request.path.rpartition("/")[2]
                for each in [each for each in self.files if each == name or each.startswith(f"{uuid}.")]:
                    del self.files[each]
                return web.Response(status=204 if known else 404)
            case "HEAD" | "GET":
                return web.Response(status=200 if known else 404)
        if now == "half":  # the head of an answer, and then nothing more
            response = web.StreamResponse(status=200, headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"{")
        if now in {"lose", "half"}:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=200 if known else 201, text="taken")
