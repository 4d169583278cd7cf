from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.errors import ProtocolError
from vcond_twilio import wire


def test_a_documented_call_is_read(twilio):
    kinds = [wire.decode(line) for line in (twilio.data / "call.jsonl").read_bytes().splitlines()]
    assert [type(kind) for kind in kinds] == [
        wire.Connected, wire.Start, wire.Media, wire.Media, wire.Dtmf, wire.Mark, wire.Stop,
    ]  # fmt: skip
    start, media, dtmf = kinds[1], kinds[3], kinds[4]
    assert start.start.call_sid == "CA00000000000000000000000000000001"
    assert start.start.media_format == wire.MediaFormat("audio/x-mulaw", 8000, 1)
    assert start.start.custom_parameters == {"from": "+15550100", "to": "+15550199"}
    assert (media.sequence_number, media.media.chunk, media.media.timestamp) == (3, 1, 93)
    assert media.media.payload == b"\xff" * 8
    assert (dtmf.dtmf.track, dtmf.dtmf.digit) == ("inbound_track", "1")


def test_legal_and_unusual_messages_are_read(twilio):
    lines = (twilio.data / "awkward.jsonl").read_bytes().splitlines()
    kinds = [type(wire.decode(line)) for line in lines]
    assert kinds == [wire.Connected, wire.Start, wire.Media, wire.Media, wire.Stop]


def test_an_event_of_a_later_twilio_is_no_error():
    assert wire.decode(b'{"event":"transcription","text":"hello"}') is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'"media"',
        b"{}",
        b'{"event":5}',
        b"[" * 5000,
        b'{"event":"media"}',
        b'{"event":"media","media":{"track":"inbound"}}',
        b'{"event":"media","media":{"track":"inbound","chunk":"x","timestamp":"5","payload":""}}',
        b'{"event":"media","media":{"track":"inbound","chunk":"1","timestamp":"-5","payload":""}}',
        b'{"event":"media","media":{"track":"inbound","chunk":"1","timestamp":"99999999999999999999","payload":""}}',
        b'{"event":"media","media":{"track":"inbound","chunk":"1","timestamp":"5","payload":"*not base64*"}}',
        b'{"event":"start","streamSid":"MZ1"}',
        b'{"event":"start","streamSid":"MZ1","start":{"callSid":"../../etc/passwd"}}',
        b'{"event":"start","streamSid":"MZ1","start":{"callSid":""}}',
        b'{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1\\n"}}',
    ],
)
def test_what_cannot_be_read_is_the_peers_fault(raw):
    with pytest.raises(ProtocolError):
        wire.decode(raw)


def test_an_error_tells_nothing_of_what_was_said():
    with pytest.raises(ProtocolError) as caught:
        wire.decode(b'{"event":"dtmf","dtmf":{"digit":4711}, "caller":"+15550100"')
    assert "4711" not in str(caught.value)
    assert "555" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_protocol_error(raw):
    with contextlib.suppress(ProtocolError):
        wire.decode(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["start", "media", "dtmf", "stop"]), st.dictionaries(st.text(max_size=8), JSON), JSON)
def test_any_json_is_a_message_or_a_protocol_error(event, fields, body):
    with contextlib.suppress(ProtocolError):
        wire.decode(json.dumps({**fields, "event": event, event: body, "streamSid": "MZ1"}).encode())


@pytest.mark.fuzz
@pytest.mark.parametrize(
    "parser", [test_any_bytes_are_a_message_or_a_protocol_error, test_any_json_is_a_message_or_a_protocol_error]
)
def test_the_wire_takes_much_more_of_it(fuzz, parser):
    fuzz.examples(4000, parser)
