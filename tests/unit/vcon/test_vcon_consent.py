"""What a vCon says of consent, and what is not in it for want of it."""

import numpy as np
import pytest

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.labels import labels
from vcond.call.state import fold
from vcond.policy.consent import Terms
from vcond.vcon import BuildOptions, build, validate
from vcond.vcon.building.mix import mix, view

UUID = "01955d9d-1f2a-8000-8000-000000000001"
ZERO = 1_795_339_662 * SECOND
RATE = 8000


def at(seconds: float) -> Instant:
    return Instant(ZERO + round(seconds * SECOND))


def say(seconds, party, state, **more):
    return ev.Consent(at=at(seconds), party=party, state=state, **more)


def talk(*events, terms=None, several=False, answered=True):
    """Ten seconds of two parties, a word of each at second 4, and a digit of the first at second 3."""
    calls = [
        ev.CallOpened(at=at(0), call=UUID, adapter="test", key="k", recorder="edge", software="vcond 0"),
        ev.PartyJoined(at=at(0), party=0, key="a", who=ev.PartyInfo(tel="+15550100", name="Ann")),
        ev.PartyJoined(at=at(0), party=1, key="b", who=ev.PartyInfo(name="Bea", several=several)),
        *([ev.Answered(at=at(0))] if answered else []),
        ev.TrackOpened(at=at(0), track=0, party=0, codec="L16", rate=RATE),
        ev.TrackOpened(at=at(0), track=1, party=1, codec="L16", rate=RATE),
        *([ev.PolicyApplied(at=at(0), terms=terms)] if terms is not None else []),
    ]
    words = [
        ev.Dtmf(at=at(3), party=0, button="7", ms=80),
        *[ev.Span(at=at(9), track=i, start=0, stop=10 * RATE, kind=ev.SpanKind.RECEIVED) for i in (0, 1)],
        *[ev.Utterance(at=at(5), utterance=i, track=i, start=4 * RATE, stop=5 * RATE) for i in (0, 1)],
        *[
            ev.Transcribed(at=at(6), utterance=i, engine="e", model="m", text=text,
                           words=[ev.Word(4 * RATE, 5 * RATE, text, 1.0)])
            for i, text in enumerate(("alpha", "beta"))
        ],
    ]  # fmt: skip
    order = sorted([*words, *events], key=lambda event: event.at)
    call = fold([*calls, *order])
    for span in labels(call, at(10)):
        call.apply(span)
    call.apply(ev.CallEnded(at=at(10)))
    return call


LOUD = {i: np.full(10 * RATE, 1000, np.int16) for i in (0, 1)}


def made(call):
    document = build(call, LOUD)
    assert not [finding for finding in validate(document) if finding.level == "error"]
    return document


def report(document):
    (body,) = [one["body"] for one in document["attachments"] if one["purpose"] == "vcond-capture-report"]
    return body


def bases(document):
    return {one["party"]: one["body"] for one in document["attachments"] if one["purpose"] == "lawful_basis"}


def loud(call, party):
    """Seconds of ten that are not silent."""
    pcm = mix(call, view(call, call.tracks), party, LOUD).read(0, 10 * RATE)
    return [second for second in range(10) if np.any(pcm[second * RATE + 100 : (second + 1) * RATE - 100])]


def test_without_rule_and_word_nothing_is_said_of_consent():
    document = made(talk())
    assert not {"consent", "policy"} & report(document).keys()
    assert "withheld" not in report(document)["parties"][0]["seconds"]
    assert bases(document) == {}


def test_a_refusal_leaves_nothing_of_the_party_whatever_the_journal_holds():
    call = talk(say(6, 0, "denied", how="operator"))
    document = made(call)
    assert (loud(call, 0), len(loud(call, 1))) == ([], 10)
    text = str(document["analysis"]) + str(document["dialog"])
    assert "alpha" not in text
    assert "beta" in text
    assert "'button': '7'" not in text
    body = report(document)
    assert body["parties"][0]["seconds"]["withheld"] == 10
    assert "party 0: 10.0 s not kept: consent was refused" in body["notes"]
    assert "1 utterances shortened or left out for want of consent" in body["notes"]
    assert not any("paused" in note for note in body["notes"])
    assert body["complete"]
    assert {one["code"]: one["party"] for one in body["findings"]} == {"no-consent": 0}
    assert [(one["party"], one["state"]) for one in body["consent"]] == [(0, "denied")]


