"""What becomes of recording sessions: a scripted client and the adapter over loopback, in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from siprec_client import (
    ALICE,
    BOB,
    CAROL,
    KEY,
    Leg,
    drive,
    facts,
    heard,
    metadata,
    moments,
    over,
    serving,
    speak,
    warnings,
)

from vcond.call.causes import Cause
from vcond.media.codecs import Codec
from vcond.testing.sounds import find, voice
from vcond.testing.watch import captured_logs


def test_a_party_for_each_participant_and_its_line_is_its_track():
    async def main():
        async with serving() as (host, client):
            # the label decides: the callee's line comes first, and its label is 0
            one = client("2", "1")
            reply = await one.invite(metadata(ALICE, BOB))
            assert (reply.status, reply.directions) == (200, ["recvonly", "recvonly"])
            assert reply.headers["contact"].endswith(";+sip.srs")
            assert b"RTP/AVP 0 101" in reply.body
            await speak(one, 1, 2)
            await one.bye()
            call = await over(host)
            assert [party.who.name for party in call.state.parties] == ["Alice A", "Bob B"]
            assert [party.who.sip for party in call.state.parties] == ["alice@pbx.example", "bob@pbx.example"]
            assert heard(host, call, 0, 2) > 0.95
            assert heard(host, call, 1, 1) > 0.95
            assert heard(host, call, 0, 1) < 0.2
            assert call.state.answered is not None
            assert facts(call)["siprec.session_id"] == "ses-1"
            assert facts(call)["siprec.call_id"] == one.call_id
            assert not host.drops

    drive(main())


def test_keys_are_their_partys():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2, seconds=0.5)
            await one.legs[1].press("5")
            await one.bye()
            call = await over(host)
            downs = [moment for moment in call.state.history if moment.event == "keydown"]
            assert [(moment.party, moment.button) for moment in downs] == [(1, "5")]

    drive(main())


@pytest.mark.parametrize(
    "document",
    [
        "",
        "no xml at all",
        "<recording><participant participant_id='p'><nameID aor='sip:x@y'><name>",
        metadata(ALICE, BOB).replace("Alice A", "Müller & Söhne <x>"),
    ],
)
def test_whatever_is_wrong_with_metadata_audio_is_recorded(document):
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            assert (await one.invite(document)).status == 200
            await speak(one, 1, 2)
            await one.bye()
            await host.until(lambda: host.calls[0].over)
            (call,) = host.calls
            assert sorted(
                round(max(heard(host, call, party, seed) for party in range(len(call.state.parties))))
                for seed in (1, 2)
            ) == [1, 1]
            if "Söhne" in document:
                assert call.state.parties[0].who.name == "Müller & Söhne <x>"
                assert host.drops["metadata", "not-well-formed"] == 1

    drive(main())


def test_names_that_come_later_are_given_to_who_was_heard_without_one():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite()
            await speak(one, 1, 2)
            assert (await one.update(metadata(ALICE, BOB))).body == b""
            await one.bye()
            await host.until(lambda: host.calls[0].over)
            (call,) = host.calls
            assert [party.who.name for party in call.state.parties] == ["Alice A", "Bob B"]
            assert len(call.state.tracks) == 2
            assert heard(host, call, 0, 1) > 0.95

    drive(main())


def placeholder(*people):
    """Bob is somebody of the client's own, who sends nothing."""
    text = metadata(*people)
    return text.replace('<participantstreamassoc participant_id="p-sbc"><send>s2</send></participantstreamassoc>', "")


def test_who_stood_in_is_corrected_and_keeps_its_audio():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite(placeholder(ALICE, ("sbc", "")))
            await speak(one, 1, 2)
            await one.update(metadata(ALICE, BOB))
            await speak(one, 3, 4)
            await one.bye()
            call = await over(host)
            assert [party.who.name for party in call.state.parties] == ["Alice A", "Bob B"]
            assert len(call.state.tracks) == 2
            assert heard(host, call, 1, 2) > 0.95
            assert heard(host, call, 1, 4) > 0.95

    drive(main())


