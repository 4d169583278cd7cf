"""The door for media streams, with a listener that does as each test says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import aiohttp

from vcond.sdk.media_stream import GO_ON, POLICY, Early, Limits, MediaStreams
from vcond.testing.host import MemoryHost
from vcond.testing.time import run_virtual


class Echo:
    """Answers ``say X`` with X, ends at ``end``, begins with anything."""

    def __init__(self, hang_up) -> None:
        self.hang_up = hang_up
        self.started = False
        self.replies: list[str] = []
        self.left: list[int] = []

    def text(self, raw, arrived) -> int:
        self.started = True
        word, _, rest = raw.decode().partition(" ")
        if word == "say":
            self.replies += rest.split(" ")
        return POLICY if word == "end" else GO_ON

    def binary(self, raw, arrived) -> int:
        return GO_ON

    def gone(self, at, *, clean) -> None:
        self.left.append(at)


@asynccontextmanager
async def door(**limits):
    met: list[Echo] = []

    def meet(_request, hang_up):
        met.append(Echo(hang_up))
        return met[-1]

    async with MemoryHost("acme") as host:
        streams = MediaStreams(host, Limits(**{"streams": 4, "start": 10, **limits}), meet)
        host.ingress.route("GET", "/acme", streams.answer)
        async with aiohttp.ClientSession() as session:
            yield (
                host,
                met,
                lambda **more: session.ws_connect(f"{host.ingress.bound_url}/acme/{host.ingress.token}", **more),
            )
        await streams.close()


def virtual(test):
    def run():
        run_virtual(test())

    run.__name__ = test.__name__
    return run


@virtual
async def test_what_a_listener_has_to_say_is_said_in_order_and_once():
    async with door() as (_, met, dial), dial() as socket:
        await socket.send_str("say one two")
        await socket.send_str("say three")
        assert [await socket.receive_str() for _ in range(3)] == ["one", "two", "three"]
        assert met[0].replies == []


@virtual
async def test_a_listener_is_told_of_the_end_once_whoever_ends_it():
    async with door() as (_, met, dial):
        async with dial() as socket:
            await socket.send_str("end")
            assert (await socket.receive()).data == POLICY
        async with dial() as socket:
            await socket.send_str("go")
        async with dial() as socket:
            await socket.send_str("go")
            await asyncio.sleep(0.1)
            met[2].hang_up("replaced")
            met[2].hang_up("replaced")
            assert (await socket.receive()).data == 1001
        await asyncio.sleep(0.1)
        assert [len(one.left) for one in met] == [1, 1, 1]


@virtual
async def test_who_is_hung_up_on_because_nothing_is_wanted_of_it_is_not_counted_as_lost():
    async with door() as (host, met, dial), dial() as socket:
        await socket.send_str("go")
        await asyncio.sleep(0.1)
        met[0].hang_up("replaced")
        await socket.receive()
        assert host.drops == {}


@virtual
async def test_without_an_idle_limit_a_silent_one_stays():
    async with door(idle=0) as (_, met, dial), dial() as socket:
        await socket.send_str("go")
        await asyncio.sleep(86_400)
        assert met[0].left == []
        await socket.send_str("say more")
        assert await socket.receive_str() == "more"


@virtual
async def test_the_subprotocol_that_is_offered_is_taken_and_none_otherwise():
    async with door(protocols=("audio.drachtio.org", "audio.jambonz.org")) as (_, _, dial):
        for offered, taken in ((("audio.jambonz.org",), "audio.jambonz.org"), ((), None)):
            async with dial(protocols=offered) as socket:
                assert socket.protocol == taken


@virtual
async def test_a_peer_may_compress_only_where_that_is_allowed():
    for allowed in (True, False):
        async with door(compress=allowed) as (_, _, dial), dial(compress=15) as socket:
            assert bool(socket.compress) is allowed


def test_what_waits_for_a_beginning_is_bounded_in_number_and_size():
    early: Early[str] = Early(3, 100)
    assert [early.keep(name, 30) for name in "abcd"] == [True, True, True, False]
    assert (len(early), early.take(), early.take()) == (3, ["a", "b", "c"], [])
    assert Early(3, 100).keep("large", 101) is False
