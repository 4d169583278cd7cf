"""What each answer of a conserver, or of what stands before it, means for the vCon and for the sink."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib

import aiohttp
import pytest
from delivery_kit import body_of, uuid_of
from fake_conserver import FakeConserver, Status
from yarl import URL

from vcond.delivery.sinks.answers import not_taken
from vcond.delivery.sinks.conserver import ConserverConfig, ConserverSink
from vcond.sdk.sink import OutgoingVcon, Refused, Retry

KEY = "list-key-1"


def sealed(n: int) -> OutgoingVcon:
    return OutgoingVcon(uuid_of(n), body_of(n), hashlib.sha512(body_of(n)).hexdigest())


@pytest.fixture
async def conserver():
    async with FakeConserver(ingress_auth={"edge": KEY}) as running:
        yield running


@pytest.fixture
async def make(conserver):
    made = []

    def sink():
        made.append(ConserverSink(ConserverConfig(url=conserver.url, ingress_lists=["edge"], token=KEY)))
        return made[-1]

    yield sink
    for each in made:
        await each.close()


OWN = {"Content-Type": "application/json; charset=utf-8"}
NGINX = b"<html>\r\n<head><title>%d</title></head>\r\n<body><hr><center>nginx</center></body></html>"
PROBLEM = {"Content-Type": "application/problem+json"}


def says(*errors):
    """The conserver's own 422: place and kind of each error."""
    return Status(
        422, json.dumps({"detail": [{"loc": loc, "type": kind, "msg": "m"} for loc, kind in errors]}).encode(), OWN
    )


@pytest.mark.parametrize(
    "errors",
    [
        [(["body", "parties", 0, "tel"], "value_error")],
        [(["body", "uuid"], "missing"), (["body", "dialog", 3, "start"], "datetime_parsing")],
        [(["body"], "value_error")],  # the model's own check of the whole: an index of a party that is not there
    ],
)
async def test_only_a_422_about_its_content_refuses_a_vcon(conserver, make, errors):
    conserver.next(says(*errors))
    with pytest.raises(Refused) as caught:
        await make().deliver(sealed(1))
    assert (caught.value.status, caught.value.reason) == (422, "refused:422")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        (says((["query", "ingress_list"], "missing")), "query"),
        (says((["header", "x-conserver-api-token"], "missing")), "header"),
        (says((["body"], "missing")), "body"),
        (says((["body"], "model_attributes_type")), "body"),
        (says((["body"], "dict_type")), "body"),
        (says((["body", 0], "json_invalid")), "body"),
        (says((["body", 8192], "value_error.jsondecode")), "body"),  # FastAPI before 0.100
        (says(([], "missing")), "request"),
        (says((["body", "uuid"], "missing"), (["query", "ingress_list"], "missing")), "query"),
        (Status(400, b'{"detail":"There was an error parsing the body"}', OWN), "body"),
        (Status(403, b'{"detail":"API Key required"}', OWN), "header"),
        (Status(403, b'{"detail":"Not authenticated"}', OWN), "header"),
    ],
)
async def test_a_request_that_something_on_the_way_changes_holds_the_sink(conserver, make, fault, part):
    conserver.next(fault)
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    why = caught.value
    assert (why.reason, why.held) == (f"refused:{fault.status}", True)
    assert "a proxy changes query, headers or body" in why.hint
    assert f"got another {part} than" in why.hint


async def test_what_a_proxy_takes_away_is_told_from_what_a_vcon_lacks(conserver, make):
    """The answers are those of the conserver, not ours: the other side of the proxy is asked without query, body, type."""
    url, key = f"{conserver.url}/vcon/external-ingress", {"x-conserver-api-token": KEY}
    lists, json_type = {"ingress_list": "edge"}, {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session:
        for options in (
            {"data": body_of(1), "headers": key | json_type},  # the query is gone
            {"data": b"", "params": lists, "headers": key | json_type},
            {"data": body_of(1)[:-9], "params": lists, "headers": key | json_type},
            {"data": body_of(1), "params": lists, "headers": key | {"Content-Type": "text/plain"}},
            {"data": b"[]", "params": lists, "headers": key | json_type},
            {"data": b"\xff", "params": lists, "headers": key | json_type},
            {"data": body_of(1), "params": lists, "headers": json_type},  # the key is gone
        ):
            async with session.post(url, **options) as response:
                why = not_taken(response.status, response.headers, await response.read(), URL(url))
                assert isinstance(why, Retry)
                assert why.held
                assert "a proxy changes" in why.hint
        async with session.post(url, data=b"{}", params=lists, headers=key | json_type) as response:
            why = not_taken(response.status, response.headers, await response.read(), URL(url))
            assert isinstance(why, Refused)


@pytest.mark.parametrize(
    "fault",
    [
        Status(400, b'{"detail": "why"}', OWN),
        Status(422, b'{"detail": "why"}', OWN),
        Status(422, b'{"detail": []}', OWN),
        Status(422, b'{"detail": [{"msg": "no place"}]}', OWN),
        Status(422, b'{"detail": [{"loc": ["body", "parties"]}], "title": "Unprocessable"}', OWN),
        Status(422, b'{"detail": [{"loc": ["body", "parties"]}], "request_id": "1"}', OWN),
    ],
)
async def test_what_does_not_say_that_it_is_about_the_content_holds_the_sink(conserver, make, fault):
    conserver.next(fault)
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert caught.value.held
    assert ("the conserver at" in caught.value.detail) == (
        b'"title"' not in fault.body and b"request_id" not in fault.body
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("https://edge.example.com/api/vcon/external-ingress?key=secret", "redirects to https://edge.example.com;"),
        ("http://127.0.0.1:1/secret", "redirects to http://127.0.0.1:1;"),
        ("/login?secret", "correct `url`"),
        ("http://[secret", "correct `url`"),
        ("mailto:secret@example.com", "correct `url`"),
        ("//", "correct `url`"),
        ("", "correct `url`"),
    ],
)
async def test_a_redirect_holds_the_sink_and_the_hint_says_where_it_goes(conserver, make, status, to, told):
    conserver.next(Status(status, b"", {"Location": to} if to else {}))
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert (caught.value.reason, caught.value.held) == (f"unexpected:{status}", True)
    assert told in caught.value.hint
    assert "secret" not in caught.value.hint + caught.value.detail


