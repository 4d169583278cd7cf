"""A daemon's parts with an adapter by hand: calls that are spoken, and folders as sinks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vcond.app.forgetting import clear, clear_index
from vcond.app.wiring import Parts
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.capture.adapter_host import CaptureHost
from vcond.capture.clock import SteadyClock
from vcond.config import Config, Loaded
from vcond.delivery import Entry
from vcond.sdk.contract import ArrivalClock, Cause, Codec

FRAME = (np.sin(np.arange(160) / 3) * 8000).astype("<i2").tobytes()
TEL = "+12125550143"


def config(root: Path, *sinks: str, **more: Any) -> Config:
    """Of a daemon below ``root``, with a folder for each sink."""
    import msgspec

    plain = {
        "vcond": {"name": "edge.example.com", "state_dir": str(root / "state"), "admin_socket": str(root / "admin"),
                  "min_free_mb": 0},
        "web": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"},
        "speech": {"engine": "none"},
        "keys": {"store": str(root / "keys")},
        "sinks": [{"type": "folder", "name": name, "path": str(root / name)} for name in sinks or ("folder",)],
    }  # fmt: skip
    for section, keys in more.items():
        plain[section] = {**plain.get(section, {}), **keys} if isinstance(keys, dict) else keys
    return msgspec.convert(plain, Config)


class Edge:
    """Parts of a daemon that run, and its admin socket's answers."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.host = CaptureHost("test", parts.registry, None, lambda: None)  # type: ignore[arg-type]  # no ingress here

    async def read(self, name: str, **query: str) -> Any:
        return await self.parts.status.reads[name](query)

    async def write(self, name: str, **query: str) -> Any:
        return await self.parts.status.writes[name](query)

    def call(self, key: str = "k", tel: str = TEL) -> Any:
        """A call that goes on: two parties who were heard for a second."""
        now = self.parts.clock.now()
        call = self.host.call(key, at=now)
        for name, number in (("caller", tel), ("agent", "1001")):
            party = call.party(name, at=now, who=ev.PartyInfo(name=name.title(), tel=number, validation="none"))
            track = call.track(party, at=now, codec=Codec.L16, rate=8000, clock=ArrivalClock())
            for i in range(50):
                track.write(FRAME, arrived=Instant(now + i * SECOND // 50))
        call.emit(ev.Answered(at=now))
        return call

    async def ended(self, key: str = "k", tel: str = TEL) -> str:
        """A call that every sink has; its uuid."""
        call = self.call(key, tel)
        call.end(at=self.parts.clock.now(), cause=Cause(q850=16))
        await self.until(lambda: self.stage(call.uuid, "kept", "gone"))
        return str(call.uuid)

    async def entry(self, uuid: str) -> Entry | None:
        return await self.parts.outbox.get(uuid)

    async def stage(self, uuid: str, *stages: str) -> bool:
        entry = await self.entry(uuid)
        return entry is not None and entry.stage in stages

    async def until(self, check: Callable[[], Awaitable[bool]]) -> None:
        """Until it holds: for what only a database or a disk knows."""
        async with asyncio.timeout(60):
            while not await check():  # noqa: ASYNC110 - a database tells nobody
                await asyncio.sleep(0.01)


@asynccontextmanager
async def edge(made: Config, clock: SteadyClock | None = None) -> AsyncIterator[Edge]:
    """Its outbox delivers and its finisher finishes, until the end."""
    parts = Parts(Loaded(made), clock or SteadyClock())
    tasks: list[asyncio.Task[None]] = []
    try:
        await asyncio.to_thread(clear, parts.config, parts.keys, parts.tombstones, parts.forgetter.stays)
        await clear_index(parts.records, parts.tombstones, parts.forgetter.stays)
        await parts.old_journals.take_back(())
        tasks = [
            asyncio.create_task(each)
            for each in (parts.speech.run(), parts.finisher.run(), parts.outbox.run(), parts.records.run(parts.outbox))
        ]
        await parts.outbox.open()
        await parts.old_journals.run(rest=0)
        yield Edge(parts)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await parts.close()
