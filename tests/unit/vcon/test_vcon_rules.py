"""The rules of the validator as a table: for each a document that keeps it and one that breaks it.

The table is complete: a code that the validator can give and that is not here fails the last test.
"""

from __future__ import annotations

import base64
import copy
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vcond.vcon import validate
from vcond.vcon.building.riff import Form, wav_header
from vcond.vcon.validation.findings import MOST

GONE = ...  # deepcopy keeps it what it is


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


STEREO = b64(wav_header(Form.MULAW, 2, 8000, 3) + bytes(6))
MONO = b64(wav_header(Form.MULAW, 1, 8000, 6) + bytes(6))
SHA = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg_SpIdNs6c5H0NE8XYXysP-DGNKHfuwvY7kxvUdBeoGlODJ6-SfaPg"
AT = "2026-11-22T09:00:00Z"
WTF_BODY = {
    "transcript": {"text": "hello hi", "language": "en-US", "duration": 4.2, "confidence": 0.9},
    "segments": [
        {"id": 0, "start": 0.1, "end": 0.5, "text": "hello", "confidence": 1.0, "speaker": 0, "words": [0]},
        {"id": 1, "start": 1.1, "end": 1.5, "text": "hi", "confidence": 0.9, "speaker": 1, "words": [1]},
    ],
    "words": [
        {"id": 0, "start": 0.1, "end": 0.5, "text": "hello", "confidence": 1.0, "speaker": 0},
        {"id": 1, "start": 1.1, "end": 1.5, "text": "hi", "confidence": 0.9, "speaker": 1},
    ],
    "speakers": {"0": {"id": 0, "label": "party 0", "segments": [0]}},
    "metadata": {
        "created_at": AT, "processed_at": AT, "provider": "vosk", "model": "small",
        "audio": {"duration": 4.2}, "options": {},
    },
    "quality": {"processing_warnings": []},
}  # fmt: skip
BASIS = {
    "lawful_basis": "consent",
    "expiration": None,
    "purpose_grants": [{"purpose": "recording", "granted": True, "granted_at": AT}],
}

SAID = {"dialog_reference": 1, "time_offset": "00:01:23", "confirmation_text": "yes"}
PROOF = {"proof_type": "verbal_confirmation", "timestamp": AT, "proof_data": SAID}
BASIS["proof_mechanisms"] = [
    PROOF,
    {"proof_type": "external_system", "timestamp": AT, "proof_data": {"system_url": "https://crm.example.com/1"}},
]


def base() -> dict[str, Any]:
    """One of everything, without a finding."""
    return copy.deepcopy(
        {
            "vcon": "0.4.0",
            "uuid": "019f155a-5131-80ec-832a-bc92ac6830cd",
            "created_at": AT,
            "subject": "a call",
            "extensions": ["wtf_transcription", "lawful_basis", "sip-signaling", "CC"],
            "parties": [
                {"tel": "+15551230001", "name": "Ada", "validation": "none", "type": "person", "role": "customer"},
                {"sip": "1001@pbx.example.com", "sip_user_agent": "phone"},
                {"name": "edge", "validation": "none", "type": "bot"},
            ],
            "dialog": [
                {
                    "type": "recording-set", "start": AT, "duration": 4.2, "parties": [0, 1], "recordings": [1, 2],
                    "party_history": [
                        {"party": 0, "time": AT, "event": "join"},
                        {"party": 0, "time": AT, "event": "keydown", "button": "5"},
                    ],
                },
                {
                    "type": "recording", "start": AT, "duration": 4.2, "parties": [0], "recording_set": 0,
                    "mediatype": "audio/x-wav", "encoding": "base64url", "body": MONO,
                },
                {
                    "type": "recording", "start": AT, "duration": 4.2, "parties": [1], "originator": 0,
                    "recording_set": 0, "url": "https://a.example/x.wav", "content_hash": SHA,
                },
                {
                    "type": "transfer", "transferee": 0, "transferor": 1, "transfer_target": 2, "original": 0,
                    "target_dialog": 4, "consultation": 0,
                },
                {"type": "incomplete", "disposition": "failed"},
                {
                    "type": "text", "start": AT, "parties": [0, 1], "mediatype": "text/plain", "encoding": "none",
                    "body": "hello", "sip_call_id": "a@b", "sip_cseq": 1, "skill": "support",
                    "session_id": {"local": "a" * 32, "remote": "0" * 32},
                },
                {
                    "type": "recording", "start": AT, "parties": [0, 1], "mediatype": "audio/x-wav",
                    "encoding": "base64url", "body": STEREO,
                },
            ],
            "analysis": [
                {
                    "type": "wtf_transcription", "vendor": "vosk", "dialog": 0, "mediatype": "application/json",
                    "start": AT, "encoding": "json", "body": WTF_BODY,
                },
                {
                    "type": "summary", "vendor": "x", "product": "y", "schema": "z", "dialog": [0, 1], "attachment": 0,
                    "mediatype": "text/plain", "encoding": "none", "body": "short",
                },
            ],
            "attachments": [
                {
                    "purpose": "tags", "start": AT, "party": 2, "dialog": 0, "mediatype": "application/json",
                    "encoding": "json", "body": ["a:b"],
                },
                {
                    "purpose": "lawful_basis", "start": AT, "party": 0, "dialog": 0, "mediatype": "application/json",
                    "encoding": "json", "body": BASIS,
                },
            ],
        }
    )  # fmt: skip


