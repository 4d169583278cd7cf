"""The sinks ``webhook`` and ``http_put``: what goes over the wire, what answers mean, and what they live through."""

from __future__ import annotations

import base64
import hashlib
import ssl

import pytest
from delivery_kit import body_of, record, uuid_of
from endure_kit import Endures, trusts_only_its_authority
from http_receiver import HttpReceiver
from http_rigs import SECRET, TOKEN, HttpPutRig, WebhookRig

from vcond.base.errors import ConfigError
from vcond.delivery.sinks.http_put import HttpPutConfig, HttpPutSink
from vcond.delivery.sinks.webhook import WebhookConfig, WebhookSink
from vcond.sdk.sink import OutgoingVcon, Refused, Retry
from vcond.testing.certificates import certificate


class TestWebhookEndures(Endures):
    @pytest.fixture
    def rig(self):
        return WebhookRig()


class TestHttpPutEndures(Endures):
    @pytest.fixture
    def rig(self):
        return HttpPutRig()


@pytest.fixture(params=[WebhookRig, HttpPutRig])
async def rig(request):
    made = request.param()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def sink(rig):
    return rig.sink()


async def test_a_delivery_is_signed_as_standard_webhooks_says():
    """The signature is that of the library standardwebhooks 1.1.0 for these values."""
    server = HttpReceiver()
    await server.up()
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    sink = WebhookSink(WebhookConfig(url=f"{server.url}/h", secret=secret), now=lambda: 1_767_614_400.9)
    body = b'{"vcon":"0.4.0"}'
    await sink.deliver(OutgoingVcon("019b8e4c-0001-8000-8000-000000000001", body, "00"))
    await sink.close()
    await server.down()
    [(method, path, headers, sent)] = server.requests
    assert (method, path, sent) == ("POST", "/h", body)
    assert headers["webhook-id"] == headers["Idempotency-Key"] == "019b8e4c-0001-8000-8000-000000000001.plain"
    assert headers["webhook-timestamp"] == "1767614400"
    assert headers["webhook-signature"] == "v1,LBS/kgmxwP1eVFYKBJettrA6wAKLxxOKM/SMvsZxCy4="
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers


async def test_another_form_of_a_vcon_has_another_key():
    rig = WebhookRig()
    await rig.start()
    sink = rig.sink()
    for form in ("plain", "signed"):
        await sink.deliver(record(form=form))
    await sink.close()
    await rig.stop()
    assert set(rig.server.files) == {f"{uuid_of(1)}.plain", f"{uuid_of(1)}.signed"}


async def test_a_put_goes_to_the_day_of_the_call_with_its_digest():
    rig = HttpPutRig()
    await rig.start()
    sink = rig.sink()
    receipt = await sink.deliver(record())
    await sink.close()
    await rig.stop()
    [(method, path, headers, sent)] = rig.server.requests
    assert (method, path, sent) == ("PUT", f"/vcons/2026/01/05/{uuid_of(1)}.json", body_of(1))
    assert receipt.target == f"{rig.server.url}{path}"
    assert headers["Repr-Digest"] == f"sha-512=:{base64.b64encode(hashlib.sha512(sent).digest()).decode()}:"
    assert headers["Content-Type"] == "application/vcon"
    assert headers["Authorization"] == f"Bearer {TOKEN}"


ANSWERS = [
    (500, {}, b"", "http:500", {}),
    (503, {"Retry-After": "7"}, b"", "http:503", {"whole_sink": True, "after": 7.0}),
    (429, {}, b"", "http:429", {"whole_sink": True}),
    (507, {}, b"", "http:507", {"whole_sink": True}),
    (401, {}, b"", "refused:401", {"held": True}),
    (403, {}, b"", "refused:403", {"held": True}),
    (404, {}, b"", "refused:404", {"held": True}),
    (410, {}, b"", "refused:410", {"held": True}),
    (413, {"Server": "nginx"}, b"", "refused:413", {"too_large": True}),
    (422, {}, b"<html>", "refused:422", {"held": True}),
    (422, {"Content-Type": "application/json"}, b'["x"]', "refused:422", {"held": True}),
    (301, {"Location": "https://elsewhere.example/x"}, b"", "unexpected:301", {"held": True}),
    (202, {}, b"", "unexpected:202", {"held": True}),
]


@pytest.mark.parametrize(("status", "headers", "body", "reason", "more"), ANSWERS, ids=lambda one: str(one)[:12])
async def test_what_an_answer_means(rig, sink, status, headers, body, reason, more):
    rig.server.next = (status, headers, body)
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert why.value.reason == reason
    assert str(status) in why.value.detail
    expected = {"held": False, "too_large": False, "after": None} | more
    assert {key: getattr(why.value, key) for key in expected} == expected
    if status in {301, 413, 507} or why.value.held:
        assert why.value.hint
    if status == 301:
        assert "https://elsewhere.example " in f"{why.value.hint} ".replace(";", " ")
    await sink.deliver(record())
    await sink.close()


async def test_a_conflict_is_a_folder_for_put_and_a_webhook_that_is_busy_with_that_vcon(rig, sink):
    """draft-ietf-httpapi-idempotency-key-header-07 section 2.7; RFC 4918 section 9.7.1."""
    rig.server.next = (409, {"Retry-After": "7"}, b"")
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    told = (why.value.reason, why.value.held, why.value.whole_sink, why.value.after)
    webhook = isinstance(sink, WebhookSink)
    assert told == (("http:409", False, False, 7.0) if webhook else ("refused:409", True, True, None))
    assert ("webhook-id" if webhook else "folder") in why.value.hint
    await sink.deliver(record())
    await sink.close()


