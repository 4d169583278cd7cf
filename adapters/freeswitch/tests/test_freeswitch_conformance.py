from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from fakeswitch import FakeSwitch

from vcond.testing.conformance import AdapterConformance
from vcond.testing.rig import Rig, RigCall
from vcond.testing.time import until
from vcond_freeswitch import Config, FreeSwitchAdapter


def pcm(samples) -> bytes:
    return samples.astype("<i2").tobytes()


class SwitchLine(RigCall):
    """A call through the fake switch."""

    def __init__(self, rig: SwitchRig, host, one, two) -> None:
        self.rig, self.host, self.one, self.two, self.key = rig, host, one, two, one.uuid

    async def listened_to(self) -> None:
        await until(lambda: self.one.bugs and self.two.bugs)
        await asyncio.sleep(0.1)

    async def speak(self, caller, callee) -> None:
        await self.listened_to()
        silence = np.zeros(800, np.int16)
        await self.rig.switch.speak(
            (self.one, pcm(np.concatenate([caller, silence]))), (self.two, pcm(np.concatenate([callee, silence])))
        )

    async def hang_up(self) -> None:
        self.rig.switch.end(self.one, self.two)

    async def press(self, digit) -> None:
        self.rig.switch.press(self.one, digit)

    async def hold(self, *, on) -> None:
        self.rig.switch.hold(self.two, on=on)
        await asyncio.sleep(1.0)

    async def cut(self) -> None:
        await self.rig.switch.refuse()
        await asyncio.sleep(1.0)

    async def stop_audio(self) -> None:
        await self.listened_to()
        for channel in (self.one, self.two):
            channel.bugs[0].stalled = True

    async def renewed(self, host) -> None:
        await until(lambda: not any(bug.stalled for channel in (self.one, self.two) for bug in channel.bugs), every=0.1)

    async def resume(self, host) -> None:
        if self.rig.switch._server is None:
            await self.rig.switch.start()
        await host.until(lambda: host.is_attached and self.key in {call.key for call in host.open_calls()})


class SwitchRig(Rig):
    can = frozenset(
        {"digits", "hold", "unanswered", "cut", "resume", "restart", "garbage", "stop", "renew", "clock", "suspend"}
    )
    private = ("1002", "Ann Example", "+15550100", "top-secret")

    def __init__(self, form: str = "json") -> None:
        self.form = form
        self.directory = Path(tempfile.mkdtemp(prefix="vcond-test-"))
        self.switch = FakeSwitch(self.directory, password="top-secret")

    def adapter(self) -> FreeSwitchAdapter:
        port = self.switch.port or 1
        config = Config(
            port=port, password="top-secret", directory=str(self.directory), rate=8000, format=self.form, timeout=2.0
        )
        return FreeSwitchAdapter(config)

    async def start(self) -> None:
        await self.switch.start()

    async def stop(self) -> None:
        await self.switch.stop()
        assert self.switch.harm == []
        shutil.rmtree(self.directory)

    async def place(self, host, *, answered=True) -> SwitchLine:
        one, two = self.switch.call(answered=answered, number="+15550100")
        await host.until(lambda: one.uuid in {call.key for call in host.open_calls()}, what="the call")
        return SwitchLine(self, host, one, two)

    def set_clock(self, seconds) -> None:
        self.switch.clock_off = seconds

    async def garbage(self, host) -> None:
        for body in (b"{", b'{"Event-Name":7}', b'{"Event-Name":"DTMF","Unique-ID":"a b"}', b"\xff\x00"):
            self.switch.send(b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(body), body))
        self.switch.tell("HEARTBEAT")

    async def leftovers(self) -> list[str]:
        bugs = [f"a tap on {channel.uuid}" for channel in self.switch.channels.values() for _ in channel.bugs]
        return bugs + [f"a file {path.name}" for path in self.directory.iterdir()]


class TestFreeSwitchConformance(AdapterConformance):
    @pytest.fixture(params=["json", "plain"])
    def rig(self, request):
        return SwitchRig(request.param)
