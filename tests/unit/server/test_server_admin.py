import json
import stat
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from vcond.base.errors import ConfigError
from vcond.capture.live_feed import CaptionEvent, LiveFeed
from vcond.server.admin import AdminServer


@asynccontextmanager
async def served(path: Path, bus: LiveFeed):
    async def echo(query: dict[str, str]):
        if "missing" in query:
            raise LookupError("no such call")
        if "bad" in query:
            raise ValueError("bad value")
        return {"query": query}

    server = AdminServer(path, reads={"calls": echo}, writes={"retry": echo}, live=bus)
    await server.start()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client:
        yield client
        bus.close()
    await server.close()


async def test_the_socket_is_for_vcond_its_group_and_root_and_goes_with_the_daemon(tmp_path: Path):
    path = tmp_path / "run" / "admin.sock"
    async with served(path, LiveFeed()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    assert not path.exists()


async def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path):
    path = tmp_path / "admin.sock"
    first = AdminServer(path, reads={}, writes={}, live=LiveFeed())
    await first.start()
    async with served(path, LiveFeed()) as client, client.get("http://vcond/v1/calls") as answer:
        assert answer.status == 200
    await first.close()


async def test_a_file_in_its_place_is_not_touched(tmp_path: Path):
    path = tmp_path / "admin.sock"
    path.write_text("mine")
    server = AdminServer(path, reads={}, writes={}, live=LiveFeed())
    with pytest.raises(ConfigError, match="admin_socket"):
        await server.start()
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/v1/calls?a=1", 200),
        ("POST", "/v1/retry?uuid=x", 200),
        ("GET", "/v1/retry", 404),
        ("POST", "/v1/calls", 404),
        ("GET", "/v1/calls?missing=1", 404),
        ("GET", "/v1/calls?bad=1", 400),
        ("GET", "/elsewhere", 404),
        ("POST", "/v1/retry?uuid=", 400),
        ("POST", "/v1/retry?uuid=x&sink=", 400),
        ("POST", "/v1/retry?uuid=x&reason=", 200),
        ("GET", "/v1/live?call=", 400),
    ],
)
async def test_doors(tmp_path: Path, method: str, url: str, status: int):
    async with served(tmp_path / "a", LiveFeed()) as client, client.request(method, f"http://vcond{url}") as answer:
        assert answer.status == status


async def test_live_lines_are_streamed_until_the_daemon_stops(tmp_path: Path):
    bus = LiveFeed()
    async with served(tmp_path / "a", bus) as client, client.get("http://vcond/v1/live") as answer:
        bus.publish(CaptionEvent("u", "partial", "he", 0, "Rita", 1.0, 1.5))
        bus.publish(CaptionEvent("u", "event", "answered", start=2.0, stop=2.0))
        bus.close()
        lines = [json.loads(line) async for line in answer.content]
    assert lines == [
        {"call": "u", "kind": "partial", "text": "he", "party": 0, "name": "Rita", "start": 1.0, "stop": 1.5},
        {"call": "u", "kind": "event", "text": "answered", "start": 2.0, "stop": 2.0},
    ]
