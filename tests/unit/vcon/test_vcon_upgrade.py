"""What earlier drafts and today's libraries write, in their own forms, read into core-04."""

from __future__ import annotations

import base64
import copy
import hashlib

import pytest

from vcond.base.errors import PeerError, ProtocolError
from vcond.vcon import read, upgrade, validate

UUID = "018e0b3c-7d1f-8a3e-9dd8-dd37220d739c"
AT = "2024-03-01T10:00:00+00:00"
WAV = b"RIFF$\0\0\0WAVEfmt \x12\0\0\0\7\0\1\0@\x1f\0\0@\x1f\0\0\1\0\x08\0\0\0data\0\0\0\0"
DIGEST = hashlib.sha512(WAV).digest()
HASH = "sha512-" + base64.urlsafe_b64encode(DIGEST).rstrip(b"=").decode()


def errors(document):
    return [finding for finding in validate(document) if finding.level == "error"]


CONTAINER_00 = {
    "vcon": "0.0.1", "uuid": UUID, "created_at": AT, "redacted": {}, "appended": None, "group": [],
    "parties": [{"tel": "+15551230001", "name": "Ada", "validation": "none"}, {"tel": "+15551230002"}],
    "dialog": [
        {
            "type": "recording", "start": AT, "duration": 5.0, "parties": [0, 1], "mimetype": "audio/x-wav",
            "url": "https://a.example/x.wav", "alg": "SHA-512",
            "signature": base64.urlsafe_b64encode(DIGEST).decode(), "filename": None,
        },
        {"type": "transfer", "transferee": 0, "transferor": 1, "transfer-target": 1, "original": 0, "target-dialog": 2,
         "mimetype": None},
        {"type": "recording", "start": AT, "parties": 0, "mimetype": "audio/x-wav", "encoding": "base64",
         "body": base64.b64encode(WAV).decode()},
    ],
    "analysis": [
        {"type": "transcript", "dialog": 0, "vendor": "deepgram", "schema_version": "1", "encoding": "json",
         "mimetype": "application/json", "body": '{"transcript": "hello"}'},
    ],
    "attachments": [{"type": "tags", "body": '["a:b"]', "encoding": "json"}],
}  # fmt: skip

CONTAINER_02 = {
    "vcon": "0.0.2", "uuid": UUID, "created_at": AT, "parties": [{}],
    "dialog": [
        {"type": "recording", "start": AT, "parties": [0], "mediatype": "audio/x-wav",
         "url": "https://a.example/x.wav", "content_hash": HASH},
    ],
}  # fmt: skip

CORE_00 = {
    "vcon": "0.3.0", "uuid": UUID, "created_at": AT, "must_support": ["CC"], "extensions": ["CC"],
    "appended": {"uuid": "018e0b3c-7d1f-8a3e-9dd8-dd37220d739d"},
    "parties": [{"sip": "1001@pbx.example.com", "role": "agent"}],
    "dialog": [
        {"type": "text", "start": AT, "parties": [0], "encoding": "none", "body": "hi",
         "session_id": "ab30317f-1a78-4dc4-8ff8-24d0d3715d86;remote=47755a9de7794ba387653f2099600ef2",
         "party_history": [{"party": 0, "time": AT, "event": "dtmf", "button": "5"}]},
    ],
}  # fmt: skip

CORE_02 = {
    "vcon": "0.4.0", "uuid": UUID, "created_at": AT, "critical": ["CC"], "extensions": ["CC"],
    "parties": [{"name": "anonymous"}],
    "dialog": [
        {"type": "recording", "start": AT, "parties": 0},
        {"type": "transfer", "transferee": [0], "transferor": 0, "original": [0], "target_dialog": []},
        {"type": "incomplete", "start": AT, "parties": [0], "disposition": "busy", "mediatype": "audio/x-wav"},
        {},
    ],
    "attachments": [
        {"type": "lawful_basis", "purpose": "lawful_basis", "start": AT, "party": 0, "dialog": 0, "encoding": "json",
         "body": '{"lawful_basis":"consent","expiration":null,"purpose_grants":[]}'},
        {"purpose": "note", "start": AT, "party": 0, "dialog": 0, "encoding": "none", "body": "text"},
        {"purpose": "image", "start": AT, "party": 0, "dialog": 0, "encoding": "base64url", "body": "AAAA=="},
    ],
}  # fmt: skip

CORE_03_EXAMPLE = {
    "vcon": "0.4.0", "uuid": UUID, "parties": [{"tel": "+15551230001"}],
    "dialog": [{"type": "text", "start": "2026-07-01T00:00:00.000+00:00", "parties": [0], "encoding": "none", "body": "x"}],
}  # fmt: skip


@pytest.mark.parametrize("old", [CONTAINER_00, CONTAINER_02, CORE_00, CORE_02, CORE_03_EXAMPLE], ids=range(5))
def test_every_version_becomes_a_valid_vcon_of_today(old):
    before = copy.deepcopy(old)
    made = upgrade(old)
    assert errors(made) == []
    assert old == before
    assert upgrade(made) == made
    assert made["vcon"] == "0.4.0"


