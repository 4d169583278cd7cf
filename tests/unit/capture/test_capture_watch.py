"""What is missing in a call is said while it goes on, once, by one rule for every adapter."""

import numpy as np
import pytest
import structlog
from capture_kit import FRAME

from vcond.base import metrics
from vcond.call import events as ev
from vcond.call.stopped_audio import MOST
from vcond.publish.telling import WATCH_AFTER, Findings
from vcond.sdk.contract import ArrivalClock, Codec

SILENCE = np.zeros(160, "<i2").tobytes()


def two(house, key: str = "k", *, answered: bool = True):
    call = house.host.call(key, at=house.now(0))
    for name in "ab":
        call.party(name, at=house.at(0))
    if answered:
        call.emit(ev.Answered(at=house.at(0)))
    return call


def speak(house, call, frames: dict[int, bytes], seconds: float = WATCH_AFTER) -> None:
    tracks = {
        party: call.track(party, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock()) for party in frames
    }
    for number in range(round(50 * seconds)):
        for party, track in tracks.items():
            track.write(frames[party], arrived=house.now(0.02 * (number + 1)))


def watched(house, findings, seconds: float) -> list[dict]:
    with structlog.testing.capture_logs() as said:
        findings.watch([(call.state, call.stopped.parties) for call in house.registry.live], house.now(seconds))
    return [line for line in said if "missing" in line["event"]]


def unheard() -> float:
    return metrics.calls_missing_audio.labels("test")._value.get()


@pytest.mark.parametrize(
    ("frames", "codes"),
    [
        ({0: FRAME, 1: FRAME}, []),
        ({0: FRAME}, ["one-way-audio"]),
        ({}, ["no-audio", "no-audio"]),
        ({0: FRAME, 1: SILENCE}, ["digital-silence"]),
    ],
)
async def test_who_is_not_heard_is_told_once_with_what_to_do(house, frames, codes):
    call = two(house)
    findings = Findings({"test": {"one-way-audio": "look at the phone's NAT"}})
    speak(house, call, frames)
    assert watched(house, findings, WATCH_AFTER - 1) == [], "who only listens may be silent at first"
    said = watched(house, findings, WATCH_AFTER + 5)
    assert [line["code"] for line in said] == codes
    assert all(line["hint"] and line["call"] == call.uuid for line in said)
    assert not codes or unheard() == 1
    if codes == ["one-way-audio"]:
        assert said[0]["hint"] == "look at the phone's NAT"
    assert watched(house, findings, WATCH_AFTER + 50) == []
    call.end(at=house.now(WATCH_AFTER + 61))
    watched(house, findings, WATCH_AFTER + 70)
    assert unheard() == 0


async def test_what_is_wrong_now_is_flagged_with_what_to_do_until_it_is_mended_and_each_change_is_told(house):
    changed: list[str] = []
    call, whole = two(house), two(house, "whole")
    findings = Findings({"test": {"one-way-audio": "look at the phone's NAT"}}, flagged=changed.append)
    speak(house, call, {0: FRAME})
    speak(house, whole, {0: FRAME, 1: FRAME})
    assert findings.flags(call.state) == []
    watched(house, findings, WATCH_AFTER + 5)
    [flag] = findings.flags(call.state)
    assert flag == {
        "code": "one-way-audio", "text": "party 1: no audio came in", "party": 1, "wrong": True, "hint": "look at the phone's NAT",
    }  # fmt: skip
    assert findings.flags(whole.state) == []
    assert changed == [call.uuid]
    watched(house, findings, WATCH_AFTER + 11)
    assert changed == [call.uuid], "nothing else is wrong than before"
    speak(house, call, {1: FRAME}, 1)
    call.stopped.parties = [0]
    watched(house, findings, WATCH_AFTER + 17)
    assert [(one["code"], one["text"]) for one in findings.flags(call.state)] == [
        ("audio-stopped", "party 0: no audio comes any more")
    ]
    call.stopped.parties = []
    watched(house, findings, WATCH_AFTER + 23)
    assert findings.flags(call.state) == []
    assert changed == [call.uuid] * 3
    call.emit(ev.Warned(at=house.at(60), code="no-audio", text="the media of this call bypasses the switch"))
    watched(house, findings, WATCH_AFTER + 31)
    assert [one["text"] for one in findings.flags(call.state)] == ["the media of this call bypasses the switch"]
    call.end(at=house.now(70))
    watched(house, findings, WATCH_AFTER + 50)
    assert findings.flags(call.state) == []


