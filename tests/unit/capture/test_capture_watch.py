"""What is missing in a call is said while it goes on, once, by one rule for every adapter."""

import numpy as np
import pytest
import structlog
from capture_kit import FRAME

from vcond.base import metrics
from vcond.call import events as ev
from vcond.publish.telling import WATCH_AFTER, Findings
from vcond.sdk.contract import ArrivalClock, Codec

SILENCE = np.zeros(160, "<i2").tobytes()


def two(house, *, answered: bool = True):
    call = house.host.call("k", at=house.now(0))
    for key in "ab":
        call.party(key, at=house.at(0))
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
        findings.watch([call.state for call in house.registry.live], house.now(seconds))
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


async def test_whose_audio_stops_is_told_unless_it_is_held_or_nobody_else_is_there(house):
    call = two(house)
    findings = Findings()
    speak(house, call, {0: FRAME, 1: FRAME}, 40)
    speaking = call.tracks[0]
    assert watched(house, findings, 45) == []
    for number in range(50 * 70):  # one goes on
        speaking.write(FRAME, arrived=house.now(40 + 0.02 * (number + 1)))
    house.registry.tick(house.now(110))
    call.emit(ev.Held(at=house.at(110), party=0))
    call.emit(ev.Unmuted(at=house.at(110.5), party=0))
    assert watched(house, findings, 111) == [], "held"
    call.emit(ev.Retrieved(at=house.at(112), party=0))
    said = watched(house, findings, 117)
    assert [(line["code"], line["error"]) for line in said] == [("audio-stopped", "party 1: its audio has stopped")]
    assert said[0]["hint"]
    assert unheard() == 1
    assert watched(house, findings, 123) == [], "once"
    call.emit(ev.PartyLeft(at=house.at(124), party=0))
    watched(house, findings, 130)
    assert unheard() == 0


async def test_who_waits_alone_is_not_missed(house):
    call = house.host.call("k", at=house.now(0))
    call.party("a", at=house.at(0))
    call.emit(ev.Answered(at=house.at(0)))
    speak(house, call, {0: FRAME}, 5)
    house.registry.tick(house.now(100))
    assert watched(house, Findings(), 101) == []
