"""Requests and events over real sockets, with an Asterisk that misbehaves at will."""

from __future__ import annotations

import asyncio
import logging

import pytest

from vcond.sdk.contract import ConfigError, ProtocolError, RefusedError, UnreachableError
from vcond.testing.time import LoopClock
from vcond_asterisk import Config, client
from vcond_asterisk.client import Ari, AriError, EventSocket, together


@pytest.fixture
async def fake(make_fake):
    async with make_fake() as made:
        yield made


@pytest.fixture
def config(fake, login):
    return Config(url=fake.url, timeout=2, **login)


async def test_requests_are_answered(fake, config):
    leg = fake.channel("PJSIP/a")
    async with Ari(config) as ari:
        assert (await ari.info())["system"] == {"version": "22.10.1"}
        assert [channel.id for channel in await ari.channels()] == [leg]
        assert await ari.variable(leg, "CHANNEL(linkedid)") == leg
        await ari.create_bridge("vcond.b-1")
        assert [bridge.id for bridge in await ari.bridges()] == ["vcond.b-1"]
        await ari.destroy_bridge("vcond.b-1")
        await ari.destroy_bridge("vcond.b-1")
        await ari.hang_up("nobody")


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, ConfigError, "password"), (403, ConfigError, "read_only"), (404, AriError, "has ended"), (409, AriError, "409"),
        (422, RefusedError, "not in vcond's application"), (500, RefusedError, "cannot connect"), (418, AriError, "refused"),
    ],
)  # fmt: skip
async def test_refusals_say_what_to_do(fake, config, status, kind, says):
    fake.refuse["GET channels"] = status
    async with Ari(config) as ari:
        with pytest.raises(kind, match=says):
            await ari.channels()


async def test_a_request_has_a_time_limit(fake, config):
    fake.hang = "GET channels"
    config.timeout = 0.05
    async with Ari(config) as ari:
        with pytest.raises(UnreachableError, match="no answer in time"):
            await ari.channels()


async def test_nobody_there(config):
    config.url = "http://127.0.0.1:9"
    async with Ari(config) as ari:
        with pytest.raises(UnreachableError):
            await ari.info()
        with pytest.raises(UnreachableError):
            async with ari.events("vcond", LoopClock()):
                pass


async def test_a_wrong_password(config):
    config.password = "wrong"
    async with Ari(config) as ari:
        with pytest.raises(ConfigError, match="password"):
            await ari.info()
        with pytest.raises(ConfigError, match="password"):
            async with ari.events("vcond", LoopClock()):
                pass


async def test_answers_that_are_no_answers(fake, config, monkeypatch):
    async with Ari(config) as ari:
        monkeypatch.setattr(client.wire, "MAX_LIST", 1)
        with pytest.raises(ProtocolError, match="more than"):
            await ari.info()


async def test_at_most_some_requests_at_once(fake, config, monkeypatch):
    monkeypatch.setattr(client, "AT_ONCE", 2)
    running = most = 0
    info = type(fake)._rest

    async def counting(self, request):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return await info(self, request)

    monkeypatch.setattr(fake, "_rest", counting.__get__(fake))
    async with Ari(config) as ari:
        await together(*(ari.channels() for _ in range(8)))
    assert most <= 2


async def test_events_come_in_order_with_their_arrival(fake, config):
    async with Ari(config) as ari, ari.events("vcond", LoopClock()) as events:
        for i in range(3):
            fake.send("vcond", f'{{"type":"Any","n":{i}}}')
        got = [await events.next() for _ in range(3)]
    assert [text for text, _ in got] == [f'{{"type":"Any","n":{i}}}' for i in range(3)]
    assert got[0][1] <= got[2][1]


@pytest.mark.parametrize("clean", [True, False])
async def test_any_end_of_the_event_socket_is_a_loss(fake, config, clean):
    async with Ari(config) as ari, ari.events("vcond", LoopClock()) as events:
        if clean:
            await fake._sockets["vcond"].close()
        else:
            fake.cut_events()
        with pytest.raises(UnreachableError, match="hung up"):
            await events.next()


async def test_a_flood_of_events_ends_the_connection(fake, config, monkeypatch):
    monkeypatch.setattr(client, "WAITING", 5)
    async with Ari(config) as ari, ari.events("vcond", LoopClock()) as events:
        for _ in range(50):
            fake.send("vcond", '{"type":"Any"}')
        with pytest.raises(UnreachableError, match="too many"):
            await all_of(events)


async def test_an_event_that_is_too_large_ends_the_connection(fake, config, monkeypatch):
    monkeypatch.setattr(client.wire, "MAX_EVENT", 100)
    async with Ari(config) as ari, ari.events("vcond", LoopClock()) as events:
        fake.send("vcond", "x" * 200)
        with pytest.raises(UnreachableError):
            await events.next()


async def test_no_log_has_the_password_or_an_event(fake, config, caplog):
    caplog.set_level(logging.DEBUG)
    async with Ari(config) as ari, ari.events("vcond", LoopClock()) as events:
        fake.send("vcond", '{"number":"+4930123456"}')
        await events.next()
    told = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp"))
    assert "Authorization" not in told
    assert "4930" not in told


async def test_together_waits_for_all_and_raises_the_first():
    done = []

    async def later(name, why=None):
        await asyncio.sleep(0)
        done.append(name)
        if why:
            raise why

    with pytest.raises(KeyError):
        await together(later("a"), later("b", KeyError()), later("c", ValueError()))
    assert done == ["a", "b", "c"]


async def all_of(events):
    while True:
        await events.next()


async def test_who_waits_for_events_that_came_goes_on_when_they_were_taken():
    events, taken = EventSocket("ws://127.0.0.1:1", {}, LoopClock(), 1.0), []

    async def take():
        for _ in range(3):
            taken.append(await events.next())
            await asyncio.sleep(0)

    for number in (1, 2):
        events._queue.put_nowait((str(number), number))
    taking = asyncio.create_task(take())
    await events.caught_up()
    assert taken == [("1", 1), ("2", 2)]
    events._queue.put_nowait(("3", 3))
    await taking
    assert taken[-1] == ("3", 3)