async def test_a_no_in_json_is_a_dead_letter_that_says_where_to_look(rig, sink):
    rig.server.next = "refuse"
    with pytest.raises(Refused) as why:
        await sink.deliver(record())
    assert (why.value.reason, why.value.asked) == ("refused:422", True)
    assert "vcond outbox" in why.value.hint
    assert "no such party" in why.value.answer
    await sink.close()


async def test_half_an_answer_and_one_that_does_not_come_are_tried_again(rig):
    sink = rig.sink(total_timeout=0.3)
    rig.server.next = "half"
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert (why.value.reason, why.value.whole_sink) == ("connection-lost", True)
    await rig.stall()
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert (why.value.reason, why.value.whole_sink) == ("timeout", True)
    await sink.close()


async def test_what_is_larger_than_the_receiver_takes_is_not_sent(rig):
    sink = rig.sink(max_bytes=1000)
    with pytest.raises(Refused) as why:
        await sink.deliver(record(size=2000))
    assert (why.value.reason, why.value.asked) == ("too-large", False)
    assert "max_bytes" in why.value.hint
    assert rig.server.requests == []
    await sink.close()


@pytest.mark.parametrize("kind", [WebhookRig, HttpPutRig])
async def test_a_certificate_that_does_not_fit_holds_the_sink(kind, tmp_path):
    rig = kind()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    cert, key = certificate(tmp_path)
    context.load_cert_chain(cert, key)
    rig.server = HttpReceiver(context=context)
    await trusts_only_its_authority(rig, cert)


async def test_a_webhook_without_a_way_to_erase_says_so():
    rig = WebhookRig()
    sink = rig.sink(erase_url="")
    with pytest.raises(Refused) as why:
        await sink.erase(uuid_of(1))
    assert (why.value.reason, why.value.asked) == ("cannot-erase", False)
    assert "erase_url" in why.value.hint


async def test_a_server_that_keeps_what_it_was_told_to_delete_is_told():
    rig = HttpPutRig()
    await rig.start()
    sink = rig.sink()
    rig.server.always = (200, {}, b"")
    with pytest.raises(Retry, match="still-there"):
        await sink.erase(uuid_of(1))
    [seen] = await sink.look()
    assert (seen.level, "correct `url`" in seen.fix) == ("error", True)
    await sink.close()
    await rig.stop()


@pytest.mark.parametrize(("status", "level"), [(401, "error"), (404, "error"), (503, "warning"), (405, "ok")])
async def test_a_look_at_a_webhook(status, level):
    rig = WebhookRig()
    await rig.start()
    sink = rig.sink()
    rig.server.always = (status, {}, b"")
    [seen] = await sink.look()
    assert seen.level == level
    assert bool(seen.fix) == (level != "ok")
    await sink.close()
    await rig.stop()


PUT = "https://files.example.com/{uuid}.json"


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: WebhookSink(WebhookConfig(url="ftp://x", secret=SECRET)), "sinks.webhook.url"),
        (lambda: WebhookSink(WebhookConfig(url="https://u:p@x/", secret=SECRET)), "sinks.webhook.url"),
        (lambda: WebhookSink(WebhookConfig(url="https://x/", secret="not base64!")), "sinks.webhook.secret"),
        (lambda: WebhookSink(WebhookConfig(url="https://x/", secret="c2hvcnQ=")), "sinks.webhook.secret"),
        (lambda: WebhookSink(WebhookConfig(url="https://x/", secret=SECRET, token="a b")), "sinks.webhook.token"),
        (lambda: WebhookSink(WebhookConfig(url="https://x/", secret=SECRET, erase_url="https://x/")),
         "sinks.webhook.erase_url"),
        (lambda: HttpPutSink(HttpPutConfig(url="https://x/vcon.json")), "sinks.http_put.url"),
        (lambda: HttpPutSink(HttpPutConfig(url="https://x/../{uuid}")), "sinks.http_put.url"),
        (lambda: HttpPutSink(HttpPutConfig(url="https://x/{party}/{uuid}")), "sinks.http_put.url"),
        (lambda: HttpPutSink(HttpPutConfig(url=PUT, token="t", user="u")), "sinks.http_put.token"),
        (lambda: HttpPutSink(HttpPutConfig(url=PUT, user="u:v")), "sinks.http_put.user"),
        (lambda: HttpPutSink(HttpPutConfig(url=PUT, ca_file="/nowhere.pem")), "sinks.http_put.ca_file"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_before_it_runs(make, key):
    with pytest.raises(ConfigError) as why:
        make()
    assert why.value.path == key


def test_no_secret_is_in_what_a_configuration_says_of_itself():
    webhook = WebhookConfig(url="https://x/secret-path", secret=SECRET, token=TOKEN)
    put = HttpPutConfig(url=PUT, user="u", password=TOKEN)
    said = repr(webhook) + repr(put)
    assert not any(word in said for word in (SECRET, TOKEN, "secret-path"))


async def test_user_and_password_are_sent_as_rfc_7617_says():
    rig = HttpPutRig()
    await rig.start()
    sink = rig.sink(token="", user="vcond", password="pa:ss")
    await sink.deliver(record())
    await sink.close()
    await rig.stop()
    sent = rig.server.requests[0][2]["Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"vcond:pa:ss"
