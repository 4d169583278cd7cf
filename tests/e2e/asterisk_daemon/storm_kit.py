"""A crash storm: calls through a real Asterisk and Twilio streams go on without end while vcond is killed. Loaded by path."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from daemon_kit import TOKEN
from fake_conserver import FakeConserver
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from vcond.demo import child
from vcond.demo.call import demo_call
from vcond.demo.player import Sids, opening, steps
from vcond.testing.sounds import voice
from vcond.vcon import read, validate

KINDS = ("start", "talk", "end", "deliver")
"""When it is killed: while it starts and reads journals; while people talk; just after a call ended; while it delivers."""
PHRASE = 2.0
SETTLE = 60.0
"""Seconds within which a delivery comes, else that kill is one while people talk."""


@dataclass
class Kill:
    """One of them."""

    kind: str
    at: float
    """POSIX seconds."""
    seen: frozenset[str]
    """Calls that vcond had told of, half a second before."""


@dataclass
class Storm:
    """Everything that goes on, and what is known of it."""

    site: Any
    conserver: FakeConserver
    asked: asyncio.Event
    """Set when the conserver is asked something."""
    chance: Random
    sent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of audio that Twilio got rid of, by call."""
    seen: set[str] = field(default_factory=set)
    kills: list[Kill] = field(default_factory=list)
    placed: int = 0

    def __post_init__(self) -> None:
        self._base = ""
        self._up = asyncio.Event()
        self._over = False
        self._ends: list[asyncio.Event] = []
        self._workers: list[asyncio.Task[None]] = []

    # Calls.

    def begin(self, phones: int, streams: int) -> None:
        """So many calls go on at each moment from now on, one after another."""
        lines = [self._phone] * phones + [self._stream] * streams
        self._workers = [asyncio.create_task(self._line(call, n)) for n, call in enumerate(lines)]

    async def end(self) -> None:
        """All hang up."""
        self._over = True
        for event in self._ends:
            event.set()
        await asyncio.gather(*self._workers)

    async def _line(self, call: Any, number: int) -> None:
        chance = Random(self.chance.random())
        while not self._over:
            self.placed += 1
            enough = asyncio.Event()
            self._ends.append(enough)
            timer = asyncio.get_running_loop().call_later(chance.uniform(5, 20), enough.set)
            try:
                await call(enough, number)
            finally:
                timer.cancel()
                self._ends.remove(enough)

    async def _phone(self, enough: asyncio.Event, number: int) -> None:
        farm = self.site.farm
        name = (
            f"{self.site.number[:-6]}{number:02}{self.placed % 10_000:04}"  # each its own: 200 kills take 3,000 calls
        )
        caller = await farm.dial("200", name)
        agent = await farm.ringing("agent", name)
        await agent.answer()
        await caller.up()
        words = [farm.voice(f"storm-{seed}", voice(seed, PHRASE)) for seed in (1, 2)]
        while not enough.is_set():
            await asyncio.gather(caller.say(words[0]), agent.say(words[1]))
        await caller.hang_up()
        await agent.gone()

    async def _stream(self, enough: asyncio.Event, _number: int) -> None:
        """Twilio's application opens another stream of the call whenever one was lost."""
        call, recording = Sids().call, demo_call()
        while not enough.is_set():
            await self._up.wait()
            sids = Sids(call=call)
            url = f"{self._base.replace('http', 'ws')}/twilio/stream/{TOKEN}"
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                async with connect(url, compression=None, proxy=None, open_timeout=5, close_timeout=1) as socket:
                    for message in opening(recording, sids):
                        await socket.send(message)
                    await self._play(socket, steps(recording, sids), sids, enough)
            await asyncio.sleep(self.chance.uniform(0.1, 0.5))

    async def _play(self, socket: Any, frames: Any, sids: Sids, enough: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        begun, count = loop.time(), 0
        for messages in frames:
            if enough.is_set():
                break
            for message in messages:
                await socket.send(message)
            count += 1
            self.sent[sids.call] += 0.02
            await asyncio.sleep(max(0.0, begun + count * 0.02 - loop.time()))
        stop = {"event": "stop", "sequenceNumber": str(2 * count + 2), "streamSid": sids.stream,
                "stop": {"accountSid": sids.account, "callSid": sids.call}}  # fmt: skip
        await socket.send(json.dumps(stop))
        await socket.wait_closed()

    # Kills.

    async def kill(self) -> None:
        """Start vcond, and kill it at a moment that chance picks."""
        kind = self.chance.choice(KINDS)
        house = self.site.vcond
        if kind == "start":
            house.write()
            notify = Path(tempfile.mktemp(prefix="notify-", dir=house.run_dir))
            async with child.daemon(house.config, house.root / "vcond.log", notify) as process:
                await asyncio.sleep(self.chance.uniform(0, 3))
                self._killed(kind, process, frozenset())
                await process.stop()
            return
        async with self._running() as vcond:
            await asyncio.sleep(self.chance.uniform(0, 3))
            rows = await vcond.ask("calls")
            await vcond.ticks(1)
            if kind == "end" and self._ends:
                self.chance.choice(self._ends).set()
                await asyncio.sleep(self.chance.uniform(0, 0.5))
            if kind == "deliver":
                self.asked.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SETTLE):
                        await self.asked.wait()
            self._killed(kind, vcond.process, frozenset(row["call"] for row in rows))
            await vcond.process.stop()

    async def finish(self) -> list[dict[str, Any]]:
        """No more kills: all calls end, and everything reaches the conserver. All that it has, each valid."""
        async with self._running() as vcond:
            await vcond.ticks(2)
            self.seen |= {row["call"] for row in await vcond.ask("calls")}
            await self.end()
            journals = self.site.vcond.state / "journal"
            await vcond.until("status", lambda _: not list(journals.glob("*-*")))
            await vcond.until("outbox", lambda rows: not rows)
            await self.site.nothing_left()
        found = []
        for uuid, bodies in self.conserver.bodies().items():
            (body,) = bodies  # however often it came, it is the same
            document = read(body)
            assert document["uuid"] == uuid
            assert [one for one in validate(document) if one.level == "error"] == []
            found.append(document)
        return found

    @contextlib.asynccontextmanager
    async def _running(self) -> Any:
        async with self.site.vcond.running() as vcond:
            self._base = vcond.base
            self._up.set()
            try:
                yield vcond
            finally:
                self._up.clear()

    def _killed(self, kind: str, process: child.Child, seen: frozenset[str]) -> None:
        self._up.clear()
        process.kill()
        self.kills.append(Kill(kind, time.time(), seen))
        self.seen |= seen
        print(f"kill {len(self.kills)}: {kind}, {len(seen)} calls", flush=True)
