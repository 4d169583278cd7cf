"""The redacted vCon of every golden record, with secrets put in: valid, every index where it was, and no secret in its bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_all import ADAPTERS
from golden_kit import document
from redaction_kit import hidden_in, packed, words, wtf

from vcond.base.time import parse_rfc3339, rfc3339
from vcond.redaction.config import RedactionConfig
from vcond.redaction.finding import finders
from vcond.redaction.redact import PURPOSE, redact
from vcond.redaction.sound import decoded
from vcond.vcon import Document, serialize, validate

WRITTEN = Path(__file__).parents[1] / "data" / "vcon"
"""Of the calls that are written by hand."""
SCENARIOS = [(adapter, name) for adapter, scripts in ADAPTERS.items() for name in scripts]
SCENARIOS += [("", file.name) for file in sorted(WRITTEN.glob("*.vcon.json")) if file.name != "example.vcon.json"]
CARD, IBAN, MAIL, KEYED = "4532015112830366", "GB82WEST12345698765432", "ann.example@mail.example", "5425233430109903"
SPOKEN = "my card number is four five three two oh one five one one two eight three oh three six six"
SAID_AT = 0.2
SECRETS = [
    CARD, "4532 0151 1283 0366", "four five three two", "three six six", IBAN, "GB82 WEST 1234", MAIL, KEYED, KEYED[:8],
    "ann dot example at mail dot example",
]  # fmt: skip


def golden(adapter: str, name: str) -> Document:
    """A golden record."""
    return document(ADAPTERS[adapter][name]()) if adapter else json.loads((WRITTEN / name).read_bytes())


def planted(whole: Document) -> Document:
    """A golden record with secrets said, keyed, tagged, told by the platform, written and packed."""
    main = whole["dialog"][0]
    start, party = main["start"], {"start": main["start"], "party": 0, "dialog": 0}
    begin = parse_rfc3339(start)
    history = main.setdefault("party_history", []) if main["type"] != "transfer" else []
    for at, digit in enumerate(KEYED):
        for event, ms in (("keydown", 0), ("keyup", 40)):
            moment = rfc3339(type(begin)(begin + (at * 60 + ms) * 1_000_000))
            history.append({"party": 0, "time": moment, "event": event, "button": digit})
    if main["type"] != "incomplete":
        turns = (
            (0, words(SAID_AT, SPOKEN, each=0.05)),
            (0, words(1.6, "my email is ann dot example at mail dot example", each=0.05)),
        )
        said = wtf(*turns)
        said["body"]["alternatives"] = [{"rank": 1, "transcript": {"text": SPOKEN}}]
        whole["analysis"] = [
            said,
            {
                "type": "summary",
                "vendor": "x",
                "dialog": 0,
                "encoding": "none",
                "mediatype": "text/plain",
                "body": f"paid with {CARD}",
            },
        ]
    plain = {"mediatype": "application/json", "encoding": "json"}
    whole["attachments"] += [
        {
            **party,
            "purpose": "vcond-facts",
            **plain,
            "body": [{"name": "variable.iban", "value": IBAN}, {"name": "variable.cc", "value": KEYED}],
        },
        {
            **party,
            "purpose": "note",
            "mediatype": "application/gzip",
            "encoding": "base64url",
            "body": packed(f"{CARD} {MAIL}").decode(),
        },
        {**party, "purpose": "sip-headers", **plain, "body": {"X-Card": CARD, "X-Keyed": KEYED}},
    ]
    tags = next(one for one in whole["attachments"] if one["purpose"] == "tags")
    tags["body"] += [
        f"card:{CARD}",
        f"mail:{MAIL}",
        f"iban:{IBAN[:4]} {IBAN[4:8]} {IBAN[8:12]} {IBAN[12:16]} {IBAN[16:20]} {IBAN[20:]}",
    ]
    whole["subject"] = f"About card 4532 0151 1283 0366 of {MAIL}"
    whole["unheard_of"] = packed(CARD).decode()
    return whole


@pytest.mark.parametrize(("adapter", "name"), SCENARIOS, ids=["/".join(one) for one in SCENARIOS])
def test_its_redacted_form_is_valid_keeps_every_index_and_holds_no_secret(adapter, name):
    whole = planted(golden(adapter, name))
    assert hidden_in(serialize(whole), [CARD, IBAN, MAIL]) == {CARD, IBAN, MAIL}, "the search finds them"
    made = redact(whole, finders(RedactionConfig())).document
    assert [one for one in validate(made) if one.level == "error"] == []
    assert hidden_in(serialize(made), SECRETS) == set()
    for member in ("parties", "dialog", "analysis", "attachments"):
        more = member == "attachments"
        assert len(made.get(member, [])) == len(whole.get(member, [])) + more, member
    for old, new in zip(whole["dialog"], made["dialog"], strict=True):
        kept = (
            "type",
            "start",
            "duration",
            "parties",
            "original",
            "target_dialog",
            "recordings",
            "recording_set",
            "transferee",
        )
        assert {key: old.get(key) for key in kept} == {key: new.get(key) for key in kept}
    assert made["attachments"][-1]["purpose"] == PURPOSE


@pytest.mark.parametrize(("adapter", "name"), SCENARIOS, ids=["/".join(one) for one in SCENARIOS])
def test_nothing_of_the_sound_where_it_was_said_is_left(adapter, name):
    whole = planted(golden(adapter, name))
    made = redact(whole, finders(RedactionConfig())).document
    rows: list[dict[str, Any]] = made["attachments"][-1]["body"]["redactions"]
    assert {"card"} <= {row["kind"] for row in rows}
    for old, new in zip(whole["dialog"], made["dialog"], strict=True):
        if "body" not in old:
            assert "body" not in new
            continue
        if "body" not in new:
            continue
        before, after = decoded(old), decoded(new)
        assert (after.frames, after.channels) == (before.frames, before.channels)
        shift = (parse_rfc3339(old["start"]) - parse_rfc3339(whole["dialog"][0]["start"])) / 1e9
        first = max(0, round((SAID_AT + 0.2 - shift) * before.rate))
        last = max(0, round((SAID_AT + len(SPOKEN.split()) * 0.05 - shift) * before.rate))
        assert not np.any(np.abs(after.read(first, max(first, min(last, after.frames))).astype(int)) > 8), (
            "A-law has no zero"
        )
