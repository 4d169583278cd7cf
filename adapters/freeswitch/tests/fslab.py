"""A fake switch, a host, and the adapter between them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

from fakeswitch import FakeSwitch

from vcond.call import events as ev
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find
from vcond.testing.time import run_virtual, until
from vcond_freeswitch import Config, FreeSwitchAdapter

RATE = 8000


class Lab:
    """A switch, a host, and the adapter between them."""

    def __init__(self, switch: FakeSwitch, **config) -> None:
        self.switch = switch
        self.config = {"rate": RATE, "timeout": 2.0, "password": "secret", **config}
        self.host = MemoryHost("freeswitch")
        self.task: asyncio.Task | None = None

    @asynccontextmanager
    async def attached(self, host: MemoryHost | None = None):
        self.host = host or self.host
        async with self.host:
            config = {"port": self.switch.port, "directory": str(self.switch.directory), **self.config}
            if config.get("url"):
                token = self.host.ingress.token
                config["url"] = f"{self.host.ingress.bound_url.replace('http', 'ws')}/freeswitch/audio/{token}"
            self.task = asyncio.create_task(FreeSwitchAdapter(Config(**config)).run(self.host))
            ticks = asyncio.create_task(self._tick())
            try:
                await self.until(lambda: self.host.is_attached)
                yield self
            finally:
                ticks.cancel()
                self.task.cancel()
                await asyncio.wait([self.task, ticks])
                assert self.task.cancelled(), self.task.exception()
        assert self.host.faults == []
        assert ("event", "mistake") not in self.host.drops

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.host.tick()

    async def until(self, predicate, within: float = 120.0) -> None:
        await until(predicate, within=within, every=0.1)

    async def listened(self, *channels) -> None:
        await self.until(lambda: all(channel.bugs for channel in channels))

    async def speak(self, *parts) -> None:
        await self.switch.speak(*[(channel, samples.astype("<i2").tobytes()) for channel, samples in parts])

    def warnings(self, call=None) -> list[str]:
        call = call or self.host.calls[0]
        return [event.code for event in call.events if isinstance(event, ev.Warned)]

    async def over(self, key: str):
        await self.until(lambda: self.host.by_key(key).over)
        return self.host.by_key(key)

    def heard(self, call, party, said) -> float:
        return find(said, self.host.audio(call, party, rate=RATE))[0]


def lab(main, *, harm=(), **config) -> None:
    async def inside() -> None:
        directory = Path(tempfile.mkdtemp(prefix="vcond-test-"))
        switch = FakeSwitch(directory)
        await switch.start()
        try:
            async with asyncio.timeout(3000):
                await main(Lab(switch, **config))
        finally:
            await switch.stop()
            shutil.rmtree(directory)
        assert switch.harm == list(harm)

    run_virtual(inside())
