"""Twilio: scripts for the scripted client, into the adapter's real ingress."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any

from golden_kit import ROOT, TONES, tone, virtual

from vcond.testing.host import MemoryHost
from vcond.testing.time import until
from vcond_twilio import TwilioAdapter, TwilioConfig

PARAMETERS = {
    "from": "+15550100",
    "to": "sip:1002@pbx.example.com",
    "callerName": "Ann Example",
    "direction": "inbound",
}


def _client() -> ModuleType:
    """The scripted Twilio of the adapter's own tests; by path, because every folder of tests has a conftest."""
    name, path = "vcond_golden_twilio", ROOT / "adapters" / "twilio" / "tests" / "conftest.py"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


CLIENT = _client()


class Twilio:
    """The scripted client, and the adapter at a host."""

    def __init__(self) -> None:
        self.host = MemoryHost("twilio")
        self._stack = AsyncExitStack()
        self._numbers = itertools.count(1)

    @asynccontextmanager
    async def attached(self, host: MemoryHost | None = None):
        self.host = host or self.host
        async with self.host, AsyncExitStack() as self._stack:
            task = asyncio.create_task(TwilioAdapter(TwilioConfig(grace=5)).run(self.host))
            ticks = asyncio.create_task(self._tick())
            try:
                await until(lambda: self.host.is_attached)
                yield
            finally:
                for one in (task, ticks):
                    one.cancel()
                await asyncio.wait([task, ticks])

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.host.tick()

    async def stream(self, *, tracks: tuple[str, ...] = ("inbound", "outbound"), **parameters: str) -> Any:
        url = f"{self.host.ingress.bound_url}/twilio/stream/{self.host.ingress.token}"
        client = await self._stack.enter_async_context(CLIENT.dial(url, CLIENT.CALL, f"MZ{next(self._numbers):032x}"))
        known = self._tracks()
        await client.start(PARAMETERS | parameters, tracks=tracks)
        await until(lambda: self._tracks() == known + len(tracks))
        return client

    def _tracks(self) -> int:
        return sum(len(call.state.tracks) for call in self.host.calls)

    async def over(self) -> None:
        await until(lambda: all(call.over for call in self.host.calls))


def script(main: Callable[[Twilio], object]) -> MemoryHost:
    async def inside() -> MemoryHost:
        twilio = Twilio()
        await main(twilio)
        return twilio.host

    return virtual(inside())


ANN, BEN = tone(TONES[0], 1.0), tone(TONES[1], 1.0)


async def plain(twilio: Twilio) -> None:
    async with twilio.attached():
        client = await twilio.stream()
        await client.play(ANN, BEN)
        await client.stop()
        await twilio.over()


async def outbound(twilio: Twilio) -> None:
    """Of a call that Twilio placed the inbound track is the callee."""
    async with twilio.attached():
        client = await twilio.stream(direction="outbound-api", queue="sales")
        await client.play(BEN, ANN)
        await client.stop()
        await twilio.over()


async def dtmf(twilio: Twilio) -> None:
    async with twilio.attached():
        client = await twilio.stream()
        await client.play(ANN, BEN)
        for digit in "5#":
            await client.press(digit)
            await client.play(ANN, BEN)
        await client.stop()
        await twilio.over()


async def two_streams(twilio: Twilio) -> None:
    """One stream for each track."""
    async with twilio.attached():
        one = await twilio.stream(tracks=("inbound",))
        two = await twilio.stream(tracks=("outbound",))
        await asyncio.gather(one.play(ANN), two.play(None, BEN))
        await one.stop()
        await two.stop()
        await twilio.over()


async def loss(twilio: Twilio, *, lost: bool = True) -> None:
    """Half a second of the caller's frames never comes; Twilio's stamps go on, and its chunks do if they were sent."""
    async with twilio.attached():
        client = await twilio.stream()
        await client.play(ANN, BEN)
        await client.play(None, BEN[:4000])
        client.chunks["inbound"] += 25 if lost else 0
        await client.play(ANN, BEN)
        await client.stop()
        await twilio.over()


async def cut(twilio: Twilio) -> None:
    """The connection is torn and never comes back."""
    async with twilio.attached():
        client = await twilio.stream()
        await client.play(ANN, BEN)
        await client.cut()
        await twilio.over()


async def back(twilio: Twilio) -> None:
    """The connection is torn, and a second later another stream goes on with the call."""
    async with twilio.attached():
        client = await twilio.stream()
        await client.play(ANN, BEN)
        await client.cut()
        await asyncio.sleep(1.0)
        client = await twilio.stream()
        await client.play(ANN, BEN)
        await client.stop()
        await twilio.over()


async def silent(twilio: Twilio) -> None:
    """A stream that sends not one frame."""
    async with twilio.attached():
        client = await twilio.stream()
        await asyncio.sleep(2.0)
        await client.stop()
        await twilio.over()


async def crash(twilio: Twilio) -> None:
    """vcond is killed in the middle of a call, and the stream comes back two seconds later."""
    async with twilio.attached():
        client = await twilio.stream()
        await client.play(ANN, BEN)
        journal = MemoryHost.after_crash(twilio.host)  # what is on disk at that moment; what follows is the clean end
    await asyncio.sleep(2.0)
    async with twilio.attached(journal):
        client = await twilio.stream()
        await client.play(ANN, BEN)
        await client.stop()
        await twilio.over()


SCENARIOS: dict[str, Callable[[], MemoryHost]] = {
    "plain": partial(script, plain),
    "outbound": partial(script, outbound),
    "dtmf": partial(script, dtmf),
    "two-streams": partial(script, two_streams),
    "loss": partial(script, loss),
    "not-sent": partial(script, partial(loss, lost=False)),
    "cut": partial(script, cut),
    "cut-and-back": partial(script, back),
    "no-audio": partial(script, silent),
    "crash": partial(script, crash),
}
