"""The suite that every adapter passes, with a recording client that lives in virtual time."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from siprec_client import CONFIG, Client, Leg, metadata, sip_port

from vcond.base.time import SECOND, Instant, rfc3339
from vcond.testing.conformance import AdapterConformance
from vcond.testing.rig import Rig, RigCall
from vcond_siprec import SiprecAdapter, SiprecConfig

PEOPLE = (("15550100", "Carol Caller"), ("15550200", "Alice Agent"))


class SessionLine(RigCall):
    """A recording session of two lines."""

    def __init__(self, client: Client, key: str) -> None:
        self.client, self.key = client, key

    async def speak(self, caller, callee) -> None:
        async with asyncio.TaskGroup() as group:
            for leg, pcm in zip(self.client.legs, (caller, callee), strict=True):
                group.create_task(leg.speak(pcm))

    async def hang_up(self) -> None:
        await self.client.bye()
        for leg in self.client.legs:
            leg.deaf = True

    async def press(self, digit) -> None:
        await self.client.legs[0].press(digit)

    async def hold(self, *, on) -> None:
        await self.change("inactive" if on else "sendonly", self.client.legs[0])

    async def pause(self, *, on) -> None:
        await self.change("inactive" if on else "sendonly", *self.client.legs)

    async def change(self, direction, *legs) -> None:
        for leg in legs:
            leg.direction = direction
            leg.deaf = direction == "inactive" and len(legs) == 1
        await self.client.invite()

    async def resume(self, host) -> None:
        self.client.port = sip_port(host)

    async def stop_audio(self) -> None:
        self.client.legs[0].deaf = True

    async def cut(self) -> None:
        for leg in self.client.legs:
            leg.deaf = True


class SiprecRig(Rig):
    virtual = True
    patience = 120.0
    can = frozenset({"digits", "hold", "pause", "unanswered", "cut", "garbage", "restart", "stop", "clock", "suspend"})
    private = ("15550100", "15550200", "Carol Caller", "Alice Agent")
    tolerance_ms = 150.0
    """Packets come five at once, and the last of them were on their way when it ended."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.numbers = itertools.count(1)
        self.off = 0.0

    def set_clock(self, seconds) -> None:
        self.off = seconds

    def adapter(self) -> SiprecAdapter:
        return SiprecAdapter(SiprecConfig(**CONFIG, silence_timeout=90))

    async def stop(self) -> None:
        for client in self.clients:
            await client.close()

    async def place(self, host, *, answered=True) -> SessionLine:
        number = next(self.numbers)
        client = Client(sip_port(host), Leg("1"), Leg("2"))
        self.clients.append(client)
        for leg in client.legs:
            leg.deaf = not answered
        at = rfc3339(Instant(host.clock.now() + round(self.off * SECOND)))
        await client.invite(metadata(*PEOPLE, session=f"ses-{number}", at=at))
        line = SessionLine(client, f"session ses-{number}")
        if answered:
            await host.until(lambda: len(host.by_key(line.key).state.tracks) == 2, within=30, what="tracks")
        else:
            await host.until(lambda: host.by_key(line.key).state.parties, within=30, what="the call")
        return line

    async def garbage(self, host) -> None:
        client = Client(sip_port(host), Leg("1"))
        self.clients.append(client)
        await client.invite(metadata(*PEOPLE, session="ses-garbage"))
        for data in (b"", b"\x00" * 200, b"INVITE\r\n\r\n", b"INVITE sip:x SIP/2.0\r\nVia: x\r\n\r\n", b"\xff" * 3000):
            client.transport.sendto(data, ("127.0.0.1", client.port))
            client.legs[0].socket.sendto(data, ("127.0.0.1", client.legs[0].to))
            await asyncio.sleep(0.2)
        await client.request("INVITE", b"v=0\r\nm=audio\r\n", "application/sdp")
        await client.update("<recording")
        await client.bye()


class TestConformance(AdapterConformance):
    @pytest.fixture
    def rig(self):
        return SiprecRig()