async def test_what_its_adapter_said_who_is_gone_a_pause_and_a_call_that_rings_are_not_told(house):
    findings = Findings()
    ringing = two(house, answered=False)
    assert watched(house, findings, WATCH_AFTER + 5) == []
    ringing.emit(ev.Answered(at=house.at(0)))
    ringing.emit(ev.RecordingPaused(at=house.at(1), by="operator"))
    assert watched(house, findings, WATCH_AFTER + 10) == []
    ringing.emit(ev.RecordingResumed(at=house.at(40), by="operator"))
    ringing.emit(ev.Warned(at=house.at(41), code="no-audio", text="the media of this call bypasses the switch"))
    assert watched(house, findings, WATCH_AFTER + 15) == []


async def test_frames_of_another_codec_are_said_in_the_record_and_in_the_log(house):
    call = two(house)
    speak(house, call, {0: FRAME, 1: FRAME[:-1]})
    assert [warned.code for warned in call.state.warnings] == ["wrong-codec"]
    assert [line["code"] for line in watched(house, Findings(), WATCH_AFTER + 5)] == ["wrong-codec", "one-way-audio"]


async def test_a_frame_now_and_then_that_is_no_audio_is_no_other_codec(house):
    call = two(house)
    track = call.track(0, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    for number in range(500):
        track.write(FRAME[: -(number % 5 > 0) or None], arrived=house.now(0.02 * (number + 1)))
    assert call.state.warnings == []


async def test_a_clock_that_was_set_back_keeps_nobody_from_being_looked_at(house):
    two(house)
    findings = Findings()
    findings.watch([], house.now(7200))
    assert len(watched(house, findings, WATCH_AFTER + 5)) == 2


def ticked(house, seconds: float) -> list[dict]:
    with structlog.testing.capture_logs() as said:
        house.registry.tick(house.now(seconds))
    return [line for line in said if "stopped" in line["event"]]


async def test_whose_audio_stops_is_told_unless_it_is_held_or_nobody_else_is_there(house):
    call = two(house)
    findings = Findings()
    speak(house, call, {0: FRAME, 1: FRAME}, 40)
    speaking = call.tracks[0]
    assert ticked(house, 45) == []
    for number in range(50 * 70):  # one goes on
        speaking.write(FRAME, arrived=house.now(40 + 0.02 * (number + 1)))
    call.emit(ev.Held(at=house.at(110), party=0))
    call.emit(ev.Unmuted(at=house.at(110.5), party=0))
    assert ticked(house, 111) == [], "held"
    call.emit(ev.Retrieved(at=house.at(112), party=0))
    for number in range(50 * 61):
        speaking.write(FRAME, arrived=house.now(112 + 0.02 * (number + 1)))
    before = metrics.dropped_total.labels("tap", "stopped")._value.get()
    (said,) = ticked(house, 173)
    text = "party 1: no audio came for 62 s; its system cannot be asked to send it again"
    assert (said["error"], said["call"]) == (text, call.uuid)
    assert said["hint"]
    assert [(warned.code, warned.text) for warned in call.state.warnings] == [("audio-stopped", text)]
    assert metrics.dropped_total.labels("tap", "stopped")._value.get() == before + 1
    assert watched(house, findings, 174) == [], "it was said"
    assert unheard() == 1
    assert ticked(house, 175) == [], "once"
    call.emit(ev.PartyLeft(at=house.at(176), party=0))
    ticked(house, 177)
    watched(house, findings, 180)
    assert unheard() == 0


async def test_who_is_known_to_send_nothing_is_not_missed(house):
    call = two(house)
    speak(house, call, {0: FRAME, 1: FRAME}, 40)
    one, other = call.tracks
    for number in range(50 * 70):
        one.write(FRAME, arrived=house.now(40 + 0.02 * (number + 1)))
    other.absent(house.at(40), house.at(108), ev.SpanKind.SILENT)
    assert ticked(house, 110) == []
    other.absent(house.at(108), house.at(109), ev.SpanKind.LOST)
    assert len(ticked(house, 169)) == 1, "from then on"


async def test_of_several_those_are_missed_who_neither_hold_nor_are_muted(house):
    call = house.host.call("k", at=house.now(0))
    for key in "abcd":
        call.party(key, at=house.at(0))
    call.emit(ev.Answered(at=house.at(0)))
    speak(house, call, dict.fromkeys(range(4), FRAME), 40)
    call.emit(ev.Held(at=house.at(41), party=0))
    call.emit(ev.Muted(at=house.at(41), party=1))
    assert [line["error"][:7] for line in ticked(house, 101)] == ["party 2", "party 3"]
    call.emit(ev.PartyLeft(at=house.at(102), party=2))
    call.emit(ev.PartyLeft(at=house.at(102), party=3))
    assert (ticked(house, 103), call.stopped.parties) == ([], []), "one of two holds"
    call.emit(ev.Retrieved(at=house.at(104), party=0))
    assert ticked(house, 162) == [], "awaited from then on"
    assert [line["error"][:7] for line in ticked(house, 164)] == ["party 0"]


async def test_who_waits_alone_is_not_missed(house):
    call = house.host.call("k", at=house.now(0))
    call.party("a", at=house.at(0))
    call.emit(ev.Answered(at=house.at(0)))
    speak(house, call, {0: FRAME}, 5)
    assert ticked(house, 100) == []


async def test_an_adapter_is_asked_again_and_again_at_growing_intervals_and_not_for_ever(house):
    asked: list[float] = []
    now = [0.0]
    house.host.taps(after=5, again=lambda _call, _party: not asked.append(now[0]))
    call = two(house)
    speak(house, call, {0: FRAME, 1: FRAME}, 10)
    speaking = call.tracks[0]
    said = []
    while now[0] < 7200:
        now[0] += 0.5
        speaking.write(FRAME, arrived=house.now(10 + now[0]))
        said += ticked(house, 10 + now[0])
    assert [round(at, 1) for at in asked[:6]] == [5.0, 10.0, 20.0, 40.0, 80.0, 140.0]
    assert len(asked) == MOST
    assert "in vain" in said[-1]["error"]
    assert [warned.text.rpartition("; ")[2] for warned in call.state.warnings] == [
        "it was asked for again", f"it was asked for {MOST} times in vain",
    ]  # fmt: skip


async def test_audio_that_comes_again_for_a_while_begins_the_count_anew_and_for_a_moment_does_not(house):
    asked: list[int] = []
    house.host.taps(after=5, again=lambda _call, party: not asked.append(party))
    call = two(house)
    speak(house, call, {0: FRAME, 1: FRAME}, 10)
    one, other = call.tracks
    last = 10.0

    def passes(seconds: float, *speaking) -> float:
        nonlocal last
        for _ in range(round(2 * seconds)):
            last += 0.5
            for track in speaking:
                track.write(FRAME, arrived=house.now(last))
            ticked(house, last)
        return last

    passes(6, one)
    passes(2, one, other)
    passes(6, one)
    assert len(asked) == 2
    passes(6, one)
    assert len(asked) == 2, "it waits longer: two seconds are no success"
    passes(30, one, other)
    passes(11, one)
    assert len(asked) == 4, "from the beginning"


async def test_of_a_connection_that_brings_all_parties_none_has_stopped_while_one_is_heard(house):
    house.host.taps(after=5, shared=True)
    call = two(house)
    speak(house, call, {0: FRAME, 1: FRAME}, 10)
    one, _ = call.tracks
    for number in range(50 * 20):
        one.write(FRAME, arrived=house.now(10 + 0.02 * (number + 1)))
    assert ticked(house, 30) == []
    assert len(ticked(house, 36)) == 2
