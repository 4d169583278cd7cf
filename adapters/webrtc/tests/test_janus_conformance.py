"""The suite that every adapter passes, with a Janus that lives in virtual time."""

from __future__ import annotations

import asyncio
import itertools

import janus_fake
import pytest

from vcond.testing.conformance import AdapterConformance
from vcond.testing.rig import Rig, RigCall
from vcond.testing.time import until
from vcond_webrtc.janus import JanusAdapter
from vcond_webrtc.janus.config import JanusConfig

NAMES = ("Carol Caller", "Alice Agent")


class RoomLine(RigCall):
    """A room of two. G.711, because the suite's voices are compared sample by sample at 8 kHz."""

    def __init__(self, janus, room, people) -> None:
        self.janus, self.room, self.people = janus, room, people
        self.key = f"{room}/{people[0].id}"

    async def speak(self, caller, callee) -> None:
        async with asyncio.TaskGroup() as group:
            for person, pcm in zip(self.people, (caller, callee), strict=True):
                group.create_task(person.speak(pcm))

    async def hang_up(self) -> None:
        for person in self.people:
            await self.janus.leave(self.room, person)

    async def cut(self) -> None:
        await self.janus.cut()
        await asyncio.sleep(0.1)

    async def stop_audio(self) -> None:
        self.before = {forward.port for forward in self.janus.forwards()}
        for person in self.people:
            person.deaf = True

    async def renewed(self, host) -> None:
        def anew() -> bool:
            ports = {forward.port for forward in self.janus.forwards()}
            return len(ports) >= 2 and not self.before & ports

        await until(anew, every=0.5)
        for person in self.people:
            person.deaf = False
        await asyncio.sleep(1)

    async def resume(self, host) -> None:
        await host.until(lambda: host.is_attached, within=30)
        await host.until(lambda: self.heard(host), within=30, what="tracks")

    def heard(self, host) -> bool:
        open_tracks = {track.party for track in host.by_key(self.key).state.tracks if track.closed is None}
        return open_tracks == {0, 1}


class JanusRig(Rig):
    virtual = True
    can = frozenset({"cut", "resume", "restart", "garbage", "stop", "renew", "suspend"})
    private = (*NAMES, janus_fake.API_SECRET, janus_fake.ADMIN_KEY, janus_fake.ROOM_SECRET, janus_fake.PIN)
    # Leaving is seen a look later; the track ends with the last packet.
    tolerance_ms = 200.0

    def __init__(self) -> None:
        self.janus = janus_fake.FakeJanus()
        self.rooms = itertools.count(100)

    def adapter(self) -> JanusAdapter:
        keys = {"api_secret": janus_fake.API_SECRET, "admin_key": janus_fake.ADMIN_KEY}
        rooms = {"secrets": {"*": janus_fake.ROOM_SECRET}, "pins": {"*": janus_fake.PIN}}
        return JanusAdapter(JanusConfig(url=f"ws://127.0.0.1:{self.janus.port or 9}", grace=1, **keys, **rooms))

    async def start(self) -> None:
        await self.janus.listen()

    async def stop(self) -> None:
        await self.janus.__aexit__()

    async def place(self, host, *, answered=True) -> RoomLine:
        room = next(self.rooms)
        people = []
        for name in NAMES:
            people.append(self.janus.join(room, name))
            people[-1].publish()
            await asyncio.sleep(0.3)
        line = RoomLine(self.janus, room, people)
        await host.until(lambda: line.heard(host), within=30, what="tracks")
        return line

    async def garbage(self, host) -> None:
        for text in ("", "{", "[]", '{"janus":1}', b"\xff\xfe", '{"janus":"event","transaction":[]}'):
            await host.until(lambda: host.is_attached, within=60)
            await self.janus.tell(text)
            await asyncio.sleep(2)
        await host.until(lambda: host.is_attached, within=60)

    async def leftovers(self):
        return [f"forward to {forward.port}" for forward in self.janus.forwards()]


class TestConformance(AdapterConformance):
    @pytest.fixture
    def rig(self):
        return JanusRig()