def put(document: Any, where: str, value: Any) -> None:
    """Set or, with GONE, remove what a dotted path names."""
    *way, last = where.split(".")
    for step in way:
        document = document[int(step)] if isinstance(document, list) else document[step]
    if value is GONE:
        del document[last]
    elif isinstance(document, list):
        document[int(last)] = value
    else:
        document[last] = value


class Rule(NamedTuple):
    code: str
    level: str
    path: str
    good: dict[str, Any]
    bad: dict[str, Any]


def rule(
    code: str, path: str, bad: dict[str, Any], good: dict[str, Any] | None = None, *, level: str = "error"
) -> Rule:
    return Rule(code, level, path, good or {}, bad)


def should(code: str, path: str, bad: dict[str, Any], good: dict[str, Any] | None = None) -> Rule:
    return rule(code, path, bad, good, level="warning")


TEXT, REC, SET, MOVE, LOST, STEREO_AT = "dialog.5", "dialog.1", "dialog.0", "dialog.3", "dialog.4", "dialog.6"
WTF_AT = "analysis.0.body"

RULES = [
    # section 4.1, top level
    rule("missing", "$.uuid", {"uuid": GONE}),
    rule("missing", "$.created_at", {"created_at": GONE}),
    rule("type", "$.uuid", {"uuid": 1}),
    rule("empty", "$.uuid", {"uuid": ""}),
    rule("uuid", "$.uuid", {"uuid": "not-a-uuid"}),
    rule("uuid", "$.uuid", {"uuid": "{019f155a-5131-80ec-832a-bc92ac6830cd}"}),
    should("uuid-version", "$.uuid", {"uuid": "019f155a-5131-40ec-832a-bc92ac6830cd"}),
    rule("date", "$.created_at", {"created_at": "2026-11-22T09:00:00"}, {"created_at": "2026-11-22T09:00:00+01:00"}),
    rule("date", "$.created_at", {"created_at": "2026-11-22"}, {"created_at": "2026-11-22T09:00:00.000+00:00"}),
    rule("date", "$.created_at", {"created_at": "2026-13-22T09:00:00Z"}, {"created_at": "2026-11-22T09:00:00.25Z"}),
    rule("date", "$.updated_at", {"updated_at": "now"}, {"updated_at": AT}),
    rule("type", "$.subject", {"subject": ["x"]}),
    rule("syntax", "$.vcon", {"vcon": "0.0.1"}, {"vcon": GONE}),
    rule("reserved", "$.group", {"group": []}),
    rule("type", "$.parties", {"parties": {}}),
    rule("type", "$.parties[0]", {"parties.0": "x"}),
    should("no-members", "$", {"parties": GONE, "dialog": GONE, "analysis": GONE, "attachments": GONE, "extensions": GONE}),
    should("unknown-parameter", "$.appended", {"appended": {}}, {"amended": {"url": "https://a.example", "content_hash": SHA}}),
    rule("type", "$.extensions", {"extensions": "CC"}),
    should("extension-twice", "$.extensions", {"extensions": ["CC", "CC", "wtf_transcription", "lawful_basis", "sip-signaling"]}),
    should("extension-unlisted", "$.extensions", {"extensions": ["wtf_transcription", "lawful_basis", "CC"]}),
    rule("critical", "$.critical[0]", {"critical": ["not-known"]}, {"critical": ["CC"]}),
    should("critical-unlisted", "$.critical[0]", {"critical": ["provenance"]}, {"critical": ["CC"]}),
    rule("redacted-amended", "$", {"redacted": {"type": "x"}, "amended": {"uuid": "019f155a-5131-80ec-832a-bc92ac6830ce"}}, {"redacted": {"type": "pii-masked"}}),
    rule("type", "$.redacted", {"redacted": None}),
    rule("missing", "$.redacted.type", {"redacted": {}}, {"redacted": {"type": "pii-masked"}}),
    rule("missing", "$.amended.uuid", {"amended": {}}, {"amended": {"uuid": "019f155a-5131-80ec-832a-bc92ac6830ce"}}),
    rule("own-uuid", "$.amended.uuid", {"amended": {"uuid": "019f155a-5131-80ec-832a-bc92ac6830cd"}}),
    rule("hash-missing", "$.amended.content_hash", {"amended": {"url": "https://a.example"}}),
    # section 4.2, parties
    rule("type", "$.parties[0].tel", {"parties.0.tel": 15551230001}),
    should("tel", "$.parties[0].tel", {"parties.0.tel": "anonymous"}, {"parties.0.tel": "tel:+15551230001"}),
    should("validation", "$.parties[0].validation", {"parties.0.validation": GONE}, {"parties.0": {"name": "anonymous"}}),
    should("party-type", "$.parties[0].type", {"parties.0.type": "human"}, {"parties.0.type": "organization"}),
    rule("did", "$.parties[0].did", {"parties.0.did": "x"}, {"parties.0.did": "did:example:1"}),
    rule("stir", "$.parties[0].stir", {"parties.0.stir": "x"}, {"parties.0.stir": "a.b.c"}),
    should("role", "$.parties[0].role", {"parties.0.role": "boss"}, {"parties.0.role": "sme"}),
    rule("type", "$.parties[0].civicaddress", {"parties.0.civicaddress": {"country": 1}}, {"parties.0.civicaddress": {"country": "DE"}}),
    should("civicaddress", "$.parties[0].civicaddress", {"parties.0.civicaddress": {"A1": "x"}}, {"parties.0.civicaddress": {"a1": "x"}}),
    rule("type", "$.parties[0].contact_list", {"parties.0.contact_list": 1}, {"parties.0.contact_list": "x"}),
    rule("type", "$.parties[1].sip_user_agent", {"parties.1.sip_user_agent": 1}),
    should("unknown-parameter", "$.parties[0].jcard", {"parties.0.jcard": []}, {"extensions": ["wtf_transcription", "lawful_basis", "sip-signaling", "CC", "more"], "parties.0.jcard": []}),
    # section 4.3, Table 1
    rule("missing", "$.dialog[1].type", {f"{REC}.type": GONE}),
    rule("dialog-type", "$.dialog[5].type", {f"{TEXT}.type": "video"}),
    rule("dialog-type", "$.dialog[5].type", {f"{TEXT}.type": ["text"]}),
    rule("missing", "$.dialog[0].recordings", {f"{SET}.recordings": GONE}),
    rule("missing", "$.dialog[4].disposition", {f"{LOST}.disposition": GONE}),
    should("missing-should", "$.dialog[5].start", {f"{TEXT}.start": GONE}, {f"{LOST}": {"type": "recording"}}),
    should("missing-should", "$.dialog[3].original", {f"{MOVE}.original": GONE}),
    rule("not-applicable", "$.dialog[3].parties", {f"{MOVE}.parties": [0]}),
    rule("not-applicable", "$.dialog[0].mediatype", {f"{SET}.mediatype": "audio/x-wav"}),
    rule("not-applicable", "$.dialog[4].body", {f"{LOST}.body": "x"}),
    rule("not-applicable", "$.dialog[5].recordings", {f"{TEXT}.recordings": [1]}),
    rule("not-applicable", "$.dialog[5].transferee", {f"{TEXT}.transferee": 0}),
    should("should-not", "$.dialog[1].disposition", {f"{REC}.disposition": "busy"}),
    should("should-not", "$.dialog[3].duration", {f"{MOVE}.duration": 1.0}),
    # section 4.3, values
    rule("date", "$.dialog[1].start", {f"{REC}.start": "yesterday"}),
    rule("number", "$.dialog[1].duration", {f"{REC}.duration": -1}, {f"{REC}.duration": 0}),
    rule("number", "$.dialog[1].duration", {f"{REC}.duration": True}, {f"{REC}.duration": 4}),
    rule("type", "$.dialog[5].application", {f"{TEXT}.application": 1}, {f"{TEXT}.application": "x"}),
    rule("index-type", "$.dialog[5].sip_cseq", {f"{TEXT}.sip_cseq": "1"}),
    rule("disposition", "$.dialog[4].disposition", {f"{LOST}.disposition": "rejected"}, {f"{LOST}.disposition": "voicemail-no-message"}),
    rule("index-range", "$.dialog[5].parties[1]", {f"{TEXT}.parties": [0, 3]}, {f"{TEXT}.parties": 2}),
    rule("index-type", "$.dialog[5].parties", {f"{TEXT}.parties": "0"}),
    rule("index-type", "$.dialog[5].parties[0]", {f"{TEXT}.parties": [True]}, {f"{TEXT}.parties": [None, 0]}),
    rule("index-range", "$.dialog[6].parties[1][0]", {f"{STEREO_AT}.parties": [0, [9]]}, {f"{STEREO_AT}.parties": [0, [1, 2]]}),
    rule("index-range", "$.dialog[2].originator", {"dialog.2.originator": 3}),
    rule("session", "$.dialog[5].session_id.local", {f"{TEXT}.session_id": {"local": "A" * 32, "remote": "0" * 32}}, {f"{TEXT}.session_id": {}}),
    rule("session", "$.dialog[5].session_id", {f"{TEXT}.session_id": "a"}, {f"{TEXT}.session_id": [{}, {}]}),
    rule("session-shape", "$.dialog[5].session_id", {f"{TEXT}.session_id": [{}]}),
    rule("missing", "$.dialog[0].party_history[0].time", {f"{SET}.party_history.0.time": GONE}),
    rule("index-range", "$.dialog[0].party_history[0].party", {f"{SET}.party_history.0.party": 3}),
    rule("history-event", "$.dialog[0].party_history[0].event", {f"{SET}.party_history.0.event": "leave"}, {f"{SET}.party_history.0.event": "unmute"}),
    rule("missing", "$.dialog[0].party_history[1].button", {f"{SET}.party_history.1.button": GONE}),
    should("button", "$.dialog[0].party_history[0].button", {f"{SET}.party_history.0.button": "1"}),
    rule("channels", "$.dialog[6].parties", {f"{STEREO_AT}.parties": [0]}, {f"{STEREO_AT}.parties": [0, None]}),
    rule("channels", "$.dialog[6].parties", {f"{STEREO_AT}.parties": 0}),
    rule("channels", "$.dialog[1].parties", {f"{REC}.parties": [[0, 1]]}, {f"{REC}.parties": [0, 1]}),
    # section 4.3, links
    rule("type", "$.dialog[0].recordings", {f"{SET}.recordings": 1}),
    should("set-empty", "$.dialog[0].recordings", {f"{SET}.recordings": [], f"{REC}.recording_set": GONE, "dialog.2.recording_set": GONE}),
    rule("index-range", "$.dialog[0].recordings[0]", {f"{SET}.recordings": [9, 1, 2]}),
    rule("index-kind", "$.dialog[0].recordings[2]", {f"{SET}.recordings": [1, 2, 5]}),
    should("set-unanswered", "$.dialog[0].recordings[0]", {f"{REC}.recording_set": GONE}),
    rule("set-disagrees", "$.dialog[1].recording_set", {f"{SET}.recordings": [2]}),
    rule("set-disagrees", "$.dialog[0].recordings[0]", {f"{REC}.recording_set": 5}),
    rule("index-kind", "$.dialog[1].recording_set", {f"{REC}.recording_set": 5}),
    rule("index-range", "$.dialog[1].recording_set", {f"{REC}.recording_set": 7}),
    rule("index-range", "$.dialog[3].transferee", {f"{MOVE}.transferee": 3}),
    rule("index-type", "$.dialog[3].transferee", {f"{MOVE}.transferee": [0]}),
    rule("index-range", "$.dialog[3].target_dialog", {f"{MOVE}.target_dialog": 70}, {f"{MOVE}.target_dialog": 6}),
    rule("index-kind", "$.dialog[3].original", {f"{MOVE}.original": 4}, {f"{MOVE}.original": 5}),
    rule("index-kind", "$.dialog[3].consultation", {f"{MOVE}.consultation": 3}, {f"{MOVE}.consultation": 4}),
    # section 2.4, content
    rule("encoding-missing", "$.dialog[5].encoding", {f"{TEXT}.encoding": GONE}),
    rule("encoding", "$.dialog[5].encoding", {f"{TEXT}.encoding": "base64"}),
    rule("type", "$.dialog[5].encoding", {f"{TEXT}.body": "", f"{TEXT}.encoding": 1}, {f"{TEXT}.body": "x", f"{TEXT}.encoding": "json"}),
    rule("body-type", "$.dialog[5].body", {f"{TEXT}.body": {"a": 1}}),
    rule("base64url", "$.dialog[1].body", {f"{REC}.body": MONO + "+/=="}),
    rule("base64url", "$.dialog[1].body", {f"{REC}.body": "AAAAA"}, {f"{REC}.body": "AAAA"}),
    rule("base64url", "$.dialog[1].body", {f"{REC}.body": "A" * 2_000_000 + "é"}),
    should("base64-padded", "$.dialog[1].body", {f"{REC}.body": "AA=="}, {f"{REC}.body": "AA"}),
    should("json-string", "$.analysis[1].body", {"analysis.1.encoding": "json", "analysis.1.body": '{"a": 1}'}, {"analysis.1.encoding": "json", "analysis.1.body": "just words"}),
    rule("mediatype-missing", "$.dialog[1].mediatype", {f"{REC}.mediatype": GONE}, {"dialog.2.filename": "x"}),
    rule("mediatype", "$.dialog[5].mediatype", {f"{TEXT}.mediatype": "text"}, {f"{TEXT}.mediatype": 'multipart/mixed; boundary="x"'}),
    should("mediatype-parameters", "$.dialog[5].mediatype", {f"{TEXT}.mediatype": "text/plain; charset=utf-8"}),
    rule("body-and-url", "$.dialog[1]", {f"{REC}.url": "https://a.example/x", f"{REC}.content_hash": SHA}),
    should("no-content", "$.dialog[5]", {f"{TEXT}.body": GONE, f"{TEXT}.encoding": GONE}),
    rule("https", "$.dialog[2].url", {"dialog.2.url": "http://a.example/x"}, {"dialog.2.url": "HTTPS://a.example/x"}),
    rule("hash-missing", "$.dialog[2].content_hash", {"dialog.2.content_hash": GONE}),
    rule("hash", "$.dialog[2].content_hash", {"dialog.2.content_hash": "SHA512:00"}, {"dialog.2.content_hash": [SHA, "sha256-" + "A" * 43]}),
    rule("hash", "$.dialog[2].content_hash", {"dialog.2.content_hash": SHA[:-1]}),
    rule("hash", "$.dialog[2].content_hash", {"dialog.2.content_hash": []}),
    # section 4.5, analysis
    rule("missing", "$.analysis[1].vendor", {"analysis.1.vendor": GONE}),
    rule("missing", "$.analysis[1].type", {"analysis.1.type": GONE}),
    should("analysis-type", "$.analysis[1].type", {"analysis.1.type": "guess"}, {"analysis.1.type": "tts"}),
    should("old-name", "$.analysis[1].schema_version", {"analysis.1.schema_version": "1"}, {"analysis.1.schema": "1"}),
    rule("index-range", "$.analysis[1].dialog[1]", {"analysis.1.dialog": [0, 7]}, {"analysis.1.dialog": 6}),
    rule("index-range", "$.analysis[1].attachment", {"analysis.1.attachment": 2}, {"analysis.1.attachment": [0, 1]}),
    should("no-content", "$.analysis[1]", {"analysis.1.body": GONE, "analysis.1.encoding": GONE}),
    should("mediatype-missing", "$.analysis[1].mediatype", {"analysis.1.mediatype": GONE}),
    # section 4.4, attachments
    rule("missing", "$.attachments[0].start", {"attachments.0.start": GONE}),
    rule("missing", "$.attachments[0].party", {"attachments.0.party": GONE}),
    rule("missing", "$.attachments[0].dialog", {"attachments.0.dialog": GONE}),
    rule("index-range", "$.attachments[0].party", {"attachments.0.party": 3}),
    rule("index-range", "$.attachments[0].dialog", {"attachments.0.dialog": 7}),
    rule("mediatype-missing", "$.attachments[0].mediatype", {"attachments.0.mediatype": GONE}),
    should("old-name", "$.attachments[0].type", {"attachments.0.purpose": GONE, "attachments.0.type": "tags"}, {"attachments.1.type": "lawful_basis"}),
    should("no-content", "$.attachments[0]", {"attachments.0.body": GONE, "attachments.0.encoding": GONE, "attachments.0.purpose": GONE}),
    should("tags", "$.attachments[0].body", {"attachments.0.body": {"a": "b"}}, {"attachments.0.body": ["a:b:c"]}),
    # section 4.1.7: what was redacted leaves an empty place
    rule("missing", "$.attachments[0].start", {"attachments.0": {}}, {"attachments.0": {}, "redacted": {"type": "x"}}),
    rule("missing", "$.analysis[1].type", {"analysis.1": {}}, {"analysis.1": {}, "redacted": {"type": "x"}}),
    # the lawful_basis extension
    rule("lawful-basis", "$.attachments[1].body", {"attachments.1.body": []}),
    should("lawful-basis", "$.attachments[1].party", {"attachments.1.party": 2}),
    rule("type", "$.attachments[1].body.proof_mechanisms", {"attachments.1.body.proof_mechanisms": "said"}),
    rule("missing", "$.attachments[1].body.proof_mechanisms[0].proof_type", {"attachments.1.body.proof_mechanisms": [{"timestamp": AT, "proof_data": {}}]}),
    rule("lawful-basis", "$.attachments[1].body.proof_mechanisms[0].proof_type", {"attachments.1.body.proof_mechanisms": [PROOF | {"proof_type": "trust_me"}]}),
    rule("date", "$.attachments[1].body.proof_mechanisms[0].timestamp", {"attachments.1.body.proof_mechanisms": [PROOF | {"timestamp": "yesterday"}]}),
    rule("lawful-basis", "$.attachments[1].body.proof_mechanisms[0].proof_data", {"attachments.1.body.proof_mechanisms": [PROOF | {"proof_data": "x"}]}),
    rule("index-range", "$.attachments[1].body.proof_mechanisms[0].proof_data.dialog_reference", {"attachments.1.body.proof_mechanisms": [PROOF | {"proof_data": SAID | {"dialog_reference": 9}}]}),
    rule("lawful-basis", "$.attachments[1].body.proof_mechanisms[0].proof_data.time_offset", {"attachments.1.body.proof_mechanisms": [PROOF | {"proof_data": SAID | {"time_offset": 83}}]}),
    rule("lawful-basis", "$.attachments[1].body.lawful_basis", {"attachments.1.body.lawful_basis": "because"}),
    rule("lawful-basis", "$.attachments[1].body.lawful_basis", {"attachments.1.body.lawful_basis": ["consent"]}),
    rule("missing", "$.attachments[1].body.expiration", {"attachments.1.body.expiration": GONE}),
    rule("date", "$.attachments[1].body.expiration", {"attachments.1.body.expiration": "never"}, {"attachments.1.body.expiration": AT}),
    rule("missing", "$.attachments[1].body.purpose_grants", {"attachments.1.body.purpose_grants": GONE}),
    rule("lawful-basis", "$.attachments[1].body.purpose_grants[0].granted", {"attachments.1.body.purpose_grants.0.granted": "yes"}, {"attachments.1.body.purpose_grants.0.granted": False}),
    rule("missing", "$.attachments[1].body.purpose_grants[0].granted_at", {"attachments.1.body.purpose_grants.0.granted_at": GONE}),
    # the WTF extension
    rule("missing", "$.analysis[0].dialog", {"analysis.0.dialog": GONE}),
    rule("wtf", "$.analysis[0].body", {"analysis.0.body": "text"}),
    rule("missing", "$.analysis[0].body.segments", {f"{WTF_AT}.segments": GONE}, {f"{WTF_AT}.segments": []}),
    rule("missing", "$.analysis[0].body.transcript", {f"{WTF_AT}.transcript": GONE}),
    rule("type", "$.analysis[0].body.metadata", {f"{WTF_AT}.metadata": 1}),
    rule("missing", "$.analysis[0].body.transcript.language", {f"{WTF_AT}.transcript.language": GONE}),
    rule("confidence", "$.analysis[0].body.transcript.confidence", {f"{WTF_AT}.transcript.confidence": 1.1}, {f"{WTF_AT}.transcript.confidence": 1}),
    rule("wtf-id", "$.analysis[0].body.segments[1].id", {f"{WTF_AT}.segments.1.id": 0}, {f"{WTF_AT}.segments.1.id": 7}),
    rule("wtf-id", "$.analysis[0].body.segments[1].id", {f"{WTF_AT}.segments.1.id": "1"}),
    rule("wtf-times", "$.analysis[0].body.segments[1].end", {f"{WTF_AT}.segments.1.end": 1.1}),
    rule("wtf-times", "$.analysis[0].body.words[1].end", {f"{WTF_AT}.words.1.end": 1.0}, {f"{WTF_AT}.words.1.end": 1.1}),
    should("wtf-trim", "$.analysis[0].body.segments[1].text", {f"{WTF_AT}.segments.1.text": " hi"}),
    rule("wtf-word", "$.analysis[0].body.segments[1].words[0]", {f"{WTF_AT}.segments.1.words": [5]}, {f"{WTF_AT}.segments.1.words": []}),
    rule("type", "$.analysis[0].body.segments[1].words", {f"{WTF_AT}.segments.1.words": 1}),
    rule("type", "$.analysis[0].body.segments[1].speaker", {f"{WTF_AT}.segments.1.speaker": None}, {f"{WTF_AT}.segments.1.speaker": "agent"}),
    should("wtf-provider", "$.analysis[0].body.metadata.provider", {f"{WTF_AT}.metadata.provider": "Vosk"}),
    rule("missing", "$.analysis[0].body.metadata.audio", {f"{WTF_AT}.metadata.audio": GONE}),
    rule("type", "$.analysis[0].body.metadata.audio", {f"{WTF_AT}.metadata.audio": 1}),
    rule("type", "$.analysis[0].body.metadata.options", {f"{WTF_AT}.metadata.options": 1}),
    rule("type", "$.analysis[0].body.quality", {f"{WTF_AT}.quality": 1}),
    rule("type", "$.analysis[0].body.quality.processing_warnings", {f"{WTF_AT}.quality.processing_warnings": [1]}),
    rule("type", "$.analysis[0].body.speakers", {f"{WTF_AT}.speakers": []}),
]  # fmt: skip


