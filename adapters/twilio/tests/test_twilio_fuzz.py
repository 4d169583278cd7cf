"""What Twilio, or who says so, sends: messages of streams, callbacks of calls, answers of its REST API, changed anywhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from vcond.base.errors import ProtocolError
from vcond.testing.changed import spoiled
from vcond_twilio import rest, status, wire
from vcond_twilio.dialect import TwilioDialect

DATA = Path(__file__).parent / "data"
LINES = [line for name in ("call", "awkward") for line in (DATA / f"{name}.jsonl").read_bytes().splitlines()]
ANSWERS = [
    b'{"sid":"CA1","status":"in-progress","from":"+15550100","to":"+15550199","direction":"inbound","start_time":"Tue, 01 Dec 2026 03:00:00 +0000"}',
    b'{"code":20404,"message":"not found","status":404}',
    b'{"CallSid":"CA1","CallStatus":"busy","From":"+15550100"}',
]  # fmt: skip
PIECES = [b"{", b"}", b"[" * 3000, b'{"a":' * 2000, b'"', b"\0", b"\xff", b"null", b"1e999", b"-1", b"9" * 400, b"\\ud800", b"true", b"[]"]  # fmt: skip


@pytest.mark.fuzz
def test_messages_are_read_or_break_the_protocol(fuzz):
    for chance in fuzz.rounds(20_000):
        raw = spoiled(chance.choice(LINES), chance, PIECES)
        with suppress(ProtocolError):
            wire.decode(raw)
        with suppress(ProtocolError):
            TwilioDialect().text(raw)


@pytest.mark.fuzz
def test_callbacks_and_answers_are_read_or_break_the_protocol(fuzz):
    for chance in fuzz.rounds(20_000):
        body = spoiled(chance.choice(ANSWERS), chance, PIECES)
        status.fields(body)
        rest._code(body)
        with suppress(ProtocolError):
            assert isinstance(rest._read(body, rest.CallResource).over, bool)
