from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack

import pytest

from vcond.testing.conformance import AdapterConformance
from vcond.testing.rig import Rig, RigCall
from vcond_twilio import TwilioAdapter, TwilioConfig

PARAMETERS = {"from": "+15550100", "to": "+15550199", "callerName": "Ann Example", "direction": "inbound"}


class TwilioLine(RigCall):
    """A call whose media Twilio streams to us."""

    def __init__(self, rig: TwilioRig, key: str) -> None:
        self.rig, self.key = rig, key
        self.client = None

    async def connect(self, host) -> None:
        url = f"{host.ingress.bound_url}/twilio/stream/{host.ingress.token}"
        number = next(self.rig.numbers)
        self.client = await self.rig.stack.enter_async_context(self.rig.twilio.dial(url, self.key, f"MZ{number:032x}"))
        await self.client.start(PARAMETERS)
        await host.until(lambda: self.key in {call.key for call in host.open_calls()}, what="the call")

    async def speak(self, caller, callee) -> None:
        await self.client.play(caller, callee)

    async def hang_up(self) -> None:
        await self.client.stop()

    async def press(self, digit) -> None:
        await self.client.press(digit)

    async def cut(self) -> None:
        await self.client.cut()

    async def stop_audio(self) -> None:
        """Nothing comes unless it is played."""

    async def resume(self, host) -> None:
        await asyncio.sleep(1)
        await self.connect(host)


class TwilioRig(Rig):
    can = frozenset({"digits", "cut", "resume", "restart", "garbage", "stop", "suspend"})
    private = (*PARAMETERS.values(),)[:3]

    def __init__(self, twilio) -> None:
        self.twilio = twilio
        self.numbers = itertools.count(1)
        self.stack = AsyncExitStack()
        self.lines: list[TwilioLine] = []

    def adapter(self) -> TwilioAdapter:
        return TwilioAdapter(TwilioConfig(public_url="https://edge.example.com"))

    async def stop(self) -> None:
        await self.stack.aclose()

    async def place(self, host, *, answered=True) -> TwilioLine:
        assert answered
        self.lines.append(TwilioLine(self, f"CA{next(self.numbers):032x}"))
        await self.lines[-1].connect(host)
        return self.lines[-1]

    async def garbage(self, host) -> None:
        url = f"{host.ingress.bound_url}/twilio/stream/{host.ingress.token}"
        async with self.twilio.dial(url) as client:
            await client.send("this is no JSON")
            await client.socket.send_bytes(b"\x00\xff")
            await client.send('{"event":"media","media":{"payload":5}}')

    async def leftovers(self) -> list[str]:
        """Sockets that the adapter left open: each must have been closed from its side."""
        left = []
        for line in self.lines:
            code = await line.client.close_code()
            if code not in {1000, 1001}:
                left.append(f"the socket of {line.key} was closed with {code}")
        return left


class TestTwilioConformance(AdapterConformance):
    @pytest.fixture
    def rig(self, twilio):
        return TwilioRig(twilio)