def test_the_base_document_is_without_a_finding():
    assert validate(base()) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.code}-{rule.path}")
def test_the_passing_example_passes(rule):
    document = base()
    for where, value in rule.good.items():
        put(document, where, copy.deepcopy(value))
    found = validate(document)
    assert (rule.code, rule.path) not in {(finding.code, finding.path) for finding in found}
    assert [finding for finding in found if finding.level == "error"] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.code}-{rule.path}")
def test_the_failing_example_fails(rule):
    document = base()
    for where, value in rule.bad.items():
        put(document, where, copy.deepcopy(value))
    assert (rule.level, rule.code, rule.path) in {(one.level, one.code, one.path) for one in validate(document)}


SIGNED = {
    "payload": b64(b"{}"),
    "signatures": [
        {"protected": b64(b'{"alg":"RS256"}'), "header": {"x5c": ["x"], "uuid": "x"}, "signature": b64(b"s")}
    ],
}
ENCRYPTED = {
    "protected": b64(b'{"enc":"A256CBC-HS512"}'),
    "unprotected": {"cty": "application/vcon", "uuid": "x"},
    "recipients": [{"header": {"alg": "RSA-OAEP"}, "encrypted_key": b64(b"k")}],
    "iv": b64(b"i"), "ciphertext": b64(b"c"), "tag": b64(b"t"),
}  # fmt: skip