def test_another_one_on_a_line_is_another_party_from_then_on():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            await one.update(metadata(ALICE, CAROL))
            await speak(one, 3, 4)
            await one.bye()
            call = await over(host)
            assert [party.who.sip for party in call.state.parties] == [
                f"{name}@pbx.example" for name in ("alice", "bob", "carol")
            ]
            assert heard(host, call, 1, 2) > 0.95
            assert heard(host, call, 1, 4) < 0.2
            assert heard(host, call, 2, 4) > 0.95
            assert moments(call)[:4] == [(0, "join"), (1, "join"), (2, "join"), (1, "drop")]

    drive(main())


def test_a_line_on_hold_is_held_by_the_other_one_and_what_comes_on_it_is_dropped_and_counted():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            one.legs[1].direction = "inactive"
            assert (await one.invite()).directions == ["recvonly", "inactive"]
            await speak(one, 3, 4)  # a client that sends all the same
            one.legs[1].direction = "sendonly"
            await one.invite()
            await speak(one, 5, 6)
            await one.bye()
            call = await over(host)
            assert heard(host, call, 1, 4) < 0.2
            assert [heard(host, call, 1, seed) > 0.95 for seed in (2, 6)] == [True, True]
            assert heard(host, call, 0, 3) > 0.95
            assert [(party, event) for party, event in moments(call) if "hold" in event] == [(0, "hold"), (0, "unhold")]
            assert host.drops["frame", "inactive"] >= 10
            assert warnings(call) == ["audio-while-inactive"]
            assert any(kind == "held" for _, _, kind in call.state.tracks[1].spans)

    drive(main())


@pytest.mark.parametrize("keeping", [False, True])
def test_when_all_lines_stop_the_recording_is_paused_unless_told_otherwise(keeping):
    async def main():
        async with serving(inactive="keep" if keeping else "drop") as (host, client):
            one = client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            for leg in one.legs:
                leg.direction = "inactive"
            await one.invite()
            assert bool(host.by_key(KEY).state.paused) != keeping
            await speak(one, 3, 4)
            for leg in one.legs:
                leg.direction = "sendonly"
            await one.invite()
            assert not host.by_key(KEY).state.paused
            await speak(one, 5, 6)
            await one.bye()
            call = await over(host)
            assert (heard(host, call, 0, 3) > 0.95) == keeping
            assert heard(host, call, 0, 5) > 0.95
            assert len(call.state.pauses) == (0 if keeping else 1)

    drive(main())


def test_a_session_that_ends_while_it_is_set_up_is_no_call():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            for leg in one.legs:
                leg.deaf = True
            await one.invite(metadata(ALICE, BOB))
            await one.bye()
            await asyncio.sleep(5)
            assert not host.calls

    drive(main())


def test_a_bye_that_never_comes_is_made_up_for_and_the_end_is_when_it_was_heard_last():
    async def main():
        async with serving(silence_timeout=10) as (host, client):
            one = client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2, seconds=5)
            for leg in one.legs:
                leg.deaf = True
            await host.until(lambda: host.by_key(KEY).over, within=30)
            call = host.by_key(KEY)
            assert (call.state.ended - call.state.opened) / 1e9 == pytest.approx(5, abs=1)
            assert "no-bye" in warnings(call)

    drive(main())


def test_a_session_that_is_paused_may_be_silent_for_longer():
    async def main():
        async with serving(silence_timeout=5, paused_timeout=20) as (host, client):
            one = client("1")
            await one.invite(metadata(ALICE))
            await speak(one, 1)
            one.legs[0].direction = "inactive"
            await one.invite()
            one.legs[0].deaf = True
            await asyncio.sleep(10)
            assert not host.by_key(KEY).over
            await asyncio.sleep(15)
            assert host.by_key(KEY).over

    drive(main())