@pytest.mark.parametrize("how", ["gzip", "deflate"])
async def test_an_answer_that_a_proxy_packs_is_read_all_the_same(conserver, make, how):
    pack = gzip.compress if how == "gzip" else zlib.compress
    packed = {"Content-Encoding": how, "Content-Type": "application/json"}
    told = says((["body", "parties", 0, "tel"], "value_error"))
    conserver.next(Status(422, pack(told.body), packed))
    with pytest.raises(Refused):
        await make().deliver(sealed(1))
    conserver.next(Status(403, b"no " + how.encode(), packed))
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert caught.value.answer == f"no {how}"
    conserver.next(Status(403, pack(b" " * (64 << 20)), packed))  # little that unpacks to much
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert len(caught.value.answer) <= 2048


async def test_the_echo_of_a_vcon_may_be_packed(conserver):
    sink = ConserverSink(ConserverConfig(url=conserver.url, ingress_lists=["edge"], mode="vcon"))
    conserver.next(Status(201, gzip.compress(body_of(1)), {"Content-Encoding": "gzip"}))
    assert (await sink.deliver(sealed(1))).status == 201
    await sink.close()


async def test_the_conservers_own_413_is_a_limit_of_sizes_too(conserver, make):
    conserver.next(Status(413, b'{"detail": "too large"}', OWN))
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert (caught.value.reason, caught.value.too_large, caught.value.held) == ("refused:413", True, False)
    assert "raise the limit of the conserver" in caught.value.hint


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 415, 418, 421, 422, 431, 451])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"404 page not found\n", {"Content-Type": "text/plain"}),
        (b"<html>blocked</html>", {"Server": "nginx/1.24.0"}),
        (b'{"message": "no Route matched"}', OWN),
        (b'{"detail": "no"}', PROBLEM),
        (b'{"detail": "no"', OWN),
        (b'["detail"]', OWN),
    ],
)
async def test_everything_else_judges_the_way_and_holds_the_sink(conserver, make, status, body, headers):
    conserver.next(Status(status, body, headers))
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    why = caught.value
    assert (why.reason, why.held, why.whole_sink, why.too_large) == (f"refused:{status}", True, True, False)
    assert conserver.url in why.detail
    assert "vcond outbox retry" in why.hint


@pytest.mark.parametrize("status", [401, 403, 404, 405, 409])
async def test_the_conservers_own_word_about_key_and_address_holds_the_sink_too(conserver, make, status):
    conserver.next(Status(status, b'{"detail": "why"}', OWN))
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert caught.value.held
    assert "the conserver at" in caught.value.detail


@pytest.mark.parametrize(
    ("body", "headers", "limit"),
    [
        (NGINX % 413, {}, "client_max_body_size"),
        (b"", {"Server": "openresty"}, "client_max_body_size"),
        (b"<html>", {"Server": "Apache/2.4.57 (Debian)"}, "LimitRequestBody"),
        (b"", {"Server": "Caddy"}, "request_body max_size"),
        (b"payload too large", {"Server": "envoy"}, "max_request_bytes"),
        (b"", {"Server": "Microsoft-IIS/10.0"}, "maxAllowedContentLength"),
        (b"", {"Server": "cloudflare"}, "Cloudflare"),
        (b"Request Entity Too Large", {}, "the proxies between"),
        (b'{"message": "Request Too Long"}', OWN, "the proxies between"),
    ],
)
async def test_a_proxys_413_is_a_limit_of_sizes_and_the_hint_names_it(conserver, make, body, headers, limit):
    conserver.next(Status(413, body, headers))
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    why = caught.value
    assert (why.reason, why.too_large, why.whole_sink, why.held) == ("proxy:413", True, False, False)
    assert limit in why.hint
