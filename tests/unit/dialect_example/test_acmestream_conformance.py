"""A scripted Acme, and the suite that every adapter passes."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import AsyncExitStack

import aiohttp
import pytest
from vcond_acmestream import AcmeStreamAdapter, AcmeStreamConfig

from vcond.media.codecs import Codec, encode
from vcond.testing.conformance import AdapterConformance
from vcond.testing.rig import Rig, RigCall

NUMBERS = ("+15550100", "+15550199")


class AcmeLine(RigCall):
    def __init__(self, rig: AcmeRig, key: str) -> None:
        self.rig, self.key, self.ms = rig, key, 0

    async def connect(self, host) -> None:
        self.socket = await self.rig.dial(host)
        self.ms = 0
        await self.say(do="begin", call=self.key, **dict(zip(("from", "to"), NUMBERS, strict=True)))
        await host.until(lambda: self.key in {call.key for call in host.open_calls()}, what="the call")

    async def say(self, **message) -> None:
        await self.socket.send_str(json.dumps(message))

    async def speak(self, caller, callee) -> None:
        for at in range(0, len(caller), 160):
            await asyncio.sleep(0.02)
            for side, pcm in enumerate((caller, callee)):
                payload = encode(Codec.PCMU, pcm[at : at + 160])
                await self.socket.send_bytes(bytes([side]) + self.ms.to_bytes(4) + payload)
            self.ms += 20

    async def press(self, digit) -> None:
        await self.say(do="key", button=digit)

    async def hang_up(self) -> None:
        await self.say(do="end")

    async def cut(self) -> None:
        self.socket._response.connection.transport.abort()

    async def resume(self, host) -> None:
        await asyncio.sleep(1)
        await self.connect(host)


class AcmeRig(Rig):
    can = frozenset({"digits", "cut", "resume", "restart", "garbage", "suspend"})
    private = NUMBERS

    def __init__(self) -> None:
        self.numbers, self.stack, self.lines = itertools.count(1), AsyncExitStack(), []

    def adapter(self) -> AcmeStreamAdapter:
        return AcmeStreamAdapter(AcmeStreamConfig())

    async def dial(self, host):
        session = await self.stack.enter_async_context(aiohttp.ClientSession())
        url = f"{host.ingress.bound_url}/acme/{host.ingress.token}"
        return await self.stack.enter_async_context(session.ws_connect(url))

    async def place(self, host, *, answered=True) -> AcmeLine:
        assert answered
        self.lines.append(AcmeLine(self, f"acme-{next(self.numbers)}"))
        await self.lines[-1].connect(host)
        return self.lines[-1]

    async def garbage(self, host) -> None:
        socket = await self.dial(host)
        await socket.send_str("this is no JSON")
        await socket.send_bytes(b"\x07")
        await socket.send_str('{"do": "begin", "call": "../../etc"}')

    async def leftovers(self) -> list[str]:
        """Sockets that the adapter left open: each must have been closed from its side."""
        left = []
        for line in self.lines:
            message = await line.socket.receive()
            if message.type not in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}:
                left.append(f"socket of {line.key}")
        return left

    async def stop(self) -> None:
        await self.stack.aclose()


class TestAcmeStreamConformance(AdapterConformance):
    @pytest.fixture
    def rig(self):
        return AcmeRig()
