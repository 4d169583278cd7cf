"""Handshakes and webhooks of every platform, changed anywhere: each is vouched for as it was, or not at all."""

from __future__ import annotations

from contextlib import suppress

import pytest
from test_stream_events import KEY as SIGNED
from test_stream_events import SINCH, jambonz, sinch
from test_stream_events import taken as webhook
from test_stream_trust import GOOD, asked

from vcond.sdk.contract import ProtocolError
from vcond.sdk.media_stream import names_body
from vcond.testing.changed import spoiled
from vcond_stream import fields
from vcond_stream.trust import VOUCH
from vcond_stream.webhooks import VERIFY, Posted

PIECES = [b"\0", b"\xff", b"%", b"%ff", b"=", b"&", b"&&&", b"[", b"]", b"//[::1", b"?", b"#", b";", b",", b'"', b"9" * 400, b"\xc3\xbc", b" ", b"sig1=("]  # fmt: skip
BODY = b'{"CallSid":"CA1","CallStatus":"busy","a":[{"b":1}]}'
FORM = b"CallSid=CA1&CallStatus=busy&From=%2B15550100"
TARGET = "/stream/x?b=2&a=1"
POSTED = {"jambonz": (jambonz(BODY), SIGNED), "sinch": (sinch(BODY), SINCH)}


def text(data: bytes) -> str:
    """As aiohttp hands headers and targets on."""
    return data.decode("utf-8", "surrogateescape")


@pytest.mark.fuzz
def test_handshakes_that_were_changed_are_vouched_for_or_not(fuzz):
    names = sorted(GOOD)
    for chance in fuzz.rounds(5000):
        dialect = chance.choice(names)
        secret, headers = GOOD[dialect]
        sent = dict(headers)
        for name in headers:
            if chance.random() < 0.6:
                sent[name] = text(spoiled(headers[name].encode(), chance, PIECES))
        target = TARGET if chance.random() < 0.5 else text(spoiled(TARGET.encode(), chance, PIECES))
        assert VOUCH[dialect](asked(sent, target=target), secret) in {True, False}


@pytest.mark.fuzz
def test_webhooks_that_were_changed_are_vouched_for_or_not_and_read_or_refused(fuzz):
    names = sorted(VERIFY)
    for chance in fuzz.rounds(5000):
        dialect = chance.choice(names)
        headers, secret = POSTED.get(dialect, GOOD.get(dialect, ("", {}))[::-1])
        sent = {name: text(spoiled(value.encode(), chance, PIECES)) for name, value in headers.items()}
        for extra in (
            "telnyx-timestamp",
            "telnyx-signature-ed25519",
            "authorization",
            "x-twilio-signature",
            "x-timestamp",
        ):
            if chance.random() < 0.3:
                sent[extra] = text(spoiled(b"Bearer e30.e30.e30", chance, PIECES))
        form = chance.random() < 0.5
        body = spoiled(FORM if form else BODY, chance, PIECES)
        assert webhook(dialect, sent, secret or "a2V5:c2VjcmV0", body, target=TARGET) in {True, False}
        with suppress(ProtocolError):
            if form:
                assert isinstance(Posted(asked(sent), body).form, list)
            else:
                fields.message(body)


@pytest.mark.parametrize("dialect", ["plivo", "vobiz"])
def test_a_target_that_is_no_url_is_vouched_for_by_nobody(dialect):
    secret, headers = GOOD[dialect]
    assert VOUCH[dialect](asked(dict(headers), target="[half/of/an/address"), secret) is False
    assert not names_body("[half/of/an/address?bodySHA256=00", b"")
