"""Streams of every dialect, changed at random: no mistake is raised, no call stays open, and no sound lies outside of its call."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from stream_kit import played, transcript
from test_stream_transcripts import EXPECTED, QUERY, named

from vcond.base.time import SECOND
from vcond.testing.changed import changed as _changed

TRANSCRIPTS = {name: transcript(name) for name in EXPECTED}
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 10**30, 1e308, -0.5, "", "0", "-1", "1e9", "x" * 5000, "\0", "é", "AAAA", "=", [], [[]], {}, {"a": {}},
    "start", "media", "stop", "inbound", "outbound", "both_tracks", "audio/x-l16;rate=1", "audio/x-mulaw", 7999, 10**9, "2026-11-30T00:00:00Z",
)  # fmt: skip
PIECES = (b"{", b"}", b'"', b"\0", b"\xff", b"[" * 200, b'{"event":"stop"}', b"1e999", b"\\u0000", b"\r\n")
MOST_CHANGES = 6
ROUNDS = 3000
SLACK = SECOND


def changed(messages: list[tuple[str, Any]], chance: Random) -> list[tuple[str, Any]]:
    """Messages lost, doubled, exchanged, of another kind, with other values or bytes, or from another dialect."""
    out = list(messages)
    for _ in range(chance.randint(1, MOST_CHANGES)):
        at = chance.randrange(len(out))
        kind, data = out[at]
        match chance.randrange(7):
            case 0 if len(out) > 1:
                del out[at]
            case 1:
                out.insert(chance.randrange(len(out)), out[at])
            case 2:
                other = chance.randrange(len(out))
                out[at], out[other] = out[other], out[at]
            case 3 if kind != "close":
                out[at] = ("binary" if kind == "text" else "text", data)
            case 4 if kind == "text":
                out[at] = (kind, _other_values(data, chance))
            case 5 if kind != "close":
                place = chance.randrange(len(data) + 1)
                out[at] = (kind, data[:place] + chance.choice(PIECES) + data[place + chance.randrange(40) :])
            case _:
                out.insert(at, chance.choice(TRANSCRIPTS[chance.choice(sorted(TRANSCRIPTS))]))
    return out


def _other_values(data: bytes, chance: Random) -> bytes:
    try:
        said = json.loads(data)
    except ValueError:
        return data
    return json.dumps(_changed(said, chance, ODD) if isinstance(said, dict) else said).encode()


@pytest.mark.fuzz
def test_any_change_of_any_dialect_costs_no_more_than_its_own_call(fuzz):
    for chance in fuzz.rounds(ROUNDS):
        name = chance.choice(sorted(TRANSCRIPTS))
        messages = changed(TRANSCRIPTS[name], chance)
        guessed = chance.random() < 0.3
        host = played("" if guessed else named(name), QUERY.get(name, ""), messages)
        for call in host.calls:
            host.state_from_events(call)
            lasted = call.state.ended - call.state.opened
            for track in call.state.tracks:
                assert call.sounds[track.index].length * SECOND <= (lasted + SLACK) * track.rate, name
