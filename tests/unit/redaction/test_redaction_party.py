"""One party made silent and nameless: what goes with it, and that the others stay whole."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from redaction_kit import RATE, START, recording, samples, vcon, voice, words, wtf

from vcond.redaction.party import same_person
from vcond.redaction.redact import PURPOSE, own_uuid, redact
from vcond.redaction.texts import token
from vcond.vcon import serialize, validate

GONE = frozenset({0})
ANN = {
    "tel": "+15551230001",
    "name": "Ann Rosenkranz",
    "mailto": "ann.r@example.com",
    "uuid": "ann-7",
    "validation": "none",
}
BEN = {"sip": "1001@pbx.example.com", "name": "Ben Okafor", "validation": "none"}
SECRETS = ("+15551230001", "5551230001", "1230001", "rosenkranz", "ann.r", "ann-7", "garden", "lantern")


def call(**members: Any) -> dict[str, Any]:
    """Ann speaks from 5 to 8 and from 14 to 15, and untranscribed noise besides; Ben says her name and number."""
    said = wtf(
        (1, words(1.0, "hello Ann how are you")),
        (0, words(5.0, "my garden has a lantern in it")),
        (1, words(10.0, "I call you back at 1230001 then Mrs. Rosenkranz")),
        (0, words(14.0, "thank you")),
    )
    pcm = [voice(20, 1), voice(20, 2)]
    tags = {
        "purpose": "tags",
        "party": 1,
        "dialog": 0,
        "start": START,
        "encoding": "json",
        "body": ["queue:sales", "who:Ann"],
    }
    facts = {"purpose": "vcond-facts", "party": 1, "dialog": 0, "start": START, "encoding": "json",
             "body": [{"name": "callerName", "value": "Ann Rosenkranz"}]}  # fmt: skip
    consent = {
        "purpose": "lawful_basis",
        "party": 0,
        "dialog": 0,
        "start": START,
        "encoding": "json",
        "body": {"lawful_basis": "consent"},
    }
    history = [
        {"party": 0, "time": "2026-11-23T09:00:12Z", "event": "keydown", "button": "7"},
        {"party": 0, "time": "2026-11-23T09:00:12.1Z", "event": "keyup", "button": "7"},
        {"party": 1, "time": "2026-11-23T09:00:16Z", "event": "hold"},
    ]
    return vcon(
        **{
            "subject": "Ann Rosenkranz about her lights", "parties": [ANN, BEN],
            "dialog": [recording(pcm, party_history=history, filename="+15551230001.wav")], "analysis": [said],
            "attachments": [tags, facts, consent],
        } | members
    )  # fmt: skip


def without(whole: dict[str, Any], gone: frozenset[int] = GONE) -> dict[str, Any]:
    made = redact(whole, (), gone=gone).document
    assert [one for one in validate(made) if one.level == "error"] == []
    return made


def unchecked(whole: dict[str, Any], gone: frozenset[int] = GONE) -> float:
    return redact(whole, (), gone=gone).report["unchecked_seconds"]


def test_what_a_text_tells_of_who_is_gone_counts_as_checked_and_nothing_else_does():
    pcm = voice(20, 1)
    told = np.zeros(len(pcm), bool)
    for start, end in ((5.0, 7.72), (14.0, 14.72)):  # its two turns, as far as a text vouches for them
        told[round((start - 0.75) * RATE) : round((end + 0.75) * RATE)] = True
    assert unchecked(call()) == pytest.approx(np.count_nonzero(~told & (np.abs(pcm) > 40)) / RATE, abs=0.2)
    every = wtf((0, words(0.0, "word " * 50)), (1, words(1.0, "hello")))
    assert unchecked(call(analysis=[every])) == 0.0
    assert unchecked(call(analysis=[every]), frozenset({1})) > 10, "of the other one little is told"
    alone = recording([pcm], parties=[0])
    assert unchecked(call(dialog=[alone], analysis=[every])) == 0.0
    silent_now = redact(call(dialog=[alone], analysis=[wtf((0, words(5.0, "hello")))]), (), gone=GONE)
    assert "$.dialog[0].body" in silent_now.left_out
    assert silent_now.report["unchecked_seconds"] > 10, "it went with the whole recording"


def test_nothing_that_identifies_it_and_nothing_that_it_said_is_left():
    made = without(call())
    text = serialize(made).decode().lower()
    assert [one for one in SECRETS if one in text] == []
    assert "ann" not in json.dumps([made["subject"], made["attachments"], made["analysis"]]).lower().replace(
        "channel", ""
    )
    assert made["parties"][:2] == [{}, BEN]
    body = made["analysis"][0]["body"]
    mask = token("party")
    assert [one["text"] for one in body["segments"]] == [
        f"hello {mask} how are you", mask, f"I call you back at {mask} then Mrs. {mask}", mask,
    ]  # fmt: skip
    purposes = [one.get("purpose") for one in made["attachments"]]
    assert purposes == ["tags", None, None, PURPOSE], "facts say not whose they are, and its consent is its own"
    assert made["attachments"][0]["body"] == ["queue:sales", f"who:{mask}"]
    assert made["dialog"][0]["party_history"] == [{"party": 1, "time": "2026-11-23T09:00:16Z", "event": "hold"}]


def test_it_names_neither_the_original_nor_itself_twice():
    whole = call()
    made = without(whole)
    assert made["redacted"] == {"type": "party-removed"}
    assert whole["uuid"] not in serialize(made).decode()
    assert made["uuid"] == own_uuid(whole["uuid"], "without [0]") != own_uuid(whole["uuid"])
    assert without(whole) == made, "it can be made again"


def test_its_channel_is_silent_and_the_other_is_whole_but_where_it_spoke_or_was_named():
    whole = call()
    before, after = samples(whole["dialog"][0]), samples(without(whole)["dialog"][0])
    assert not after[:, 0].any()
    assert after.shape == before.shape
    for start, end in ((3.0, 4.0), (16.5, 19.5)):  # where no text says anything
        part = slice(round(start * RATE), round(end * RATE))
        assert np.array_equal(after[part, 1], before[part, 1])
    assert not after[5 * RATE : 8 * RATE].any(), "it may be heard on the line of the other"
    assert not after[round(12.05 * RATE) : round(12.1 * RATE)].any(), "tones of its keys"


def test_of_a_recording_of_its_own_nothing_is_left_and_that_of_the_other_stays_without_any_text():
    def one(party: int) -> dict[str, Any]:
        return recording([voice(4, party)], parties=[party])

    made = without(call(dialog=[one(0), one(1)], analysis=[], attachments=[]))
    assert "body" not in made["dialog"][0]
    assert np.array_equal(samples(made["dialog"][1]), samples(one(1)))
    (report,) = [item["body"] for item in made["attachments"]]
    assert [item["path"] for item in report["left_out"]] == ["$.dialog[0].body"]
    assert "amends" not in report


@pytest.mark.parametrize("texts", [True, False])
def test_of_a_mixed_recording_only_what_a_text_gives_to_others_stays(texts):
    whole = call(dialog=[recording([voice(20, 3)], parties=[0, 1])])
    if not texts:
        whole["analysis"] = []
        assert "body" not in without(whole)["dialog"][0]
        return
    after = samples(without(whole)["dialog"][0])[:, 0]
    assert after[round(10.2 * RATE) : round(10.6 * RATE)].any()
    assert not after[round(4.5 * RATE) : round(8.5 * RATE)].any()
    assert not after[round(16.5 * RATE) :].any(), "nobody knows whose this is"


def test_a_turn_of_nobody_known_goes_where_it_may_be_its_own():
    said = wtf((9, words(1.0, "the garden")), (1, words(4.0, "which one")))
    body = without(call(analysis=[said]))["analysis"][0]["body"]
    assert [one["text"] for one in body["segments"]] == [token("party"), "which one"]


@pytest.mark.parametrize(("sender", "stays"), [({"parties": [1, 0]}, True), ({"parties": [0, 1]}, False), ({"parties": [1, 0], "originator": 0}, False), ({}, False)])  # fmt: skip
def test_a_written_message_stays_when_somebody_else_wrote_it(sender, stays):
    text = {
        "type": "text",
        "start": START,
        "mediatype": "text/plain",
        "encoding": "none",
        "body": "for Ann: come at nine",
        **sender,
    }
    made = without(call(dialog=[text], analysis=[], attachments=[]))["dialog"][0]
    assert made.get("body") == (f"for {token('party')}: come at nine" if stays else None)


def test_who_has_the_same_name_keeps_it_and_words_of_the_format_stay():
    other = {"name": "Carl Recording", "tel": "+15559990002", "validation": "none"}
    made = without(call(parties=[{"name": "Text Recording Okafor Json", "validation": "none"}, BEN, other]))
    assert made["parties"][1:3] == [BEN, other]
    assert made["dialog"][0]["type"] == "recording"


def test_all_parties_that_share_an_identifier_are_one_person():
    people = [["tel:+1"], ["sip:b", "tel:+2"], ["tel:+2", "mailto:c"], ["mailto:c"], []]
    assert same_person(people, [1]) == {1, 2, 3}
    assert same_person(people, [0]) == {0}
    assert same_person(people, [4]) == {4}
