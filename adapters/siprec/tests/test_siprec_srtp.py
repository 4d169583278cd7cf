"""Encrypted lines: keys in the description (RFC 4568), what cannot be decrypted, and where no key may be."""

from __future__ import annotations

import asyncio
import base64

import pytest
from siprec_client import ALICE, BOB, Leg, metadata, serving

from vcond.call.events import encode
from vcond.testing.sounds import find, voice
from vcond.testing.time import run_virtual
from vcond.testing.watch import captured_logs
from vcond_siprec import srtp
from vcond_siprec.keys import SUITES
from vcond_siprec.sdp import read

SHA80, SHA256 = "AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80"
KEY = "session ses-1"


async def speak(client, *seeds) -> None:
    async with asyncio.TaskGroup() as group:
        for leg, seed in zip(client.legs, seeds, strict=True):
            group.create_task(leg.speak(voice(seed, 1.0)))


async def over(host):
    await host.until(lambda: host.by_key(KEY).over, within=30, what="the end")
    return host.by_key(KEY)


def heard(host, call, party, seed) -> bool:
    return find(voice(seed, 1.0), host.audio(call, party, rate=8000))[0] > 0.95


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_what_is_encrypted_is_decrypted_and_answered_with_a_key_of_ours(suite):
    async def main():
        async with serving() as (host, client):
            one = client(Leg("1", suite=suite), Leg("2"))  # the other line is clear text
            reply = await one.invite(metadata(ALICE, BOB))
            secure, plain = read(reply.body).lines
            assert (secure.protocol, plain.protocol, plain.cryptos) == ("RTP/SAVP", "RTP/AVP", ())
            (ours,) = secure.cryptos
            theirs = one.legs[0].crypto
            assert (ours.tag, ours.suite, ours.key == theirs.key) == (theirs.tag, theirs.suite, False)
            await speak(one, 1, 2)
            await one.bye()
            call = await over(host)
            assert [heard(host, call, 0, 1), heard(host, call, 1, 2)] == [True, True]
            assert not host.drops

    run_virtual(main())


def test_what_another_key_encrypted_is_counted_and_not_heard():
    async def main():
        async with serving() as (host, client):
            one = client(Leg("1", suite=SHA80), Leg("2"))
            await one.invite(metadata(ALICE, BOB))
            one.legs[0].encrypt(told=False)
            await speak(one, 1, 2)
            await one.bye()
            call = await over(host)
            assert [heard(host, call, 0, 1), heard(host, call, 1, 2)] == [False, True]
            assert host.drops["packet", "undecrypted"] >= 50

    run_virtual(main())


@pytest.mark.parametrize("suite", [SHA80, SHA256])
def test_a_new_key_in_a_later_offer_is_used_from_then_on(suite):
    async def main():
        async with serving() as (host, client):
            one = client(Leg("1", suite=suite))
            before = await one.invite(metadata(ALICE))
            await speak(one, 1)
            one.legs[0].encrypt()
            after = await one.invite()
            assert read(after.body).lines[0].cryptos == read(before.body).lines[0].cryptos
            await speak(one, 2)
            await one.bye()
            call = await over(host)
            assert [heard(host, call, 0, 1), heard(host, call, 0, 2)] == [True, True]

    run_virtual(main())


def test_a_later_offer_may_be_of_another_suite():
    async def main():
        async with serving() as (host, client):
            one = client(Leg("1", suite=SHA80))
            await one.invite(metadata(ALICE))
            await speak(one, 1)
            one.legs[0].suite = SHA256
            one.legs[0].encrypt()
            after = await one.invite()
            assert read(after.body).lines[0].cryptos[0].suite == SHA256
            await speak(one, 2)
            await one.bye()
            call = await over(host)
            assert [heard(host, call, 0, 1), heard(host, call, 0, 2)] == [True, True]

    run_virtual(main())


def test_a_line_without_a_key_that_can_be_used_is_refused_and_never_answered_in_clear(monkeypatch):
    async def main():
        async with serving() as (_, client):
            one = client("1")
            key = base64.b64encode(bytes(30)).decode()
            head = "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/SAVP 0\r\n"
            for crypto in ("", f"a=crypto:1 F8_128_HMAC_SHA1_80 inline:{key}\r\n"):
                reply = await one.request("INVITE", (head + crypto).encode(), "application/sdp")
                assert (reply.status, reply.body) == (488, b"")
            monkeypatch.setattr(srtp, "suites", frozenset)
            two = client(Leg("1", suite=SHA80))
            assert (await two.invite(metadata(ALICE))).status == 488

    run_virtual(main())


def test_no_key_is_in_a_log_or_a_record():
    async def main():
        async with serving() as (host, client):
            one = client(Leg("1", suite=SHA80))
            reply = await one.invite(metadata(ALICE))
            await speak(one, 1)
            await one.bye()
            call = await over(host)
            keys = [one.legs[0].crypto.key, read(reply.body).lines[0].cryptos[0].key]
            return keys, repr([encode(event) for event in call.events])

    with captured_logs() as logs:
        keys, record = run_virtual(main())
    told = repr(logs) + record
    for key in keys:
        assert base64.b64encode(key).decode()[:12] not in told
        assert repr(key)[2:20] not in told
