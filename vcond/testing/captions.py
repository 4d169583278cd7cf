"""Whoever watches a call in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from vcond.sdk.contract import CaptionEvent

MAX_WAITING: Final = 1_000
"""Lines; one that waits for longer loses the oldest, as at the core."""


class Captions:
    """The watchers of one call. Their sets are shared with a call that was merged into it."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[CaptionEvent | None]] = set()
        self._taken: list[Captions] = []

    def show(self, line: CaptionEvent | None) -> None:
        """Hand a line to everybody who watches; None is the end."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(line)
        for other in self._taken:
            other.show(line)

    def take(self, other: Captions) -> None:
        """Who watches the other call sees the lines of this one from now on."""
        self._taken.append(other)

    def end(self) -> None:
        """The call is over."""
        self.show(None)

    @contextmanager
    def watch(self, *, over: bool = False) -> Iterator[AsyncIterator[CaptionEvent]]:
        """Lines from now on; none when the call is ``over``."""
        queue: asyncio.Queue[CaptionEvent | None] = asyncio.Queue(MAX_WAITING)
        if over:
            queue.put_nowait(None)
        self._queues.add(queue)

        async def lines() -> AsyncIterator[CaptionEvent]:
            while (line := await queue.get()) is not None:
                yield line

        try:
            yield lines()
        finally:
            self._queues.discard(queue)
