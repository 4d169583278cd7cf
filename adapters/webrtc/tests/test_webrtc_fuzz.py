"""Offers, fragments, tokens and messages of Janus, changed anywhere: each is read or refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from test_webrtc_claims import NOW, SECRET, token
from test_webrtc_offers import offered
from test_webrtc_trickle import EXAMPLE

from vcond.sdk.contract import ConfigError, ProtocolError, RefusedError
from vcond.testing.changed import spoiled
from vcond_webrtc import offers
from vcond_webrtc.claims import from_token
from vcond_webrtc.janus import wire
from vcond_webrtc.trickle import directed, reachable, sections, usable

OPUS = ["m=audio 9 UDP/TLS/RTP/SAVPF 111 0 110", "a=mid:0", "a=sendonly", "a=rtpmap:111 opus/48000/2", "a=rtpmap:110 telephone-event/48000"]  # fmt: skip
VIDEO = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:1", "a=sendonly", "a=rtpmap:96 VP8/90000"]
OFFERS = [offered(OPUS).encode(), offered(OPUS, VIDEO).encode(), offered(VIDEO, OPUS, bundle=False).encode()]
LINES = [b"\r\n", b"\n", b"\0", b"\xc3\xbc", b"m=audio 9 RTP/AVP 0\r\n", b"m=", b"a=mid:0\r\n", b"a=group:BUNDLE 0 0 1\r\n", b"\x0b", b"\xe2\x80\xa8",
         b"a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", b"a=ice-ufrag:x\r\n", b"a=inactive\r\n", b" 99999999", b"a=rtpmap:0 X/0\r\n", b"9" * 400]  # fmt: skip
TOLD = [json.loads(line) for line in (Path(__file__).parent / "janus_captured.jsonl").read_text().splitlines()]
MESSAGES = [line["text"].encode() for line in TOLD if line["who"] == "came"]
PIECES = [b"{", b"}", b"[" * 3000, b'{"a":' * 2000, b'"', b"\0", b"\xff", b"null", b"1e999", b"-1", b"9" * 400, b"\\ud800", b"[]", b"true"]  # fmt: skip
TOKENS = [token().encode(), token({"sub": "a", "nbf": 1}).encode(), b"..", b"e30.e30.e30"]


@pytest.mark.fuzz
def test_offers_and_fragments_are_read_or_refused(fuzz):
    for chance in fuzz.rounds(10_000):
        text = spoiled(chance.choice(OFFERS), chance, LINES).decode("utf-8", "replace")
        with suppress(ProtocolError, RefusedError):
            offer = offers.read(text)
            assert offer.taken
            assert offer.wanted().startswith("v=0")
            offer.transports()
        with suppress(ProtocolError):
            directed(reachable(text))
        fragment = spoiled(EXAMPLE.encode(), chance, LINES).decode("utf-8", "replace")
        with suppress(ProtocolError):
            for section in sections(fragment):
                for candidate in section.candidates:
                    usable(candidate)


@pytest.mark.fuzz
def test_tokens_are_good_or_refused(fuzz):
    good = {one.decode() for one in TOKENS}
    for chance in fuzz.rounds(20_000):
        text = spoiled(chance.choice(TOKENS), chance, [b".", b"=", b"e30", b"\xff", b"\0", b"A" * 500]).decode(
            "latin-1"
        )
        with suppress(RefusedError):
            from_token(text, SECRET, now=NOW)
            assert text.rstrip("=") in good


@pytest.mark.fuzz
def test_messages_of_janus_are_read_or_break_the_protocol(fuzz):
    for chance in fuzz.rounds(20_000):
        message = spoiled(chance.choice(MESSAGES), chance, PIECES)
        with suppress(ProtocolError, wire.JanusError, ConfigError):
            wire.answer("anything", wire.decode(message))
        with suppress(ProtocolError):
            wire.decode_info(message)
