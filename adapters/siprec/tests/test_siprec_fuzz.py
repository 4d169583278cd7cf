"""Bodies of recording clients, changed at random: whatever is in them, nothing but ProtocolError comes of it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.errors import ProtocolError
from vcond.sip.messages import MalformedError, Request, read
from vcond.testing.changed import spoiled
from vcond_siprec import metadata, sdp
from vcond_siprec.body import take_apart
from vcond_siprec.participants import Participants
from vcond_siprec.saved import parsed
from vcond_siprec.who import who

DATA = [file.read_bytes() for file in sorted((Path(__file__).parent / "data").rglob("*.sip"))]
BODIES = [data.partition(b"\r\n\r\n")[2] for data in DATA]
PIECES = [
    b"\r\n", b"\n", b"\0", b"\xff", b"<", b">", b'"', b"&", b"<![CDATA[", b"<!DOCTYPE x [", b"]>", b"<a>" * 300, b"--",
    b"m=audio 1 RTP/AVP 0\r\n", b"m=audio 99999 RTP/SAVP 0\r\n", b"a=label:0\r\n", b"a=rtpmap:0 X/0\r\n", b"c=IN IP4 x\r\n",
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n", b"<send>", b"</send>", b"<stream ", b"participant_id=''", b"9" * 400,
]  # fmt: skip

LENGTH = re.compile(rb"(?im)^(?:content-length|l)\s*:\s*\d+")


def told(data: bytes) -> None:
    """All that is made of the bodies of one request."""
    with suppress(MalformedError):
        message = read(data)
        if not isinstance(message, Request):
            return
        body = take_apart(message.content_type, message.body)
        for text in body.descriptions:
            with suppress(ProtocolError):
                offer = sdp.read(text)
                places = [sdp.Place(2 * number, receives=True) for number in range(len(offer.lines))]
                answered = sdp.read(sdp.answer(offer, places, host="127.0.0.1", version=1, number=1))
                assert len(answered.lines) == len(offer.lines)
        people(body.metadata or b"")


def people(text: bytes) -> None:
    with suppress(ProtocolError):
        known = Participants()
        for _ in range(2):
            known.take(metadata.parse(text))
            speakers = known.speakers(["0", "1", None])
            assert all(one in known.people for heard in speakers for one in heard.participants)
        for participant in known.people.values():
            who(participant)


@pytest.mark.fuzz
def test_messages_of_recording_clients_spoiled_anywhere(fuzz):
    """The lengths are set right half of the time: else little of what is changed in a body is ever looked at."""
    for chance in fuzz.rounds(4000):
        head, end, body = chance.choice(DATA).partition(b"\r\n\r\n")
        if chance.random() < 0.7:
            body = spoiled(body, chance, PIECES)
        else:
            head = spoiled(head, chance, PIECES)
        if chance.random() < 0.8:
            head = LENGTH.sub(b"Content-Length: %d" % len(body), head)
        told(head + end + body)


@pytest.mark.fuzz
def test_requests_that_were_changed(fuzz):
    @given(
        st.sampled_from(DATA),
        st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 40), st.sampled_from(PIECES)), max_size=6),
    )
    def one(data, changes):
        for place, length, piece in changes:
            at = place % (len(data) or 1)
            data = data[:at] + piece + data[at + length :]
        told(data)

    fuzz.examples(2000, one)


@pytest.mark.fuzz
def test_bodies_of_any_bytes(fuzz):
    @given(st.lists(st.one_of(st.binary(max_size=100), st.sampled_from(PIECES), st.sampled_from(BODIES)), max_size=8))
    def one(pieces):
        text = b"".join(pieces)
        people(text)
        with suppress(ProtocolError):
            sdp.read(b"v=0\r\n" + text)
        with suppress(ProtocolError):
            parsed(text.decode("latin-1"))

    fuzz.examples(2000, one)
