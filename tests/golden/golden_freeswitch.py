"""FreeSWITCH: captures of a real one, told to the switchboard at their own times; and scripts for the fake one."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fakeswitch import Channel, FakeSwitch
from fskit import LATE, events
from golden_kit import TONES, Segmenting, same_chance, tone, virtual
from test_freeswitch_replay import replay

from vcond.testing.host import MemoryHost
from vcond.testing.time import NOON, ManualClock, until
from vcond_freeswitch import Config, FreeSwitchAdapter
from vcond_freeswitch.events import number
from vcond_freeswitch.tracker import ChannelTracker


def captured(name: str) -> MemoryHost:
    """A capture, everybody speaking a tone of his own from when he is listened to."""
    clock = ManualClock()
    host, listeners = MemoryHost("freeswitch", clock=clock), Segmenting(clock, held_is_silent=False)
    tracker = ChannelTracker(host, Config().checked(), listeners)
    zero = 0
    for event in events(name):
        zero = zero or number(event.stamp)
        listeners.pass_time(host, NOON + max(0, number(event.stamp) - zero) * 1000 + LATE)
        tracker.event(event, clock.now())
    assert host.drops.total() == 0
    return host


class Switch:
    """The fake, and the adapter at a host."""

    def __init__(self, fake: FakeSwitch) -> None:
        self.fake = fake
        self.host = MemoryHost("freeswitch")

    @asynccontextmanager
    async def attached(self, host: MemoryHost | None = None):
        self.host = host or self.host
        async with self.host:
            config = Config(
                port=self.fake.port, directory=str(self.fake.directory), rate=8000, timeout=2.0, password="secret"
            )
            task = asyncio.create_task(FreeSwitchAdapter(config).run(self.host))
            ticks = asyncio.create_task(self._tick())
            try:
                await until(lambda: self.host.is_attached)
                await asyncio.sleep(
                    0.007
                )  # the switch writes every 20 ms: files are not to be read at that very moment
                yield
            finally:
                for one in (task, ticks):
                    one.cancel()
                await asyncio.wait([task, ticks])

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.host.tick()

    async def call(self) -> tuple[Channel, Channel]:
        """Ann calls 1002, who answers after a second; returns when both are listened to."""
        one = self.fake.create(number="+15550100")
        two = self.fake.create(number="+15550100", inbound=False, other=one.uuid)
        await asyncio.sleep(1.0)
        self.fake.answer(two)
        await asyncio.sleep(0.02)
        self.fake.answer(one)
        self.fake.bridge(one, two)
        await self.listened(one, two)
        return one, two

    async def listened(self, *channels: Channel) -> None:
        await until(lambda: all(channel.bugs for channel in channels))
        await asyncio.sleep(0.1)

    async def speak(self, *channels: Channel, length: float = 1.0) -> None:
        said = zip(channels, TONES, strict=False)
        await self.fake.speak(*((one, tone(hertz, length).astype("<i2").tobytes()) for one, hertz in said))
        await asyncio.sleep(0.2)

    async def end(self, one: Channel, two: Channel) -> None:
        self.fake.end(one, two)
        await until(lambda: all(call.over for call in self.host.calls))


def script(main: Callable[[Switch], object]) -> MemoryHost:
    async def inside() -> MemoryHost:
        directory = Path(tempfile.mkdtemp(prefix="vcond-golden-"))
        fake = FakeSwitch(directory)
        await fake.start()
        try:
            switch = Switch(fake)
            await main(switch)
        finally:
            await fake.stop()
            shutil.rmtree(directory)
        assert fake.harm == []
        return switch.host

    return virtual(inside())


async def plain(switch: Switch) -> None:
    async with switch.attached():
        one, two = await switch.call()
        await switch.speak(one, two)
        await switch.end(one, two)


async def away(switch: Switch) -> None:
    """The event socket is gone for a second; the files grow on."""
    async with switch.attached():
        one, two = await switch.call()
        await switch.fake.refuse()
        await switch.speak(one, two)
        await switch.fake.start()
        await until(lambda: switch.host.is_attached)
        await switch.speak(one, two)
        await switch.end(one, two)


async def loss(switch: Switch) -> None:
    """The file system of the taps is full for the second half of the call."""
    async with switch.attached():
        one, two = await switch.call()
        await switch.speak(one, two)
        switch.fake.full = True
        await switch.speak(one, two)
        await switch.end(one, two)


async def crash(switch: Switch) -> None:
    """vcond is killed in the middle of a call, and started again two seconds later."""
    async with switch.attached():
        one, two = await switch.call()
        await switch.speak(one, two)
        await switch.fake.refuse()  # so that nothing can be tidied up, as in a crash
        journal = MemoryHost.after_crash(switch.host)
    await asyncio.sleep(2.0)
    await switch.fake.start()
    async with switch.attached(journal):
        await until(journal.open_calls)
        await asyncio.sleep(1.0)
        await switch.speak(one, two)
        await switch.end(one, two)


def recorded(name: str) -> MemoryHost:
    """A recorded session with its recorded audio: files that grow as those of the real switch grew."""
    kept: list[MemoryHost] = []
    with same_chance():
        replay(name, lambda it, _call, _said: kept.append(it.host))
    return kept[0]


SCENARIOS: dict[str, Callable[[], MemoryHost]] = {
    "plain": partial(script, plain),
    "captured-plain": partial(captured, "basic.json"),
    "callee-hangs-up": partial(captured, "callee_hangup.plain"),
    "hold": partial(captured, "hold_unhold.plain"),
    "dtmf": partial(captured, "dtmf.json"),
    "blind-transfer-by-callee": partial(captured, "blind_transfer_by_callee.json"),
    "blind-transfer-by-caller": partial(captured, "blind_transfer_by_caller.plain"),
    "transfer-by-switch": partial(captured, "uuid_transfer_api.json"),
    "attended-transfer": partial(captured, "attended_transfer.json"),
    "conference": partial(captured, "conference.json"),
    "queue": partial(captured, "queue_callcenter.plain"),
    "lone-leg": partial(captured, "echo_single_leg.plain"),
    "busy": partial(captured, "busy.json"),
    "no-answer": partial(captured, "no_answer_timeout.json"),
    "cancelled": partial(captured, "cancelled_by_caller.plain"),
    "recorded-hold": partial(recorded, "record_perleg_hold_by_caller"),
    "recorded-blind-transfer": partial(recorded, "record_perleg_blind_transfer_by_caller"),
    "events-away": partial(script, away),
    "loss": partial(script, loss),
    "crash": partial(script, crash),
}
