"""Requests and audio as they were captured, and each vendor's shape, through the whole adapter behind SIP."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from siprec_kit import message
from siprec_replay import replaying

from vcond.testing.sounds import voice
from vcond_siprec.sdp import read


def tone_of(pcm) -> float:
    """The loudest frequency."""
    spectrum = np.abs(np.fft.rfft(pcm.astype(float)))
    return float(np.fft.rfftfreq(len(pcm), 1 / 8000)[np.argmax(spectrum)])


def facts(call):
    return {fact.name: fact.value for fact in call.state.facts}


@pytest.mark.parametrize(
    ("name", "pcap", "people"),
    [
        ("opensips/10.5-plain-01", "10.5-plain", ["Alice A", ""]),
        ("opensips/26.3-plain-01", "26.3-plain", ["Alice A", ""]),
        ("jambonz/default-invite", "jambonz-default", ["", ""]),
    ],
)
def test_captured_audio_is_in_the_track_of_whoever_spoke(name, pcap, people):
    async def main():
        async with replaying() as replay:
            answer = await replay.invite(name)
            assert answer.status == 200
            replay.clock.advance(5_000_000)
            replay.play(name, pcap)
            replay.bye(name)
            replay.pass_time(3)
            (call,) = replay.host.calls
            assert call.over
            assert [party.who.name for party in call.state.parties] == people
            # the caller's phone played 440 Hz, the callee's 880 Hz
            for party, hertz in enumerate((440, 880)):
                assert tone_of(replay.host.audio(call, party, rate=8000)) == pytest.approx(hertz, abs=5)
            assert call.state.answered is not None
            assert not replay.host.drops

    asyncio.run(main())


PEOPLE = {
    "shapes/01": [("+15550100", "Alice"), ("+15550200", "Bob")],
    "shapes/04": [("+15550100", "Alice"), ("+15550200", "Bob")],
    "shapes/05": [("+15550100", "Müller & Söhne <x>"), ("+15550200", "Bob")],
    "shapes/06": [("+15550100", "Alice"), ("+15550200", "Bob")],
    "shapes/07": [("+15550100", "1001"), ("15550200", "")],
    "shapes/08": [("+15550100", "1001"), ("+15550200", "")],
    "shapes/09": [("+15550100", "Alice"), ("+15550200", "Bob")],
    "shapes/10": [("15550100", ""), ("15550200", "")],
    "shapes/12": [("1001@pbx.example", ""), ("+15550200", "")],
    "shapes/15": [("15550100", "Alice"), ("15550200", "Bob")],
    "shapes/16": [("+15550100", ""), ("SBCE@sbce.example", "")],
    "shapes/18": [("15550100", "Alice"), ("15550200", "")],
    "shapes/19": [("+15550100", "Alice"), ("+15550200", "Bob")],
    "shapes/20": [("+15550100", "Alice"), ("+15550200", "Bob")],
    "shapes/21": [("+15550100", "Alice"), ("+15550200", "Bob")],
    "shapes/22": [("+15550100", "Alice"), ("+15550200", "Bob")],
    "shapes/23": [("+15550100", "Alice"), ("+15550200", "Bob")],
}
"""Of each INVITE with an offer: number or address, and name."""
CROSSED = {"shapes/18"}
"""The callee's line comes first."""
MIXED = {"shapes/12", "shapes/15", "shapes/20"}


@pytest.mark.parametrize("name", PEOPLE)
def test_every_shape_is_recorded_with_its_people_on_the_right_tracks(name):
    async def main():
        async with replaying() as replay:
            answer = await replay.invite(name)
            assert answer.status == 200
            lines = replay.lines(name)
            replay.speak(name, *(voice(seed, 2.0) for seed in range(1, len(lines) + 1)))
            replay.bye(name)
            replay.pass_time(3)
            (call,) = replay.host.calls
            everybody = [("", "everybody, mixed")] if name in MIXED else []
            parties = [(one.who.tel or one.who.sip, one.who.name) for one in call.state.parties]
            assert parties == PEOPLE[name] + everybody
            owners = [track.party for track in call.state.tracks]
            assert owners == ([1, 0] if name in CROSSED else [2] if name in MIXED else list(range(len(lines))))
            assert call.state.answered is not None
            assert facts(call).get("siprec.mixed") == ("0 1" if name in MIXED else None)
            session = next(
                iter(facts(call)[key] for key in ("siprec.session_id", "siprec.call_id") if key in facts(call))
            )
            assert call.key.endswith(session)

    asyncio.run(main())


def test_a_third_who_joins_a_mixed_line_by_update_is_a_party_of_it():
    async def main():
        async with replaying() as replay:
            await replay.invite("shapes/12")
            replay.speak("shapes/12", voice(1, 1.0))
            answer = await replay.update("shapes/13", dialog="shapes/12")
            assert (answer.status, answer.body) == (200, b"")
            replay.speak("shapes/12", voice(2, 1.0))
            paused = await replay.reinvite("shapes/14", dialog="shapes/12")
            assert [line.direction for line in read(paused.body).lines] == ["inactive"]
            assert replay.host.calls[0].state.paused
            replay.bye("shapes/12")
            replay.pass_time(3)
            (call,) = replay.host.calls
            assert [party.who.sip or party.who.tel for party in call.state.parties] == [
                "1001@pbx.example", "+15550200", "", "1003@pbx.example",
            ]  # fmt: skip
            assert {track.party for track in call.state.tracks} == {2}
            assert facts(call)["siprec.mixed"] == "0 1 3"

    asyncio.run(main())