def test_container_00_in_every_word():
    made = upgrade(CONTAINER_00)
    recording, transfer, inline = made["dialog"]
    assert recording["content_hash"] == HASH
    assert recording["mediatype"] == "audio/x-wav"
    assert {"alg", "signature", "mimetype", "filename"}.isdisjoint(recording)
    assert transfer == {
        "type": "transfer", "transferee": 0, "transferor": 1, "transfer_target": 1, "original": 0, "target_dialog": 2,
    }  # fmt: skip
    assert inline["encoding"] == "base64url"
    assert base64.urlsafe_b64decode(inline["body"] + "==") == WAV
    assert made["analysis"][0]["schema"] == "1"
    assert made["analysis"][0]["body"] == {"transcript": "hello"}
    tags = made["attachments"][0]
    assert tags == {
        "purpose": "tags", "body": ["a:b"], "encoding": "json", "start": AT, "dialog": 0, "party": 2,
        "mediatype": "application/json",
    }  # fmt: skip
    assert made["parties"][2] == {"name": "unknown contributor", "validation": "none"}
    assert {"redacted", "appended", "group"}.isdisjoint(made)


def test_core_00_in_every_word():
    made = upgrade(CORE_00)
    assert made["critical"] == ["CC"]
    assert made["amended"] == CORE_00["appended"]
    dialog = made["dialog"][0]
    assert dialog["session_id"] == {
        "local": "ab30317f1a784dc48ff824d0d3715d86", "remote": "47755a9de7794ba387653f2099600ef2",
    }  # fmt: skip
    assert [one["event"] for one in dialog["party_history"]] == ["keydown", "keyup"]


def test_core_02_in_every_word():
    made = upgrade(CORE_02)
    assert made["dialog"][1] == {"type": "transfer", "transferee": 0, "transferor": 0, "original": 0}
    assert "mediatype" not in made["dialog"][2]
    assert made["dialog"][3] == {"type": "recording"}
    basis, note, image = made["attachments"]
    assert basis["body"]["lawful_basis"] == "consent"
    assert "type" not in basis
    assert (note["mediatype"], image["mediatype"]) == ("text/plain", "application/octet-stream")
    assert image["body"] == "AAAA"
    assert made["extensions"] == ["CC", "lawful_basis"]


def test_a_missing_created_at_is_taken_from_what_is_known():
    assert upgrade(CORE_03_EXAMPLE)["created_at"] == "2026-07-01T00:00:00Z"
    assert upgrade({**CORE_03_EXAMPLE, "updated_at": AT})["created_at"] == AT
    assert "created_at" not in upgrade({"uuid": UUID, "parties": []})


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        (1709287200, "2024-03-01T10:00:00Z"),
        (1709287200.5, "2024-03-01T10:00:00.5Z"),
        ("2024-03-01T10:00:00", "2024-03-01T10:00:00Z"),
        ("2024-03-01 10:00:00", "2024-03-01T10:00:00Z"),
        ("2024-03-01", "2024-03-01T00:00:00Z"),
        ("2024-03-01T10:00:00.123456+00:00", "2024-03-01T10:00:00.123456+00:00"),
        ("soon", "soon"),
    ],
)
def test_dates_of_libraries(written, read_as):
    assert upgrade({"uuid": UUID, "created_at": written})["created_at"] == read_as


@pytest.mark.parametrize(
    ("body", "media"),
    [(WAV, "audio/x-wav"), (b"OggS" + bytes(20), "audio/ogg"), (b"ID3" + bytes(20), "audio/x-mp3"), (b"", None)],
)
def test_the_media_type_of_a_recording_without_one_is_seen_in_its_bytes(body, media):
    text = base64.urlsafe_b64encode(body).decode()
    dialog = upgrade({"dialog": [{"type": "recording", "body": text, "encoding": "base64url"}]})["dialog"][0]
    assert dialog.get("mediatype") == media


def test_a_string_that_is_no_json_stays_a_string():
    made = upgrade({"analysis": [{"type": "summary", "vendor": "x", "encoding": "json", "body": "it went well"}]})
    assert made["analysis"][0]["body"] == "it went well"


@pytest.mark.parametrize(("version", "body"), [("0.0.2", True), ("0.4.0", "true")])
def test_a_string_that_is_json_but_no_object_was_json_in_old_documents_only(version, body):
    made = upgrade({"vcon": version, "analysis": [{"type": "x", "vendor": "x", "encoding": "json", "body": "true"}]})
    assert made["analysis"][0]["body"] == body


def test_where_both_names_are_there_todays_counts():
    made = upgrade({"dialog": [{"type": "text", "mimetype": "a/old", "mediatype": "a/new"}]})
    assert made["dialog"][0]["mediatype"] == "a/new"


@pytest.mark.parametrize(
    "document",
    [
        {"vcon": "1.0.0"}, {"vcon": 4}, {"vcon": []}, {"critical": ["not-known"]}, {"must_support": ["not-known"]},
        {"critical": [[]]}, {"critical": "CC"}, {"payload": "x", "signatures": []}, {"ciphertext": "x", "recipients": []},
    ],
    ids=range(9),
)  # fmt: skip
def test_what_must_not_be_processed_is_refused(document):
    with pytest.raises(ProtocolError) as caught:
        upgrade(document)
    assert isinstance(caught.value, PeerError)


def test_golden_vcons_come_back_equal(scenario, data):
    document = read((data / f"{scenario}.vcon.json").read_bytes())
    assert upgrade(document) == document


def test_the_example_comes_back_but_for_the_old_name(data):
    document = read((data / "example.vcon.json").read_bytes())
    made = upgrade(document)
    del document["attachments"][1]["type"]
    assert made == document
