"""The fake conserver is as trustworthy as these: the API and the traps of the real one, asked with a plain client."""

from __future__ import annotations

import gzip
import io
import json

import aiohttp
import pytest
from conserver_rules import problems
from delivery_kit import body_of, uuid_of
from fake_conserver import FakeConserver

KEY = {"x-conserver-api-token": "list-key"}
API = {"x-conserver-api-token": "api"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def conserver():
    async with FakeConserver(ingress_auth={"edge": "list-key"}, tokens=["api"]) as running:
        yield running


@pytest.fixture
async def ask(conserver):
    async with aiohttp.ClientSession() as session:

        async def request(method, path, data=None, headers=None):
            url = conserver.url.removesuffix("/api") + path
            async with session.request(
                method, url, data=io.BytesIO(data or b""), headers=JSON | (headers or {})
            ) as response:
                return response.status, await response.read(), response.headers

        yield request


async def test_post_answers_201_with_the_stored_form_on_both_roots(conserver, ask):
    for path in ("/vcon", "/api/vcon?ingress_lists=edge"):
        status, answer, headers = await ask("POST", path, body_of(1), API)
        assert status == 201
        assert headers["X-Vcon-Server-Version"]
    echo = json.loads(answer)
    assert (echo["uuid"], echo["redacted"], echo["group"], echo["subject"]) == (uuid_of(1), {}, [], "")
    assert echo["parties"][1]["tel"] is None
    assert echo["attachments"][0]["body"] == '["source:vcond"]'
    assert echo["created_at"] == "2026-01-05T12:00:00+00:00"


async def test_external_ingress_takes_only_the_lists_own_keys(ask):
    path = "/api/vcon/external-ingress?ingress_list="
    assert (await ask("POST", f"{path}edge", body_of(1), KEY))[:2] == (204, b"")
    assert (await ask("POST", f"{path}edge", body_of(1), API))[0] == 403
    assert (await ask("POST", f"{path}edge", body_of(1)))[:2] == (403, b'{"detail": "Invalid API Key"}')
    assert (await ask("POST", f"{path}unknown", body_of(1), KEY))[0] == 403
    assert (await ask("POST", "/api/vcon/external-ingress", body_of(1), KEY))[0] == 422


async def test_an_unknown_list_is_201_and_forgotten_after_an_hour(conserver, ask):
    assert (await ask("POST", "/vcon?ingress_lists=edge,other", body_of(1), API))[0] == 201
    assert (await ask("POST", "/vcon?ingress_lists=edge&ingress_lists=other", body_of(2), API))[0] == 201
    assert dict(conserver.lists) == {"edge,other": [uuid_of(1)], "edge": [uuid_of(2)], "other": [uuid_of(2)]}
    conserver.an_hour_passes()
    assert list(conserver.vcons) == [uuid_of(2)]


async def test_more_than_10_mb_is_204_and_never_stored(conserver, ask):
    big = body_of(1, size=12_000_000)
    assert (await ask("POST", "/vcon/external-ingress?ingress_list=edge", big, KEY))[0] == 204
    assert conserver.egress == [uuid_of(1)]
    assert conserver.storage == {}


async def test_the_same_uuid_is_queued_again(conserver, ask):
    for _ in range(2):
        await ask("POST", "/vcon/external-ingress?ingress_list=edge", body_of(1), KEY)
    assert conserver.lists["edge"] == [uuid_of(1)] * 2
    assert conserver.bodies() == {uuid_of(1): {body_of(1)}}


async def test_bodies_that_it_cannot_read(ask):
    packed = gzip.compress(body_of(1))
    assert (await ask("POST", "/vcon", packed, API | {"Content-Encoding": "identity"}))[0] == 400
    assert (await ask("POST", "/vcon", body_of(1), API | {"Content-Type": "application/vcon"}))[0] == 422
    assert (await ask("POST", "/vcon", b"{", API))[0] == 422
    assert (await ask("POST", "/vcon", b'{"payload": "e30", "signatures": []}', API))[0] == 422


async def test_get_and_delete(ask):
    await ask("POST", "/vcon", body_of(1), API)
    assert (await ask("GET", f"/vcon/{uuid_of(1)}", headers=API))[0] == 200
    assert (await ask("GET", f"/vcon/{uuid_of(1)}"))[0] == 403
    assert (await ask("DELETE", f"/vcon/{uuid_of(1)}"))[0] == 403
    for uuid in (uuid_of(1), uuid_of(9)):
        assert (await ask("DELETE", f"/vcon/{uuid}", headers=API))[0] == 204
        assert (await ask("GET", f"/vcon/{uuid}", headers=API))[0] == 404
    assert (await ask("PUT", "/vcon", body_of(1), API))[0] == 405
    assert (await ask("GET", "/stats/queue?list_name=edge"))[:2] == (200, b'{"list_name": "edge", "depth": 0}')
    assert (await ask("GET", "/health"))[0] == 200


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"vcon": None}, ["vcon"]),
        ({"uuid": "nonsense"}, ["uuid"]),
        ({"created_at": "yesterday"}, ["created_at"]),
        ({"redacted": None}, ["redacted"]),
        ({"group": None}, ["group"]),
        ({"parties": None}, ["parties"]),
        ({"attachments": {}}, ["attachments"]),
        ({"parties": [{"tel": "tel:+15551230001"}]}, ["parties", 0, "tel"]),
        ({"parties": [{"tel": "1001"}]}, ["parties", 0, "tel"]),
        ({"parties": [{"tel": ""}]}, ["parties", 0, "tel"]),
        ({"dialog": [{"duration": -1}]}, ["dialog", 0, "duration"]),
        ({"dialog": [{"parties": 0}]}, ["dialog", 0, "parties"]),
        ({"dialog": [{"parties": [[0]]}]}, ["dialog", 0, "parties"]),
        ({"dialog": [{"parties": [2]}]}, ["dialog", 0, "parties"]),
        ({"dialog": [{"url": "nowhere"}]}, ["dialog", 0, "url"]),
        ({"dialog": [{"mimetype": "audio/x-wav; codec=1"}]}, ["dialog", 0, "mimetype"]),
        ({"dialog": [{"alg": "rot13"}]}, ["dialog", 0, "alg"]),
    ],
)
def test_its_model_refuses(change, where):
    [problem] = problems(json.loads(body_of(1)) | change)
    assert problem["loc"] == ["body", *where]


@pytest.mark.parametrize("change", [{"created_at": 1767614400}, {"created_at": "2026-01-05T12:00:00"}, {"x": None}, {}])
def test_its_model_takes(change):
    assert problems(json.loads(body_of(1)) | change) == []
