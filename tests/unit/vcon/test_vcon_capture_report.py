from __future__ import annotations

import msgspec
import pytest

from vcond.base.errors import JournalError
from vcond.call import events as ev
from vcond.call.events import SpanKind
from vcond.call.state import fold
from vcond.vcon import BuildOptions, build, build_with_media, validate
from vcond.vcon.building.capture_report import MOST_PLACES, capture
from vcond.vcon.building.mix import view


def reported(script):
    document = build(fold(script.events), script.audio)
    bodies = {one["purpose"]: one["body"] for one in document["attachments"]}
    return bodies["vcond-capture-report"], bodies["tags"]


def test_the_kinds_of_every_party_add_up_to_the_recording(scenario, scenarios):
    script = scenarios.SCENARIOS[scenario]()
    call = fold(script.events)
    taken = capture(call, view(call, call.tracks), script.audio)
    for party in taken.parties:
        assert sum(party.frames.values()) == taken.shown.frames


def test_a_hold_a_pause_and_an_absence_are_told_apart(scenarios):
    hold, _ = reported(scenarios.hold())
    assert hold["parties"][1]["seconds"] == {
        "received": 3.0, "silent": 0.0, "lost": 0.0, "concealed": 0.0, "held": 1.5, "paused": 0.0, "absent": 0.0,
    }  # fmt: skip
    pause, tags = reported(scenarios.pause())
    assert pause["parties"][0]["seconds"]["paused"] == 2.1
    assert pause["pauses"] == [
        {"start": "2026-11-23T09:00:02.4Z", "stop": "2026-11-23T09:00:04.5Z", "reason": "payment", "by": "agent"}
    ]
    assert "vcond_gap:true" not in tags
    moved, _ = reported(scenarios.blind_transfer())
    assert moved["parties"][1]["seconds"]["absent"] == 3.5


def test_loss_is_a_gap(scenarios):
    report, tags = reported(scenarios.loss())
    assert "vcond_gap:true" in tags
    assert report["complete"] is False
    assert report["parties"][1]["seconds"]["lost"] == 0.24
    assert report["parties"][1]["lost_at"] == [[1.0, 1.24]], "seconds from the report's start, 0.5 s after the call's"
    assert report["parties"][1]["lost_places"] == 1
    assert "lost_at" not in report["parties"][0]
    assert report["warnings"] == [{"time": "2026-11-23T09:00:01.8Z", "code": "loss", "text": "packets lost on a leg"}]
    assert report["utterances"] == {"transcribed": 1, "failed": 1, "waiting": 0, "cut": 0}


def test_what_was_lost_and_what_was_concealed_beside_it_are_one_place_and_a_pause_on_top_is_none(scenarios):
    script = scenarios.loss()
    script.hears(1, 1.74, 1.8, SpanKind.CONCEALED)
    script.add(ev.RecordingPaused(at=script.at(1.6), by="agent"), ev.RecordingResumed(at=script.at(1.7), by="agent"))
    report, _ = reported(script)
    assert report["parties"][1]["lost_at"] == [[1.0, 1.1], [1.2, 1.3]]


def test_of_many_places_where_audio_was_lost_the_report_has_the_longest_and_says_how_many_there_were(scenarios):
    script = scenarios.loss()
    for number in range(MOST_PLACES):
        script.hears(0, 0.6 + number * 0.005, 0.601 + number * 0.005, SpanKind.LOST)
    script.hears(0, 3.5, 3.7, SpanKind.LOST)
    report, _ = reported(script)
    party = report["parties"][0]
    assert party["lost_places"] == MOST_PLACES + 1
    assert len(party["lost_at"]) == MOST_PLACES
    assert party["lost_at"][0] == [0.1, 0.101]
    assert party["lost_at"][-1] == [3.0, 3.2]
    assert party["lost_at"] == sorted(party["lost_at"])


def test_a_crash_is_a_gap_with_its_reason(scenarios):
    report, tags = reported(scenarios.crash())
    assert "vcond_gap:true" in tags
    assert report["interruptions"] == [
        {"start": "2026-11-23T09:00:02Z", "stop": "2026-11-23T09:00:04Z", "reason": "crash"}
    ]
    assert [track["track"] for track in report["parties"][0]["tracks"]] == [0, 2]


def test_an_interruption_that_never_ended_goes_to_the_end(scenarios):
    script = scenarios.two()
    script.hears(0, 0.5, 2.0)
    script.hears(1, 0.5, 2.0)
    script.add(ev.Interrupted(at=script.at(2)))
    report, _ = reported(scenarios.finish(script, (0, 1)))
    assert report["interruptions"][0]["stop"] == "2026-11-23T09:00:04Z"
    assert "capture interrupted for 2.0 s (unknown)" in report["notes"]


