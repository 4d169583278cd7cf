"""The host in memory and the daemon's own tell the same of the same: what passes at one passes at the other."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from vcond.call import events as ev
from vcond.capture.clock import SteadyClock
from vcond.capture.live_feed import LiveFeed
from vcond.capture.pressure import PressureWatch
from vcond.capture.registry import CallRegistry
from vcond.config.schema import DaemonConfig
from vcond.journal import Store
from vcond.media.codecs import encode
from vcond.sdk.contract import (
    MILLI,
    Answered,
    ArrivalClock,
    Cause,
    Codec,
    Dtmf,
    Held,
    Instant,
    MillisClock,
    PartyInfo,
    PartyLeft,
    RecordingPaused,
    RecordingResumed,
    Retrieved,
    SpanKind,
)
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond.testing.time import NOON, ManualClock

RATE = 8000


def later(ms: float) -> Instant:
    return Instant(NOON + round(ms * MILLI))


class Deaf:
    def listen(self, source, start=0):
        return self

    def advance(self, upto):
        pass

    close = at_most = advance


class Place:
    """A host, its clock, and a way to speak into a track."""

    def __init__(self, host, clock) -> None:
        self.host, self.clock = host, clock

    def call(self, key, ms=0, direction="unknown"):
        self.at(ms)
        return self.host.call(key, at=later(ms), direction=direction)

    def at(self, ms) -> None:
        self.clock.advance(max(0, later(ms) - self.clock.now()))

    def speak(self, track, seed, begin, seconds, codec=Codec.L16) -> None:
        pcm = voice(seed, seconds)
        for number in range(len(pcm) // 160):
            self.at(begin + 20 * (number + 1))
            frame = encode(codec, pcm[160 * number : 160 * (number + 1)])
            track.write(frame, arrived=self.clock.now(), stamp=20 * number, seq=number + 1)


class CaptureHostOf:
    """The registry as one adapter's host, without the ingress."""

    def __init__(self, registry) -> None:
        self.registry = registry

    def call(self, key, *, at, direction="unknown"):
        return self.registry.call("test", key, at, direction)

    def pause(self, call, at, *, on=True):
        call.emit(ev.RecordingPaused(at=at) if on else ev.RecordingResumed(at=at))


class MemoryHostOf:
    def __init__(self, host) -> None:
        self.call = host.call

    def pause(self, call, at, *, on=True):
        call.pause(at, on=on)


@contextlib.asynccontextmanager
async def places(folder):
    """The same place twice: in memory, and in the core."""
    clock = ManualClock()
    steady = SteadyClock(wall=clock.now, monotonic=clock.now)
    store = Store(folder / "journal")
    try:
        registry = CallRegistry(
            DaemonConfig(name="memory.test", state_dir=str(folder)), store=store, speech=Deaf(), clock=steady, bus=LiveFeed(),
            finish=lambda *_: None, discard=lambda *_: None, pressure=PressureWatch(lambda _: 10**12),
        )  # fmt: skip
        still = ManualClock()
        yield Place(MemoryHostOf(MemoryHost("test", clock=still)), still), Place(CaptureHostOf(registry), clock)
    finally:
        await store.close()


def talk(place):
    call = place.call("one", direction="inbound")
    a, b = (call.party(key, at=NOON, who=PartyInfo(tel=key)) for key in ("1001", "1002"))
    call.emit(Answered(at=NOON))
    tracks = [call.track(p, at=NOON, codec=Codec.PCMU, rate=RATE, clock=MillisClock()) for p in (a, b)]
    place.speak(tracks[0], 1, 0, 2.0, Codec.PCMU)
    call.emit(Dtmf(at=later(2000), party=a, button="5", ms=100))
    call.party("1001", at=later(2000), who=PartyInfo(name="Ann"))
    tracks[0].write(b"", arrived=later(2010), stamp=0, seq=1)
    call.end(at=later(2500), cause=Cause(q850=16), by=b)
    call.emit(Answered(at=later(2600)))
    tracks[0].write(b"\xff" * 160, arrived=later(2600))
    call.end(at=later(9000))
    return [call]


def unanswered(place):
    call = place.call("one")
    call.party("1001", at=NOON)
    place.at(4000)
    call.end(at=later(4000), cause=Cause(text="NOANSWER"))
    return [call]


def return_of_a_party(place):
    call = place.call("one")
    call.party("a", at=NOON)
    call.party("b", at=NOON)
    place.at(3000)
    call.emit(PartyLeft(at=later(1000), party=1, cause=Cause(q850=16)))
    call.party("c", at=later(2000))
    call.party("b", at=later(3000))
    call.end(at=later(3500))
    return [call]


