"""A conserver that is down for a whole day, with the calls of a day: a whole daemon, in virtual time, and a real HTTP server."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_conserver import FakeConserver

from vcond.app import lifecycle, plugins, wiring
from vcond.app.daemon import Daemon
from vcond.base.time import SECOND
from vcond.call import events as ev
from vcond.capture.clock import SteadyClock
from vcond.capture.pressure import PressureWatch
from vcond.config import load
from vcond.delivery import maintenance
from vcond.delivery.sinks.conserver import ConserverSink
from vcond.sdk.contract import AdapterHost, ArrivalClock, Codec, LiveCall
from vcond.testing.time import NOON, run_virtual, until

DAY = (1, 0, 0, 0, 1, 2, 4, 8, 12, 14, 14, 12, 10, 12, 14, 13, 12, 10, 6, 4, 3, 2, 2, 1)
"""Calls that begin in each hour."""
VOICE = (np.sin(np.arange(8000) / 3) * 8000).astype("<i2").tobytes()
FLOOR, ROOM = 10_000_000, 3_000_000
"""Bytes: ``min_free_mb``, and what is above that when the day begins: it lasts into the evening."""
LARGEST = 50_000
"""Bytes of one of these vCons, and more."""
SOON, LONGEST = 30, 300
"""Seconds between two tries of a sink that is down, with the waits of the configuration: at least, and at most."""
CONFIG = """
[vcond]
state_dir = "{0}/state"
admin_socket = "{0}/admin"
name = "edge.example.com"
min_free_mb = 10
drain = 0
log_level = "error"
[web]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[speech]
engine = "none"
[[sinks]]
type = "conserver"
url = "{1}"
token = "key-1"
concurrency = 1
ingress_lists = ["edge"]
[adapters.twilio]
"""


class Day:
    """An adapter whose system has the calls of a day; a disk of which finished vCons take what they take."""

    def __init__(self, folder: Path, room: int) -> None:
        """``room``: bytes above the floor when the day begins."""
        self.pending, self.room = folder / "state" / "outbox" / "pending", room
        self.recorded: list[str] = []
        self.refused: list[str] = []
        """Calls of which no journal was begun, and why."""
        self.host: Any = None
        self.over = asyncio.Event()
        self.most = 0

    def free(self, _path: object) -> int:
        taken = sum(file.stat().st_size for file in self.pending.glob("*.json"))
        self.most = max(self.most, taken)
        return FLOOR + self.room - taken

    async def run(self, host: AdapterHost) -> None:
        self.host = host
        host.attached(True)
        for hour, calls in enumerate(DAY):
            for n in range(calls):
                await self.call(f"{hour}-{n}")
                await asyncio.sleep(3600 / calls - 1)
            await asyncio.sleep(0 if calls else 3600)
        self.over.set()
        await asyncio.Event().wait()

    async def call(self, key: str) -> LiveCall:
        """One of a second, with two people."""
        begun = self.host.clock.now()
        call = self.host.call(key, at=begun)
        tracks = [
            call.track(call.party(name, at=begun), at=begun, codec=Codec.L16, rate=8000, clock=ArrivalClock())
            for name in ("a", "b")
        ]
        call.emit(ev.Answered(at=begun))
        await asyncio.sleep(1)
        for track in tracks:
            track.write(VOICE, arrived=self.host.clock.now())
        if call.not_recorded:
            self.refused.append(call.not_recorded)
        else:
            self.recorded.append(call.uuid)
        call.end(at=self.host.clock.now())
        return call


@pytest.mark.slow
def test_a_conserver_that_is_down_for_a_day_gets_every_call_of_it_as_it_was_made(tmp_path, monkeypatch):
    """Seldom asked meanwhile, in the order of the day when it is back; when the disk comes to its floor new calls are refused, and none of the finished ones goes."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        day, conserver = Day(tmp_path, ROOM), FakeConserver(ingress_auth={"edge": "key-1"})
        await conserver.up()
        (tmp_path / "vcond.toml").write_text(CONFIG.format(tmp_path, conserver.url))
        await conserver.down()
        tries = count_tries(monkeypatch)
        monkeypatch.setattr(plugins, "adapters", lambda _: {"twilio": day})
        pressure = PressureWatch(day.free, memory=lambda: None, files=lambda: None, clock=loop.time)
        monkeypatch.setattr(wiring, "PressureWatch", lambda _: pressure)
        monkeypatch.setattr(lifecycle, "TICK", 30.0)  # a day of half seconds takes minutes
        monkeypatch.setattr(maintenance, "TICK", 600.0)
        clock = SteadyClock(*[lambda: NOON + round(loop.time() * SECOND)] * 2)
        daemon = Daemon(load(tmp_path / "vcond.toml", os.environ), clock=clock)
        running = asyncio.create_task(daemon.run())
        try:
            await day.over.wait()
            await daemon.parts.finisher.idle()
            waiting = sorted(day.pending.glob("*.json"), key=lambda file: day.recorded.index(file.name[:36]))
            assert [file.name[:36] for file in waiting] == day.recorded, "each call that was recorded waits whole"
            made = {file.name[:36]: file.read_bytes() for file in waiting}
            assert len(day.recorded) + len(day.refused) == sum(DAY)
            assert len(tries) <= 86_400 / SOON + len(day.recorded)
            before = len(tries)
            back = loop.time()
            await conserver.up()
            await conserver.wait_for(len(made))
            assert loop.time() - back < LONGEST + 10
            assert len(tries) - before == len(made), "each is sent once"
            arrived = [one.uuid for one in conserver.received]
            assert {one.uuid: one.body for one in conserver.received} == made
            first, rest = arrived[0], arrived[1:]  # the first is a look whether the receiver is back, with any of them
            assert rest == [uuid for uuid in day.recorded if uuid != first]
            await until(lambda: not list(day.pending.glob("*.json")), within=60)
            journals = tmp_path / "state" / "journal"
            await until(lambda: not [one for one in journals.iterdir() if "-" in one.name], within=60)
            assert ROOM <= day.most < ROOM + LARGEST, "the floor is kept"
            assert day.refused
            assert all("min_free_mb" in why for why in day.refused)
            await asyncio.sleep(60)
            assert not (await day.call("after")).not_recorded
            await conserver.wait_for(len(made) + 1)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await conserver.down()

    run_virtual(main())


def count_tries(monkeypatch) -> list[str]:
    """What was tried, by uuid."""
    tries: list[str] = []
    deliver = ConserverSink.deliver

    async def counted(sink, record):
        tries.append(record.uuid)
        return await deliver(sink, record)

    monkeypatch.setattr(ConserverSink, "deliver", counted)
    return tries
