"""Events: numbered, gone on with, masked, and nobody waits for who does not read them."""

import asyncio
import json
from pathlib import Path

import pytest
from api_kit import daemon, until

from vcond.base import metrics
from vcond.call import events as ev
from vcond.capture.levels import Levels
from vcond.capture.live_feed import CaptionEvent, LiveFeed
from vcond.server.api import events as module
from vcond.server.api.events import Events, Watcher
from vcond.testing.time import run_virtual

ANN = ev.PartyInfo(tel="+15551230001")


async def one_event(content) -> dict[str, str]:
    """The next event that is no comment."""
    found: dict[str, str] = {}
    while True:
        line = (await content.readline()).decode().rstrip("\n")
        if not line and found:
            return found
        name, colon, value = line.partition(": ")
        if name and colon:
            found[name] = value


async def test_what_happens_is_followed_and_gone_on_with_after_the_last_event(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ANN)
        headers = {"Authorization": f"Bearer {await one.token('watch')}"}
        async with one.client.get("/api/v1/events", headers=headers) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
            assert (await one_event(answer.content))["event"] == "hello"
            call.emit(ev.Answered(at=one.at(1)))
            first = await one_event(answer.content)
            told = json.loads(first["data"])
            assert (first["event"], told["text"], told["call"]) == ("event", "answered", call.uuid)
        one.parts.bus.publish(CaptionEvent(call.uuid, "final", "hello", 0, "+15551230001", 1.0, 2.0))
        async with one.client.get("/api/v1/events", headers=headers | {"Last-Event-ID": first["id"]}) as answer:
            missed = await one_event(answer.content)
            assert json.loads(missed["data"])["text"] == "hello"
            assert "5551230" not in missed["data"], "numbers are masked"
        async with one.client.get(f"/api/v1/events?last_event_id={missed['id']}", headers=headers) as answer:
            call.emit(ev.RecordingPaused(at=one.at(2), by="operator"))
            assert json.loads((await one_event(answer.content))["data"])["text"] == "paused"
        for unknown in ("x", f"{missed['id']}99", "-1", "ffffffff-1"):
            async with one.client.get("/api/v1/events", headers=headers | {"Last-Event-ID": unknown}) as answer:
                assert (await one_event(answer.content))["event"] == "reset", unknown
        assert {row["of"] for row in one.accesses()} == {"*"}


async def test_one_call_is_followed_until_its_end(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ANN)
        headers = {"Authorization": f"Bearer {await one.token('read', 'watch')}"}
        async with one.client.get(f"/api/v1/events?call={call.uuid[:13]}", headers=headers) as answer:
            await one_event(answer.content)
            one.parts.bus.publish(CaptionEvent("another", "final", "no"))
            one.parts.bus.publish(CaptionEvent(call.uuid, "final", "yes", 0, "+15551230001"))
            call.end(at=one.at(3))
            body = (await answer.content.read()).decode()
        assert '"text":"no"' not in body
        assert "+15551230001" in body, "who may read records sees numbers"
        assert body.count('"callended"') == 1
        assert (await one.asked("/events?call=nobody", "watch"))[0] == 404


async def test_without_watchers_nothing_is_made_for_anybody(tmp_path: Path):
    async with daemon(tmp_path) as one:
        assert not one.parts.bus.watched()
        headers = {"Authorization": f"Bearer {await one.token('watch')}"}
        async with one.client.get("/api/v1/events", headers=headers) as answer:
            await one_event(answer.content)
            assert one.parts.bus.watched()
            assert metrics.api_watchers._value.get() == 1


def test_events_are_kept_for_who_comes_back_soon_and_not_for_ever():
    async def scenario():
        feed = LiveFeed()
        events, watcher = Events(feed, 5, Levels()), Watcher("", False, lambda: None, lambda: True)
        assert events.begin(watcher, "")
        await asyncio.sleep(0)
        events.leave(watcher)
        await asyncio.sleep(module.LINGER / 2)
        assert feed.watched()
        back = Watcher("", False, lambda: None, lambda: True)
        assert events.begin(back, "")
        await asyncio.sleep(module.LINGER * 2)
        assert feed.watched()
        events.leave(back)
        await asyncio.sleep(module.LINGER + 1)
        assert not feed.watched()
        assert events.begin(Watcher("", False, lambda: None, lambda: True), "")
        await asyncio.sleep(0)
        assert feed.watched()
        await events.close()

    run_virtual(scenario())


def test_many_events_are_one_write_and_the_first_waits_for_none():
    async def scenario():
        feed, loop, got = LiveFeed(), asyncio.get_running_loop(), []
        events, watcher = Events(feed, 5, Levels()), Watcher("", True, lambda: None, lambda: True)
        assert events.begin(watcher, "")

        async def read() -> None:
            async for chunk in watcher.chunks():
                got.append((loop.time() - begun, chunk.count(b"event: final")))  # noqa: PERF401 - looked at while it grows

        begun = loop.time()
        reading = asyncio.create_task(read())
        await asyncio.sleep(1.001)
        for number in range(100):
            feed.publish(CaptionEvent("c", "final", f"words {number}"))
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        await events.close()
        await reading
        assert [round(at, 2) for at, count in got if count] == [1.0, 1.05, 1.1]
        assert sum(count for _, count in got) == 100

    run_virtual(scenario())


