"""Webhooks: who is let in, and what they change in the record."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest
from stream_kit import Bench, written

from vcond.sdk.contract import SECOND, ConfigError
from vcond.sdk.media_stream import Began, Carrier
from vcond.sdk.media_stream.signatures import url_signature
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond.testing.time import run_virtual
from vcond_stream import StreamAdapter, StreamConfig
from vcond_stream.events import EVENTS, Events
from vcond_stream.trust import Asked
from vcond_stream.webhooks import VERIFY, Posted

NOW = 1_795_944_290.0
KEY = "a-secret-key-of-the-platform"
A, B = "+15550100001", "+15550100002"
SINCH = f"app-1:{base64.b64encode(b'a secret of sinch').decode()}"
ENDS = {
    "bandwidth": ("C1", "busy", {"eventType": "disconnect", "callId": "C1", "cause": "busy", "from": A, "to": B, "direction": "inbound"}),
    "jambonz": ("C1", "busy", {"call_sid": "C1", "call_status": "busy", "sip_status": 486, "from": A, "to": B, "direction": "inbound"}),
    "livekit": ("room", None, {"event": "room_finished", "room": {"sid": "RM_1", "name": "room"}, "createdAt": "1795944000"}),
    "plivo": ("C1", "no-answer", {"CallUUID": "C1", "CallStatus": "timeout", "From": A, "To": B, "Direction": "inbound"}),
    "signalwire": ("C1", "failed", {"CallSid": "C1", "CallStatus": "failed", "SipResponseCode": "503", "From": A, "To": B, "Direction": "inbound"}),
    "sinch": ("C1", None, {"event": "dice", "callid": "C1", "result": "BUSY", "from": A, "to": B}),
    "telnyx": ("v3:C1", "canceled", {"data": {"event_type": "call.hangup", "payload": {
        "call_control_id": "v3:C1", "hangup_cause": "originator_cancel", "sip_hangup_cause": "487", "from": A, "to": B,
        "direction": "incoming"}}}),
    "vobiz": ("C1", "failed", {"CallUUID": "C1", "CallStatus": "failed", "From": A, "To": B, "Direction": "inbound"}),
    "vonage": ("C1", "no-answer", {"status": "unanswered", "uuid": "C1", "conversation_uuid": "CON-1", "from": A, "to": B, "direction": "inbound"}),
}  # fmt: skip
"""By dialect: its call, the word for who was not answered (None = no record without audio), the message."""


def events(bench):
    return Events(bench.host, bench.calls, {}, "https://edge.example.com")


def test_every_dialect_that_signs_has_events_and_an_example():
    assert set(VERIFY) == set(EVENTS) == set(ENDS)


@pytest.mark.parametrize("dialect", ENDS)
def test_a_call_that_nobody_answered_is_a_record_without_audio_and_only_one(dialect):
    async def main() -> None:
        bench = Bench()
        key, word, said = ENDS[dialect]
        told = events(bench)
        for _ in range(2):
            told.take(dialect, said)
        if word is None:
            assert bench.host.calls == []
            return
        (call,) = bench.host.calls
        assert (call.key, call.state.cause.text, call.state.direction) == (f"{dialect}:{key}", word, "inbound")
        assert [party.who.tel for party in call.state.parties] == [A, B]
        assert (call.over, call.state.answered) == (True, None)
        assert bench.host.faults == []

    run_virtual(main())


@pytest.mark.parametrize("dialect", ["telnyx", "bandwidth", "signalwire", "plivo", "jambonz"])
def test_a_call_whose_stream_was_lost_ends_as_soon_as_its_platform_says_so(dialect):
    async def main() -> None:
        bench = Bench(grace=600)
        stream = bench.socket(dialect)
        for messages in written(dialect, voice(1, 0.5), voice(2, 0.5))[:-1]:
            bench.feed(stream, *messages, step=10)
        text = json.dumps(ENDS[dialect][2]).replace("v3:C1", "C1")
        told = events(bench)
        told.take(dialect, json.loads(text.replace('"C1"', '"other"')))
        assert not bench.host.calls[0].over
        stream.gone(bench.clock.now())
        assert not bench.host.calls[0].over
        told = events(bench)
        told.take(dialect, json.loads(text))
        assert bench.host.calls[0].over
        assert len(bench.host.calls) == 2

    run_virtual(main())


def test_a_room_that_is_used_again_ends_again():
    async def main() -> None:
        bench = Bench(grace=600)
        told = events(bench)
        for count in (1, 2):
            bench.calls.leave(*joined(bench), at=bench.clock.now(), stopped=False)
            told.take("livekit", ENDS["livekit"][2])
            assert [call.over for call in bench.host.calls] == [True] * count

    run_virtual(main())


def joined(bench):
    carrier = Carrier(Began(call="livekit:room", stream="s", tracks={}, announced=()))
    return bench.calls.join(carrier, at=bench.clock.now()), carrier


def test_a_call_that_had_audio_is_no_second_record_whatever_its_platform_calls_its_end():
    async def main() -> None:
        bench = Bench(grace=0)
        stream = bench.socket("bandwidth")
        for messages in written("bandwidth", voice(1, 0.5), voice(2, 0.5))[:-1]:
            bench.feed(stream, *messages, step=10)
        stream.gone(bench.clock.now())
        assert bench.host.calls[0].over
        events(bench).take("bandwidth", ENDS["bandwidth"][2] | {"cause": "error"})
        assert len(bench.host.calls) == 1

    run_virtual(main())


@pytest.mark.parametrize(
    ("dialect", "more"),
    [
        ("telnyx", {"data": {"event_type": "call.answered"}}), ("bandwidth", {"parentCallId": "C0"}),
        ("jambonz", {"parent_call_sid": "C0"}), ("signalwire", {"ParentCallSid": "C0"}), ("vonage", {"direction": "outbound"}),
        ("plivo", {"Direction": "outbound"}), ("vonage", {"status": "started"}), ("livekit", {"event": "track_published"}),
    ],
)  # fmt: skip
def test_what_is_of_another_leg_or_no_end_is_no_record(dialect, more):
    async def main() -> None:
        bench = Bench()
        events(bench).take(dialect, {**ENDS[dialect][2], **more})
        assert (bench.host.calls, bench.host.drops) == ([], {})

    run_virtual(main())


def jambonz(body, at=NOW, key=KEY):
    return {
        "jambonz-signature": f"t={int(at)},v1={hmac.digest(key.encode(), f'{int(at)}.'.encode() + body, 'sha256').hex()}"
    }


def sinch(body, at=NOW, target="/stream/sinch/status", secret=SINCH):
    moment = datetime.fromtimestamp(at, UTC).isoformat()
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    signed = f"POST\n{digest}\napplication/json\nx-timestamp:{moment}\n{target}"
    key, _, signing = secret.partition(":")
    made = base64.b64encode(hmac.digest(base64.b64decode(signing), signed.encode(), "sha256")).decode()
    return {"authorization": f"application {key}:{made}", "x-timestamp": moment, "content-type": "application/json"}


def taken(dialect, headers, secret, body=b"{}", target="/stream/sinch/status"):
    return VERIFY[dialect](Posted(Asked("https://edge.example.com", target, headers, NOW, {}), body), secret)


@pytest.mark.parametrize(("dialect", "signed", "secret"), [("jambonz", jambonz, KEY), ("sinch", sinch, SINCH)])
def test_what_is_signed_of_a_body_and_a_moment_is_taken_for_so_long(dialect, signed, secret):
    """C9, C12."""
    assert taken(dialect, signed(b"{}"), secret)
    assert not taken(dialect, signed(b"{}"), secret, b"{ }")
    assert not taken(dialect, {}, secret)
    assert not taken(dialect, signed(b"{}"), f"app-2:{SINCH[6:]}" if dialect == "sinch" else "another-key")
    for at, good in ((NOW - 299, True), (NOW + 299, True), (NOW - 301, False), (NOW + 301, False)):
        assert taken(dialect, signed(b"{}", at), secret) is good
    for name, value in signed(b"{}").items():
        for wrong in (value[:-2], "", "\udcff", f"{value}\n"):
            assert not taken(dialect, {**signed(b"{}"), name: wrong}, secret), name
    if dialect == "sinch":
        assert not taken(dialect, signed(b"{}"), secret, target="/stream/other")


@pytest.mark.parametrize("dialect", VERIFY)
def test_headers_that_make_no_sense_are_refused_and_no_error(dialect):
    secret = {"telnyx": base64.b64encode(b"\1" * 32).decode(), "sinch": SINCH}.get(dialect, "user:a-password")
    names = ("authorization", "x-timestamp", "telnyx-timestamp", "telnyx-signature-ed25519", "jambonz-signature",
        "x-plivo-signature-v3", "x-plivo-signature-v3-nonce", "x-signalwire-signature", "content-type")  # fmt: skip
    for value in (
        "",
        "x",
        "\udcff",
        "5",
        "Bearer a.b.c",
        "Bearer ..",
        "application a:b",
        "Basic ====",
        "t=5,v1=",
        "9" * 5000,
    ):
        for body in (b"", b"\xff", b"{}", b"a=b&&=c", b"&" * 5000):
            assert not taken(dialect, dict.fromkeys(names, value), secret, body, "/stream/\udcff?a=\udcff")


@asynccontextmanager
async def serving(**config):
    async with MemoryHost("stream") as host, aiohttp.ClientSession() as session:
        task = asyncio.create_task(
            StreamAdapter(StreamConfig(public_url="https://edge.example.com", **config)).run(host)
        )
        await host.until(lambda: host.is_attached)

        async def post(where, body, **headers):
            async with session.post(f"{host.ingress.bound_url}/stream/{where}", data=body, headers=headers) as answer:
                return answer.status

        yield host, post
        task.cancel()
        await asyncio.wait([task])


def test_a_webhook_that_is_not_signed_is_refused_before_it_is_read_and_counted():
    async def main() -> None:
        async with serving(webhooks={"jambonz": KEY, "signalwire": KEY}) as (host, post):
            body = json.dumps(ENDS["jambonz"][2]).encode()
            now = host.clock.now() / SECOND
            good = {"Jambonz-Signature": jambonz(body, now)["jambonz-signature"]}
            old = {"Jambonz-Signature": jambonz(body, now - 400)["jambonz-signature"]}
            for headers in ({}, old, {"Authorization": f"Bearer {host.ingress.token}"}):
                assert await post("jambonz/status", body, **headers) == 403
            assert await post("jambonz/status", body + b" ", **good) == 403
            assert (host.calls, host.drops) == ([], {("status", "not-vouched-for"): 4})
            assert await post("jambonz/status", body, **good) == 204
            assert [call.key for call in host.calls] == ["jambonz:C1"]
            form = {name: str(value) for name, value in ENDS["signalwire"][2].items()}
            signed = "https://edge.example.com/stream/signalwire/status" + "".join(n + form[n] for n in sorted(form))
            assert (
                await post("signalwire/status", form, **{"X-SignalWire-Signature": url_signature(KEY, signed)}) == 204
            )
            assert host.calls[-1].state.cause.sip == 503
            assert host.drops == {("status", "not-vouched-for"): 4}

    run_virtual(main())


def test_without_a_secret_the_ingress_token_lets_webhooks_in():
    async def main() -> None:
        async with serving() as (host, post):
            body = json.dumps(ENDS["telnyx"][2])
            assert await post("telnyx/status", body) == 403
            assert await post(f"telnyx/status/{host.ingress.token}", body) == 204
            assert len(host.calls) == 1
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            for wrong in (b"", b"[]", b"{", b"\xff", b"[" * 9000, b'{"data":5}', b'{"data":{"event_type":"call.hangup","payload":[]}}',
                b'{"data":{"event_type":"call.hangup","payload":{}}}',
                b'{"data":{"event_type":"call.hangup","payload":{"call_control_id":"a/../b"}}}'):  # fmt: skip
                assert await post(f"telnyx/status/{host.ingress.token}", wrong) == 204
            for wrong in (b"\xff", b"a", b"a=1&" * 500):
                assert await post(f"plivo/status/{host.ingress.token}", wrong, **kind) == 204
            assert host.drops == {("status", "malformed"): 12}
            assert len(host.calls) == 1

    run_virtual(main())


@pytest.mark.parametrize(
    ("dialect", "secret"),
    [("telnyx", "not a public key"), ("telnyx", base64.b64encode(b"short").decode()), ("livekit", "no-colon-here"),
     ("sinch", "app-1:no base64!"), ("bandwidth", "user-name:"), ("exotel", "user:a-password")],
)  # fmt: skip
def test_half_a_secret_is_a_mistake(dialect, secret):
    with pytest.raises(ConfigError, match="webhooks"):
        StreamAdapter(StreamConfig(webhooks={dialect: secret}))