def test_of_three_whose_line_the_client_has_stopped_is_not_missed_and_who_sends_nothing_is():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2", "3")
            await one.invite(metadata(ALICE, BOB, CAROL))
            await speak(one, 1, 2, 3)
            one.legs[1].direction = "inactive"
            await one.invite()
            one.legs[1].deaf = True
            for _ in range(100):
                await asyncio.sleep(1)
                host.tick()
            assert warnings(host.by_key(KEY)) == []
            one.legs[2].deaf = True
            for _ in range(70):
                await asyncio.sleep(1)
                host.tick()
            (warned,) = host.by_key(KEY).state.warnings
            assert (warned.code, warned.text.partition(":")[0]) == ("audio-stopped", "party 2")
            one.legs[1].direction, one.legs[1].deaf = "sendonly", False
            await one.invite()
            await speak(one, 4, 5, 6)
            await one.bye()
            call = await over(host)
            assert heard(host, call, 1, 5) > 0.95
            (held,) = [(start, stop) for start, stop, kind in call.state.tracks[1].spans if kind == "held"]
            assert (held[1] - held[0]) / 8000 == pytest.approx(170, abs=2)

    drive(main())


def test_nothing_heard_at_all_is_said():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            for leg in one.legs:
                leg.deaf = True
            await one.invite(metadata(ALICE, BOB))
            await host.until(lambda: warnings(host.by_key(KEY)) == ["no-audio"], within=60)
            assert len(host.by_key(KEY).state.parties) == 2
            await one.bye()
            await over(host)

    drive(main())


def test_what_cannot_be_taken_is_refused_and_leaves_nothing():
    async def main():
        async with serving() as (host, client):
            one = client("1")
            for body, kind, status in (
                (b"v=0\r\nm=audio 0 RTP/AVP 0\r\n", "application/sdp", 488),
                (b"v=0\r\nm=video 4000 RTP/AVP 96\r\n", "application/sdp", 488),
                (b"v=0\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n", "application/sdp", 488),
                (b"v=0\r\nm=audio 4000 RTP/SAVP 0\r\n", "application/sdp", 488),
                (b"nonsense", "application/sdp", 400),
                (b"hello", "text/plain", 415),
            ):
                assert (await one.request("INVITE", body, kind)).status == status
            await asyncio.sleep(5)
            assert not host.calls

    drive(main())


def test_video_is_inactive_on_a_port_that_exists_and_audio_in_both_orders_is_recorded():
    async def main():
        async with serving() as (_host, client):
            one = client("1", "2")
            sdp = one.sdp().replace(
                "m=audio", "m=video 4000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\nm=audio", 1
            )
            reply = await one.request("INVITE", sdp.encode(), "application/sdp")
            assert reply.directions == ["inactive", "recvonly", "recvonly"]
            assert all(reply.ports)
            assert len(set(reply.ports)) == 3

    drive(main())


def test_an_invite_without_an_offer_gets_ours():
    async def main():
        async with serving() as (host, client):
            one = client(
                Leg(None, pt=8, codec=Codec.PCMA), headers='P-Asserted-Identity: "Alice" <sip:1001@pbx.example>'
            )
            reply = await one.request("INVITE", ack=one.sdp().encode())
            assert reply.directions == ["recvonly"]
            (one.legs[0].to,) = reply.ports
            one.legs[0].begin()
            await speak(one, 1)
            await one.bye()
            key = f"call-id {one.call_id}"
            call = await over(host, key)
            assert heard(host, call, 0, 1) > 0.95
            assert [(party.who.sip, party.who.name) for party in call.state.parties] == [("1001@pbx.example", "Alice")]

    drive(main())


def test_ports_stay_over_changes_and_what_comes_after_the_end_is_nobodys():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            before = (await one.invite(metadata(ALICE, BOB))).ports
            one.legs.reverse()  # the labels say which is which, not the order
            assert (await one.invite()).ports == before[::-1]
            await speak(one, 2, 1)
            await one.bye()
            call = await over(host)
            assert heard(host, call, 0, 1) > 0.95
            two = client("1", "2")
            later = (await two.invite(metadata(ALICE, BOB, session="ses-9"))).ports
            assert not set(later) & set(before)

    drive(main())


