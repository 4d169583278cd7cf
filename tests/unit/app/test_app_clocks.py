"""Clocks that step, stop and are wrong: what is recorded lies where it was spoken, and nothing is lost of it."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from vcond.app.daemon import Daemon
from vcond.base.time import SECOND, Instant, rfc3339
from vcond.call.events import SpanKind
from vcond.capture.adapter_host import CaptureHost
from vcond.capture.clock import SteadyClock
from vcond.config import load
from vcond.sdk.contract import ArrivalClock, Codec

NOON = 1_795_339_662 * SECOND
HOUR = 3600 * SECOND
FRAME = (np.sin(np.arange(160) / 3) * 8000).astype("<i2").tobytes()
CONFIG = """
[vcond]
state_dir = "{0}/state"
admin_socket = "{0}/admin"
name = "edge.example.com"
min_free_mb = 0
[speech]
engine = "none"
[[sinks]]
type = "folder"
path = "{0}/vcons"
"""


class Run:
    """One run of a daemon, with time by hand: ``wall`` may step, ``steady`` may not."""

    def __init__(self, folder: Path, now: int) -> None:
        self.wall = self.steady = now
        config = folder / "vcond.toml"
        config.write_text(CONFIG.format(folder))
        self.daemon = Daemon(
            load(config, os.environ), clock=SteadyClock(lambda: self.wall, lambda: self.steady)
        )  # fmt: skip

    def passes(self, seconds: float) -> Instant:
        self.wall += round(seconds * SECOND)
        self.steady += round(seconds * SECOND)
        return self.daemon._clock.now()

    @property
    def registry(self):
        return self.daemon.parts.registry

    @property
    def host(self) -> CaptureHost:
        return CaptureHost("test", self.registry, None, lambda: None)  # type: ignore[arg-type]  # no ingress here

    def call(self):
        now = self.daemon._clock.now()
        call = self.host.call("k", at=now)
        party = 0 if call.state.parties else call.party("a", at=now)
        return call, call.track(party, at=now, codec=Codec.L16, rate=8000, clock=ArrivalClock())

    def speak(self, track, seconds: float) -> None:
        for _ in range(round(50 * seconds)):
            track.write(FRAME, arrived=self.passes(0.02))
        self.registry.tick(self.daemon._clock.now())


def received(call) -> float:
    return sum(track.spans.total(SpanKind.RECEIVED) for track in call.state.tracks) / 8000


@pytest.mark.parametrize("step", [-HOUR, HOUR])
async def test_a_step_between_two_runs_loses_nothing_of_a_call_that_goes_on(tmp_path: Path, step: int):
    first = Run(tmp_path, NOON)
    async with first.daemon._made():
        call, track = first.call()
        first.speak(track, 10)
        first.registry.interrupt_all("stop")
    second = Run(tmp_path, first.wall + 5 * SECOND + step)
    async with second.daemon._made():
        await second.daemon.parts.old_journals.take_back(["test"])
        second.registry.tick(second.passes(1))
        assert second.host.unfinished(), "its adapter has had no time to take it up"
        again, track = second.call()
        assert again.uuid == call.uuid
        second.speak(track, 10)
        again.end(at=second.daemon._clock.now())
        assert received(again) == pytest.approx(20, abs=0.1)
        (window,) = again.state.interruptions
        assert again.state.opened < window.start <= window.stop < again.state.ended
        second.registry.tick(second.passes(1))
        assert second.daemon._clock.off() == 0, "the wall clock is followed again when the call is over"


async def test_a_journal_of_a_year_ahead_moves_no_clock_so_far(tmp_path: Path):
    first = Run(tmp_path, NOON + 365 * 24 * HOUR)
    async with first.daemon._made():
        first.speak(first.call()[1], 1)
        first.registry.interrupt_all("stop")
    second = Run(tmp_path, NOON)
    async with second.daemon._made():
        await second.daemon.parts.old_journals.take_back(["test"])
        assert second.daemon._clock.now() <= NOON + 24 * HOUR


@pytest.mark.parametrize("step", [-HOUR, HOUR])
async def test_a_step_in_a_call_moves_nothing_of_it(tmp_path: Path, step: int):
    run = Run(tmp_path, NOON)
    async with run.daemon._made():
        call, track = run.call()
        run.speak(track, 5)
        run.wall += step
        run.speak(track, 5)
        call.end(at=run.daemon._clock.now())
        assert received(call) == pytest.approx(10, abs=0.1)
        assert call.state.ended - call.state.opened == 10 * SECOND
        run.registry.tick(run.passes(1))
        later, track = run.call()
        assert later.state.opened == run.wall, "the next call has the new time"
        run.speak(track, 1)
        later.end(at=run.daemon._clock.now())
        assert received(later) == pytest.approx(1, abs=0.1)


async def test_a_call_over_a_suspend_goes_on_and_says_what_is_missing(tmp_path: Path):
    run = Run(tmp_path, NOON)
    async with run.daemon._made():
        run.host.attached(True)
        call, track = run.call()
        run.speak(track, 5)
        run.passes(3600)  # CLOCK_BOOTTIME goes on
        run.registry.tick(run.daemon._clock.now())
        assert not call.over
        run.speak(track, 5)
        call.end(at=run.daemon._clock.now())
        assert received(call) == pytest.approx(10, abs=0.1)
        assert call.state.tracks[0].samples == pytest.approx(3610 * 8000, abs=800)
        assert call.state.tracks[0].spans.total(SpanKind.LOST) == pytest.approx(3600 * 8000, abs=800)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_what_is_written_knows_no_daylight_saving(monkeypatch, zone: str):
    """The hour that comes twice in Berlin, 2026-10-25 02:00 to 03:00: 00:30Z and 01:30Z."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        twice = [Instant(1_792_888_200 * SECOND), Instant(1_792_891_800 * SECOND)]
        assert [rfc3339(at) for at in twice] == ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]
    finally:
        monkeypatch.undo()
        time.tzset()