def test_avayas_placeholder_is_corrected():
    async def main():
        async with replaying() as replay:
            await replay.invite("shapes/16")
            replay.speak("shapes/16", voice(1, 1.0))
            await replay.update("shapes/17", dialog="shapes/16")
            replay.bye("shapes/16")
            replay.pass_time(3)
            (call,) = replay.host.calls
            assert [party.who.tel for party in call.state.parties] == ["+15550100", "+15550200"]

    asyncio.run(main())


def test_somebody_joins_and_leaves_by_partial_updates():
    async def main():
        async with replaying() as replay:
            await replay.invite("shapes/01")
            replay.speak("shapes/01", voice(1, 1.0), voice(2, 1.0))
            for update in ("shapes/02", "shapes/03"):
                replay.pass_time(1)
                await replay.update(update, dialog="shapes/01")
            assert [(moment.party, moment.event) for moment in replay.host.calls[0].state.history] == [
                (0, "join"), (1, "join"), (2, "join"), (3, "join"), (1, "drop"), (3, "drop"),
            ]  # fmt: skip
            # as long as two were on the second line it was everybody's
            assert [party.who.name for party in replay.host.calls[0].state.parties] == [
                "Alice", "Bob", "Carol", "everybody, mixed",
            ]  # fmt: skip
            replay.bye("shapes/01")
            replay.pass_time(3)

    asyncio.run(main())


@pytest.mark.parametrize("client", ["opensips/10.5", "opensips/26.3"])
def test_opensips_holds_one_of_two_and_pauses_all_that_its_answer_says(client):
    async def main():
        async with replaying() as replay:
            first = f"{client}-hold-01"
            await replay.invite(first)
            replay.speak(first, voice(1, 1.0), voice(2, 1.0))
            for step, event in (("04", "hold"), ("07", "unhold")):
                answer = await replay.reinvite(f"{client}-hold-{step}", dialog=first)
                offered = read(message(f"{client}-hold-{step}").body.partition(b"\r\n\r\n")[2].partition(b"\r\n--")[0])
                assert [line.direction for line in read(answer.body).lines] == [
                    "recvonly" if line.sends else "inactive" for line in offered.lines
                ]
                assert replay.host.calls[0].state.history[-1].event == event
                assert replay.host.calls[0].state.history[-1].party == 0
                replay.speak(first, voice(3, 1.0), voice(4, 1.0))
            replay.bye(first)
            replay.pass_time(3)
            assert replay.host.calls[0].over

    asyncio.run(main())


def test_a_pause_that_the_client_does_not_keep_to_is_kept_to_here():
    async def main():
        async with replaying() as replay:
            first = "opensips/26.3-pause-01"
            await replay.invite(first)
            replay.speak(first, voice(1, 1.0), voice(2, 1.0))
            await replay.reinvite("opensips/26.3-pause-04", dialog=first)
            call = replay.host.calls[0]
            assert call.state.paused
            replay.speak(first, voice(3, 1.0), voice(4, 1.0))
            await replay.reinvite("opensips/26.3-pause-07", dialog=first)
            assert not call.state.paused
            replay.bye(first)
            replay.pass_time(3)
            assert replay.host.drops["frame", "inactive"] >= 98
            assert len(call.state.pauses) == 1

    asyncio.run(main())


def test_jambonz_pauses_without_metadata():
    async def main():
        async with replaying() as replay:
            await replay.invite("jambonz/default-invite")
            replay.speak("jambonz/default-invite", voice(1, 1.0), voice(2, 1.0))
            await replay.reinvite("jambonz/default-pause", dialog="jambonz/default-invite")
            assert replay.host.calls[0].state.paused
            await replay.reinvite("jambonz/default-resume", dialog="jambonz/default-invite")
            assert not replay.host.calls[0].state.paused
            assert len(replay.host.calls[0].state.parties) == 2
            assert replay.host.calls[0].state.direction == "inbound"
            replay.bye("jambonz/default-invite")

    asyncio.run(main())


def test_opensips_transfer_has_nothing_in_common_and_is_two_records():
    async def main():
        async with replaying() as replay:
            one, two = "opensips/10.5-transfer-01", "opensips/10.5-transfer-04"
            for name in (one, two):
                await replay.invite(name)
                replay.speak(name, voice(1, 1.0), voice(2, 1.0))
            for name in (one, two):
                replay.bye(name)
            replay.pass_time(3)
            assert len(replay.host.calls) == 2

    asyncio.run(main())


def test_a_failed_over_session_has_one_record():
    async def main():
        async with replaying() as replay:
            one, two = "opensips/10.5-failover_1st", "opensips/10.5-failover_2nd"
            await replay.invite(one)
            replay.speak(one, voice(1, 1.0), voice(2, 1.0))
            await replay.invite(two)
            replay.speak(two, voice(3, 1.0), voice(4, 1.0))
            for name in (one, two):
                replay.bye(name)
            replay.pass_time(3)
            (call,) = replay.host.calls
            assert len(call.state.parties) == 2
            assert facts(call)["siprec.joined_by"] == "session"
            assert facts(call)["siprec.call_id"] != facts(call)["siprec.call_id.2"]

    asyncio.run(main())


@pytest.mark.parametrize("name", ["opensips/10.5-audio_video-01", "opensips/26.3-audio_video-01", "shapes/22"])
def test_video_is_answered_on_a_port_that_exists(name):
    async def main():
        async with replaying() as replay:
            told = read((await replay.invite(name)).body)
            assert all(line.port for line in told.lines)
            assert [line.direction for line in told.lines if line.media == "video"] == ["inactive"] * sum(
                line.media == "video" for line in told.lines
            )
            assert {line.direction for line in told.lines if line.media == "audio"} == {"recvonly"}
            assert len(replay.lines(name)) == 2
            replay.bye(name)

    asyncio.run(main())
