from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from vcond.base.errors import ProtocolError, UnreachableError
from vcond.demo.admin import Admin
from vcond.sdk.contract import CaptionEvent

LINES = (
    b'{"call":"u","kind":"event","text":"callopened"}\n'
    b'{"call":"u","kind":"partial","text":"good","party":1,"name":"Marcus","start":0.5,"stop":0.9,"new":"field"}\n'
    b'{"call":"u","kind":"final","text":"Good morning.","party":1,"name":"Marcus","start":0.5,"stop":1.5}\n'
)


class Door:
    """An admin socket that answers what a test wants."""

    def __init__(self) -> None:
        self.status: object = {"listen": "http://127.0.0.1:4711", "calls": 0}
        self.live = LINES
        self.cut = False

    async def on_status(self, _: web.Request) -> web.Response:
        return web.json_response(self.status)

    async def on_live(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(self.live)
        if self.cut:
            request.transport.abort()
        return response


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[tuple[Door, Path]]:
    made = Door()
    app = web.Application()
    app.router.add_get("/v1/status", made.on_status)
    app.router.add_get("/v1/live", made.on_live)
    runner = web.AppRunner(app)
    await runner.setup()
    path = tmp_path / "admin.sock"
    await web.UnixSite(runner, str(path)).start()
    yield made, path
    await runner.cleanup()


async def test_where_the_daemon_listens(door: tuple[Door, Path]) -> None:
    async with Admin(door[1]) as admin:
        assert await admin.listen_url() == "http://127.0.0.1:4711"


async def test_a_status_without_it_is_an_error(door: tuple[Door, Path]) -> None:
    door[0].status = {"calls": 0}
    async with Admin(door[1]) as admin:
        with pytest.raises(ProtocolError):
            await admin.listen_url()


async def test_nobody_on_the_socket_is_an_error(tmp_path: Path) -> None:
    async with Admin(tmp_path / "none.sock") as admin:
        with pytest.raises(UnreachableError):
            await admin.listen_url()
        with pytest.raises(UnreachableError):
            async with admin.live():
                pass


async def test_captions_until_the_daemon_ends(door: tuple[Door, Path]) -> None:
    async with Admin(door[1]) as admin, admin.live() as captions:
        heard = [caption async for caption in captions]
    assert [caption.kind for caption in heard] == ["event", "partial", "final"]
    assert heard[0].party is None
    assert heard[2] == CaptionEvent("u", "final", "Good morning.", 1, "Marcus", 0.5, 1.5)


@pytest.mark.parametrize("line", [b"hello\n", b'{"kind":"final"}\n', b'{"call":"u","kind":"shout","text":""}\n'])
async def test_a_line_that_is_no_caption_is_an_error(door: tuple[Door, Path], line: bytes) -> None:
    door[0].live = LINES + line
    async with Admin(door[1]) as admin, admin.live() as captions:
        with pytest.raises(ProtocolError):
            [caption async for caption in captions]


async def test_a_line_without_end_is_an_error_and_not_kept(door: tuple[Door, Path]) -> None:
    door[0].live = b'{"text":"' + b"x" * (1 << 20)
    async with Admin(door[1]) as admin, admin.live() as captions:
        with pytest.raises(ProtocolError):
            [caption async for caption in captions]


async def test_a_stream_that_breaks_off_is_an_error(door: tuple[Door, Path]) -> None:
    door[0].cut = True
    async with Admin(door[1]) as admin, admin.live() as captions:
        with pytest.raises(UnreachableError):
            [caption async for caption in captions]