@pytest.mark.parametrize(("watchers", "apart"), [(2, 0.05), (20, 0.2), (50, 0.5), (90, 0.5)])
def test_however_many_watch_so_many_writes_are_made_a_second_and_nothing_is_lost(watchers: int, apart: float):
    async def scenario():
        feed, loop, got = LiveFeed(), asyncio.get_running_loop(), []
        events = Events(feed, 100, Levels())
        following = [Watcher("", number % 2 == 0, lambda: None, lambda: True) for number in range(watchers)]

        async def read(one: Watcher) -> None:
            mine: list[tuple[float, int]] = []
            got.append(mine)
            async for chunk in one.chunks():
                mine.append((loop.time(), chunk.count(b"event: partial")))  # noqa: PERF401 - looked at while it grows

        assert all(events.begin(one, "") for one in following)
        reading = [asyncio.create_task(read(one)) for one in following]
        await asyncio.sleep(1)
        for number in range(300):
            feed.publish(CaptionEvent("c", "partial", f"words {number}"))
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        await events.close()
        await asyncio.gather(*reading)
        for mine in got:
            times = [at for at, count in mine if count]
            assert sum(count for _, count in mine) == 300
            assert times[0] == pytest.approx(1, abs=0.02), "the first waits for nothing"
            assert len(times) == pytest.approx(3 / apart, abs=2)

    run_virtual(scenario())


async def test_who_does_not_read_is_cut_off_counted_and_the_others_miss_nothing(monkeypatch):
    monkeypatch.setattr(module, "BATCH", 0)
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    feed, cut = LiveFeed(), []
    events = Events(feed, 5, Levels())
    slow = Watcher("", True, lambda: cut.append("slow"), lambda: True)
    quick = Watcher("", True, lambda: cut.append("quick"), lambda: True)
    before = metrics.api_cut_off_total._value.get()
    for watcher in (slow, quick):
        assert events.begin(watcher, "")
    got = []

    async def read() -> None:
        async for chunk in quick.chunks():
            got.append(chunk)  # noqa: PERF401 - looked at while it grows

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    for number in range(50):
        feed.publish(CaptionEvent("c", "final", f"words {number}"))
        await until(lambda number=number: f'words {number}"'.encode() in b"".join(got))
    assert cut == ["slow"]
    assert metrics.api_cut_off_total._value.get() == before + 1
    assert not slow._waiting
    await events.close()
    await reading
    assert b"".join(got).count(b"event: final") == 50


async def test_a_connection_that_is_not_read_is_closed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 50)
    async with daemon(tmp_path) as one:
        host, port = one.client._base_url.host, one.client._base_url.port
        reader, writer = await asyncio.open_connection(host, port, limit=1024)
        token = await one.token("watch")
        writer.write(f"GET /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        events = one.parts.api._events
        await until(lambda: events._watchers)
        reader._transport.pause_reading()
        before = metrics.api_cut_off_total._value.get()
        while metrics.api_cut_off_total._value.get() == before:
            one.parts.bus.publish(CaptionEvent("c", "final", "x" * 60_000))
            await asyncio.sleep(0)
        await until(lambda: not events._watchers)
        writer.close()


async def test_there_are_so_many_watchers(tmp_path: Path):
    async with daemon(tmp_path, 'listen = "127.0.0.1:0"\nmax_watchers = 1') as one:
        headers = {"Authorization": f"Bearer {await one.token('watch')}"}
        async with one.client.get("/api/v1/events", headers=headers) as answer:
            await one_event(answer.content)
            async with one.client.get("/api/v1/events", headers=headers) as second:
                assert second.status == 429


async def test_whose_token_is_revoked_follows_no_longer(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 1)
    async with daemon(tmp_path) as one:
        token = await one.token("watch")
        async with one.client.get("/api/v1/events", headers={"Authorization": f"Bearer {token}"}) as answer:
            await one_event(answer.content)
            one.parts.registry.tick(one.at(1))
            assert await answer.content.readline() == b": beat\n"
            await one.parts.api.writes["token-revoke"]({"id": token.split("_")[1]})
            one.parts.registry.tick(one.at(2))
            assert (await answer.content.read()).strip() == b""


async def test_the_daemons_stop_ends_what_is_followed(tmp_path: Path):
    async with daemon(tmp_path) as one:
        headers = {"Authorization": f"Bearer {await one.token('watch')}"}
        async with one.client.get("/api/v1/events", headers=headers) as answer:
            await one_event(answer.content)
            one.parts.bus.close()
            assert (await answer.content.read()).strip() == b""


@pytest.mark.parametrize("text", ["a\n\nevent: x\ndata: y", "\r", "\u2028", "\x00", "'\"<"])
def test_words_end_no_event(text: str):
    made = module.event("final", json.dumps({"text": text}).encode(), "1-1")
    assert made.count(b"\n") == 4
