from __future__ import annotations

import asyncio
import tomllib
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
import pytest

from vcond.media.codecs import Codec, decode, encode
from vcond.sdk.media_stream import MAX_MESSAGE
from vcond.sdk.media_stream.batch import HOLD
from vcond.sdk.media_stream.signatures import url_signature
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond.testing.time import run_virtual
from vcond_twilio import TwilioAdapter, TwilioConfig

HOME = Path(__file__).parents[1]


@asynccontextmanager
async def serving(**config):
    """An adapter at a host; yields the host, the URL of its streams and its task."""
    async with MemoryHost("twilio") as host:
        adapter = TwilioAdapter(TwilioConfig(**config))
        task = asyncio.create_task(adapter.run(host))
        await host.until(lambda: host.is_attached)
        try:
            yield host, f"{host.ingress.bound_url}/twilio/stream/{host.ingress.token}", task
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()


def virtual(test):
    def run(twilio):
        run_virtual(test(twilio))

    run.__name__ = test.__name__
    return run


@virtual
async def test_a_call_from_start_to_stop(twilio):
    async with serving() as (host, url, _), twilio.dial(url) as client:
        await client.start({"from": "+15550100"})
        await client.play(voice(1, 2.0), voice(2, 2.0))
        assert await client.stop() == 1000
        call = host.by_key(twilio.CALL)
        assert call.over
        assert find(voice(1, 2.0), host.audio(call, 0))[0] > 0.95
        assert find(voice(2, 2.0), host.audio(call, 1))[0] > 0.95
        assert host.drops == {}


@virtual
async def test_a_long_call_read_a_beat_at_a_time_lies_to_the_sample_where_it_was_said(twilio):
    said = [voice(number, 75.0) for number in (1, 2)]
    async with serving() as (host, url, _), twilio.dial(url) as client:
        await client.start()
        await client.play(*said)
        assert await client.stop() == 1000
        call = host.by_key(twilio.CALL)
        for party, pcm in enumerate(said):
            assert np.array_equal(host.audio(call, party)[: len(pcm)], decode(Codec.PCMU, encode(Codec.PCMU, pcm)))
        assert (call.state.ended - call.state.opened) / 1e9 == pytest.approx(75, abs=HOLD + 0.01)
        assert host.drops == {}


@virtual
async def test_a_socket_that_does_not_start_is_hung_up(twilio):
    async with serving(start_timeout=10) as (host, url, _), twilio.dial(url) as client:
        await client.send(twilio.connected())
        begun = asyncio.get_running_loop().time()
        assert await client.close_code() == 1008
        assert asyncio.get_running_loop().time() - begun == pytest.approx(10, abs=0.5)
        assert host.drops == {("stream", "no-start"): 1}


@virtual
async def test_a_stream_that_falls_silent_is_hung_up_and_its_call_ends(twilio):
    async with serving(idle_timeout=60, grace=10) as (host, url, _), twilio.dial(url) as client:
        await client.start()
        await asyncio.sleep(40)
        await client.play(voice(1, 0.5))
        begun = asyncio.get_running_loop().time()
        assert await client.close_code() == 1008
        assert asyncio.get_running_loop().time() - begun == pytest.approx(60, abs=0.5)
        await host.until(lambda: host.calls[0].over, within=15)
        assert host.drops == {("stream", "idle"): 1}


@virtual
async def test_more_streams_than_allowed_are_refused(twilio):
    async with serving(max_streams=1) as (host, url, _):
        async with twilio.dial(url) as first:
            await first.start()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with twilio.dial(url):
                    pass
            assert refused.value.status == 503
            assert host.drops == {("stream", "limit"): 1}
            await first.stop()
        async with twilio.dial(url, "CAtwo") as second:
            await second.start()
            assert await second.stop() == 1000


