"""The fake Asterisk, loaded by path because test folders are no packages, and what tests of parts share."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock, run_virtual, until
from vcond_asterisk import AsteriskAdapter, Config, wire
from vcond_asterisk.tracker import ChannelTracker

HERE = Path(__file__).resolve().parent


def _load(name: str, path: Path):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


fake_ari = _load("vcond_test_fake_ari", HERE / "fake_ari.py")


class NoTaps:
    """Notes who is listened to, and listens to nobody."""

    def __init__(self):
        self.on = {}
        self.stopped = []

    def start(self, leg):
        self.on.setdefault(leg.channel, leg)

    def stop(self, leg, at):
        if self.on.pop(leg.channel, None):
            self.stopped.append(leg.channel)

    def own(self, name):
        return name.startswith(("vcond.", "s3993", "e3993", "b3993", "s39946", "e39946", "b39946"))

    def last_heard(self, leg):
        return None


@pytest.fixture
def data():
    return HERE / "data"


@pytest.fixture
def capture(data):
    """The events of a captured call."""

    def read(name):
        return [json.loads(line) for line in (data / f"{name}.jsonl").read_text().splitlines()]

    return read


def _channel(text: str, linked: dict[str, str]) -> dict:
    """``PJSIP/1001-0000004e|pbx-1.264|Up|L=pbx-1.263|c=1001|app=AppDial`` as Asterisk would send it."""
    name, ident, state, linkedid, caller, app = text.split("|")
    linkedid = linked.get(ident) or linkedid.removeprefix("L=")
    return {
        "id": ident, "name": name, "state": state, "caller": {"name": "", "number": caller.removeprefix("c=")},
        "dialplan": {"context": "from-internal", "exten": "", "app_name": app.removeprefix("app="), "app_data": ""},
        "channelvars": {} if linkedid == "None" else {"CHANNEL(linkedid)": linkedid},
    }  # fmt: skip


def _bridge(text: str) -> dict:
    """``1f3e-95a basic/mixing/simple_bridge ['pbx-1.264']``."""
    ident, kind, members = text.split(" ", 2)
    return {"id": ident, "bridge_type": kind.split("/")[1], "channels": re.findall(r"'([^']+)'", members)}


@pytest.fixture
def site(data):
    """Captured on an Asterisk whose dial plan is like those of sites, shortened; ``linked``: linkedids that were asked for."""

    def read(name, **linked):
        linked = {ident.replace("_", "-", 1).replace("_", "."): to for ident, to in linked.items()}
        events = []
        for line in (data / "site" / f"{name}.jsonl").read_text().splitlines():
            event = json.loads(line)
            event["timestamp"] = f"2026-11-29T{event.pop('t')}+0000"
            for field in CHANNELS & event.keys():
                event[field] = _channel(event[field], linked)
            for field in {"bridge", "bridge_from"} & event.keys():
                event[field] = _bridge(event[field])
            events.append(event)
        return events

    return read


@pytest.fixture
def taps():
    return NoTaps()


@pytest.fixture
def host():
    return MemoryHost("asterisk", clock=ManualClock())


@pytest.fixture
def make_fake():
    return fake_ari.FakeAsterisk


@pytest.fixture
def login():
    return {"user": fake_ari.USER, "password": fake_ari.PASSWORD}


class Script:
    """Tells a tracker events as Asterisk would, a millisecond apart."""

    def __init__(self, tracker, clock):
        self.tracker, self.clock = tracker, clock
        self.channels = {}
        self.members = {}

    def channel(self, ident, name, *, linked="", number="", state="Ring", app="Dial", who="", **more):
        dialplan = {"context": "pbx-in", "exten": "200", "app_name": app, "app_data": ""} | more.pop("dialplan", {})
        self.channels[ident] = {
            "id": ident, "name": name, "state": state, "caller": {"name": who, "number": number}, "dialplan": dialplan,
            "channelvars": {"CHANNEL(linkedid)": linked or ident}, **more,
        }  # fmt: skip
        return ident

    def tell(self, kind, **fields):
        shown = {
            name: self.channels[value] if name in CHANNELS and isinstance(value, str) else value
            for name, value in fields.items()
        }
        event = wire.decode_event(json.dumps({"type": kind, **shown}))
        assert event is not None
        self.clock.advance(1_000_000)
        self.tracker.event(event, self.clock.now())

    def created(self, ident, name, **more):
        self.tell("ChannelCreated", channel=self.channel(ident, name, **more))
        return ident

    def up(self, *idents):
        for ident in idents:
            self.channels[ident]["state"] = "Up"
            self.tell("ChannelStateChange", channel=ident)

    def bridge(self, ident, *idents, kind="mixing"):
        self.members.setdefault(ident, [])
        for one in idents:
            self.members[ident].append(one)
            self.tell("ChannelEnteredBridge", channel=one, bridge=self.shown(ident, kind))

    def leave(self, ident, *idents):
        for one in idents:
            self.members[ident].remove(one)
            self.tell("ChannelLeftBridge", channel=one, bridge=self.shown(ident))

    def shown(self, ident, kind="mixing"):
        return {"id": ident, "bridge_type": kind, "channels": list(self.members[ident])}

    def destroyed(self, *idents, cause=16, by="", **more):
        if by:
            self.tell("ChannelHangupRequest", channel=by, cause=cause)
        for ident in idents:
            for members in self.members.values():
                if ident in members:
                    members.remove(ident)
            self.tell("ChannelDestroyed", channel=ident, cause=cause, **more)

    def call(self, *, trunk="t1", agent="a1", number="+4930123456"):
        """A trunk called an agent, who answered."""
        self.created(trunk, f"PJSIP/trunk-{trunk[1:]}", number=number)
        self.created(agent, f"PJSIP/agent-{agent[1:]}", linked=trunk, number="7001", who="Alice", state="Ringing")
        self.up(agent, trunk)
        self.bridge(f"b{trunk}", agent, trunk)


CHANNELS = {
    "channel",
    "peer",
    "caller",
    "transferee",
    "transferer_first_leg",
    "transferer_second_leg",
    "transfer_target",
}


@pytest.fixture
def make_tracker(host, taps):
    def make(**config):
        settings = {"internal": ["PJSIP/agent*"], "domain": "pbx.test", **config}
        return ChannelTracker(host, Config(**settings).checked(), taps)

    return make


@pytest.fixture
def tracker(make_tracker):
    return make_tracker()


@pytest.fixture
def script(tracker, host):
    return Script(tracker, host.clock)


@pytest.fixture
def make_script(host):
    return lambda tracker: Script(tracker, host.clock)


class World:
    """The fake, a host, and the adapter between them."""

    def __init__(self, fake, login, **config):
        self.pbx = fake
        self.host = MemoryHost("asterisk")
        self.config = Config(url=fake.url, internal=["PJSIP/agent*"], **{**login, **config})

    async def start(self, *, attached=True):
        self.task = asyncio.create_task(AsteriskAdapter(self.config).run(self.host))
        self.ticks = asyncio.create_task(self._tick())
        if attached:
            await self.until(lambda: self.host.is_attached)

    async def stop(self):
        self.ticks.cancel()
        self.task.cancel()
        await asyncio.wait([self.task, self.ticks])
        assert self.task.cancelled(), self.task

    async def _tick(self):
        while True:
            await asyncio.sleep(0.5)
            self.host.tick()

    async def until(self, predicate, within=200):
        """Wait in virtual time; also for what the host is not told of."""
        await until(predicate, within=within, every=0.2)

    async def call(self, *, tapped=2):
        pbx = self.pbx
        caller = pbx.channel("PJSIP/trunk", number="+4930123456", name="Carol")
        agent = pbx.channel("PJSIP/agent", linked=caller, number="7001", name="Alice", state="Ringing")
        pbx.up(agent)
        pbx.up(caller)
        pbx.bridge(agent, caller)
        await self.until(lambda: len(self.host.by_key(caller).state.tracks) == tapped)
        return caller, agent

    def codes(self, key):
        return [warning.code for warning in self.host.by_key(key).state.warnings]


@pytest.fixture
def world(make_fake, login):
    """Runs a coroutine in virtual time with a world of its own."""

    def run(main, *, start=True, **config):
        async def inside():
            async with make_fake() as fake:
                one = World(fake, login, **config)
                if start:
                    await one.start()
                try:
                    await main(one)
                finally:
                    await one.stop()
                assert one.host.faults == []
                await asyncio.sleep(1)
                assert fake.helpers(f"{one.config.app}.") == [], "something was left on the PBX"

        run_virtual(inside())

    return run
