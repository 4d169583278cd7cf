"""Meters of live calls: who may watch sees them, of what is kept only, the last ones only, and without a watcher nothing is measured."""

import asyncio
import itertools
import json
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from api_kit import daemon

from vcond.call import events as ev
from vcond.capture.levels import RECENT, Levels
from vcond.capture.live_feed import CaptionEvent, LiveFeed
from vcond.media.codecs import Codec
from vcond.media.placement.clocks import ArrivalClock
from vcond.server.api import meters as module
from vcond.server.api.events import Events, Watcher
from vcond.testing.time import run_virtual

ANN, BEN = ev.PartyInfo(name="Ann"), ev.PartyInfo(name="Ben")
LOUD = np.tile(np.array([16_384, -16_384], np.int16), 80)


class Talker:
    """A party whose frames come one after another."""

    def __init__(self, one, call, party: int) -> None:
        self._one, self._seconds = one, 0.0
        self._track = call.track(party, at=one.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())

    def talk(self, frames: int = 50) -> None:
        """So many of 20 ms."""
        for _ in range(frames):
            self._seconds += 0.02
            self._track.write(LOUD.tobytes(), arrived=self._one.at(self._seconds))


async def told(content) -> tuple[str, dict[str, str]]:
    """The next event, and all its lines."""
    lines: dict[str, str] = {}
    while (line := (await content.readline()).decode().rstrip("\n")) or "data" not in lines:
        name, _, value = line.partition(": ")
        lines[name] = value
    return lines["event"], lines


async def test_who_watches_sees_both_parties_and_nothing_of_what_a_pause_touches(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.0)
    async with daemon(tmp_path) as one:
        call, levels = one.call(ANN, BEN), one.parts.registry.levels
        ann, ben = Talker(one, call, 0), Talker(one, call, 1)
        ann.talk()
        assert not levels._sounding, "nobody looks, and nothing is noted"
        headers = {"Authorization": f"Bearer {await one.token('watch')}"}
        async with one.client.get("/api/v1/events?levels=true", headers=headers) as answer:
            assert (await told(answer.content))[0] == "hello"
            seen: set[int] = set()
            ann.talk()
            ben.talk()
            while seen != {0, 1}:
                kind, lines = await told(answer.content)
                assert (kind, "id" in lines) == ("levels", False), "who comes back goes on with the last event"
                ((uuid, parties),) = json.loads(lines["data"]).items()
                assert uuid == call.uuid
                assert {(rms, peak) for _, rms, peak in parties} == {(-6, -6)}
                seen |= {party for party, _, _ in parties}
            call.emit(ev.RecordingPaused(at=one.at(2), by="operator"))
            assert (await told(answer.content))[0] == "event"
            one.time[0] = one.at(3)
            levels.take()
            ann._seconds = 2.5
            ann.talk()
            assert not levels._sounding
            async with one.client.get("/api/v1/events?levels=maybe", headers=headers) as wrong:
                assert wrong.status == 400
        while levels.wanted:  # that they have left is found when something is written
            one.parts.bus.publish(CaptionEvent(call.uuid, "final", "hello"))
            await asyncio.sleep(0)


@pytest.mark.parametrize("role", ["read", "operate", "erase"])
async def test_who_may_not_watch_sees_no_levels_and_has_none_measured(tmp_path: Path, role: str):
    async with daemon(tmp_path) as one:
        assert (await one.asked("/events?levels=true", role))[0] == 403
        assert not one.parts.registry.levels.wanted


async def test_who_follows_without_meters_has_none_measured(tmp_path: Path):
    async with daemon(tmp_path) as one:
        headers = {"Authorization": f"Bearer {await one.token('watch')}"}
        async with one.client.get("/api/v1/events", headers=headers) as answer:
            assert (await told(answer.content))[0] == "hello"
            assert not one.parts.registry.levels.wanted


def track(call: str, party: int) -> SimpleNamespace:
    return SimpleNamespace(call=call, party=party, recent=deque(maxlen=RECENT))


def viewer(call: str = "") -> Watcher:
    return Watcher(call, False, lambda: None, lambda: True, levels=True)


def test_they_are_sent_four_times_a_second_and_of_one_call_its_own():
    async def scenario():
        levels, loop = Levels(), asyncio.get_running_loop()
        events, all_calls, of_b = Events(LiveFeed(), 5, levels), viewer(), viewer("b")
        got: dict[str, list[tuple[float, bytes]]] = {"": [], "b": []}

        async def read(one: Watcher) -> None:
            async for chunk in one.chunks():
                got[one.call].append((round(loop.time() - begun, 2), chunk))

        begun = loop.time()
        for one in (all_calls, of_b):
            assert events.begin(one, "")
        reading = [asyncio.create_task(read(one)) for one in (all_calls, of_b)]
        for tick in range(48):
            levels.hear(track("a", 0), LOUD)
            if tick >= 25:
                levels.hear(track("b", 1), LOUD)
            await asyncio.sleep(0.02)
        await events.close()
        await asyncio.gather(*reading)
        assert [at for at, chunk in got[""] if b"levels" in chunk] == [0.25, 0.5, 0.75]
        assert [at for at, chunk in got["b"] if b"levels" in chunk] == [0.75]
        assert got["b"][-1][1].endswith(b'event: levels\ndata: {"b":[[1,-6,-6]]}\n\n')

    run_virtual(scenario())


@pytest.mark.parametrize(("viewers", "calls", "apart"), [(50, 10, 0.25), (50, 300, 0.5), (100, 1000, module.SLOWEST)])
def test_however_many_look_at_however_many_calls_so_much_is_sent_a_second(viewers: int, calls: int, apart: float):
    class Viewer:
        call = ""

        def __init__(self) -> None:
            self.got: list[tuple[float, int]] = []

        def put_levels(self, chunk: bytes) -> None:
            self.got.append((asyncio.get_running_loop().time(), len(chunk)))

    async def scenario():
        levels = Levels()
        meters, all_of_them = module.Meters(levels, lambda: 0.0), [Viewer() for _ in range(viewers)]
        for one in all_of_them:
            meters.begin(one)
        for _ in range(200):
            for call in range(calls):
                levels.hear(track(f"01a22cf8-437d-8875-8878-{call:012x}", 0), LOUD)
            await asyncio.sleep(0.05)
        for one in all_of_them:
            meters.leave(one)
        times = [at for at, _ in all_of_them[0].got]
        gaps = [b - a for a, b in itertools.pairwise(times)]
        assert all(apart <= gap + 1e-6 and gap <= module.SLOWEST + 1e-6 for gap in gaps)
        sent = sum(size for one in all_of_them for _, size in one.got)
        if apart < module.SLOWEST:
            assert sent / (times[-1] - times[0]) <= module.RATE * 1.2
        assert [one.got for one in all_of_them] == [all_of_them[0].got] * viewers

    run_virtual(scenario())


def test_of_who_does_not_read_only_the_last_ones_wait_and_nobody_is_cut_off_for_them():
    async def scenario():
        levels = Levels()
        events, slow = Events(LiveFeed(), 5, levels), viewer()
        assert events.begin(slow, "")
        for _ in range(1000):
            levels.hear(track("a", 0), LOUD)
            await asyncio.sleep(module.EVERY)
        assert not slow.over
        assert len(slow._waiting) == 1, "hello"
        assert slow._levels.count(b"event: levels") == 1
        events.leave(slow)
        assert not levels.wanted
        await asyncio.sleep(1)
        assert events._meters._next is None, "no timer goes on for nobody"
        await events.close()

    run_virtual(scenario())
