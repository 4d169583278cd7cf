"""What happens now, for whoever watches: live captions and events. A slow watcher loses lines, nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from vcond import metrics

MAX_WAITING = 1_000


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of ``GET /v1/live``. Times are seconds from the call's zero."""

    call: str
    kind: Literal["partial", "final", "event"]
    text: str
    """Words for partial and final; an event's name for event, ``published`` and ``delivered`` among them. Twice a second
    comes a ``tick`` of no call, so that a watcher knows a quiet daemon from a dead one."""
    party: int | None = None
    name: str = ""
    start: float = 0.0
    stop: float = 0.0


class Bus:
    """Hands every line to every watcher."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[Line | None]] = set()
        self._closed = False

    @property
    def watched(self) -> bool:
        """Whether anybody listens."""
        return bool(self._watchers)

    def publish(self, line: Line) -> None:
        """Never waits: a watcher with too much waiting loses its oldest line."""
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
                metrics.dropped_total.labels("live-line", "slow-watcher").inc()
            queue.put_nowait(line)

    def close(self) -> None:
        """End every watcher's iteration."""
        self._closed = True
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    @contextmanager
    def watch(self) -> Iterator[AsyncIterator[Line]]:
        """Lines from now on, until the bus closes."""
        queue: asyncio.Queue[Line | None] = asyncio.Queue(MAX_WAITING)
        if self._closed:
            queue.put_nowait(None)
        self._watchers.add(queue)

        async def lines() -> AsyncIterator[Line]:
            while (line := await queue.get()) is not None:
                yield line

        try:
            yield lines()
        finally:
            self._watchers.discard(queue)
