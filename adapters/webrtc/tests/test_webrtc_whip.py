"""WHIP (RFC 9725) as a client sees it."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
from urllib.parse import urlsplit

import pytest

from vcond.sdk.contract import SECOND
from vcond.testing.call import MemoryCall
from vcond.testing.sounds import voice
from vcond.testing.time import LoopClock
from vcond_webrtc import peer
from vcond_webrtc.channel import Channel

SDP = {"Content-Type": "application/sdp"}
LATER = 4_000_000_000
SECRET = "a secret of the tests that has 32 bytes and more"


def token(claims: dict) -> str:
    """A JWT as an application makes it."""
    parts = [{"alg": "HS256", "typ": "JWT"}, {"call": "c1", **claims}]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    mac = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), text, "sha256")).rstrip(b"=")
    return (text + b"." + mac).decode()


async def test_an_offer_gets_an_answer_and_a_session_that_can_be_deleted(serving):
    async with serving() as (host, person):
        ann = person()
        answer = await ann.post(await ann.offer(), call="c")
        assert answer.status == 201
        assert answer.content_type == "application/sdp"
        assert answer.headers["Location"].startswith("/whip/")
        assert answer.headers["ETag"].startswith('"')
        assert "a=recvonly" in await answer.text()
        where = answer.headers["Location"]
        for method, status in (("GET", 405), ("POST", 405), ("PUT", 405), ("OPTIONS", 200), ("DELETE", 200)):
            async with ann.http.request(method, where) as told:
                assert told.status == status, method
                allowed = told.headers.get("Allow", "").replace(" ", "")
                assert method == "DELETE" or allowed == "DELETE,OPTIONS,PATCH"
        await _gone(ann, where)
        assert not host.calls, "who never connected was never in a call"


async def _gone(person, where) -> None:
    while True:
        async with person.http.delete(where) as told:
            if told.status == 404:
                return


@pytest.mark.parametrize(
    ("body", "headers", "query", "status"),
    [
        ("v=0", {"Content-Type": "text/plain"}, {}, 415),
        ("v=0", {}, {}, 415),
        ("hello", SDP, {}, 400),
        ("", SDP, {}, 400),
        (b"\xff\xfe", SDP, {}, 400),
        ("x" * 70_000, SDP, {}, 413),
        ("v=0\r\n" + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 9, SDP, {}, 400),
        ("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" + "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n" * 65, SDP, {}, 400),
        ("v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", SDP, {}, 422),
        ("v=0", SDP, {"call": "a b"}, 400),
        ("v=0", SDP, {"role": "boss"}, 400),
        ("v=0", SDP, {"consented": "-1"}, 400),
        ("v=0", SDP, {"consented": "nan"}, 400),
        ("v=0", SDP, {"consented": "1e9"}, 400),
    ],
)  # fmt: skip
async def test_what_cannot_be_taken_is_refused_by_its_kind(serving, body, headers, query, status):
    async with serving() as (host, person):
        ann = person()
        data = body.encode() if isinstance(body, str) else body
        async with ann.http.post("/whip", data=data, params=query, headers=headers or {"Content-Type": "x/y"}) as told:
            assert told.status == status, await told.text()
        assert not host.calls


async def test_an_offer_without_a_direction_is_taken_and_one_that_cannot_be_answered_is_malformed(serving):
    async with serving() as (host, person):
        ann = person()
        offer = await ann.offer()
        assert (await ann.post(offer.replace("a=sendonly\r\n", ""))).status == 201
        assert (await ann.post(offer.replace("a=mid:0", "a=mid"))).status == 201
        assert (await ann.post(re.sub("a=setup:.*\r\n", "", offer))).status == 400
        assert host.drops == {("offer", "malformed"): 1}


async def test_a_token_that_is_no_text_is_a_wrong_token(serving):
    async with serving(secret=SECRET) as (host, _):
        at = urlsplit(host.ingress.bound_url)
        for asked, status in ((b"POST /whip", b"401"), (b"DELETE /whip/nobodys", b"401")):
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            head = b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n"
            writer.write(asked + head)
            assert (await reader.read()).split()[1] == status
            writer.close()
            await writer.wait_closed()


async def test_an_offer_that_only_receives_is_refused(serving):
    async with serving() as (host, person):
        ann = person()
        offer = (await ann.offer()).replace("a=sendonly", "a=recvonly")
        assert (await ann.post(offer)).status == 422
        assert (
            await ann.post(offer.replace("a=recvonly", "a=sendonly").replace("opus/48000", "weird/48000"))
        ).status == 422
        assert host.drops["offer", "unusable"] == 2


@pytest.mark.parametrize(
    ("given", "status"), [("", 401), ("wrong", 401), (token({"exp": 1}), 401), (token({"exp": LATER}), 415)]
)
async def test_a_bearer_token_is_asked_for(serving, given, status):
    async with serving(secret=SECRET) as (_, person):
        async with person(given).http.post("/whip", data=b"", headers={"Content-Type": "x/y"}) as told:
            assert told.status == status
            if status == 401:
                assert told.headers["WWW-Authenticate"].startswith("Bearer")
        async with person(given).http.delete("/whip/nobodys") as told:
            assert told.status == (401 if status == 401 else 404)


async def test_a_signed_token_cannot_be_talked_over_and_touches_its_own_session_only(serving):
    async with serving(secret=SECRET) as (host, person):
        ann = person(token({"exp": LATER, "call": "signed", "name": "Ann", "sub": "ann"}))
        assert (await ann.post("v=0", call="another")).status == 400
        await ann.publish()
        await host.until(lambda: host.by_key("signed").state.parties[0].who.name == "Ann")
        eve = person(token({"exp": LATER, "call": "signed", "sub": "eve"}))
        async with eve.http.delete(ann.location) as told:
            assert told.status == 404
        async with person(token({"exp": 1})).http.delete(ann.location) as told:
            assert told.status == 401
        assert await ann.hang_up() == 200
        await host.until(lambda: host.by_key("signed").over)


async def test_a_session_outlives_its_token_and_can_be_closed_with_it(serving):
    clock = LoopClock()
    async with serving(secret=SECRET, media_timeout=3600, clock=clock) as (host, person):
        ann = person(token({"exp": clock.now() // SECOND + 60}))
        await ann.publish()
        await host.until(lambda: host.by_key("c1").state.tracks)
        clock._start += 120 * SECOND
        assert (await ann.post("v=0")).status == 401
        assert not host.by_key("c1").over
        assert await ann.hang_up() == 200
        await host.until(lambda: host.by_key("c1").over)


async def test_limits_are_said(serving):
    async with serving(max_sessions=2, max_parties=1) as (host, person):
        ann, ben, eve = person(), person(), person()
        await ann.publish(call="c")
        assert (await ben.post(await ben.offer(), call="c")).status == 409
        other = person()
        await other.publish(call="d")
        told = await eve.post(await eve.offer())
        assert told.status == 503
        assert told.headers["Retry-After"]
        assert host.drops == {("session", "too-many-parties"): 1, ("session", "limit"): 1}


async def test_pages_of_other_origins_need_to_be_allowed(serving):
    ours = "https://app.example.com"
    async with serving(origins=(ours,)) as (_, person):
        client = person("").http
        asks = {"Origin": ours, "Access-Control-Request-Method": "POST"}
        for path in ("/whip", "/whip/session", "/whip/session/mute"):
            async with client.options(path, headers=asks) as told:
                assert told.status == 200
                assert told.headers["Access-Control-Allow-Origin"] == ours
                assert "Authorization" in told.headers["Access-Control-Allow-Headers"]
        async with client.options("/whip", headers=asks | {"Origin": "https://evil.example.com"}) as told:
            assert "Access-Control-Allow-Origin" not in told.headers
        async with client.post("/whip", headers={"Origin": ours}) as told:
            assert told.status == 401
            assert told.headers["Access-Control-Allow-Origin"] == ours


async def test_mute_is_told_and_consent_is_a_fact_of_the_party(serving):
    async with serving() as (host, person):
        ann = person()
        await ann.publish(call="c", consented="2.5")
        for method in ("PUT", "PUT", "DELETE"):
            async with ann.http.request(method, f"{ann.location}/mute") as told:
                assert told.status == 204
        await ann.hang_up()
        call = host.by_key("c")
        await host.until(lambda: call.over)
        assert [moment.event for moment in call.state.history] == ["join", "mute", "unmute", "drop"]
        consent = [fact for fact in call.events if getattr(fact, "name", "") == "consent"]
        assert [(fact.party, call.state.opened - fact.at > 2_400_000_000) for fact in consent] == [(0, True)]
        (said,) = call.state.consents.said
        assert (said.party, said.state, said.how, said.evidence) == (0, "granted", "page", {"text": consent[0].value})
        assert said.purposes == ("recording", "transcription")  # what the text names


async def test_who_connects_and_says_nothing_is_given_up(serving):
    async with serving(connect_timeout=0.5, grace=0) as (host, person):
        ann = person()
        await ann.post(await ann.offer(), call="c")  # and never connects
        await host.until(lambda: host.drops["session", "no-connection"] == 1)
        assert not host.calls


async def test_a_mistake_of_ours_with_one_publisher_is_said_and_costs_no_other(serving, monkeypatch):
    async with serving() as (host, person):
        ann, ben = person(codec="audio/PCMU"), person()
        await ben.publish(call="c")
        await host.until(lambda: host.by_key("c").state.tracks)
        write = Channel.write

        def fails(self, packet, arrived) -> None:
            if packet.codec == "pcmu":
                raise ZeroDivisionError
            write(self, packet, arrived)

        monkeypatch.setattr(Channel, "write", fails)
        await ann.publish(call="c")
        await host.until(lambda: host.drops == {("event", "mistake"): 1, ("session", "error"): 1})
        call = host.by_key("c")
        await host.until(lambda: [one.here for one in call.state.parties] == [True, False])
        await ben.hang_up()
        await host.until(lambda: call.over)


async def test_a_publisher_that_is_another_source_with_every_packet_is_cut_off(serving, monkeypatch):
    monkeypatch.setattr(peer, "MOST_SOURCES", 5)
    async with serving() as (host, person):
        ann = person()
        await ann.publish(call="c")
        (sender,) = ann.connection.getSenders()
        recv = ann.microphone.recv

        async def changing():
            sender._ssrc += 1
            return await recv()

        ann.microphone.recv = changing
        await host.until(lambda: host.drops == {("session", "too-many-sources"): 1})
        await host.until(lambda: not host.by_key("c").state.parties[0].here)


async def test_a_call_that_takes_no_more_parties_ends_the_session(serving, monkeypatch):
    async with serving() as (host, person):
        monkeypatch.setattr(MemoryCall, "party", lambda *_, **__: -1)
        ann = person()
        await ann.publish(call="c")
        await host.until(lambda: host.drops == {("session", "too-many-parties"): 1})
        assert not host.by_key("c").state.tracks


async def test_the_same_party_again_takes_the_place_over(serving):
    async with serving() as (host, person):
        first, second = person(), person()
        await first.publish(call="c", party="ann")
        await host.until(lambda: host.by_key("c").state.tracks)
        await second.publish(call="c", party="ann")
        await host.until(lambda: len(host.by_key("c").state.tracks) == 2)
        await host.until(lambda: host.by_key("c").state.tracks[0].closed is not None)
        assert [moment.event for moment in host.by_key("c").state.history] == ["join"]
        await second.hang_up()
        await host.until(lambda: host.by_key("c").over)


@pytest.mark.parametrize(
    ("codec", "rate"), [("audio/opus", 16_000), ("audio/PCMU", 8_000), ("audio/PCMA", 8_000), ("audio/G722", 16_000)]
)
async def test_every_codec_of_the_answer_is_kept_at_its_rate(serving, codec, rate):
    async with serving() as (host, person):
        ann = person(codec=codec)
        await ann.publish(call="c")
        await ann.microphone.speak(voice(1, 1.5))
        await ann.hang_up()
        call = host.by_key("c")
        await host.until(lambda: call.over)
        assert [track.rate for track in call.state.tracks] == [rate]
        heard = host.audio(call, 0).astype(float)
        assert 1.4 <= len(heard) / rate <= 3
        assert heard.std() > 500
        lost = [kind for _, _, kind in call.state.tracks[0].spans if kind == "lost"]
        assert not lost


async def test_after_the_core_ended_a_call_the_same_word_begins_another(serving):
    async with serving() as (host, person):
        ann, ben = person(), person()
        await ann.publish(call="c")
        await host.until(lambda: host.by_key("c").state.tracks)
        host.by_key("c").end(at=host.clock.now())
        await ben.publish(call="c")
        await host.until(lambda: len(host.calls) == 2)
        await ann.hang_up()
        await ben.hang_up()
        await host.until(lambda: all(call.over for call in host.calls))
        assert len(host.calls[1].state.parties) == 1