FORMS = [
    # sections 5.2 and 5.3
    (SIGNED, rule("type", "$.payload", {"payload": 1})),
    (SIGNED, rule("base64url", "$.payload", {"payload": "a+b/"})),
    (SIGNED, rule("type", "$.signatures", {"signatures": 1})),
    (SIGNED, rule("empty", "$.signatures", {"signatures": []})),
    (SIGNED, rule("missing", "$.signatures[0].protected", {"signatures.0.protected": GONE})),
    (SIGNED, rule("missing", "$.signatures[0].signature", {"signatures.0.signature": GONE})),
    (SIGNED, rule("missing", "$.signatures[0].header", {"signatures.0.header": GONE})),
    (SIGNED, rule("type", "$.signatures[0].header", {"signatures.0.header": 1})),
    (SIGNED, rule("certificate", "$.signatures[0].header", {"signatures.0.header.x5c": GONE}, {"signatures.0.header": {"x5u": "https://a.example", "uuid": "x"}})),
    (SIGNED, should("missing-should", "$.signatures[0].header.uuid", {"signatures.0.header.uuid": GONE})),
    (SIGNED, rule("alg", "$.signatures[0]", {"signatures.0.protected": b64(b"{}")}, {"signatures.0.header.alg": "RS256"})),
    (SIGNED, rule("alg", "$.signatures[0]", {"signatures.0.header.alg": "ES256"})),
    (ENCRYPTED, rule("missing", "$.iv", {"iv": GONE})),
    (ENCRYPTED, rule("base64url", "$.tag", {"tag": "?"})),
    (ENCRYPTED, rule("type", "$.unprotected", {"unprotected": 1})),
    (ENCRYPTED, should("missing-should", "$.unprotected.cty", {"unprotected": {"uuid": "x"}})),
    (ENCRYPTED, rule("enc", "$.protected", {"protected": b64(b"[")}, {"protected": b64(b"{}"), "unprotected.enc": "A256GCM"})),
    (ENCRYPTED, rule("empty", "$.recipients", {"recipients": []})),
    (ENCRYPTED, rule("missing", "$.recipients[0].encrypted_key", {"recipients.0.encrypted_key": GONE})),
    (ENCRYPTED, rule("alg", "$.recipients[0].header", {"recipients.0.header": {}})),
]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "rule"), FORMS, ids=lambda one: f"{one.code}-{one.path}" if isinstance(one, Rule) else ""
)
def test_the_rules_of_the_sealed_forms(form, rule):
    good, bad = copy.deepcopy(form), copy.deepcopy(form)
    for where, value in rule.good.items():
        put(good, where, value)
    for where, value in rule.bad.items():
        put(bad, where, value)
    assert [finding for finding in validate(good) if finding.level == "error"] == []
    assert (rule.level, rule.code, rule.path) in {(one.level, one.code, one.path) for one in validate(bad)}


