"""The example is a package as a third party would write it; here it is importable without being installed."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from vcond_pcmline import HANG_UP, PcmLineAdapter, PcmLineConfig

from vcond.testing.rig import Rig, RigCall


class PcmLine(RigCall):
    def __init__(self, rig: PcmRig, key: str) -> None:
        self.rig, self.key = rig, key
        self.writer = None

    async def connect(self, host) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.rig.last.port)
        hello = {"call": self.key, "caller": "+15550100", "callee": "+15550199"}
        self.writer.write(json.dumps(hello).encode() + b"\n")
        await host.until(lambda: self.key in {call.key for call in host.open_calls()}, what="the call")

    async def resume(self, host) -> None:
        self.writer.close()
        await self.connect(host)

    async def speak(self, caller, callee) -> None:
        for at in range(0, len(caller), 160):
            await asyncio.sleep(0.02)
            for who, pcm in enumerate((caller, callee)):
                payload = np.asarray(pcm[at : at + 160], "<i2").tobytes()
                self.writer.write(bytes([who]) + len(payload).to_bytes(2) + payload)
            await self.writer.drain()

    async def hang_up(self) -> None:
        self.writer.write(bytes([HANG_UP]))
        self.writer.write_eof()

    async def cut(self) -> None:
        self.writer.transport.abort()


class PcmRig(Rig):
    can = frozenset({"cut", "restart", "garbage", "suspend"})
    private = ("+15550100", "+15550199")

    def __init__(self, adapter=PcmLineAdapter) -> None:
        self.kind = adapter
        self.numbers = itertools.count(1)
        self.lines: list[PcmLine] = []

    def adapter(self) -> PcmLineAdapter:
        self.last = self.kind(PcmLineConfig(port=0))
        return self.last

    async def place(self, host, *, answered=True) -> PcmLine:
        assert answered
        self.lines.append(PcmLine(self, f"line-{next(self.numbers)}"))
        await self.lines[-1].connect(host)
        return self.lines[-1]

    async def garbage(self, host) -> None:
        for nonsense in (b"hello\n", b"\xff" * 10_000, b'{"call": 5}\n'):
            _, writer = await asyncio.open_connection("127.0.0.1", self.last.port)
            writer.write(nonsense)
            writer.close()

    async def leftovers(self):
        """Connections that the adapter still holds open."""
        left = []
        for line in self.lines:
            try:
                async with asyncio.timeout(5):
                    await line.reader.read()
            except TimeoutError:
                left.append(f"connection of {line.key}")
        return left

    async def stop(self) -> None:
        for line in self.lines:
            if line.writer is not None:
                line.writer.transport.abort()


@pytest.fixture
def pcm_rig():
    """The rig's class; called with an adapter's class it tests that one."""
    return PcmRig
