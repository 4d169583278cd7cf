"""What Twilio's status callbacks change in the record."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from yarl import URL

from vcond.sdk.media_stream import with_form
from vcond.sdk.media_stream.signatures import url_signature
from vcond.testing.host import MemoryHost
from vcond.testing.time import run_virtual
from vcond_twilio import TwilioAdapter, TwilioConfig

KEY = "12345678901234567890123456789012"
BASE = "https://edge.example.com"
FORM = {
    "CallSid": "CA" + "5" * 32, "AccountSid": "AC" + "3" * 32, "From": "+15550100", "To": "+15550199",
    "Direction": "outbound-api", "CallStatus": "busy", "SipResponseCode": "486",
}  # fmt: skip


@asynccontextmanager
async def serving(**config):
    async with MemoryHost("twilio") as host:
        task = asyncio.create_task(TwilioAdapter(TwilioConfig(public_url=BASE, **config)).run(host))
        await host.until(lambda: host.is_attached)
        async with aiohttp.ClientSession() as session:

            async def post(form, where="/twilio/stream/status", **headers):
                where = URL(host.ingress.bound_url + where, encoded=True)
                async with session.post(where, data=form, headers=headers) as answer:
                    return answer.status

            yield host, post
        task.cancel()
        await asyncio.wait([task])


def virtual(test):
    def run(twilio):
        run_virtual(test(twilio))

    run.__name__ = test.__name__
    return run


def signature(form, url=f"{BASE}/twilio/stream/status", key=KEY):
    return {"X-Twilio-Signature": url_signature(key, with_form(url, form))}


@pytest.mark.parametrize(
    ("form", "made"),
    [
        ([("k", "z"), ("k", "y"), ("k", "z"), ("B", "1")], "https://h/p" + "B1kykz"),
        ([], "https://h/p"),
        ([("b", "2"), ("a", "1"), ("A", "")], "https://h/p" + "Aa1b2"),
    ],
)
def test_of_a_form_each_value_is_signed_once_and_in_order(form, made):
    assert with_form("https://h/p", form) == made


@virtual
async def test_a_call_that_nobody_answered_is_a_record_without_audio_and_only_one(twilio):
    async with serving(auth_tokens=[KEY]) as (host, post):
        for _ in range(2):
            assert await post(FORM, **signature(FORM.items())) == 204
        (call,) = host.calls
        state = call.state
        assert (call.key, state.direction, state.disposition) == (FORM["CallSid"], "outbound", "busy")
        assert [party.who.tel for party in state.parties] == ["+15550100", "+15550199"]
        assert (state.answered, state.cause.sip) == (None, 486)
        assert host.drops == {}


@virtual
async def test_a_callback_that_twilio_did_not_sign_is_refused(twilio):
    async with serving(auth_tokens=[KEY]) as (host, post):
        changed = {**FORM, "CallStatus": "failed"}
        assert await post(FORM) == 403
        assert await post(changed, **signature(FORM.items())) == 403
        assert await post(FORM, **signature(FORM.items(), key="0" * 32)) == 403
        assert await post(FORM, **signature(FORM.items(), url=f"{BASE}/twilio/stream")) == 403
        assert (host.calls, host.drops) == ([], {("status", "signature"): 4})


@virtual
async def test_a_body_that_is_no_form_is_vouched_for_by_its_digest_in_the_signed_url(twilio):
    async with serving(auth_tokens=[KEY]) as (host, post):
        body = json.dumps(FORM).encode()
        where = f"/twilio/stream/status?bodySHA256={hashlib.sha256(body).hexdigest()}"
        headers = {"Content-Type": "application/json", "X-Twilio-Signature": url_signature(KEY, BASE + where)}
        assert await post(body.replace(b"busy", b"failed"), where, **headers) == 403
        assert await post(body, where.replace("stream/status?body", "stream/status?Body"), **headers) == 403
        plain = {**headers, "X-Twilio-Signature": url_signature(KEY, f"{BASE}/twilio/stream/status")}
        assert await post(body, **plain) == 403
        assert host.calls == []
        assert await post(body, where, **headers) == 204
        assert [call.state.disposition for call in host.calls] == ["busy"]
        odd = f"/twilio/stream/status?bodySHA256={hashlib.sha256(b'[]').hexdigest()}"
        assert await post(b"[]", odd, **{**headers, "X-Twilio-Signature": url_signature(KEY, BASE + odd)}) == 204
        assert host.drops == {("status", "signature"): 3, ("status", "malformed"): 1}


@virtual
async def test_without_an_auth_token_the_ingress_token_lets_callbacks_in(twilio):
    async with serving() as (host, post):
        assert await post(FORM) == 403
        assert await post(FORM, f"/twilio/stream/status/{host.ingress.token}") == 204
        assert len(host.calls) == 1


@virtual
async def test_a_call_whose_stream_was_lost_waits_no_longer_once_it_is_said_to_be_over(twilio):
    async with serving(grace=600) as (host, post):
        url = f"{host.ingress.bound_url}/twilio/stream/{host.ingress.token}"
        where = f"/twilio/stream/status/{host.ingress.token}"
        async with twilio.dial(url) as client:
            await client.start()
            await host.until(lambda: host.calls)
            over = {**FORM, "CallSid": twilio.CALL, "CallStatus": "completed"}
            await post({**over, "CallSid": "CA" + "9" * 32}, where)
            assert not host.calls[0].over
            await client.cut()
        await asyncio.sleep(1)
        assert not host.calls[0].over
        await post(over, where)
        assert (host.calls[0].over, host.calls[0].state.cause.text) == (True, "completed")
        assert len(host.calls) == 1


@virtual
async def test_a_call_that_a_stream_carries_ends_with_that(twilio):
    async with serving() as (host, post):
        url = f"{host.ingress.bound_url}/twilio/stream/{host.ingress.token}"
        async with twilio.dial(url) as client:
            await client.start()
            await host.until(lambda: host.calls)
            form = {**FORM, "CallSid": twilio.CALL, "CallStatus": "completed"}
            await post(form, f"/twilio/stream/status/{host.ingress.token}")
            assert not host.calls[0].over
            await client.stop()
        assert (host.calls[0].over, host.calls[0].state.cause.text) == (True, "stop")


@virtual
async def test_what_makes_no_sense_or_is_of_another_leg_changes_nothing(twilio):
    async with serving() as (host, post):
        where = f"/twilio/stream/status/{host.ingress.token}"
        for wrong in ({"CallSid": "../x"}, {"CallSid": ""}, {"CallSid": "C" * 100}):
            assert await post({**FORM, **wrong}, where) == 204
        for other in ({"ParentCallSid": "CA1"}, {"CallStatus": "ringing"}, {"CallStatus": "completed"}):
            assert await post({**FORM, **other}, where) == 204
        assert await post({**FORM, "CallSid": "CAodd", "SipResponseCode": "²²²", "From": "x" * 1000}, where) == 204
        assert host.drops == {("status", "malformed"): 3}
        assert [call.key for call in host.calls] == ["CAodd"]
