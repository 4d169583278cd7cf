"""Whatever a vCon holds, a redaction ends: with a vCon, or with an error that says why."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from redaction_kit import Knows, hidden_in, recording, vcon, voice, words, wtf

from vcond.base.errors import ProtocolError, VcondError
from vcond.redaction.redact import redact
from vcond.vcon import read, serialize

CARD = "4532 0151 1283 0366"
JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    7,
    1e308,
    -0.5,
    "",
    "x",
    CARD,
    [],
    {},
    [None],
    [[]],
    {"a": {}},
    "2026-13-40",
    "\u0000\n",
]


def whole() -> dict[str, Any]:
    moment = {"party": 0, "time": "2026-11-23T09:00:01Z", "event": "keydown", "button": "4"}
    return vcon(
        dialog=[
            recording([voice(3, 1), voice(3, 2)], party_history=[moment, moment | {"event": "keyup"}]),
            {"type": "text", "start": "2026-11-23T09:00:00Z", "parties": [0], "mediatype": "text/plain", "encoding": "none", "body": CARD},
            {"type": "transfer", "start": "2026-11-23T09:00:00Z", "original": 0, "target_dialog": 0},
        ],
        analysis=[
            wtf((0, words(0.2, f"it is {CARD}", each=0.3))),
            {"type": "transcript", "dialog": 0, "vendor": "x", "encoding": "json", "body": {
                "transcript": CARD, "words": [{"word": "a", "start": 1, "end": 2, "speaker": 0}]}},
        ],
        attachments=[
            {"purpose": purpose, "start": "2026-11-23T09:00:00Z", "party": 0, "dialog": 0, "mediatype": "application/json",
             "encoding": "json", "body": body}
            for purpose, body in (("tags", ["a:b"]), ("vcond-facts", [{"name": "n", "value": CARD}]), ("sip-headers", {"a": "b"}))
        ],
        subject=CARD,
    )  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    found: list[tuple[Any, Any]] = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        found += [(value, key), *places(value[key])]
    return found


@pytest.mark.parametrize("seed", range(150))
def test_a_vcon_with_junk_anywhere_is_redacted_or_refused(seed):
    chance = random.Random(seed)
    document = copy.deepcopy(whole())
    for _ in range(chance.randint(1, 3)):
        container, key = chance.choice(places(document))
        if chance.random() < 0.3:
            del container[key]
        else:
            container[key] = copy.deepcopy(chance.choice(JUNK))
    try:
        made = redact(document, [Knows({"card": CARD}, keys="4")])
    except VcondError:
        return
    assert hidden_in(serialize(made.document), ["4532", "0366"]) == set()
    assert read(serialize(made.document)) == made.document


@pytest.mark.parametrize("uuid", [None, "", 7, "x"])
def test_without_a_uuid_there_is_no_redacted_form(uuid):
    with pytest.raises(ProtocolError, match="without a uuid"):
        redact(whole() | {"uuid": uuid}, [Knows({})])


def test_without_anything_there_is_nothing_to_redact():
    made = redact(vcon(), [Knows({})])
    assert (dict(made.kinds), made.left_out) == ({}, [])