@pytest.mark.parametrize("kind", [SpanKind.LOST, SpanKind.CONCEALED])
def test_a_track_that_fills_in_for_another_is_no_loss(scenarios, kind):
    script = scenarios.two()
    script.hears(0, 0.5, 4.0)
    script.hears(1, 0.5, 4.0, kind)
    script.hears(script.track(1, 0.5), 0.5, 4.0)
    report, tags = reported(scenarios.finish(script, (0, 1)))
    assert report["complete"] is True
    assert "vcond_gap:true" not in tags


def test_one_of_two_who_is_not_heard_is_a_gap(scenarios):
    script = scenarios.two()
    script.hears(0, 0.5, 4.0)
    report, tags = reported(scenarios.finish(script, (0, 1)))
    assert "vcond_gap:true" in tags
    assert report["notes"] == ["party 1: no audio came in"]


def test_digital_silence_is_said(scenarios):
    report, tags = reported(scenarios.nobody_spoke())
    assert report["notes"] == [f"party {party}: only digital silence came in" for party in (0, 1)]
    assert "vcond_gap:true" not in tags


def test_an_answered_call_without_audio_is_no_silent_shell(scenarios):
    report, tags = reported(scenarios.no_audio())
    assert report["audio"] == "none"
    assert {"vcond_gap:true", "vcond_audio:none"} <= set(tags)
    assert "the call was answered and no audio came in" in report["notes"]


def test_an_attempt_has_no_gap(scenarios):
    report, tags = reported(scenarios.busy())
    assert (report["complete"], report["notes"]) == (True, [])
    assert tags == ["source:vcond", "platform:asterisk", "direction:inbound"]


def test_what_makes_no_sense_is_counted(scenarios):
    script = scenarios.plain()
    script.add(ev.PartyLeft(at=script.at(4), party=17))
    report, _ = reported(script)
    assert report["odd_events"] == 1


def test_a_transfer_to_nobody_we_know_keeps_what_was_dialled(scenarios):
    report, _ = reported(scenarios.failed_transfer())
    assert report["transfers"] == [{"time": "2026-11-23T09:00:02Z", "kind": "blind", "to": "1999"}]


@pytest.mark.parametrize(("back", "complete"), [(False, False), (True, True)])
def test_an_attempt_whose_end_nobody_saw_may_have_been_answered(scenarios, back, complete):
    script = scenarios.busy()
    end = script.events.pop()
    script.events.append(ev.Interrupted(at=end.at, reason="crash"))
    if back:
        script.events.append(ev.Recovered(at=end.at))
        end = msgspec.structs.replace(end, at=end.at + 1_000_000_000)
    script.events.append(end)
    report, tags = reported(script)
    assert report["complete"] is complete
    assert ("vcond_gap:true" in tags) is not complete
    assert any("whether it was answered is not known" in note for note in report["notes"]) is not complete


def test_what_was_transcribed_later_says_so(scenarios):
    """The plain scenario's call, of which some was deferred while the machine was busy."""
    script = scenarios.plain()
    events = []
    for event in script.events:
        if isinstance(event, ev.CallEnded):
            events += [ev.SpeechState(at=event.at, state="deferred"), ev.SpeechState(at=event.at, state="live")]
        late = isinstance(event, ev.Transcribed) and event.utterance == 0
        events.append(msgspec.structs.replace(event, deferred=True) if late else event)
    document = build(fold(events), script.audio)
    report = next(one["body"] for one in document["attachments"] if one["purpose"] == "vcond-capture-report")
    (spoken,) = [event for event in events if isinstance(event, ev.Transcribed) and event.deferred]
    assert [one["state"] for one in report["transcription"]] == ["deferred", "live"]
    assert report["deferred"]["utterances"] == 1
    assert report["deferred"]["seconds"] == 1.6
    body = next(one["body"] for one in document["analysis"] if one["type"] == "wtf_transcription")
    (warning,) = [one for one in body["quality"]["processing_warnings"] if "later" in one]
    assert (
        warning == f"1 utterances (1.6 s) transcribed later from the recording, until {report['deferred']['filled_in']}"
    )
    assert spoken.text not in warning


def test_an_amended_vcon_names_the_first_one_and_the_same_files(scenarios):
    script = scenarios.plain()
    ended = next(event for event in script.events if isinstance(event, ev.CallEnded))
    uuid = "01a20295-3e68-8702-8878-12d16ab493db"
    state = fold([*script.events, ev.Amending(at=ended.at, vcon=uuid, until=ended.at)])
    first, second = (
        build_with_media(
            state, script.audio, BuildOptions(inline_limit=1, amended=amended), media_url="https://m.example.com"
        )
        for amended in (False, True)
    )
    assert second.document["amended"] == {"uuid": first.document["uuid"]}
    assert second.document["uuid"] == uuid
    assert [media.name for media in first.media] == [media.name for media in second.media]
    assert [finding for finding in validate(second.document) if finding.level == "error"] == []
    with pytest.raises(JournalError):
        build(fold(script.events), script.audio, BuildOptions(amended=True))