def test_consent_is_a_basis_of_the_party_that_gave_it_with_its_proof_and_its_end():
    terms = Terms(mode="ask", expires_days=30)
    call = talk(
        say(0, 0, "asked", how="announcement", evidence={"announcement": "rec-en", "sha256": "ab"}),
        say(2, 0, "granted", how="key", evidence={"key": "1"}),
        say(2, 1, "asked"),
        ev.Released(at=at(2), party=0, purpose="recording", since=at(2)),
        ev.Released(at=at(2), party=0, purpose="transcription", since=at(2)),
        terms=terms,
    )
    document = made(call)
    assert loud(call, 0) == list(range(2, 10))
    assert loud(call, 1) == []
    assert list(bases(document)) == [0]
    body = bases(document)[0]
    assert body["lawful_basis"] == "consent"
    assert [(grant["purpose"], grant["granted"]) for grant in body["purpose_grants"]] == [
        ("recording", True), ("transcription", True), ("analysis", True),
    ]  # fmt: skip
    assert body["expiration"].startswith("2026-12-2")
    (proof,) = body["proof_mechanisms"]
    assert (proof["proof_type"], proof["proof_data"]["vcon"]) == ("external_system", UUID)
    assert proof["proof_data"]["evidence"] == {"key": "1"}
    assert "party 1: 10.0 s not kept: asked for consent, and not answered" in report(document)["notes"]
    assert report(document)["policy"] == {"mode": "ask", "until_granted": "nothing"}


def test_words_that_are_in_the_recording_prove_by_their_place_and_others_do_not():
    words = {"how": "words", "evidence": {"text": "yes you may"}}
    kept = bases(made(talk(say(4, 1, "granted", **words))))[1]["proof_mechanisms"]
    assert kept == [
        {
            "proof_type": "verbal_confirmation",
            "timestamp": kept[0]["timestamp"],
            "proof_data": {"dialog_reference": 0, "time_offset": "00:00:04", "confirmation_text": "yes you may"},
        }
    ]
    gone = talk(
        say(4, 1, "granted", **words),
        ev.Released(at=at(5), party=1, purpose="recording", since=at(5)),
        terms=Terms(mode="ask"),
    )
    assert bases(made(gone))[1]["proof_mechanisms"][0]["proof_type"] == "external_system"


def test_a_withdrawal_is_a_grant_that_is_not_granted():
    call = talk(say(1, 0, "granted"), say(6, 0, "withdrawn", purposes=("recording",)))
    assert loud(call, 0) == list(range(6))
    grants = {one["purpose"]: one["granted"] for one in bases(made(call))[0]["purpose_grants"]}
    assert grants == {"recording": False, "transcription": True, "analysis": True}


def test_a_basis_that_is_configured_stays_beside_it():
    configured = {"lawful_basis": "contract", "expiration": None, "purpose_grants": []}
    document = build(talk(say(1, 0, "granted")), LOUD, BuildOptions(lawful_basis=configured))
    found = [
        (one["party"], one["body"]["lawful_basis"])
        for one in document["attachments"]
        if one["purpose"] == "lawful_basis"
    ]
    assert found == [(0, "contract"), (1, "contract"), (0, "consent")]


def test_texts_alone_may_be_refused():
    call = talk(say(1, 0, "denied", purposes=("transcription",)))
    document = made(call)
    assert len(loud(call, 0)) == 10
    assert "alpha" not in str(document["analysis"])


def test_a_line_of_several_says_that_its_source_did_not_part_them():
    call = talk(say(6, 0, "denied"), several=True)
    assert loud(call, 1) == []
    assert any("does not part who is heard on this line" in note for note in report(made(call))["notes"])


@pytest.mark.parametrize("answered", [True, False])
def test_a_call_of_which_nothing_is_kept_is_no_call_that_nobody_answered(answered):
    document = made(talk(terms=Terms(mode="never"), answered=answered))
    assert "disposition" not in document["dialog"][0]
    assert "nothing of the recording was to be kept" in report(document)["notes"]
    assert not any("no audio came in" in note for note in report(document)["notes"])


def test_the_name_goes_by_rule():
    document = made(talk(say(1, 0, "denied"), terms=Terms(mode="ask", denied="name")))
    assert document["parties"][0]["name"] == "anonymous"
    assert "15550100" not in str(document)
