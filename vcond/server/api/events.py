"""What happens now, as server-sent events (HTML Living Standard, 9.2): numbered, so that who was cut off goes on where they were.

Who does not read is cut off and counted: nobody waits for a watcher, and nothing is built for nobody. What is sent is put together once
for all who follow the same, and a write to one of them is what costs: so many are made a second, for all of them together.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

import msgspec

from vcond.base import metrics
from vcond.capture.levels import Levels
from vcond.capture.live_feed import CaptionEvent, LiveFeed
from vcond.server.api import masking
from vcond.server.api.meters import Meters

KEPT: Final = 2000
"""Events that can be had again, with ``Last-Event-ID``."""
MOST_WAITING: Final = 500
"""Events that wait for one watcher."""
LINGER: Final = 60.0
"""Seconds that events go on to be numbered when the last watcher has left: it may come back."""
BATCH: Final = 0.05
"""Seconds from what is sent to the next: many events then are one write. The first of them waits for nothing."""
WRITES: Final = 100
"""A second, to all watchers together: with many of them ``BATCH`` is longer, up to ``SLOWEST``."""
SLOWEST: Final = 0.5
"""Seconds that an event waits at most: a call is to be seen within a second of its beginning."""
TOGETHER: Final = 100
"""Events that are one write at most."""
BEAT: Final = 20
"""Of so many ticks of the live feed, which come twice a second, one is sent as a comment: a dead connection is found."""
_TICK: Final = "tick"


class _Event:
    """One, in the forms in which it is sent, each made once for all watchers."""

    __slots__ = ("_forms", "line", "number")

    def __init__(self, number: str, line: CaptionEvent) -> None:
        self.number, self.line = number, line
        self._forms: list[bytes | None] = [None, None]

    def form(self, whole: bool) -> bytes:
        made = self._forms[whole]
        if made is None:
            line = self.line if whole else msgspec.structs.replace(self.line, name=masking.words(self.line.name))
            made = self._forms[whole] = event(self.line.kind, msgspec.json.encode(line), self.number)
        return made


class Watcher:
    """One who follows: all calls, or one."""

    def __init__(
        self, call: str, whole: bool, cut: Callable[[], None], holds: Callable[[], bool], *, levels: bool = False
    ) -> None:
        """``cut`` ends the connection of who does not read; ``holds``: whether they still may; ``levels``: they want those, too."""
        self.call, self.whole, self._cut, self._holds, self.levels = call, whole, cut, holds, levels
        self._waiting: deque[bytes] = deque()
        self._levels, self._count = b"", 0
        self._more = asyncio.Event()
        self.over = False

    def put(self, chunk: bytes, events: int = 1) -> None:
        """So many of them. Never waits."""
        if self.over:
            return
        self._count += events
        if self._count > MOST_WAITING:
            metrics.api_cut_off_total.inc()
            self.end()
            self._waiting.clear()
            self._cut()
            return
        self._waiting.append(chunk)
        self._more.set()

    def put_levels(self, chunk: bytes) -> None:
        """In place of those that were not sent yet: nobody is cut off for them. They are sent with what comes next."""
        self._levels = chunk

    def hurry(self) -> None:
        """Levels are sent now, if there are any."""
        if self._levels:
            self._more.set()

    def beat(self) -> None:
        """Now and then: whose token is not good any more follows no longer."""
        if self._holds():
            self.put(b": beat\n\n")
        else:
            self.end()

    def end(self) -> None:
        """Nothing follows."""
        self.over = True
        self._more.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """What to send, until the end; all that waits at once."""
        while True:
            await self._more.wait()
            self._more.clear()
            if self._waiting or self._levels:
                chunk = b"".join([*self._waiting, self._levels])
                self._waiting.clear()
                self._levels, self._count = b"", 0
                yield chunk
            if self.over:
                return


class _Group:
    """Those who follow the same, in the same form."""

    def __init__(self, call: str, whole: bool) -> None:
        self.call, self.whole = call, whole
        self.watchers: set[Watcher] = set()
        self._pending: list[bytes] = []

    def put(self, one: _Event) -> None:
        """Sent with what comes soon, or at once when that is much."""
        self._pending.append(one.form(self.whole))
        if len(self._pending) >= TOGETHER:
            self.send()

    def send(self) -> None:
        """What has come goes to each, in one piece."""
        if self._pending:
            chunk, events = b"".join(self._pending), len(self._pending)
            self._pending.clear()
            for watcher in list(self.watchers):
                watcher.put(chunk, events)

    def end(self) -> None:
        """Nothing follows."""
        self.send()
        for watcher in list(self.watchers):
            watcher.end()


class Events:
    """Follows the live feed while anybody does, and a little longer."""

    def __init__(self, feed: LiveFeed, most: int, levels: Levels) -> None:
        """``most`` watchers at once."""
        self._feed, self._most, self._meters = feed, most, Meters(levels, self._soon)
        self._watchers: set[Watcher] = set()
        self._groups: dict[tuple[str, bool], _Group] = {}
        self._sending: asyncio.TimerHandle | None = None
        self._sent = -SLOWEST
        self._kept: deque[_Event] = deque(maxlen=KEPT)
        self._run, self._count, self._ticks = "", 0, 0
        self._pump: asyncio.Task[None] | None = None
        self._ending: asyncio.TimerHandle | None = None

    def begin(self, watcher: Watcher, last: str) -> bool:
        """Follow from now on, or from after the event ``last``. False: there are too many who do."""
        if len(self._watchers) >= self._most:
            return False
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._pump is None:
            self._run, self._count = secrets.token_hex(4), 0
            self._kept.clear()
            self._pump = asyncio.create_task(self._follow(), name="api events")
        self._watchers.add(watcher)
        group = self._groups.setdefault((watcher.call, watcher.whole), _Group(watcher.call, watcher.whole))
        group.send()  # to the others: it is before what this one begins with
        group.watchers.add(watcher)
        if watcher.levels:
            self._meters.begin(watcher)
        metrics.api_watchers.set(len(self._watchers))
        watcher.put(event("hello", b"{}", f"{self._run}-{self._count}") if not last else self._since(watcher, last))
        return True

    def leave(self, watcher: Watcher) -> None:
        """They have left."""
        self._watchers.discard(watcher)
        if (group := self._groups.get(key := (watcher.call, watcher.whole))) is not None:
            group.watchers.discard(watcher)
            if not group.watchers:
                del self._groups[key]
        self._meters.leave(watcher)
        metrics.api_watchers.set(len(self._watchers))
        if not self._watchers and self._pump is not None:
            self._ending = asyncio.get_running_loop().call_later(LINGER, self._pump.cancel)

    async def close(self) -> None:
        """The daemon stops."""
        for timer in (self._ending, self._sending):
            if timer is not None:
                timer.cancel()
        self._end_all()
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump

    def _since(self, watcher: Watcher, last: str) -> bytes:
        """What came after an event, or word that this is not known any more: then what is shown is to be loaded again."""
        run, _, number = last.partition("-")
        missed = self._count - int(number) if run == self._run and number.isdecimal() and len(number) < 16 else -1
        if not 0 <= missed <= len(self._kept):
            return event("reset", b"{}", f"{self._run}-{self._count}")
        again = list(self._kept)[len(self._kept) - missed :]
        mine = [one.form(watcher.whole) for one in again if watcher.call in {"", one.line.call}]
        return b"".join(mine) or b": again\n\n"

    async def _follow(self) -> None:
        try:
            with self._feed.watch() as lines:
                async for line in lines:
                    self._told(line)
        finally:
            self._pump, self._ending = None, None
            self._end_all()

    def _end_all(self) -> None:
        for group in self._groups.values():
            group.end()

    def _soon(self) -> float:
        """Send what there is, as soon as it is time to; how many seconds apart that is."""
        apart = min(max(BATCH, len(self._watchers) / WRITES), SLOWEST)
        if self._sending is None:
            loop = asyncio.get_running_loop()
            self._sending = loop.call_at(max(self._sent + apart, loop.time()), self._send)
        return apart

    def _send(self) -> None:
        self._sending, self._sent = None, asyncio.get_running_loop().time()
        for group in list(self._groups.values()):
            group.send()
            for watcher in group.watchers:
                watcher.hurry()

    def _told(self, line: CaptionEvent) -> None:
        if line.text == _TICK and not line.call:
            self._ticks += 1
            if self._ticks % BEAT == 0:
                for watcher in list(self._watchers):
                    watcher.beat()
            return
        self._count += 1
        one = _Event(f"{self._run}-{self._count}", line)
        self._kept.append(one)
        for group in list(self._groups.values()):
            if group.call in {"", line.call}:
                group.put(one)
                if group.call and line.kind == "event" and line.text == "callended":
                    group.end()
        self._soon()


def event(kind: str, data: bytes, number: str) -> bytes:
    """One event. JSON has no line ends, which would end ``data``."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (number.encode(), kind.encode(), data)