def ended_before_it_began(place):
    call = place.call("one")
    call.party("a", at=NOON)
    call.end(at=Instant(NOON - 5_000_000_000))
    return [call]


def hold(place):
    call = place.call("one")
    track = call.track(call.party("a", at=NOON), at=NOON, codec=Codec.L16, rate=RATE, clock=ArrivalClock())
    place.speak(track, 1, 0, 1.0)
    call.emit(Held(at=later(1000), party=0))
    place.at(5000)
    call.emit(Retrieved(at=later(5000), party=0))
    place.speak(track, 1, 5000, 1.0)
    call.end(at=later(6000))
    return [call]


def pause(place):
    call = place.call("one")
    track = call.track(call.party("a", at=NOON), at=NOON, codec=Codec.L16, rate=RATE, clock=MillisClock())
    place.speak(track, 1, 0, 1.0)
    place.host.pause(call, later(1000))
    call.emit(Dtmf(at=later(1000), party=0, button="7"))
    place.host.pause(call, later(1000), on=False)
    call.end(at=later(2000))
    return [call]


def pause_by_a_party(place):
    call = place.call("one")
    track = call.track(call.party("a", at=NOON), at=NOON, codec=Codec.L16, rate=RATE, clock=MillisClock())
    place.speak(track, 1, 0, 5.0)
    call.emit(RecordingPaused(at=later(4500), by="party", party=0))  # told late
    call.emit(RecordingPaused(at=later(5000), by="party", party=0))
    call.emit(Dtmf(at=later(4000), party=0, button="7"))
    call.emit(Dtmf(at=later(4600), party=0, button="8"))
    place.at(6000)
    call.emit(RecordingResumed(at=later(5500), by="party", party=0))
    place.at(7000)
    call.emit(RecordingPaused(at=later(7000)))
    call.end(at=later(8000))
    return [call]


def merge(place):
    calls, tracks = [], []
    for number, key in enumerate(("one", "two")):
        call = place.call(key, 500 * number)
        for party in ("shared", f"own-{key}"):
            call.party(party, at=later(500 * number))
        tracks.append(call.track(1, at=later(500 * number), codec=Codec.L16, rate=RATE, clock=MillisClock()))
        calls.append(call)
    place.speak(tracks[1], 2, 500, 1.0)
    calls[0].merge(calls[1])
    calls[0].merge(calls[1])
    place.at(2000)
    calls[0].end(at=later(2000))
    return calls


SCENARIOS = [talk, unanswered, return_of_a_party, ended_before_it_began, hold, pause, pause_by_a_party, merge]


def told(call) -> dict:
    """What a record is made of. Spans as samples by kind: how finely they are told is nobody's business."""
    state = call.state
    return {
        "parties": [(p.index, p.key, p.who, [(s.joined, s.left) for s in p.presences]) for p in state.parties],
        "history": state.history,
        "times": (state.opened, state.answered, state.ended),
        "end": (state.cause, state.disposition, state.hung_up_by, bool(state.merged_into), len(state.merged)),
        "odd": state.odd,
        "tracks": [(t.index, t.party, t.codec, t.rate, t.opened, t.closed, t.samples) for t in state.tracks],
        "spans": [{kind: t.spans.total(kind) for kind in SpanKind if t.spans.total(kind)} for t in state.tracks],
    }


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_both_hosts_tell_the_same(tmp_path, scenario):
    async with places(tmp_path) as (memory, core):
        mine, theirs = scenario(memory), scenario(core)
        assert [told(call) for call in mine] == [told(call) for call in theirs]


@pytest.mark.parametrize("scenario", [talk, pause_by_a_party], ids=lambda scenario: scenario.__name__)
async def test_both_hosts_keep_the_same_audio(tmp_path, scenario):
    async with places(tmp_path) as (memory, core):
        (mine,), (theirs,) = scenario(memory), scenario(core)
        heard = theirs.journal.read("0.pcm", 0, 60_000)
        assert heard.any()
        assert np.array_equal(mine.sounds[0].read(60_000), heard)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_both_hosts_show_the_same(tmp_path, scenario):
    async with places(tmp_path) as (memory, core):
        shown = []
        for place in (memory, core):
            with contextlib.ExitStack() as stack:
                watching = []
                opens = place.call

                def call(*args, _opens=opens, _stack=stack, _watching=watching, **words):
                    made = _opens(*args, **words)
                    _watching.append(_stack.enter_context(made.captions()))
                    return made

                place.call = call
                scenario(place)
                shown.append(
                    [[(line.kind, line.text, line.party, line.start) async for line in one] for one in watching]
                )
        assert shown[0] == shown[1]
        assert all(lines[-1][1] == "callended" for lines in shown[0])
