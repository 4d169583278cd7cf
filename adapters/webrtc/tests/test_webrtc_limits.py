from __future__ import annotations

import base64
import hmac
import json

import pytest
from aiortc import RTCSessionDescription
from hypothesis import given
from hypothesis import strategies as st

from vcond.sdk.contract import SECOND
from vcond_webrtc import WebRtcConfig
from vcond_webrtc.limits import MOST_KNOWN, Rate, SessionQuotas, asker
from vcond_webrtc.servers import GOOD_FOR, links, login
from vcond_webrtc.trickle import FRAGMENT

SECRET = "a secret of the tests that has 32 bytes and more"


def token(**claims: object) -> str:
    parts = [{"alg": "HS256"}, {"call": "c1", "exp": 4_000_000_000, **claims}]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    mac = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), text, "sha256")).rstrip(b"=")
    return (text + b"." + mac).decode()


def test_a_bucket_is_full_at_first_and_filled_steadily():
    rate = Rate(60)
    assert [rate.wait("ann", 0) for _ in range(61)] == [0] * 60 + [1]
    assert rate.wait("ben", 0) == 0, "each has a bucket of its own"
    assert rate.wait("ann", SECOND) == 0
    assert rate.wait("ann", SECOND) == 1
    slow = Rate(2)
    assert [slow.wait("ann", 0) for _ in range(3)] == [0, 0, 30]
    assert slow.wait("ann", 15 * SECOND) == 15


@given(st.lists(st.integers(0, 3 * SECOND), max_size=60), st.integers(1, 100))
def test_nobody_gets_more_than_the_bucket_and_its_filling(gaps, most):
    rate, now, taken = Rate(most), 0, 0
    for gap in gaps:
        now += gap
        taken += rate.wait("ann", now) == 0
    assert taken <= most + now * most / (60 * SECOND)


def test_those_who_ask_are_not_remembered_without_end():
    rate = Rate(1)
    for number in range(MOST_KNOWN + 5):
        rate.wait(str(number), 0)
    assert len(rate._levels) == MOST_KNOWN
    assert rate.wait("0", 0) == 0, "the oldest is forgotten"
    assert rate.wait(str(MOST_KNOWN), 0) == 60


def test_a_seat_counts_for_each_of_its_kinds_until_it_is_left():
    quotas = SessionQuotas({"limit": 3, "token-limit": 2})
    ann, ben = (("limit", ""), ("token-limit", "a")), (("limit", ""), ("token-limit", "b"))
    quotas.take(ann)
    quotas.take(ann)
    assert (quotas.full(ann), quotas.full(ben)) == ("token-limit", "")
    quotas.take(ben)
    assert quotas.full(ben) == "limit"
    for quota_keys in (ann, ann, ben):
        quotas.leave(quota_keys)
    assert quotas.full(ann) == ""
    assert not quotas._taken


@pytest.mark.parametrize(
    ("remote", "forwarded", "who"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # anybody can write that
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "10.1.1.1, 198.51.100.7", "198.51.100.7"),  # only the last word is the proxy's
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("", "", ""),
    ],
)
def test_an_asker_is_an_address_that_can_be_believed(remote, forwarded, who):
    assert asker(remote, forwarded, ("127.0.0.1",)) == who


@pytest.mark.usefixtures("one_moment")
async def test_offers_come_as_often_as_they_may_and_each_address_for_itself(serving):
    async with serving(offers_per_minute=2) as (host, person):
        client = person("wrong").http
        statuses = []
        for _ in range(3):
            async with client.post("/whip", headers={"X-Forwarded-For": "198.51.100.7"}) as told:
                statuses.append(told.status)
        assert statuses == [401, 401, 429], "also bad ones count: tokens cannot be tried"
        assert 1 <= int(told.headers["Retry-After"]) <= 30
        async with client.post("/whip", headers={"X-Forwarded-For": "198.51.100.8"}) as other:
            assert other.status == 401
        assert host.drops == {("offer", "too-often"): 1}


@pytest.mark.usefixtures("one_moment")
async def test_tokens_cannot_be_tried_at_a_session_either(serving):
    async with serving(offers_per_minute=2) as (host, person):
        client = person("wrong").http
        statuses = []
        for _ in range(3):
            async with client.delete("/whip/nobodys") as told:
                statuses.append(told.status)
        assert statuses == [401, 401, 429]
        assert host.drops == {("request", "too-often"): 1}
        async with person().http.delete("/whip/nobodys") as told:
            assert told.status == 404


