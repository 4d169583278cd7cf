"""Offers within a session: ours, lines that are taken back, and what is refused leaves all as it was."""

from __future__ import annotations

import re

from siprec_client import ALICE, BOB, KEY, drive, heard, metadata, over, serving, speak


def test_a_session_that_is_paused_can_go_on_by_a_request_without_an_offer():
    """The offer is ours then: it says that all is wanted, and the ACK says what comes (RFC 3261 section 14.2)."""

    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            before = await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            for leg in one.legs:
                leg.direction = "inactive"
            await one.invite()
            assert host.by_key(KEY).state.paused
            for leg in one.legs:
                leg.direction = "sendonly"
            reply = await one.request("INVITE", ack=one.sdp().encode())
            assert (reply.ports, reply.directions) == (before.ports, ["recvonly", "recvonly"])
            await speak(one, 3, 4)
            assert not host.by_key(KEY).state.paused
            await one.bye()
            call = await over(host)
            assert [heard(host, call, party, 3 + party) > 0.95 for party in (0, 1)] == [True, True]

    drive(main())


def test_an_answer_to_our_offer_is_read_line_by_line_beside_video():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            video = "m=video 4000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\n"

            def sdp():
                return one.sdp().replace("m=audio", f"{video}m=audio", 1).encode()

            reply = await one.request("INVITE", sdp(), "application/sdp")
            one.legs[1].direction = "inactive"
            again = await one.request("INVITE", ack=sdp())
            assert again.directions == reply.directions == ["inactive", "recvonly", "recvonly"]
            assert again.ports == reply.ports
            one.legs[0].to, one.legs[1].to = reply.ports[1:]
            for leg in one.legs:
                leg.begin()
            await speak(one, 1, 2)
            await one.bye()
            await host.until(lambda: host.calls[0].over)
            assert heard(host, host.calls[0], 0, 1) > 0.95
            assert host.drops["frame", "inactive"]

    drive(main())


def test_descriptions_of_ours_have_numbers_that_grow():
    async def main():
        async with serving() as (_host, client):
            one = client("1")
            told = [await one.invite(metadata(ALICE)), await one.request("INVITE"), await one.invite()]
            numbers = [int(re.search(rb"o=vcond \d+ (\d+) ", reply.body)[1]) for reply in told]
            assert numbers == sorted(set(numbers))

    drive(main())


def test_a_line_that_is_taken_back_may_come_again_and_so_may_all():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            gone = re.sub(r"m=audio \d+", "m=audio 0", one.sdp()).encode()
            reply = await one.request("INVITE", gone, "application/sdp")
            assert (reply.status, reply.ports) == (200, [0, 0])
            assert not host.by_key(KEY).over
            await one.invite()
            await speak(one, 3, 4)
            await one.bye()
            call = await over(host)
            assert len(host.calls) == 1
            for seed in (1, 3):
                assert heard(host, call, 0, seed) > 0.95
                assert heard(host, call, 1, seed + 1) > 0.95

    drive(main())


def test_what_is_refused_in_mid_session_leaves_it_as_it_was():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            for body in (b"nonsense", b"v=0\r\nm=audio 4000 RTP/SAVP 0\r\n"):
                assert (await one.request("INVITE", body, "application/sdp")).status == 488
            await speak(one, 1, 2)
            await one.bye()
            assert heard(host, await over(host), 1, 2) > 0.95

    drive(main())