@virtual
async def test_no_token_no_stream(twilio):
    async with serving() as (host, url, _):
        for wrong in (url.rpartition("/")[0], url + "x"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with twilio.dial(wrong):
                    pass
            assert refused.value.status == 403
        assert host.calls == []


@virtual
async def test_a_browser_is_told_that_this_is_no_page(twilio):
    async with serving() as (_, url, _), aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 400


@virtual
async def test_an_oversized_message_ends_the_socket_not_the_call(twilio):
    async with serving(grace=10) as (host, url, _), twilio.dial(url) as client:
        await client.start()
        await client.play(voice(1, 0.5))
        await client.send("x" * (MAX_MESSAGE + 1))
        assert await client.close_code() == 1009
        assert host.drops == {("message", "websocket"): 1}
        assert not host.calls[0].over
        async with twilio.dial(url, stream="MZ2") as again:
            await again.start()
            await again.stop()
        assert host.calls[0].over


@virtual
async def test_another_encoding_is_refused_with_a_close_code(twilio):
    async with serving() as (host, url, _), twilio.dial(url) as client:
        await client.start(encoding="audio/l16")
        assert await client.close_code() == 1003
        assert host.calls == []


@virtual
async def test_too_much_garbage_ends_the_socket(twilio):
    async with serving() as (host, url, _), twilio.dial(url) as client:
        for _ in range(60):
            await client.send("{")
            await client.socket.send_bytes(b"\xff")
        assert await client.close_code() == 1008
        assert host.drops.total() == 100


@virtual
async def test_cancelled_it_says_goodbye_and_leaves_the_calls_open(twilio):
    async with serving() as (host, url, task), twilio.dial(url) as client, twilio.dial(url, "CAtwo") as other:
        await client.start()
        await client.play(voice(1, 0.5))
        task.cancel()
        assert (await client.close_code(), await other.close_code()) == (1001, 1001)
        await asyncio.wait([task])
        assert not host.calls[0].over
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with twilio.dial(url):
                pass
        assert refused.value.status == 503


@virtual
async def test_a_peer_that_never_answers_a_close_holds_nothing_up(twilio):
    async with serving() as (host, url, task):
        address, port = host.ingress.bound_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(address, int(port))
        writer.write(
            f"GET {url.removeprefix(host.ingress.bound_url)} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        assert done == {task}
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("public_url", "level"),
    [
        ("", "warning"),
        ("https://edge.example.com", "ok"),
        ("wss://edge.example.com", "ok"),
        ("http://edge.example.com", "error"),
        ("https://localhost:8443", "error"),
        ("https://127.0.0.1", "error"),
        ("https://[::1]:8443", "error"),
    ],
)
async def test_check_says_whether_twilio_can_reach_it(public_url, level):
    findings = [finding async for finding in TwilioAdapter(TwilioConfig(public_url=public_url)).check()]
    assert [finding.level for finding in findings] == [level]
    assert (findings[0].fix == "") == (level == "ok")
    if level == "ok":
        assert "wss://edge.example.com/twilio/stream/TOKEN" in findings[0].detail


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "twilio"},
        {"path": "/twilio/{x}"},
        {"path": "/a\n"},
        {"public_url": "edge.example.com"},
        {"public_url": "https://edge.example.com/?token=x"},
        {"max_streams": 0},
        {"grace": -1},
        {"start_timeout": 0},
        {"stopgrace": 1},
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, TwilioConfig)


def test_the_sample_is_the_default_and_stands_in_the_readme():
    text = (HOME / "sample.toml").read_text()
    config = msgspec.convert(tomllib.loads(text)["adapters"]["twilio"], TwilioConfig)
    assert msgspec.structs.replace(config, public_url="") == TwilioConfig()
    assert set(tomllib.loads(text)["adapters"]["twilio"]) == set(TwilioConfig.__struct_fields__)
    assert text in (HOME / "README.md").read_text()


def test_with_the_auth_token_twilios_signature_lets_a_stream_in_and_nothing_else(twilio):
    key = "12345678901234567890123456789012"

    async def main() -> None:
        async with serving(auth_tokens=["0" * 32, key], public_url="https://edge.example.com") as (host, url, _):
            bare = url.rpartition("/")[0]
            signed = url_signature(key, "wss://edge.example.com/twilio/stream")
            async with aiohttp.ClientSession() as session:
                for where, header in (
                    (bare, ""),
                    (url, ""),
                    (url, signed),
                    (bare, signed[:-2] + "A="),
                    (bare + "?a=1", signed),
                ):
                    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                        await session.ws_connect(where, headers={"X-Twilio-Signature": header})
                    assert refused.value.status == 403
                assert host.drops == {("stream", "signature"): 5}
                async with session.ws_connect(bare, headers={"X-Twilio-Signature": signed}) as socket:
                    await socket.send_str(twilio.raw(twilio.start()).decode())
                    await host.until(lambda: host.calls)
                    await socket.send_str(twilio.raw(twilio.stop()).decode())

    run_virtual(main())
