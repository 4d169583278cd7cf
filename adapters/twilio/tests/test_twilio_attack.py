"""Whoever has the ingress token and means harm, while calls go on: they lose nothing, and each refusal is counted."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest

from vcond.media.codecs import Codec, decode, encode
from vcond.sdk.media_stream.stream import MAX_GARBAGE
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond.testing.time import run_virtual
from vcond_twilio import TwilioAdapter, TwilioConfig

SECONDS = 16.0
MANY, FEW = 20, 5
STARTED = 10
"""Sockets' start_timeout, seconds."""


async def idle(url, dial):
    """Opened, and never a word."""
    async with dial(url) as client:
        assert await client.close_code() == 1008


async def huge(url, dial):
    """A message of a megabyte."""
    async with dial(url) as client:
        await client.send("x" * (1 << 20))
        assert await client.close_code() == 1009


async def garbage(url, dial):
    """No JSON, as fast as it goes, until hung up."""
    async with dial(url) as client:
        for _ in range(2 * MAX_GARBAGE):
            try:
                await client.send('{"event":"media","media":')
            except (ConnectionError, aiohttp.ClientError):
                break
        assert await client.close_code() == 1008


async def half(url, _dial):
    """A handshake that never ends; goes away after a while."""
    at = urlsplit(url)
    _, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(f"GET {at.path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n".encode())
    await asyncio.sleep(SECONDS)
    writer.close()


async def stranger(url, dial):
    """Without the token."""
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with dial(url + "x"):
            pass


def test_calls_that_go_on_lose_nothing_to_whoever_attacks_beside_them(twilio):
    async def main() -> None:
        async with MemoryHost("twilio") as host, AsyncExitStack() as stack:
            config = TwilioConfig(max_streams=2 + 2 * MANY, start_timeout=STARTED)
            task = asyncio.create_task(TwilioAdapter(config).run(host))
            await host.until(lambda: host.is_attached)
            url = f"{host.ingress.bound_url}/twilio/stream/{host.ingress.token}"
            said = {f"CA{n}": (voice(2 * n, SECONDS), voice(2 * n + 1, SECONDS)) for n in range(2)}
            live = [await stack.enter_async_context(twilio.dial(url, call, f"MZ{call}")) for call in said]
            for client in live:
                await client.start()
            async with asyncio.TaskGroup() as group:
                for client in live:
                    group.create_task(client.play(*said[client.call]))
                for attack, count in ((idle, MANY), (huge, FEW), (garbage, FEW), (half, MANY), (stranger, MANY)):
                    for _ in range(count):
                        group.create_task(attack(url, twilio.dial))
            for client in live:
                assert await client.stop() == 1000
            for call, both in said.items():
                for party, pcm in enumerate(both):
                    heard = host.audio(host.by_key(call), party)
                    assert np.array_equal(heard[: len(pcm)], decode(Codec.PCMU, encode(Codec.PCMU, pcm)))
            assert [call.key for call in host.calls] == list(said)
            assert host.drops == {
                ("stream", "no-start"): MANY, ("message", "websocket"): FEW, ("message", "malformed"): FEW * MAX_GARBAGE,
            }  # fmt: skip
            task.cancel()
            await asyncio.wait([task])

    run_virtual(main())


def test_no_more_sockets_are_open_than_the_limit_and_calls_that_go_on_keep_theirs(twilio):
    async def main() -> None:
        async with MemoryHost("twilio") as host, AsyncExitStack() as stack:
            task = asyncio.create_task(TwilioAdapter(TwilioConfig(max_streams=FEW)).run(host))
            await host.until(lambda: host.is_attached)
            url = f"{host.ingress.bound_url}/twilio/stream/{host.ingress.token}"
            client = await stack.enter_async_context(twilio.dial(url))
            await client.start()
            for _ in range(FEW - 1):
                await stack.enter_async_context(twilio.dial(url))
            for _ in range(MANY):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await stack.enter_async_context(twilio.dial(url))
                assert refused.value.status == 503
            assert host.drops == {("stream", "limit"): MANY}
            pcm = voice(1, 1.0)
            await client.play(pcm)
            assert await client.stop() == 1000
            assert np.array_equal(host.audio(host.calls[0], 0)[:8000], decode(Codec.PCMU, encode(Codec.PCMU, pcm)))
            task.cancel()
            await asyncio.wait([task])

    run_virtual(main())
