"""A vCon with its secrets taken out: what goes, what stays, and what goes because nobody understands it."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import numpy as np
import pytest
from redaction_kit import (
    RATE,
    START,
    Coded,
    Knows,
    hidden_in,
    packed,
    recording,
    samples,
    through_the_codec,
    vcon,
    voice,
    words,
    wtf,
)

from vcond.base.errors import ProtocolError
from vcond.redaction.config import RedactionConfig
from vcond.redaction.contract import Conversation, Secret
from vcond.redaction.finding import finders
from vcond.redaction.redact import PURPOSE, own_uuid, redact
from vcond.redaction.sound import decoded
from vcond.redaction.texts import token
from vcond.vcon import serialize, validate
from vcond.vcon.building.audio_forms import FLAC, OPUS, base64url
from vcond.vcon.building.riff import Form

CARD = "4532 0151 1283 0366"
SPOKEN = "my number is 4532 0151 1283 0366 thanks a lot"
FIND = Knows({"card": CARD})


def call(**members: Any) -> dict[str, Any]:
    """The caller says the card from 6.2 on: words at 5.0, 5.4, 5.8, 6.2 (4532) to 7.72 (0366), thanks at 7.8."""
    said = wtf(
        (1, words(1.0, "what is your card number please")),
        (0, words(5.0, SPOKEN)),
        (1, words(10.0, "thank you very much")),
    )
    pcm = [voice(20, 1), voice(20, 2)]
    return vcon(**{"dialog": [recording(pcm)], "analysis": [said]} | members)


def errors(document: dict[str, Any]) -> list[Any]:
    return [one for one in validate(document) if one.level == "error"]


def report(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = [one["body"] for one in document["attachments"] if one.get("purpose") == PURPOSE]
    return found


def test_it_is_a_vcon_of_its_own_that_names_the_other():
    whole = call()
    before = copy.deepcopy(whole)
    made = redact(whole, [FIND]).document
    assert whole == before
    assert errors(made) == []
    assert made["redacted"] == {"type": "pii-masked", "uuid": whole["uuid"]}
    assert made["uuid"] == own_uuid(whole["uuid"]) != whole["uuid"]
    assert redact(whole, [FIND]).document == made
    assert made["uuid"][:13] == whole["uuid"][:13], "its moment is the call's"


def test_a_token_of_the_kind_stands_where_it_was():
    made = redact(call(), [FIND]).document
    body = made["analysis"][0]["body"]
    assert body["segments"][1]["text"] == "my number is __REDACTED_CARD__ thanks a lot"
    assert [body["words"][at]["text"] for at in body["segments"][1]["words"]] == body["segments"][1]["text"].split()
    assert body["transcript"]["text"].count(token("card")) == 1
    assert body["segments"][0]["text"] == "what is your card number please"
    assert hidden_in(serialize(made), ["4532", "0151", "1283", "0366"]) == set()


def test_sound_goes_with_a_margin_up_to_the_next_pause_and_the_rest_stays():
    pcm = [voice(20, 1), voice(20, 2)]
    out = samples(redact(call(dialog=[recording(pcm)]), [FIND]).document["dialog"][0])
    gone = out[round((6.2 - 0.5) * RATE) : round((7.72 + 0.5) * RATE)]
    assert not gone.any(), "in both channels: a voice is heard on the other's too"
    # widened to pauses: 0.2 s in each second of this voice
    assert not out[round(4.9 * RATE) : round(5.0 * RATE)].any()
    kept = slice(round(1.0 * RATE), round(3.0 * RATE))
    assert (out[kept, 1] == through_the_codec(pcm[1])[kept]).all()
    later = slice(round(10.0 * RATE), round(11.5 * RATE))
    assert (out[later, 1] == through_the_codec(pcm[1])[later]).all()


def test_sound_of_which_no_text_tells_goes():
    out = samples(redact(call(), [FIND]).document["dialog"][0])
    assert not out[round(13 * RATE) :].any(), "nobody looked at what is said there"
    assert not out[: round(3.9 * RATE), 0].any(), "nor at what the caller says while the agent asks"
    made = redact(call(analysis=[]), [FIND])
    assert "body" not in made.document["dialog"][0]
    assert made.left_out == ["$.dialog[0].body"]


def test_the_margin_grows_as_the_engine_or_the_finder_is_less_sure():
    spans = [
        report(redact(call(), [Knows({"card": CARD}, certainty=sure)]).document)["redactions"][0]
        for sure in (1.0, 0.5, 0.0)
    ]
    assert spans[0]["duration"] == pytest.approx(1.52 + 2 * 0.55, abs=0.02), "words were heard with 0.9"
    assert spans[0]["duration"] < spans[1]["duration"] < spans[2]["duration"]


@pytest.mark.parametrize("how", ["no times", "times that cannot be", "text and words that differ", "no end"])
def test_a_word_that_cannot_be_placed_silences_its_turn(how):
    whole = call()
    body = whole["analysis"][0]["body"]
    if how == "no times":
        del body["words"]
        for segment in body["segments"]:
            del segment["words"]
    elif how == "times that cannot be":
        body["words"][9]["start"] = 99.0
    elif how == "no end":
        del body["words"][9]["end"]
    else:
        body["segments"][1]["text"] += " and zero"
    made = redact(whole, [FIND]).document
    out = samples(made["dialog"][0])
    assert not out[round(4.5 * RATE) : round(9.0 * RATE)].any()
    assert out[round(10 * RATE) : round(11 * RATE), 1].any()
    assert hidden_in(serialize(made), ["4532", "0366"]) == set()
    assert errors(made) == []


def test_a_turn_of_no_known_time_takes_all_sound():
    whole = call()
    del whole["analysis"][0]["body"]["segments"][1]["start"], whole["analysis"][0]["body"]["words"][9]["end"]
    made = redact(whole, [FIND])
    assert not samples(made.document["dialog"][0]).any()
    assert errors(made.document) == []


def test_a_turn_that_a_finder_names_goes_whole():
    class Whole(Knows):
        def find(self, conversation: Conversation):
            return [Secret("security-code", turns=(turn.number,)) for turn in conversation.turns if turn.party == 0]

    made = redact(call(), [Whole({})]).document
    assert made["analysis"][0]["body"]["segments"][1]["text"] == "__REDACTED_SECURITY_CODE__"
    assert not samples(made["dialog"][0])[round(4.5 * RATE) : round(9.0 * RATE)].any()


def test_what_is_read_back_goes_too():
    said = wtf((0, words(5.0, SPOKEN)), (1, words(12.0, "i repeat 4532 0151 1283-0366 correct")))

    class First(Knows):
        def find(self, conversation: Conversation):
            return list(super().find(conversation))[:1]

    made = redact(call(analysis=[said]), [First({"card": CARD})]).document
    assert made["analysis"][0]["body"]["segments"][1]["text"] == "i repeat __REDACTED_CARD__ correct"
    assert not samples(made["dialog"][0])[round(12.3 * RATE) : round(14.4 * RATE)].any()


def test_keys_go_from_the_history_and_their_tones_from_the_sound():
    history: list[dict[str, Any]] = [{"party": 0, "time": "2026-11-23T09:00:00Z", "event": "join"}]
    for at, digit in enumerate("91437"):
        moment = {"party": 0, "button": digit}
        history += [{**moment, "time": f"2026-11-23T09:00:0{5 + at // 2}.{5 * (at % 2)}Z", "event": "keydown"},
                    {**moment, "time": f"2026-11-23T09:00:0{5 + at // 2}.{5 * (at % 2) + 1}Z", "event": "keyup"}]  # fmt: skip
    whole = call()
    whole["dialog"][0]["party_history"] = history
    whole["subject"] = "pin 1437"
    finder = Knows({}, keys="1437")
    made = redact(whole, [finder]).document
    assert [one.digit for one in finder.shown[0].keys] == list("91437")
    assert finder.shown[0].keys[1].at == 5.5
    left = made["dialog"][0]["party_history"]
    assert [one.get("button") for one in left] == [None, "9", "9"]
    assert not samples(made["dialog"][0])[round(5.0 * RATE) : round(7.6 * RATE)].any()
    assert made["subject"] == "pin __REDACTED_PIN__"
    assert errors(made) == []


def test_keys_of_no_known_time_take_all_sound():
    whole = call()
    whole["dialog"][0]["party_history"] = [{"party": 0, "time": "then", "event": "keydown", "button": "1"}]
    made = redact(whole, [Knows({}, keys="1")]).document
    assert "body" not in made["dialog"][0]
    assert "party_history" not in made["dialog"][0]


def test_every_other_text_is_looked_through():
    attachments = [
        {"purpose": "tags", "start": "2026-11-23T09:00:00Z", "party": 1, "dialog": 0, "mediatype": "application/json",
         "encoding": "json", "body": ["note:4532-0151-1283-0366", "queue:cards", "4532015112830366:x"]},
        {"purpose": "vcond-facts", "start": "2026-11-23T09:00:00Z", "party": 1, "dialog": 0, "mediatype": "application/json",
         "encoding": "json", "body": [{"name": "variable.CC", "value": "4532015112830366"}, {"name": "variable.n", "value": 4532015112830366},
                                      {"name": "variable.late", "value": "it is 77 88 99"}]},
        {"purpose": "vcond-capture-report", "start": "2026-11-23T09:00:00Z", "party": 1, "dialog": 0, "mediatype": "application/json",
         "encoding": "json", "body": {"warnings": [{"time": "2026-11-23T09:00:00Z", "code": "x", "text": "4532 0151 1283 0366"}]}},
        {"purpose": "sip-headers", "start": "2026-11-23T09:00:00Z", "party": 1, "dialog": 0, "mediatype": "application/json",
         "encoding": "json", "body": {"X-Card": "4532.0151.1283.0366", "X-4532015112830366": "1"}},
    ]  # fmt: skip
    whole = call(attachments=attachments, subject="Card 4532 0151 1283 0366 declined")
    whole["dialog"][0] |= {"filename": "4532015112830366.wav", "campaign": "4532015112830366"}
    whole["parties"][0]["name"] = "Ann 4532015112830366"
    made = redact(whole, [Knows({"card": CARD, "code": "77 88 99"})]).document
    assert hidden_in(serialize(made), ["4532", "0366", "77 88"]) == set()
    assert made["subject"] == "Card __REDACTED_CARD__ declined"
    assert made["attachments"][0]["body"][:2] == ["note:__REDACTED_CARD__", "queue:cards"]
    assert made["attachments"][1]["body"][2]["value"] == "it is __REDACTED_CODE__", "finders are shown it by itself"
    assert len(made["attachments"]) == 5
    assert errors(made) == []


@pytest.mark.parametrize("secret", ["2026", "1123", "0900", "040", "019", "5131"])
def test_digits_that_its_own_members_have_too_make_no_other_vcon_of_it(secret):
    made = redact(vcon(dialog=[recording([voice(2, 1)])], analysis=[wtf((0, words(0.2, f"it is {secret} ok")))]),
                  [Knows({"card-expiry": secret})]).document  # fmt: skip
    assert errors(made) == []
    assert (made["vcon"], made["uuid"], made["created_at"]) == ("0.4.0", own_uuid(vcon()["uuid"]), START)
    assert "__REDACTED_CARD_EXPIRY__" in made["analysis"][0]["body"]["transcript"]["text"]


def test_an_engine_that_understood_nothing_vouches_for_no_sound():
    said = wtf((0, words(0.2, "all is well")))
    said["body"]["segments"].append({"id": 1, "start": 4.0, "end": 7.0, "text": " ", "confidence": 0.0, "speaker": 0})
    made = redact(vcon(dialog=[recording([voice(8, 1)])], analysis=[said]), [Knows({})]).document
    left = samples(made["dialog"][0])
    assert left[: RATE // 2].any()
    assert not left[3 * RATE :].any()


def test_own_words_go_from_a_short_subject_and_numbers_from_headers_and_addresses_stay():
    own = {"settings": {"own": {"words": {"project": ["blue heron"]}}}}
    headers = {
        "X-Account": "4532 0151 1283 0366",
        "From": "<sip:+15551230001@pbx.example.com>",
        "Call-ID": "453201511283",
    }
    tags = [{"purpose": "tags", "start": START, "party": 0, "encoding": "json", "body": ["queue:bank account"]},
            {"purpose": "sip-headers", "start": START, "party": 0, "encoding": "json", "body": headers}]  # fmt: skip
    made = redact(vcon(subject="Blue Heron", attachments=tags), finders(msgspec.convert(own, RedactionConfig))).document
    assert made["subject"] == "__REDACTED_PROJECT__"
    assert made["attachments"][0]["body"] == ["queue:bank account"]
    assert made["attachments"][1]["body"] == headers | {"X-Account": "__REDACTED_CARD__"}


def test_written_messages_are_shown_to_the_finders():
    text = {
        "type": "text",
        "start": "2026-11-23T09:00:00Z",
        "parties": [0, 1],
        "mediatype": "text/plain",
        "encoding": "none",
    }
    whole = vcon(
        dialog=[
            {**text, "body": "here it is 4532 0151 1283 0366 ok"},
            {**text, "mediatype": "text/html", "body": "<p>"},
        ]
    )
    made = redact(whole, [FIND])
    assert made.document["dialog"][0]["body"] == "here it is __REDACTED_CARD__ ok"
    assert "body" not in made.document["dialog"][1]
    assert made.left_out == ["$.dialog[1].body"]


def test_what_is_not_understood_goes_and_indices_stay():
    strange: dict[str, Any] = {"start": "2026-11-23T09:00:00Z", "party": 0, "dialog": 0}
    whole = call(
        attachments=[
            {
                **strange,
                "purpose": "picture",
                "mediatype": "image/png",
                "encoding": "base64url",
                "body": packed(CARD).decode(),
            },
            {
                **strange,
                "purpose": "tags",
                "mediatype": "application/json",
                "url": "https://x.example/1",
                "content_hash": "sha512-x",
            },
            {**strange, "purpose": "tags", "mediatype": "application/json", "encoding": "json", "body": ["a:b"]},
        ],
        made_by="4532015112830366",
        extensions=["something"],
        amended={"uuid": "019f155a-5131-80ec-832a-bc92ac6830ce"},
    )
    whole["analysis"].insert(
        0,
        {
            "type": "summary",
            "vendor": "x",
            "dialog": 0,
            "encoding": "none",
            "body": "they pay with four five three two",
        },
    )
    whole["analysis"][1]["body"] |= {
        "alternatives": [{"rank": 1, "transcript": {"text": "4532015112830366"}}], "enrichments": {"x": "4532015112830366"},
    }  # fmt: skip
    whole["dialog"] += [
        {
            "type": "recording",
            "start": "2026-11-23T09:00:00Z",
            "url": "https://x.example/a.wav",
            "content_hash": "sha512-x",
            "parties": [0],
        },
        {"type": "hologram", "x": "4532015112830366"},
    ]
    assert hidden_in(serialize(whole), [CARD]) == {CARD}, "the search finds what is packed"
    made = redact(whole, [FIND])
    assert hidden_in(serialize(made.document), ["4532", CARD]) == set()
    assert {name: len(made.document[name]) for name in ("parties", "dialog", "analysis", "attachments")} == {
        "parties": 3, "dialog": 3, "analysis": 2, "attachments": 4,
    }  # fmt: skip
    assert made.document["analysis"][0] == made.document["attachments"][0] == {}
    assert made.document["dialog"][2] == {"type": "recording"}
    assert "amended" not in made.document
    assert made.left_out == [
        "$.dialog[1].url", "$.dialog[2]", "$.analysis[0]", "$.attachments[0]", "$.attachments[1]",
    ]  # fmt: skip
    assert errors(made.document) == []


def test_the_report_says_kind_place_and_length_and_no_value():
    body = report(redact(call(), [FIND]).document)
    assert body["redactions"] == [{"kind": "card", "dialog": 0, "party": 0, "start": 5.65, "duration": 2.62}]
    assert (body["finders"], body["sound"], body["left_out"]) == (["knows"], "silence", [])
    assert body["unchecked_seconds"] > 0
    assert body.keys() == {
        "version",
        "software",
        "finders",
        "sound",
        "redactions",
        "left_out",
        "unchecked_seconds",
        "second_look",
    }


def test_a_kind_that_cannot_be_written_is_other():
    made = redact(call(), [Knows({"Kind\n4532": CARD})]).document
    assert report(made)["redactions"][0]["kind"] == "other"
    assert token("other") in made["analysis"][0]["body"]["transcript"]["text"]


def test_a_tone_in_place_of_what_went():
    out = samples(redact(call(), [FIND], tone=True).document["dialog"][0])
    part = out[round(6.2 * RATE) : round(7.2 * RATE), 0].astype(float)
    assert np.argmax(np.abs(np.fft.rfft(part))) == 1000
    assert not out[round(14 * RATE) :].any(), "where no text was, there is silence"


@pytest.mark.parametrize("form", ["mulaw", "alaw", "pcm", "flac", "opus"])
def test_every_form_that_vcond_writes_comes_back_in_it(form):
    pcm = [voice(20, 1), voice(20, 2)]
    dialog = recording(pcm, {"alaw": Form.ALAW, "pcm": Form.PCM16}.get(form, Form.MULAW))
    recipe = {"flac": FLAC, "opus": OPUS[16]}.get(form)
    if recipe is not None:
        parts = recipe.write([Coded(one) for one in pcm], RATE)
        dialog |= {"body": base64url(parts), "mediatype": recipe.mediatype, "filename": f"call.{recipe.extension}"}
    made = redact(call(dialog=[dialog]), [FIND]).document
    (out,) = made["dialog"]
    assert (out["mediatype"], out["filename"]) == (dialog["mediatype"], dialog["filename"])
    assert errors(made) == []
    sound = decoded(out)
    assert (sound.rate, sound.channels, round(sound.seconds, 1)) == (RATE, 2, 20.0)
    loud = np.abs(sound.read(0, sound.frames).astype(int))
    assert loud[round(5.75 * RATE) : round(8.2 * RATE)].max() <= {"opus": 40, "alaw": 8}.get(form, 0), (
        "A-law has no zero"
    )
    assert loud[round(10.0 * RATE) : round(10.7 * RATE), 1].mean() > 1000
    assert loud[round(1.0 * RATE) : round(1.7 * RATE), 1].mean() > 1000


@pytest.mark.parametrize(
    "body",
    [
        "",
        "UklGRg",
        "!!!!",
        base64url([b"RIFF\0\0\0\0WAVEfmt "]),
        base64url([b"OggS" + bytes(200)]),
        base64url([b"ID3" + bytes(99)]),
    ],
)
def test_a_recording_that_cannot_be_decoded_goes(body):
    made = redact(call(dialog=[recording([voice(1, 1)]) | {"body": body}]), [FIND]).document
    assert "body" not in made["dialog"][0]
    assert errors(made) == []


def test_files_of_a_set_are_silenced_where_the_transcript_of_the_whole_says():
    member: dict[str, Any] = {"recording_set": 0}
    dialogs = [
        {"type": "recording-set", "start": "2026-11-23T09:00:00Z", "duration": 20.0, "parties": [0, 1], "recordings": [1, 2]},
        recording([voice(20, 1)], parties=[0], **member), recording([voice(20, 2)], parties=[1], **member),
    ]  # fmt: skip
    copied = {
        "type": "transcript", "dialog": 1, "vendor": "vosk", "encoding": "json", "mediatype": "application/json",
        "body": {"transcript": SPOKEN, "confidence": 0.9, "words": [
            {"word": word, "start": start, "end": end, "confidence": 0.9, "speaker": 0} for word, start, end in words(5.0, SPOKEN)]},
    }  # fmt: skip
    whole = call(dialog=dialogs)
    whole["analysis"].append(copied)
    finder = Knows({"card": CARD})
    made = redact(whole, [finder]).document
    assert len(finder.shown[0].turns) == 3, "what is there twice is shown once"
    for at in (1, 2):
        assert not samples(made["dialog"][at])[round(5.7 * RATE) : round(8.2 * RATE)].any()
    assert samples(made["dialog"][2])[round(10 * RATE) : round(11 * RATE)].any()
    assert made["analysis"][1]["body"]["transcript"] == "my number is __REDACTED_CARD__ thanks a lot"
    assert errors(made) == []


def test_a_transcript_without_a_transcription_is_read():
    said = [*((word, start, end, 1) for word, start, end in words(1.0, "what is your card number please")),
            *((word, start, end, 0) for word, start, end in words(5.0, SPOKEN))]  # fmt: skip
    flat = {
        "type": "transcript", "dialog": 0, "vendor": "x", "encoding": "json", "mediatype": "application/json",
        "body": {"transcript": "anything 4532", "words": [
            {"word": word, "start": start, "end": end, "confidence": 0.9, "speaker": who} for word, start, end, who in said]},
    }  # fmt: skip
    made = redact(call(analysis=[flat]), [FIND]).document
    body = made["analysis"][0]["body"]
    assert body["transcript"] == "what is your card number please my number is __REDACTED_CARD__ thanks a lot"
    assert body["paragraphs"]["transcript"].startswith("Speaker 1: what is your")
    assert not samples(made["dialog"][0])[round(5.7 * RATE) : round(8.2 * RATE)].any()
    assert hidden_in(serialize(made), ["4532"]) == set()


def test_older_spellings_are_read():
    whole = call()
    whole["vcon"] = "0.0.2"
    whole["dialog"][0]["mimetype"] = whole["dialog"][0].pop("mediatype")
    whole["analysis"][0]["body"] = serialize(whole["analysis"][0]["body"]).decode()
    whole["attachments"] = [
        {
            "type": "tags",
            "start": "2026-11-23T09:00:00Z",
            "party": 0,
            "encoding": "json",
            "body": '["n:4532015112830366"]',
        }
    ]
    made = redact(whole, [FIND]).document
    assert made["analysis"][0]["body"]["segments"][1]["text"] == "my number is __REDACTED_CARD__ thanks a lot"
    assert made["attachments"][0]["body"] == ["n:__REDACTED_CARD__"]
    assert errors(made) == []


@pytest.mark.parametrize(
    "sealed", [{"payload": "x", "signatures": []}, {"ciphertext": "x", "recipients": []}, {"critical": ["unheard-of"]}]
)
def test_what_must_not_be_read_is_refused(sealed):
    with pytest.raises(ProtocolError):
        redact(call() | sealed, [FIND])