@pytest.mark.usefixtures("one_moment")
async def test_muting_has_a_pace_and_leaves_the_events_of_the_call_to_others(serving):
    async with serving() as (host, person):
        ann = person()
        await ann.publish(call="c")
        statuses = set()
        for number in range(125):
            async with ann.http.request("DELETE" if number % 2 else "PUT", f"{ann.location}/mute") as told:
                statuses.add(told.status)
        assert statuses == {204, 429}
        assert host.drops["mute", "too-often"] >= 1


@pytest.mark.usefixtures("one_moment")
async def test_patches_come_as_often_as_they_may(serving):
    async with serving() as (host, person):
        ann = person()
        await ann.publish(call="c")
        body = f"m=audio 9 RTP/AVP 0\r\na=mid:{ann.connection.getTransceivers()[0].mid}\r\n"
        statuses = set()
        for _ in range(61):
            headers = {"Content-Type": FRAGMENT, "If-Match": ann.tag}
            async with ann.http.patch(ann.location, data=body, headers=headers) as told:
                statuses.add(told.status)
        assert statuses == {204, 429}
        assert host.drops["patch", "too-often"] >= 1


@pytest.mark.parametrize(("limit", "reason"), [("max_per_token", "token-limit"), ("max_per_address", "address-limit")])
async def test_one_token_and_one_address_have_so_many_sessions_and_no_more(serving, limit, reason):
    async with serving(secret=SECRET, **{limit: 1}) as (host, person):
        ann, again = person(token()), person(token())
        await ann.publish()
        told = await again.post(await again.offer())
        assert told.status == 429
        assert told.headers["Retry-After"]
        assert host.drops == {("session", reason): 1}
        if reason == "token-limit":
            other = person(token(sub="another"))
            assert (await other.post(await other.offer())).status == 201
            server = [person(), person()]
            for one in server:
                assert (await one.post(await one.offer())).status == 201, "a server publishes for many"
        await ann.hang_up()
        await host.until(lambda: host.by_key("c1").over)
        while (await again.post(again.connection.localDescription.sdp)).status != 201:
            pass


async def test_of_two_who_offer_at_once_only_as_many_join_as_a_call_may_have(serving):
    async with serving(max_parties=1) as (host, person):
        people = [person(), person()]
        answers = [await one.post(await one.offer(), call="c") for one in people]
        assert [answer.status for answer in answers] == [201, 201], "nobody is in the call yet"
        for one, answer in zip(people, answers, strict=True):
            await one.connection.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        await host.until(lambda: host.drops == {("session", "too-many-parties"): 1})
        assert len(host.by_key("c").state.parties) == 1


async def test_a_refused_offer_takes_no_seat(serving):
    async with serving(max_sessions=1) as (_, person):
        ann = person()
        for _ in range(3):
            assert (await ann.post("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n")).status == 400
        assert (await ann.post(await ann.offer())).status == 201


NOW = 1_700_000_000 * SECOND


def test_a_login_at_the_turn_server_is_made_with_its_secret():
    fixed = WebRtcConfig(turn="turn:t.example.com", turn_user="u", turn_password="p")
    assert login(fixed, NOW) == ("u", "p")
    assert links(fixed, NOW) == [], "ours is not given to publishers"
    made = WebRtcConfig(turn="turn:t.example.com:3478?transport=udp", turn_secret="north", stun="stun:s.example.com")
    name, password = login(made, NOW)
    assert name.partition(":")[0] == str(1_700_000_000 + GOOD_FOR)
    assert base64.b64decode(password) == hmac.digest(b"north", name.encode(), "sha1")
    stun, turn = links(made, NOW)
    assert stun == '<stun:s.example.com>; rel="ice-server"'
    assert turn.startswith('<turn:t.example.com:3478?transport=udp>; rel="ice-server"; username="17')
    assert turn.endswith('"; credential-type="password"')


async def test_publishers_are_told_the_servers_with_their_session_and_with_no_preflight(serving):
    config = {"turn": "turn:127.0.0.1:9?transport=tcp", "turn_secret": "north", "origins": ("*",)}
    async with serving(**config) as (_, person):
        ann = person()
        answer = await ann.post(await ann.offer())
        assert answer.status == 201
        (link,) = answer.headers.getall("Link")
        assert link.startswith("<turn:127.0.0.1:9?transport=tcp>")
        asks = {"Origin": "https://a.example.com", "Access-Control-Request-Method": "POST"}
        async with ann.http.options("/whip", headers=asks) as told:
            assert "Link" not in told.headers
