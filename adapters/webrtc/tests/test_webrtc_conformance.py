from __future__ import annotations

import asyncio
import itertools

import pytest

from vcond.testing.conformance import AdapterConformance
from vcond.testing.rig import Rig, RigCall
from vcond_webrtc import WebRtcAdapter, WebRtcConfig

pytestmark = pytest.mark.slow  # real time: what it compares comes late when other tests run beside it
NAMES = ("Ann Example", "Ben Example")
TELS = ("+15550100", "+15550199")


class WebRtcLine(RigCall):
    """A call of two publishers. G.711, because the suite's voices are compared sample by sample at 8 kHz."""

    def __init__(self, rig: WebRtcRig, key: str) -> None:
        self.rig, self.key = rig, key
        self.people = []

    async def connect(self, host) -> None:
        self.people = [self.rig.publisher(host.ingress.bound_url, host.ingress.token, "audio/PCMU") for _ in NAMES]
        self.rig.everybody += self.people
        for i, person in enumerate(self.people):
            await person.publish(call=self.key, party=f"p{i}", name=NAMES[i], tel=TELS[i])
            await host.until(lambda i=i: len(host.by_key(self.key).state.tracks) > i, what="a track")

    async def speak(self, caller, callee) -> None:
        async with asyncio.TaskGroup() as group:
            for person, pcm in zip(self.people, (caller, callee), strict=True):
                group.create_task(person.microphone.speak(pcm))

    async def hang_up(self) -> None:
        for person in self.people:
            await person.hang_up()

    async def pause(self, *, on) -> None:
        url = f"{self.people[0].location}/pause"
        async with self.people[0].http.request("PUT" if on else "DELETE", url) as told:
            assert told.status == 204

    async def cut(self) -> None:
        for person in self.people:
            await person.cut()

    async def resume(self, host) -> None:
        await self.connect(host)


class WebRtcRig(Rig):
    virtual = False
    patience = 120.0
    can = frozenset({"pause", "cut", "resume", "restart", "garbage"})
    private = (*NAMES, *TELS)
    tolerance_ms = 60.0

    def __init__(self, publisher) -> None:
        self.publisher = publisher
        self.numbers = itertools.count(1)
        self.everybody = []

    def adapter(self) -> WebRtcAdapter:
        return WebRtcAdapter(WebRtcConfig(media_timeout=1, grace=5))

    async def stop(self) -> None:
        for person in self.everybody:
            await person.close()

    async def place(self, host, *, answered=True) -> WebRtcLine:
        assert answered
        line = WebRtcLine(self, f"call-{next(self.numbers)}")
        await line.connect(host)
        return line

    async def garbage(self, host) -> None:
        person = self.publisher(host.ingress.bound_url, host.ingress.token)
        self.everybody.append(person)
        for body in ("this is no SDP", "v=0\r\nm=audio\r\n", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"):
            answer = await person.post(body)
            assert answer.status in {400, 422}, body


class TestWebRtcConformance(AdapterConformance):
    @pytest.fixture
    def rig(self, publisher):
        return WebRtcRig(publisher)
