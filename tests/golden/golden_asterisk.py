"""Asterisk: captures of a real one, told to the switchboard at their own times; and scripts for the fake one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial

from fake_ari import PASSWORD, USER, FakeAsterisk
from golden_kit import ROOT, TONES, Segmenting, tone, virtual

from vcond.base.time import MILLI
from vcond.sdk.contract import Cause
from vcond.testing.host import MemoryHost
from vcond.testing.time import NOON, ManualClock, until
from vcond_asterisk import AsteriskAdapter, Config, wire
from vcond_asterisk.tracker import ChannelTracker

CAPTURES = ROOT / "adapters" / "asterisk" / "tests" / "data"
LATE = 20 * MILLI
"""From an event's stamp to its arrival, ns."""
CONFIG = {"internal": ["PJSIP/agent*"], "domain": "pbx.test"}


def captured(name: str, *, tail: float = 0.0) -> MemoryHost:
    """A capture, everybody speaking a tone of his own from when he is listened to.

    ``tail``: seconds after the last event at which the PBX restarts, for captures that end in the middle of a call.
    """
    clock = ManualClock()
    host, listeners = MemoryHost("asterisk", clock=clock), Segmenting(clock, held_is_silent=True)
    tracker = ChannelTracker(host, Config(**CONFIG).checked(), listeners)
    zero: datetime | None = None
    for line in (CAPTURES / f"{name}.jsonl").read_text().splitlines():
        event = json.loads(line)
        stamp = datetime.strptime(event["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z")
        zero = zero or stamp
        listeners.pass_time(host, NOON + round((stamp - zero).total_seconds() * 1000) * MILLI + LATE)
        if (decoded := wire.decode_event(line.encode())) is not None:
            tracker.event(decoded, clock.now())
    if tail:
        listeners.pass_time(host, clock.now() + round(tail * 1000) * MILLI)
        for channel in sorted(tracker.legs):
            tracker.channels.remove(channel, clock.now(), Cause(q850=16))
        for half in sorted(tracker.locals):
            tracker.channels.remove(half, clock.now(), Cause(q850=16))
    return host


class Pbx:
    """The fake, and the adapter at a host."""

    def __init__(self, fake: FakeAsterisk, **config: object) -> None:
        self.fake = fake
        self.config = CONFIG | config
        self.host = MemoryHost("asterisk")

    @asynccontextmanager
    async def attached(self, host: MemoryHost | None = None):
        self.host = host or self.host
        config = Config(url=self.fake.url, user=USER, password=PASSWORD, **self.config)
        tasks = [asyncio.create_task(AsteriskAdapter(config).run(self.host)), asyncio.create_task(self._tick())]
        try:
            await until(lambda: self.host.is_attached)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.host.tick()

    async def ring(self) -> tuple[str, str]:
        caller = self.fake.channel("PJSIP/trunk", number="+15550100", name="Ann Example")
        callee = self.fake.channel("PJSIP/agent", linked=caller, number="1002", state="Ringing")
        self.fake.tell("Dial", caller=caller, peer=callee, dialstatus="RINGING")
        await asyncio.sleep(1.0)
        return caller, callee

    async def call(self) -> tuple[str, str]:
        """Ann calls 1002, who answers after a second; returns when both are listened to."""
        caller, callee = await self.ring()
        self.fake.up(callee)
        await asyncio.sleep(0.02)
        self.fake.up(caller)
        self.fake.bridge(callee, caller)
        await self.listened(caller, 2)
        return caller, callee

    async def listened(self, caller: str, count: int) -> None:
        await until(lambda: len(self.host.by_key(caller).state.tracks) >= count)

    async def speak(self, *channels: str, length: float = 1.0) -> None:
        for hertz, channel in zip(TONES, channels, strict=False):
            self.fake.say(channel, tone(hertz, length))
        await self.fake.said(*channels)
        await asyncio.sleep(0.2)

    async def end(self, *channels: str, by: str) -> None:
        self.fake.hang_up(*channels, by=by)
        await until(lambda: all(call.over for call in self.host.calls))


def script(main: Callable[[Pbx], object], **config: object) -> MemoryHost:
    async def inside() -> MemoryHost:
        async with FakeAsterisk() as fake:
            pbx = Pbx(fake, **config)
            await main(pbx)
            return pbx.host

    return virtual(inside())


async def plain(pbx: Pbx) -> None:
    async with pbx.attached():
        caller, callee = await pbx.call()
        await pbx.speak(caller, callee)
        await pbx.end(callee, caller, by=caller)


async def conference(pbx: Pbx) -> None:
    async with pbx.attached():
        members = []
        for number in range(3):
            one = pbx.fake.channel("PJSIP/trunk", number=f"+1555010{number}", name=f"Member {number}")
            pbx.fake.channels[one]["dialplan"] |= {"app_name": "ConfBridge", "app_data": "room"}
            pbx.fake.up(one)
            pbx.fake.bridge(one, ident="room")
            members.append(one)
            await asyncio.sleep(0.5)
        await pbx.listened(members[0], 3)
        await pbx.speak(*members)
        pbx.fake.hang_up(members[0], by=members[0])
        await asyncio.sleep(0.5)
        pbx.fake.hang_up(members[1], by=members[1])
        await pbx.end(members[2], by=members[2])


async def loss(pbx: Pbx) -> None:
    """Both the audio and the events are cut in the middle, and everything is made anew."""
    async with pbx.attached():
        caller, callee = await pbx.call()
        await pbx.speak(caller, callee)
        pbx.fake.cut_audio()
        pbx.fake.cut_events()
        await until(lambda: not pbx.host.is_attached)
        await until(lambda: pbx.host.is_attached)
        await asyncio.sleep(1.0)
        await pbx.speak(caller, callee)
        await pbx.end(callee, caller, by=callee)


async def crash(pbx: Pbx) -> None:
    """vcond is killed in the middle of a call, and started again two seconds later."""
    async with pbx.attached():
        caller, callee = await pbx.call()
        await pbx.speak(caller, callee)
        journal = MemoryHost.after_crash(pbx.host)  # what is on disk at that moment; what follows is the clean end
    await asyncio.sleep(2.0)
    async with pbx.attached(journal):
        await pbx.listened(caller, 4)
        await pbx.speak(caller, callee)
        await pbx.end(callee, caller, by=caller)


SCENARIOS: dict[str, Callable[[], MemoryHost]] = {
    "plain": partial(script, plain),
    "hold-and-dtmf": partial(captured, "plain-call"),
    "blind-transfer": partial(captured, "blind-transfer", tail=1.0),
    "attended-transfer": partial(captured, "attended-transfer", tail=1.0),
    "attended-transfer-no-target": partial(captured, "attended-transfer-no-target", tail=1.0),
    "queue": partial(captured, "queue", tail=1.0),
    "conference": partial(script, conference),
    "busy-pbx": partial(captured, "busy-pbx"),
    "busy-phone": partial(captured, "busy-phone"),
    "no-answer": partial(captured, "no-answer"),
    "cancelled": partial(captured, "cancelled"),
    "loss": partial(script, loss),
    "crash": partial(script, crash),
}
