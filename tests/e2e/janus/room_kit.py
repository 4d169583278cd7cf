"""Participants of a VideoRoom: a page in Chromium, driven step by step."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import janus_peer
from aiohttp import web
from chromium_kit import Page

PAGE = Path(__file__).with_name("room.html")


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The participants' page, on loopback: a secure context."""

    async def page(_: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE)

    app = web.Application()
    app.router.add_get("/room", page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/room"
    finally:
        await runner.cleanup()


async def join(page: Page, janus: janus_peer.Janus, name: str) -> float:
    """Into the room and publish; when the page was in, seconds."""
    words = {
        "url": janus.url, "secret": janus_peer.API_SECRET, "number": janus_peer.ROOM, "pin": janus_peer.ROOM_PIN,
        "display": name,
    }  # fmt: skip
    await page.run(f"join({json.dumps(words)})")
    await page.run("publish()")
    return await page.run("times.joined") / 1000


async def leave(page: Page) -> float:
    await page.run("leave()")
    return await page.run("times.left") / 1000


async def spoken(page: Page, seconds: float) -> None:
    await page.run(f"new Promise((done) => setTimeout(done, {seconds * 1000}))")
