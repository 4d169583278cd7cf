from __future__ import annotations

import pytest

from vcond.call import events as ev
from vcond.call.causes import Cause, Disposition
from vcond.call.state import fold
from vcond.vcon import build, validate


def dialogs(script):
    document = build(fold(script.events), script.audio)
    assert [one for one in validate(document) if one.level == "error"] == []
    return [{name: value for name, value in one.items() if name != "body"} for one in document["dialog"]]


@pytest.mark.parametrize(
    ("scenario_name", "disposition"),
    [
        ("no_answer", "no-answer"),
        ("busy", "busy"),
        ("cancelled", "hung-up"),
        ("congestion", "congestion"),
        ("failed", "failed"),
        ("voicemail", "voicemail-no-message"),
    ],
)
def test_every_kind_of_unanswered_call(scenarios, scenario_name, disposition):
    (one,) = dialogs(getattr(scenarios, scenario_name)())
    assert (one["type"], one["disposition"], one["parties"]) == ("incomplete", disposition, [0, 1])
    assert one["start"] == "2026-11-23T09:00:00Z"


def test_early_media_of_a_call_that_nobody_answered_is_not_recorded(scenarios):
    script = scenarios.Script(3.0)
    script.open()
    script.joins(0, 0, scenarios.CALLER)
    script.hears(script.track(0, 0.2), 0.2, 3.0)
    script.ends(3.0, cause=Cause(q850=19), disposition=Disposition.NO_ANSWER)
    document = build(fold(script.events), script.audio)
    assert [one["type"] for one in document["dialog"]] == ["incomplete"]
    notes = document["attachments"][1]["body"]["notes"]
    assert notes == ["audio from before an answer came in and is not in the record"]


def test_audio_without_word_of_an_answer_is_a_recording(scenarios):
    script = scenarios.Script(3.0)
    script.open()
    script.joins(0, 0, scenarios.CALLER)
    script.hears(script.track(0, 0.2), 0.2, 3.0)
    script.ends(3.0)
    assert [one["type"] for one in dialogs(script)] == ["recording"]


def test_two_parties_make_one_stereo_recording_with_the_caller_first(scenarios):
    (one,) = dialogs(scenarios.plain())
    assert (one["type"], one["parties"], one["mediatype"]) == ("recording", [0, 1], "audio/x-wav")
    assert "originator" not in one


def test_more_voices_make_a_set(scenarios):
    whole, *each = dialogs(scenarios.conference())
    assert (whole["type"], whole["parties"], whole["recordings"]) == ("recording-set", [0, 1, 2, 3], [1, 2, 3, 4])
    assert [one["parties"] for one in each] == [[0], [1], [2], [3]]
    assert all(one["recording_set"] == 0 and one["duration"] == whole["duration"] for one in each)
    assert [one.get("originator") for one in each] == [None, 0, 0, 0]
    assert "party_history" in whole
    assert not any("party_history" in one for one in each)


def test_a_blind_transfer(scenarios):
    *_, transfer = dialogs(scenarios.blind_transfer())
    assert transfer == {
        "type": "transfer", "start": "2026-11-23T09:00:02.5Z", "application": "asterisk", "transferee": 0,
        "transferor": 1, "transfer_target": 2, "original": 0, "target_dialog": 0,
    }  # fmt: skip


def test_an_attended_transfer_names_the_consultation(scenarios):
    *_, transfer = dialogs(scenarios.attended_transfer())
    assert transfer["consultation"] == 0


def test_a_target_out_of_our_hearing_is_a_placeholder(scenarios):
    script = scenarios.two()
    script.hears(0, 0.5, 4.0)
    script.hears(1, 0.5, 2.0)
    script.joins(2, 2.0, ev.PartyInfo(tel="+15551230009"))
    script.add(ev.Transferred(at=script.at(2), kind="attended", transferor=1, transferee=0, target=2))
    recording, placeholder, transfer = dialogs(scenarios.finish(script, (0, 1, 2)))
    assert recording["parties"] == [0, 1]
    assert placeholder == {"type": "recording", "start": "2026-11-23T09:00:02Z", "parties": [0, 2]}
    assert transfer["target_dialog"] == 1
    assert "consultation" not in transfer


def test_a_transfer_that_failed_is_a_placeholder_that_says_so(scenarios):
    _, placeholder, transfer = dialogs(scenarios.failed_transfer())
    assert placeholder == {
        "type": "incomplete", "start": "2026-11-23T09:00:02Z", "parties": [0], "disposition": "failed",
    }  # fmt: skip
    assert (transfer["original"], transfer["target_dialog"]) == (0, 1)


def test_a_transfer_of_a_call_that_nobody_answered(scenarios):
    script = scenarios.Script(3.0)
    script.open()
    script.joins(0, 0, scenarios.CALLER)
    script.add(ev.Transferred(at=script.at(1), kind="blind", transferee=0, outcome="failed"))
    script.ends(3.0, disposition=Disposition.FAILED)
    *_, transfer = dialogs(script)
    assert "original" not in transfer


def test_indices_that_name_nobody_are_left_out(scenarios):
    script = scenarios.plain()
    script.add(ev.Transferred(at=script.at(2), kind="blind", transferor=-1, transferee=40, target=2))
    *_, transfer = dialogs(script)
    assert {"transferee", "transferor", "transfer_target"}.isdisjoint(transfer)


def test_an_answered_call_without_audio_is_a_recording_without_content(scenarios):
    (one,) = dialogs(scenarios.no_audio())
    assert one["type"] == "recording"
    assert {"mediatype", "encoding"}.isdisjoint(one)


def test_a_call_of_one(scenarios):
    script = scenarios.Script(2.0)
    script.open()
    script.joins(0, 0, scenarios.CALLER)
    script.add(ev.Answered(at=script.at(0.1)))
    script.hears(script.track(0, 0.1), 0.1, 2.0)
    script.ends(2.0)
    (one,) = dialogs(script)
    assert one["parties"] == [0]


def test_when_the_caller_is_not_heard_the_originator_is_named(scenarios):
    script = scenarios.two()
    script.joins(2, 0.3, scenarios.SECOND_AGENT)
    script.hears(1, 0.5, 4.0)
    script.hears(script.track(2, 0.5), 0.5, 4.0)
    (one,) = dialogs(scenarios.finish(script, (0, 1, 2)))
    assert (one["parties"], one["originator"]) == ([1, 2], 0)