def test_another_codec_in_mid_call_is_the_same_party():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            one.legs[0].pt, one.legs[0].codec = 96, Codec.PCMA  # a payload type of which nothing was said before
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 3, 4)
            await one.bye()
            call = await over(host)
            assert [heard(host, call, 0, seed) > 0.95 for seed in (1, 3)] == [True, True]
            assert [track.codec for track in call.state.tracks if track.party == 0] == ["PCMU", "PCMA"]

    drive(main())


def test_more_sessions_than_are_allowed_are_sent_elsewhere():
    async def main():
        async with serving(max_sessions=1) as (_host, client):
            one, two = client("1"), client("1")
            await one.invite(metadata(ALICE))
            reply = await two.invite(metadata(BOB, session="ses-2"))
            assert (reply.status, reply.headers["retry-after"]) == (503, "10")
            await one.bye()
            assert (await two.invite(metadata(BOB, session="ses-2"))).status == 200

    drive(main())


def test_while_vcond_stops_what_goes_on_is_recorded_and_what_is_new_is_sent_elsewhere():
    async def main():
        async with serving() as (host, client):
            one, two = client("1"), client("1")
            await one.invite(metadata(ALICE))
            accepts = (await two.request("OPTIONS")).headers["accept"].split(", ")
            assert len(accepts) == len({*accepts, "application/sdp", "application/rs-metadata", "multipart/mixed"})
            host.stopping = True
            reply = await two.invite(metadata(BOB, session="ses-2"))
            assert (reply.status, reply.headers["retry-after"]) == (503, "10")
            assert (await two.request("OPTIONS")).status == 503  # what looks whether we are well sends no calls then
            assert (await one.invite()).status == 200
            await speak(one, 1)
            await one.bye()
            assert heard(host, await over(host), 0, 1) > 0.95

    drive(main())


def test_one_line_for_all_is_one_track_and_the_record_names_who_is_heard_on_it():
    async def main():
        async with serving() as (host, client):
            one = client("1")
            await one.invite(metadata(ALICE, BOB, mixed=True))
            await speak(one, 1)
            await one.update(metadata(ALICE, BOB, CAROL, mixed=True))
            await speak(one, 2)
            await one.bye()
            call = await over(host)
            assert [party.who.name for party in call.state.parties] == ["Alice A", "Bob B", "everybody, mixed", ""]
            assert [track.party for track in call.state.tracks] == [2]  # nobody's word is shown as another one's
            assert heard(host, call, 2, 1) > 0.95
            assert facts(call)["siprec.mixed"] == "0 1 3"
            assert call.state.answered is not None

    drive(main())


@pytest.mark.parametrize(("why", "goes_on"), [("limit", True), ("operator", False)])
def test_a_call_that_the_core_cut_off_goes_on_in_another_record_and_one_that_was_ended_does_not(why, goes_on):
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            host.by_key(KEY).end(at=host.clock.now(), cause=Cause(text=why))
            await speak(one, 3, 4)
            await one.bye()
            await asyncio.sleep(5)
            assert len(host.calls) == 1 + goes_on
            assert host.calls[-1].over
            if goes_on:
                # the first packets were on their way when the core ended it
                assert find(voice(3, 1.0)[2400:], host.audio(host.calls[1], 0, rate=8000))[0] > 0.95
                assert [party.who.name for party in host.calls[1].state.parties] == ["Alice A", "Bob B"]
                assert host.calls[1].state.answered is not None

    drive(main())


def test_a_client_that_sends_nonsense_again_and_again_is_told_of_once():
    async def main():
        async with serving() as (host, client):
            one = client("1")
            await one.invite("no xml")
            for _ in range(5):
                await one.update("neither")
            await one.bye()
            assert host.drops["metadata", "malformed"] == 6

    with captured_logs() as lines:
        drive(main())
    assert len([line for line in lines if "metadata cannot be read" in line]) == 1