@pytest.mark.parametrize("document", [None, [], "x", 1])
def test_what_is_no_object_is_no_vcon(document):
    assert [finding.code for finding in validate(document)] == ["type"]


def test_a_name_that_might_be_a_number_is_not_shown():
    document = base()
    document["+15551230001"] = document["fine_name"] = 1
    paths = [finding.path for finding in validate(document)]
    assert paths == ["$....", "$.fine_name"]


def test_too_much_wrong_ends_the_work():
    document = base()
    document["attachments"] = [{}] * 100_000
    found = validate(document)
    assert len(found) == MOST + 1
    assert found[-1].code == "too-many"


def test_every_code_has_a_row():
    room = Path(validate.__code__.co_filename).parent
    codes = set()
    for file in room.glob("*.py"):
        codes |= set(
            re.findall(r'notes\.(?:error|warning)\(\s*[^"]*(?:f?"[^"]*",|\w+,)\s*"([a-z0-9-]+)"', file.read_text())
        )
    codes |= set(re.findall(r'self\.(?:error|warning)\([^,]+, "([a-z0-9-]+)"', (room / "findings.py").read_text()))
    shown = {rule.code for rule in RULES} | {rule.code for _, rule in FORMS}
    assert codes - shown == set()
    assert len(codes) > 40, sorted(codes)
