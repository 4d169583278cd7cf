"""What the tests of the outbox share: vCons, a clock moved by hand, a sink in memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

from vcond.delivery import Outbox, OutboxConfig
from vcond.delivery.store import OutboxStore
from vcond.sdk.sink import Form, OutgoingVcon, Receipt
from vcond.storage.files import Files

SECOND = 1_000_000_000
NOON = 1_767_614_400 * SECOND
"""2026-01-05T12:00:00Z."""


def uuid_of(n: int) -> str:
    """The n-th uuid, version 8, with a time that goes on."""
    ms = f"{NOON // 1_000_000 + n:012x}"
    return f"{ms[:8]}-{ms[8:]}-8000-8000-{n:012x}"


def body_of(n: int, size: int = 0, **more: Any) -> bytes:
    """A vCon that every receiver takes."""
    document = {
        "vcon": "0.4.0",
        "uuid": uuid_of(n),
        "created_at": "2026-01-05T12:00:00Z",
        "subject": "x" * size,
        "parties": [{"tel": "+15551230001"}, {"name": "vcond edge", "type": "bot"}],
        "dialog": [{"type": "incomplete", "start": "2026-01-05T12:00:00Z", "parties": [0], "disposition": "no-answer"}],
        "analysis": [],
        "attachments": [{"purpose": "tags", "party": 1, "encoding": "json", "body": ["source:vcond"]}],
        **more,
    }
    return json.dumps(document).encode()


def record(n: int = 1, size: int = 0, form: Form = "plain") -> OutgoingVcon:
    """One of them, as a sink is handed it."""
    body = body_of(n, size)
    return OutgoingVcon(uuid_of(n), body, hashlib.sha512(body).hexdigest(), form)


class HandClock:
    """Stands until it is moved."""

    def __init__(self, now: int = NOON) -> None:
        self.time = now

    def now(self) -> int:
        return self.time

    def pass_seconds(self, seconds: float) -> None:
        self.time += round(seconds * SECOND)


async def take(record: OutgoingVcon) -> Receipt:
    """What a sink in memory does with everything, unless told otherwise."""
    return Receipt(204, "memory", "taken")


@dataclass
class MemorySink:
    """Keeps what it is handed; ``answer`` decides, and may raise Retry or Refused."""

    name: str = "memory"
    concurrency: int = 2
    answer: Callable[[OutgoingVcon], Awaitable[Receipt]] = take
    profile: str = "core"
    tried: list[str] = field(default_factory=list)
    got: dict[str, list[bytes]] = field(default_factory=dict)
    now: int = 0
    peak: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        self.changed = asyncio.Condition()

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        self.tried.append(record.uuid)
        self.now += 1
        self.peak = max(self.peak, self.now)
        await self._say()
        try:
            receipt = await self.answer(record)
            self.got.setdefault(record.uuid, []).append(record.body)
            return receipt
        finally:
            self.now -= 1
            await self._say()

    async def _say(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def begun(self, count: int) -> None:
        """Until so many tries are under way."""
        await self.wait_for(lambda: self.now >= count)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until it holds; looked at when a try begins and when it ends."""
        async with self.changed:
            await self.changed.wait_for(condition)

    async def erase(self, uuid: str) -> Receipt:
        self.got.pop(uuid, None)
        return Receipt(204, "memory")

    async def close(self) -> None:
        self.closed = True


def make_store(
    root: Path, sinks: tuple[str, ...] = ("a",), now: int = NOON, files: Files | None = None, **options: Any
) -> OutboxStore:
    """The blocking half, as ``Outbox.open`` makes it."""
    return OutboxStore(
        root / "outbox", root / "vcond.db", sinks, now=now, latest=now + 300 * SECOND, files=files, **options
    )


def make_outbox(root: Path, *sinks: Any, clock: Any, **options: Any) -> Outbox:
    """An outbox that retries fast and keeps nothing, unless told otherwise."""
    config = options.pop("config", None) or OutboxConfig(keep_days=0, backoff_min=0.01, backoff_max=0.02, drain=5)
    return Outbox(
        root / "outbox", sinks, database=root / "vcond.db", clock=clock, rng=Random(7), config=config, **options
    )


class Running:
    """An open outbox whose ``run`` goes on inside the ``async with``; ``delivered`` is what the core was told."""

    def __init__(self, root: Path, *sinks: Any, clock: Any, **options: Any) -> None:
        self.delivered: list[str] = []
        self._told = asyncio.Condition()
        self.outbox = make_outbox(root, *sinks, clock=clock, on_delivered=self._on_delivered, **options)

    async def _on_delivered(self, uuid: str) -> None:
        async with self._told:
            self.delivered.append(uuid)
            self._told.notify_all()

    async def wait_for(self, delivered: int) -> None:
        """Until the core was told of so many."""
        async with self._told:
            await self._told.wait_for(lambda: len(self.delivered) >= delivered)

    async def __aenter__(self) -> Self:
        await self.outbox.open()
        self._task = asyncio.create_task(self.outbox.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.outbox.close()


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Until it holds: for what the database alone knows."""
    while not await check():  # noqa: ASYNC110 - a database tells nobody
        await asyncio.sleep(0.01)


async def state(outbox: Outbox, n: int, sink: str) -> Any:
    """One delivery of the n-th vCon."""
    entry = await outbox.get(uuid_of(n))
    assert entry is not None
    return next(each for each in entry.sinks if each.sink == sink)
