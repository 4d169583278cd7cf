"""What happens now, for whoever watches: live captions and events. A slow watcher loses lines, nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from vcond.base import metrics
from vcond.sdk.contract import CaptionEvent

__all__ = ["EVERY", "CaptionEvent", "LiveFeed"]

MAX_WAITING = 1_000
"""Lines that wait for one watcher."""
EVERY = ""
"""In place of a call's uuid: all calls, and what is of none. Twice a second comes a ``tick`` of no call, so that a
watcher knows a quiet daemon from a dead one; ``published`` and ``delivered`` come after a call's end."""


class Watcher:
    """What waits for one who watches a call, or everything."""

    def __init__(self, call: str) -> None:
        self.call = call
        self._queue: asyncio.Queue[CaptionEvent | None] = asyncio.Queue(MAX_WAITING)

    def put(self, line: CaptionEvent | None) -> None:
        """Never waits: with too much waiting the oldest line is lost. None is the end."""
        if self._queue.full():
            self._queue.get_nowait()
            if line is not None:
                metrics.dropped_total.labels("live-line", "slow-watcher").inc()
        self._queue.put_nowait(line)

    async def lines(self) -> AsyncIterator[CaptionEvent]:
        """Lines until the end."""
        while (line := await self._queue.get()) is not None:
            yield line


class LiveFeed:
    """Hands every line to those who watch everything or its call."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[Watcher]] = {}
        self._closed = False

    def watched(self, call: str = EVERY) -> bool:
        """Whether anybody listens to a call, or to everything."""
        return bool(self._watchers) and (EVERY in self._watchers or call in self._watchers)

    def publish(self, line: CaptionEvent) -> None:
        """Never waits."""
        for call in {line.call, EVERY}:
            for watcher in self._watchers.get(call, ()):
                watcher.put(line)

    def moved(self, call: str, into: str) -> None:
        """A call is part of another now: who watched it watches that."""
        for watcher in self._watchers.pop(call, set()):
            watcher.call = into
            self._watchers.setdefault(into, set()).add(watcher)

    def ended(self, call: str) -> None:
        """A call is over: who watched it alone is done."""
        for watcher in self._watchers.get(call, ()):
            watcher.put(None)

    def close(self) -> None:
        """End every watcher's iteration."""
        self._closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.put(None)

    @contextmanager
    def watch(self, call: str = EVERY, *, over: bool = False) -> Iterator[AsyncIterator[CaptionEvent]]:
        """Lines from now on, of everything until the feed closes, or of one call until its end; none when it is ``over``."""
        watcher = Watcher(call)
        if self._closed or over:
            watcher.put(None)
        self._watchers.setdefault(call, set()).add(watcher)
        try:
            yield watcher.lines()
        finally:
            watchers = self._watchers[watcher.call]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[watcher.call]
