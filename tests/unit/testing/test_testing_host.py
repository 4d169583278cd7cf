from __future__ import annotations

import asyncio

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from vcond.call import events as ev
from vcond.media.codecs import encode
from vcond.sdk.contract import (
    MILLI,
    SECOND,
    Answered,
    ArrivalClock,
    Cause,
    Codec,
    ConfigError,
    Direction,
    Disposition,
    Dtmf,
    Held,
    Instant,
    MillisClock,
    PartyInfo,
    PartyLeft,
    ProtocolError,
    Retrieved,
    SpanKind,
)
from vcond.testing.host import MemoryHost
from vcond.testing.time import NOON, ManualClock

RATE = 8000
FRAME = 160


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def host(clock):
    return MemoryHost("test", clock=clock)


def later(ms: float) -> Instant:
    return Instant(NOON + round(ms * MILLI))


def tone(hz: float, seconds: float):
    t = np.arange(round(seconds * RATE)) / RATE
    return (8000 * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def play(track, pcm, *, begin_ms=0.0, codec=Codec.L16):
    """Frames of 20 ms, each arriving when it has been spoken."""
    for number, start in enumerate(range(0, len(pcm), FRAME)):
        frame = pcm[start : start + FRAME]
        track.write(encode(codec, frame), arrived=later(begin_ms + 20 * (number + 1)), stamp=20 * number, seq=number)


def opened(host, key="one", at=NOON, direction: Direction = "inbound"):
    call = host.call(key, at=at, direction=direction)
    return call, call.party("a", at=at), call.party("b", at=at)


def correlation(one, two):
    length = min(len(one), len(two))
    return float(np.corrcoef(one[:length].astype(float), two[:length].astype(float))[0, 1])


def test_the_same_key_is_the_same_call_while_it_is_open(host):
    call = host.call("one", at=NOON)
    assert host.call("one", at=later(5)) is call
    call.end(at=later(10))
    again = host.call("one", at=later(20))
    assert again is not call
    assert again.uuid != call.uuid
    assert host.open_calls() == [again]


def test_a_party_joins_is_described_and_returns(host):
    call = host.call("one", at=NOON)
    assert call.party("a", at=NOON, who=PartyInfo(tel="1001")) == 0
    assert call.party("b", at=NOON) == 1
    assert call.party("a", at=later(1), who=PartyInfo(name="Ann")) == 0
    assert call.state.parties[0].who == PartyInfo(tel="1001", name="Ann")
    call.emit(PartyLeft(at=later(2), party=0))
    assert not call.state.parties[0].here
    assert call.party("a", at=later(3)) == 0
    assert [stay.left for stay in call.state.parties[0].presences] == [later(2), None]
    assert call.state.odd == 0


def test_asking_for_a_party_again_writes_nothing(host):
    call = host.call("one", at=NOON)
    call.party("a", at=NOON, who=PartyInfo(tel="1001"))
    count = len(call.events)
    call.party("a", at=later(1))
    call.party("a", at=later(2), who=PartyInfo(tel="1001"))
    assert len(call.events) == count


def test_audio_is_kept_per_party_and_as_long_as_the_call(host):
    call, a, b = opened(host)
    call.emit(Answered(at=NOON))
    low, high = tone(300, 2.0), tone(1700, 1.0)
    play(call.track(a, at=NOON, codec=Codec.L16, rate=RATE, clock=ArrivalClock()), low)
    play(call.track(b, at=NOON, codec=Codec.PCMU, rate=RATE, clock=MillisClock()), high, codec=Codec.PCMU)
    call.end(at=later(2000))
    assert len(host.audio(call, a)) == len(host.audio(call, "b")) == 2 * RATE
    assert correlation(host.audio(call, a), low) > 0.99
    assert correlation(host.audio(call, "b"), high) > 0.99
    assert not host.audio(call, b)[RATE + FRAME :].any()
    assert {track.samples for track in call.state.tracks} == {2 * RATE}


def test_end_closes_all_in_order_and_names_a_call_nobody_answered(host):
    call, a, _ = opened(host)
    call.track(a, at=NOON, codec=Codec.L16, rate=RATE, clock=ArrivalClock())
    call.end(at=later(500), cause=Cause(q850=17))
    kinds = [type(event).__name__ for event in call.events]
    assert kinds[-1] == "CallEnded"
    assert kinds.index("TrackClosed") < kinds.index("CallEnded")
    assert kinds.count("PartyLeft") == 2
    assert call.state.disposition is Disposition.BUSY
    assert call.state.tracks[0].closed == later(500)
    host.state_from_events(call)


def test_an_answered_call_has_no_disposition_and_ends_once(host):
    call, *_ = opened(host)
    call.emit(Answered(at=NOON))
    call.end(at=later(500), cause=Cause(q850=17))
    call.end(at=later(900))
    assert call.state.disposition is None
    assert call.state.ended == later(500)


def test_a_call_never_ends_before_it_began(host):
    call, *_ = opened(host)
    call.end(at=Instant(NOON - SECOND))
    assert call.state.ended == NOON


def test_what_comes_after_the_end_is_ignored_and_counted(host):
    call, a, _ = opened(host)
    track = call.track(a, at=NOON, codec=Codec.L16, rate=RATE, clock=ArrivalClock())
    call.end(at=later(100))
    count = len(call.events)
    call.emit(Answered(at=later(200)))
    assert call.party("stranger", at=later(200)) == -1
    assert call.party("a", at=later(200)) == 0
    track.write(b"\0" * 320, arrived=later(220))
    dead = call.track(a, at=later(200), codec=Codec.L16, rate=RATE, clock=ArrivalClock())
    dead.write(b"\0" * 320, arrived=later(220))
    dead.close(at=later(300))
    assert len(call.events) == count
    assert host.drops == {("event", "after-end"): 3, ("track", "after-end"): 1, ("frame", "after-close"): 2}


def test_a_frame_that_is_no_audio_is_counted(host):
    call, a, _ = opened(host)
    track = call.track(a, at=NOON, codec=Codec.L16, rate=RATE, clock=ArrivalClock())
    track.write(b"odd", arrived=later(20))
    assert host.drops == {("frame", "bad-media"): 1}


def test_nothing_is_kept_while_recording_is_paused(host):
    call, a, _ = opened(host)
    track = call.track(a, at=NOON, codec=Codec.L16, rate=RATE, clock=MillisClock())
    pcm = tone(300, 3.0)
    call.pause(later(1000))
    call.emit(Dtmf(at=later(1500), party=a, button="4"))
    call.pause(later(2000), on=False)
    play(track, pcm)
    call.end(at=later(3000))
    heard = host.audio(call, a)
    assert not any(moment.button for moment in call.state.history)
    assert not heard[RATE : 2 * RATE].any()
    assert correlation(heard[: RATE - FRAME], pcm[: RATE - FRAME]) > 0.99
    assert correlation(heard[2 * RATE + FRAME :], pcm[2 * RATE + FRAME :]) > 0.99
    assert call.state.tracks[0].spans.total(SpanKind.PAUSED) == pytest.approx(RATE, abs=FRAME)


def test_events_of_the_core_are_a_fault(host):
    call, *_ = opened(host)
    call.emit(ev.CallEnded(at=NOON))
    assert host.faults == ["CallEnded is not an adapter's to emit"]


def test_events_that_make_no_sense_are_a_fault(host):
    call, *_ = opened(host)
    call.emit(Held(at=NOON, party=7))
    assert host.faults == ["Held made no sense"]


@pytest.mark.parametrize("rate", [7999, 48001])
def test_a_track_wants_a_rate_of_telephony_or_better(host, rate):
    call, *_ = opened(host)
    with pytest.raises(ProtocolError):
        call.track(0, at=NOON, codec=Codec.L16, rate=rate, clock=ArrivalClock())


def test_a_track_of_a_stranger_is_a_fault(host):
    call, *_ = opened(host)
    call.track(5, at=NOON, codec=Codec.L16, rate=RATE, clock=ArrivalClock())
    assert host.faults == ["a track of a party that never joined"]


def test_an_event_of_tomorrow_is_a_fault(host):
    call, *_ = opened(host)
    call.emit(Answered(at=later(86_400_000)))
    assert host.faults == ["Answered lies in the future"]


def test_what_does_not_come_while_a_party_holds_is_held(host):
    call, a, _ = opened(host)
    track = call.track(a, at=NOON, codec=Codec.L16, rate=RATE, clock=ArrivalClock())
    play(track, tone(300, 1.0))
    call.emit(Held(at=later(1000), party=a))
    call.emit(Retrieved(at=later(3000), party=a))
    play(track, tone(300, 1.0), begin_ms=3000)
    call.end(at=later(4000))
    assert call.state.tracks[0].spans.total(SpanKind.HELD) == pytest.approx(2 * RATE, abs=2 * FRAME)


def test_a_merged_call_keeps_its_place_in_time(host):
    first, a, _ = opened(host, "one")
    second, c, _ = opened(host, "two", at=later(1000))
    low, high = tone(300, 3.0), tone(1700, 2.0)
    track_a = first.track(a, at=NOON, codec=Codec.L16, rate=RATE, clock=MillisClock())
    track_c = second.track(c, at=later(1000), codec=Codec.L16, rate=RATE, clock=MillisClock())
    play(track_a, low)
    half = len(high) // 2
    play(track_c, high[:half], begin_ms=1000)
    second.emit(Dtmf(at=later(1200), party=c, button="1"))
    first.merge(second)
    for number in range(half // FRAME, len(high) // FRAME):
        frame = high[number * FRAME : (number + 1) * FRAME]
        track_c.write(encode(Codec.L16, frame), arrived=later(1000 + 20 * (number + 1)), stamp=20 * number, seq=number)
    first.end(at=later(3000))
    assert second.over
    assert second.state.merged_into == first.uuid
    assert host.open_calls() == []
    assert [party.key for party in first.state.parties] == ["a", "b"]
    assert [(track.party, track.samples) for track in first.state.tracks] == [(0, 3 * RATE), (0, 3 * RATE)]
    both = host.audio(first, a)
    assert correlation(both[:RATE], low[:RATE]) > 0.99
    assert correlation(both[RATE:] - low[RATE:], high) > 0.9
    assert first.state.odd == 0
    host.state_from_events(first)


def test_strangers_of_a_merged_call_get_new_indices(host):
    first = host.call("one", at=NOON)
    second = host.call("two", at=later(100))
    for key in ("a", "b"):
        first.party(key, at=NOON)
    for key in ("c", "b", "d"):
        second.party(key, at=later(100))
    first.emit(PartyLeft(at=later(150), party=1))
    first.merge(second)
    assert [(party.key, party.here) for party in first.state.parties] == [(k, True) for k in "abcd"]
    assert first.state.odd == 0


def test_a_merge_of_a_merge_keeps_all(host):
    calls = [opened(host, key, at=later(100 * i))[0] for i, key in enumerate(("one", "two", "three"))]
    tracks = [call.track(0, at=call.state.opened, codec=Codec.L16, rate=RATE, clock=MillisClock()) for call in calls]
    for i, track in enumerate(tracks):
        play(track, tone(500, 0.5), begin_ms=100 * i)
    calls[1].merge(calls[2])
    calls[0].merge(calls[1])
    calls[0].end(at=later(700))
    assert len(calls[0].state.tracks) == 3
    assert calls[0].state.merged == [calls[1].uuid, calls[2].uuid]
    assert {t.owner for t in tracks} == {calls[0]}
    host.state_from_events(calls[0])


def test_what_cannot_be_merged_is_counted(host):
    first, *_ = opened(host, "one")
    second, *_ = opened(host, "two")
    second.end(at=later(10))
    first.merge(second)
    first.merge(first)
    assert host.drops == {("merge", "not-possible"): 2}
    assert first.state.merged == []


def test_after_a_crash_open_calls_are_unfinished_and_taken_up_again(host):
    call, a, _ = opened(host, "one")
    play(call.track(a, at=NOON, codec=Codec.L16, rate=RATE, clock=MillisClock()), tone(300, 1.0))
    ended, *_ = opened(host, "two")
    ended.end(at=later(10))
    second = MemoryHost.after_crash(host)
    assert [left.key for left in second.unfinished()] == ["one"]
    assert second.open_calls() == []
    again = second.call("one", at=later(5000))
    assert again.uuid == call.uuid
    assert second.unfinished() == []
    assert second.open_calls() == [again]
    assert again.party("a", at=later(5000)) == a
    play(
        again.track(a, at=later(5000), codec=Codec.L16, rate=RATE, clock=MillisClock()),
        tone(300, 1.0),
        begin_ms=5000,
    )
    again.end(at=later(6000))
    assert [(window.start <= later(1000), window.stop) for window in again.state.interruptions] == [(True, later(5000))]
    heard = second.audio(again, a)
    assert heard[: RATE - FRAME].any()
    assert not heard[RATE : 5 * RATE].any()
    assert heard[5 * RATE + FRAME :].any()
    second.state_from_events(again)


def test_an_unfinished_call_may_just_be_ended(host):
    opened(host, "one")
    second = MemoryHost.after_crash(host)
    second.unfinished()[0].end(at=later(50))
    assert second.unfinished() == []
    assert second.call("one", at=later(60)).state.opened == later(60)


def test_drops_want_short_fixed_tokens(host):
    host.dropped("frame", "late", 3)
    host.dropped("frame", "from +1 555 0100")
    assert host.drops["frame", "late"] == 3
    assert len(host.faults) == 1


async def test_until_wakes_at_the_event_and_says_what_never_came(host):
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(host.until(lambda: host.calls[0].state.answered is not None))
        await asyncio.sleep(0)
        call, *_ = opened(host)
        assert not waiting.done()
        call.emit(Answered(at=NOON))
    with pytest.raises(TimeoutError, match="a second call"):
        await host.until(lambda: len(host.calls) == 2, within=0.01, what="a second call")


async def test_a_mistake_in_a_predicate_is_the_tests_own(host):
    waiting = asyncio.ensure_future(host.until(lambda: bool(host.calls) and 1 // 0 == 1))
    await asyncio.sleep(0)
    opened(host)
    with pytest.raises(ZeroDivisionError):
        await waiting


async def ask(url, **headers):
    async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_the_ingress_wants_its_token_in_the_header_or_as_last_segment():
    async def hello(_):
        return web.Response(text="hello")

    async with MemoryHost(token="sesame") as host:
        host.ingress.route("GET", "/a/hello", hello)
        with pytest.raises(ConfigError):
            host.ingress.route("GET", "/a/hello", hello)
        base = host.ingress.base_url
        assert await ask(f"{base}/a/hello", Authorization="Bearer sesame") == (200, "hello")
        assert await ask(f"{base}/a/hello/sesame") == (200, "hello")
        assert (await ask(f"{base}/a/hello"))[0] == 403
        assert (await ask(f"{base}/a/hello/wrong"))[0] == 403
        assert (await ask(f"{base}/a/hello", Authorization="Bearer wrong"))[0] == 403
        assert (await ask(f"{base}/other/sesame"))[0] == 404


def test_the_ingress_has_no_address_before_it_runs(host):
    with pytest.raises(RuntimeError):
        host.ingress.base_url  # noqa: B018 - the property is what is tested
    assert MemoryHost(public_url="https://edge.example.com/").ingress.base_url == "https://edge.example.com"
