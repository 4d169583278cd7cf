"""The suite that every adapter passes, with an Asterisk that lives in virtual time."""

from __future__ import annotations

import asyncio
import sys

import pytest

from vcond.testing.conformance import AdapterConformance
from vcond.testing.rig import Rig, RigCall
from vcond.testing.time import until
from vcond_asterisk import AsteriskAdapter, Config


class FakeLine(RigCall):
    def __init__(self, pbx, key, caller, callee):
        self.pbx, self.key, self.caller, self.callee = pbx, key, caller, callee

    async def speak(self, caller, callee):
        self.pbx.say(self.caller, caller)
        self.pbx.say(self.callee, callee)
        await self.pbx.said(self.caller, self.callee)
        await asyncio.sleep(0.1)

    async def hang_up(self):
        self.pbx.hang_up(self.callee, self.caller, by=self.caller)

    async def press(self, digit):
        self.pbx.tell("ChannelDtmfReceived", channel=self.caller, digit=digit, duration_ms=100)
        await asyncio.sleep(0.2)

    async def hold(self, *, on):
        self.pbx.tell("ChannelHold" if on else "ChannelUnhold", channel=self.callee)
        await asyncio.sleep(0.5)

    async def cut(self):
        self.pbx.cut_audio()
        self.pbx.cut_events()
        await asyncio.sleep(0.1)

    async def stop_audio(self):
        self.old = set(self.pbx._streams)
        self.pbx.mute |= self.old

    async def renewed(self, host):
        await until(lambda: len(set(self.pbx._streams) - self.old) >= 2, every=0.1)
        await asyncio.sleep(1)

    async def resume(self, host):
        await host.until(lambda: host.is_attached, within=30)
        await asyncio.sleep(1)  # virtual: the taps are made anew


class FakeRig(Rig):
    virtual = True
    can = frozenset(
        {"digits", "hold", "unanswered", "cut", "resume", "restart", "garbage", "stop", "renew", "clock", "suspend"}
    )

    def __init__(self, module):
        self._module = module
        self.private = ["+15550100", "Carol Caller", "Alice Agent", module.PASSWORD]
        self._port = 1

    def adapter(self):
        url = f"http://127.0.0.1:{self._port}"
        return AsteriskAdapter(
            Config(url=url, user=self._module.USER, password=self._module.PASSWORD, internal=["PJSIP/agent*"])
        )

    async def start(self):
        self.pbx = await self._module.FakeAsterisk().__aenter__()
        self._port = self.pbx.port

    async def stop(self):
        await self.pbx.__aexit__()

    async def place(self, host, *, answered=True):
        pbx = self.pbx
        caller = pbx.channel("PJSIP/trunk", number="+15550100", name="Carol Caller")
        callee = pbx.channel("PJSIP/agent", linked=caller, number="7001", name="Alice Agent", state="Ringing")
        pbx.tell("Dial", caller=caller, peer=callee, dialstatus="RINGING")
        if answered:
            pbx.up(callee)
            pbx.up(caller)
            pbx.bridge(callee, caller)
            await host.until(lambda: len(host.by_key(caller).state.tracks) == 2, within=30, what="tracks")
        else:
            await host.until(lambda: bool(host.by_key(caller).key), within=30)
        return FakeLine(pbx, caller, caller, callee)

    def set_clock(self, seconds):
        self.pbx.clock_off = seconds

    async def garbage(self, host):
        app = self.adapter().config.app
        for text in ("", "{", "[]", '{"type":1}', '{"type":"ChannelCreated"}', '{"type":"Dial","peer":{"id":""}}'):
            self.pbx.send(app, text)

    async def leftovers(self):
        await asyncio.sleep(0.5)
        return self.pbx.helpers("vcond.")


class TestConformance(AdapterConformance):
    @pytest.fixture
    def rig(self):
        return FakeRig(sys.modules["vcond_test_fake_ari"])
