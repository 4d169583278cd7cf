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

from vcond.vcon import Profile, fit

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
    assert echo["attachments"][0]["body"] == ["source:vcond"]
    assert conserver.storage[uuid_of(1)]["attachments"][0]["body"] == '["source:vcond"]'  # since the first link
    assert echo["created_at"] == "2026-01-05T12:00:00+00:00"


async def test_external_ingress_takes_only_the_lists_own_keys(ask):
    path = "/api/vcon/external-ingress?ingress_list="
    assert (await ask("POST", f"{path}edge", body_of(1), KEY))[:2] == (204, b"")
    assert (await ask("POST", f"{path}edge", body_of(1), API))[0] == 403
    assert (await ask("POST", f"{path}edge", body_of(1)))[:2] == (403, b'{"detail": "API Key required"}')
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


TAKEN, REFUSED = True, False
ANSWERS = [
    ("parties.tel", {"parties": [{"tel": tel}, {}]}, answer)
    for tel, answer in (
        ("10010", TAKEN),
        ("+1 (555) 123-0001", TAKEN),
        ("(555) 123-0001", TAKEN),
        ("00491511234567", TAKEN),
        ("+15551230001", TAKEN),
        ("15551230001x12", TAKEN),
        ("12345*6#", TAKEN),
        (None, TAKEN),
        ("1001", REFUSED),
        ("*98", REFUSED),
        ("#31#5551230001", REFUSED),
        ("anonymous", REFUSED),
        ("tel:+15551230001", REFUSED),
        ("sip:10010@example.com", REFUSED),
        ("", REFUSED),
        (15551230001, REFUSED),
        (["+15551230001"], REFUSED),
    )
]
ANSWERS += [
    ("dialog.alg", {"dialog": [{"alg": alg}]}, answer)
    for alg, answer in (
        *((f"SHA-{bits}", TAKEN) for bits in (256, 384, 512)),
        *((f"{kind}{bits}", TAKEN) for kind in ("HS", "RS", "ES", "PS") for bits in (256, 384, 512)),
        (None, TAKEN),
        *((f"sha-{bits}", REFUSED) for bits in (256, 384, 512)),
        ("SHA-1", REFUSED),
        ("MD5", REFUSED),
        ("rs256", REFUSED),
        ("none", REFUSED),
        ("", REFUSED),
        (256, REFUSED),
        (["SHA-256"], REFUSED),
    )
]
ANSWERS += [
    ("dialog.mimetype", {"dialog": [{"mimetype": mimetype}]}, answer)
    for mimetype, answer in (
        ("audio/x-wav", TAKEN),
        ("application/vnd.x+json", TAKEN),
        (None, TAKEN),
        ("audio/x-wav; codecs=1", REFUSED),
        ("audio", REFUSED),
        ("", REFUSED),
        (5, REFUSED),
    )
]
ANSWERS += [
    (name, change, answer)
    for name, change, answer in (
        ("dialog.mediatype", {"dialog": [{"mediatype": "audio/x-wav; codecs=1"}]}, TAKEN),
        ("dialog.start", {"dialog": [{"start": "2026-01-05T12:00:00Z"}]}, TAKEN),
        ("dialog.start", {"dialog": [{"start": "yesterday"}]}, TAKEN),
        ("dialog.start", {"dialog": [{"start": 1767614400}]}, REFUSED),
        ("dialog.start", {"dialog": [{"start": {}}]}, REFUSED),
        ("dialog.url", {"dialog": [{"url": "https://a.example.com/x"}]}, TAKEN),
        ("dialog.url", {"dialog": [{"url": "x"}]}, REFUSED),
        ("dialog.duration", {"dialog": [{"duration": 0}]}, TAKEN),
        ("dialog.duration", {"dialog": [{"duration": -0.1}]}, REFUSED),
        ("dialog.parties", {"dialog": [{"parties": [0, 1]}]}, TAKEN),
        ("dialog.parties", {"dialog": [{"parties": [0, [1]]}]}, REFUSED),
        ("dialog.parties", {"dialog": [{"parties": [-1]}]}, REFUSED),
        ("subject", {"subject": None}, TAKEN),
        ("subject", {"subject": "x"}, TAKEN),
        ("subject", {"subject": 5}, REFUSED),
        ("subject", {"subject": ["x"]}, REFUSED),
        ("appended", {"appended": None}, TAKEN),
        ("appended", {"appended": {}}, TAKEN),
        ("appended", {"appended": "x"}, REFUSED),
        ("appended", {"appended": []}, REFUSED),
        ("redacted", {"redacted": {}}, TAKEN),
        ("redacted", {"redacted": []}, REFUSED),
        ("group", {"group": []}, TAKEN),
        ("group", {"group": ["x"]}, REFUSED),
        ("parties", {"parties": ["x"]}, REFUSED),
        ("parties", {"parties": [None]}, REFUSED),
        ("dialog", {"dialog": ["x"]}, REFUSED),
        ("analysis", {"analysis": ["x"]}, REFUSED),
        ("analysis", {"analysis": [{}]}, TAKEN),
        ("attachments", {"attachments": [5]}, REFUSED),
        ("vcon", {"vcon": "0.0.1"}, TAKEN),
        ("vcon", {"vcon": 4}, REFUSED),
        ("created_at", {"created_at": "2026-01-05T12:00:00.123456789Z"}, TAKEN),
        ("created_at", {"created_at": None}, REFUSED),
        ("critical", {"critical": ["unknown"]}, TAKEN),
        ("extensions", {"extensions": 5}, TAKEN),
    )
]


@pytest.mark.parametrize(("name", "change", "taken"), ANSWERS, ids=[f"{n}-{c}-{t}"[:80] for n, c, t in ANSWERS])
async def test_it_answers_as_the_real_one_does(ask, name, change, taken):
    """By what vcon-server b9b0381 showed of each member: 204, or 422 that names it. What it refuses vcond does not send."""
    document = json.loads(body_of(1)) | {"attachments": []} | change
    status, answer, _ = await ask(
        "POST", "/vcon/external-ingress?ingress_list=edge", json.dumps(document).encode(), KEY
    )
    assert status == (204 if taken else 422), name
    if not taken:
        assert all(str(part) in answer.decode() for part in name.split("."))
    if name not in {"vcon", "created_at", "parties", "dialog", "analysis", "attachments"}:
        assert problems(fit(document, Profile.CONSERVER)) == []
