"""Thousands of taps that are refused, silent, stopped, removed, stalled, closed, half open, and an event socket that is cut.

Each loses its audio again and again for a minute; then nothing more happens to it, and within the longest pause every
living leg is heard again. At the end nothing is left on the switch or in the directory. What the world here does is what
``faketaps`` says of the real one; here without sockets, a second at a time, so that many fit.

``VCOND_TAPS=10000`` takes ten thousand of each kind: run by hand.
"""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from vcond.sdk.contract import SECOND, Instant, RefusedError, UnreachableError
from vcond.testing.host import MemoryHost
from vcond.testing.time import run_virtual
from vcond_freeswitch import Config
from vcond_freeswitch.client import NoSuchChannelError
from vcond_freeswitch.events import Event
from vcond_freeswitch.streams import StreamTap
from vcond_freeswitch.tap import PAUSES
from vcond_freeswitch.tapevents import TapEvents
from vcond_freeswitch.taps import TapManager

TAPS = int(os.environ.get("VCOND_TAPS", "80"))
BATCH = 400
"""Taps at the same time: each has two open files here."""
STALL = 3.0
"""Seconds without audio."""
LOSSES = ("stop", "removed", "stalled", "closed")
CHAOS, CALM = 60, round(PAUSES[-1]) + 15
SECOND_OF_AUDIO = b"\x01\x00" * 160
"""Stands for one: how much it is does not matter here."""


class Leg:
    """As much of a leg as taps see."""

    def __init__(self, channel: str, up: Instant) -> None:
        self.channel, self.up, self.left = channel, up, None
        self.key, self.bypassed, self.silenced, self.talking, self.stereo = channel, False, False, True, False
        self.conversation = self.call = self.party = self
        self.index = 0
        self.heard: list[Instant] = []
        self.warned: list[str] = []

    def open_track(self, at, rate, clock=None):
        return self

    def write(self, payload, *, arrived, stamp=None, seq=None) -> None:
        self.heard.append(arrived)

    def close(self, *, at) -> None:
        """A track's."""

    def warn(self, at, code, text) -> None:
        self.warned.append(code)

    def settle(self, at) -> None:
        self.manager.start(self)


class Door:
    """Where connections would come in."""

    def expect(self, tap, start) -> None:
        """They come by themselves."""

    def drop(self, socket) -> None:
        """It has no other end."""


class World:
    """The switch: which taps there are, and what befalls them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.manager: TapManager | None = None
        self.calm = False
        self.bugs: dict[str, dict[str, str]] = {}
        """By channel: target -> what it is now (``good``, ``stalled``)."""
        self.losses = 0
        self.gone: set[str] = set()

    async def background(self, line: str) -> str:
        await asyncio.sleep(self.random.uniform(0.005, 0.05))
        command, channel, *words = line.split(" ")
        bugs = self.bugs.setdefault(channel, {})
        if channel in self.gone:
            raise NoSuchChannelError("gone")
        if command == "uuid_buglist":
            return "".join(f"<target>{target}</target>" for target in bugs)
        if words[0] == "stop":
            self.remove(channel, words[1] if len(words) > 1 else "N/A")
            return "+OK Success\n"
        fate = "good" if self.calm else self.random.choice(["good", "good", "refused", "mute", "late"])
        if fate == "refused":
            self.losses += 1
            raise RefusedError("refused")
        if fate == "late":
            self.losses += 1
            raise UnreachableError("did not end in time")
        target = words[1] if command == "uuid_record" else "N/A"
        bugs[target] = "good" if fate == "good" else "stalled"
        self.losses += fate != "good"
        if command == "uuid_record":
            open(target, "wb").close()  # noqa: ASYNC230, PTH123 - a file in memory
        elif fate == "good" or self.random.random() < 0.5:
            self.manager.taps[channel].connected(object(), 1)
        return "+OK Success\n"

    def remove(self, channel: str, target: str) -> None:
        self.bugs[channel].pop(target, None)

    def second(self, now: Instant) -> None:
        """Everybody speaks, and some of what there is is lost."""
        for channel, bugs in self.bugs.items():
            for target, state in list(bugs.items()):
                tap = self.manager.taps.get(channel)
                if state == "good" and target != "N/A":
                    with open(target, "ab") as file:  # noqa: PTH123 - the fastest way
                        file.write(SECOND_OF_AUDIO)
                elif state == "good" and tap is not None and tap.socket is not None:
                    tap.frame(SECOND_OF_AUDIO, now)
                if not self.calm and self.random.random() < 0.05:
                    self.lose(channel, target, self.random.choice(LOSSES), now)

    def lose(self, channel: str, target: str, how: str, now: Instant) -> None:
        self.losses += 1
        tap = self.manager.taps.get(channel)
        if how == "stalled":
            self.bugs[channel][target] = "stalled"
            return
        if target == "N/A" and tap is not None and tap.socket is not None:
            tap.disconnected(tap.socket)
        elif how == "stop":
            self.remove(channel, target)
            TapEvents(self.manager).event(Event(name="RECORD_STOP", leg=channel, record_path=target), now)
        else:
            self.remove(channel, target)


async def seconds(world: World, manager: TapManager, host: MemoryHost, count: int, legs) -> None:
    cut = 0
    for _ in range(count):
        await asyncio.sleep(1)
        now = host.clock.now()
        world.second(now)
        manager.look(now)
        manager.complain(now)
        for leg in legs:  # as the core does
            if leg.heard and now - leg.heard[-1] >= STALL * SECOND:
                manager.again(leg, 0)
        if cut:
            cut -= 1
            if not cut:
                await manager.adopt(world, legs, {})
        elif not world.calm and world.random.random() < 0.05:
            manager.detached()
            cut = 3
    if cut:
        await manager.adopt(world, legs, {})


async def batch(kind: str, seed: int, size: int, directory) -> int:
    host, world = MemoryHost("freeswitch"), World(seed)
    config = Config(directory=str(directory), rate=8000, url="ws://127.0.0.1:1/a/b", stall_seconds=STALL)
    async with asyncio.TaskGroup() as tasks:
        manager = world.manager = TapManager(host, config, tasks)
        manager.kind = kind
        manager.make = {**manager.make, "stream": lambda leg, manager, _: StreamTap(leg, manager, "stream", Door())}
        legs = [Leg(f"leg-{n}", host.clock.now()) for n in range(size)]
        for leg in legs:
            leg.manager = manager
        await manager.adopt(world, legs, {})
        await seconds(world, manager, host, CHAOS, legs)
        world.calm = True
        await seconds(world, manager, host, CALM, legs)
        now = host.clock.now()
        silent = [leg.channel for leg in legs if not leg.heard or now - leg.heard[-1] > 3_000_000_000]
        assert silent == []
        for n, leg in enumerate(legs):
            if n % 2:
                leg.left = now  # its channel is gone, and its taps with it
                world.gone.add(leg.channel)
                world.bugs[leg.channel].clear()
            manager.stop(leg, now)
        await asyncio.sleep(1)
        left = {channel: bugs for channel, bugs in world.bugs.items() if bugs}
        assert left == {}
        assert not manager.taps
    assert list(directory.iterdir()) == []
    assert host.drops["event", "mistake"] == 0
    return world.losses


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_none_is_silent_and_none_is_left(kind, tmp_path):
    losses = 0
    for first in range(0, TAPS, BATCH):
        losses += run_virtual(batch(kind, first, min(BATCH, TAPS - first), tmp_path))
    assert losses > 5 * TAPS, "otherwise this shows nothing"
