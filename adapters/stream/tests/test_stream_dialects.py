"""What single dialects do of their own."""

from __future__ import annotations

import asyncio
import base64
import json

import numpy as np
import pytest
from stream_kit import A, B, Bench, both, l16, mulaw, text, transcript, written

from vcond.media.codecs import Codec, decode, encode
from vcond.sdk.contract import SECOND, Cause
from vcond.sdk.media_stream import GO_ON, NORMAL, POLICY, UNSUPPORTED
from vcond.testing.sounds import voice
from vcond.testing.time import run_virtual


def virtual(test):
    def run():
        async def main() -> None:
            test(Bench(grace=0))

        run_virtual(main())

    run.__name__ = test.__name__
    return run


@virtual
def test_audiohook_is_answered_and_what_it_leaves_out_in_a_pause_is_a_pause(b):
    stream = b.socket("audiohook")
    replies = []
    for message in transcript("genesys-audiohook"):
        b.feed(stream, message, step=200 if message[0] == "binary" else 1)
        replies += [json.loads(one) for one in stream.replies]
        stream.replies.clear()
    assert [one["type"] for one in replies] == ["opened", "pong", "pong", "pong", "closed"]
    assert [one["seq"] for one in replies] == [1, 2, 3, 4, 5]
    assert [one["clientseq"] for one in replies] == [1, 2, 3, 8, 9]
    assert replies[0]["parameters"]["media"] == [
        {"type": "audio", "format": "PCMU", "channels": ["external", "internal"], "rate": 8000}
    ]
    kinds = [type(event).__name__ for event in b.call.events]
    assert (kinds.count("RecordingPaused"), kinds.count("RecordingResumed")) == (1, 1)


@virtual
def test_a_probe_of_audiohook_is_answered_and_no_call(b):
    stream = b.socket("audiohook")
    probe = {"conversationId": "00000000-0000-0000-0000-000000000000", "media": [{"format": "PCMU"}]}
    b.feed(stream, text({"type": "open", "id": "s", "seq": 1, "parameters": probe}))
    assert json.loads(stream.replies[0])["parameters"] == {"media": []}
    assert b.feed(stream, text({"type": "close", "id": "s", "seq": 2})) == NORMAL
    assert b.host.calls == []


@virtual
def test_audiohook_without_a_medium_that_can_be_taken_is_told_so(b):
    stream = b.socket("audiohook")
    media = [
        {"type": "audio", "format": "L16", "channels": ["external"], "rate": 8000},
        5,
        {"format": "PCMU", "rate": 8000, "channels": {}},
    ]
    code = b.feed(
        stream, text({"type": "open", "id": "s", "seq": 1, "parameters": {"conversationId": "C1", "media": media}})
    )
    assert json.loads(stream.replies[0])["parameters"] == {"media": []}
    assert (code, b.host.drops) == (UNSUPPORTED, {("stream", "encoding"): 1})


@pytest.mark.parametrize("discarded", ["PT0S", "PT2S"], ids=["stand", "run on"])
def test_what_comes_after_a_pause_of_audiohook_is_kept_whether_positions_run_on_or_stand(discarded):
    @virtual
    def test(b):
        stream = b.socket("audiohook")
        opening, *steps, _ = written("audiohook", voice(1, 8.0), voice(2, 8.0), size=1600)

        def say(kind, **parameters):
            return text({"version": "2", "type": kind, "id": "S1", "seq": 2, "serverseq": 1, "parameters": parameters})

        b.feed(stream, *opening)
        b.feed(stream, *[message for step in steps[:10] for message in step], step=200)
        b.feed(stream, say("paused"))
        b.clock.advance(2 * SECOND)
        b.feed(stream, say("resumed", start="PT2S", discarded=discarded))
        b.feed(stream, *[message for step in steps[10:] for message in step], step=200)
        b.feed(stream, say("close"))
        for party in (0, 1):
            heard = np.asarray(b.host.audio(b.call, party))
            said = decode(Codec.PCMU, encode(Codec.PCMU, voice(party + 1, 8.0)))
            assert np.array_equal(heard[:15_999], said[:15_999])  # at its edges a sample is the pause's
            assert not heard[16_000:32_000].any()
            assert np.array_equal(heard[32_001:80_000], said[16_001:])
        assert {kind.value for track in b.call.state.tracks for *_, kind in track.spans} == {"received", "paused"}

    test()


@virtual
def test_a_pause_of_audiohook_is_of_its_call_whichever_connection_tells_of_it_and_when(b):
    b = Bench(grace=5)

    def say(kind):
        return text({"version": "2", "type": kind, "id": "S1", "seq": 2, "serverseq": 1, "parameters": {}})

    opening, *steps, _ = written("audiohook", voice(1, 3.0), voice(2, 3.0), size=1600)
    first = b.socket("audiohook")
    b.feed(first, say("resumed"), say("paused"), *opening, *steps[0], step=200)
    first.gone(b.clock.now())
    assert not b.host.audio(b.call, 0).any()
    second = b.socket("audiohook")
    b.feed(second, *opening, *steps[1], say("resumed"), say("resumed"), *steps[2], step=200)
    pauses = b.call.state.pauses
    assert [(pause.by, pause.stop is not None) for pause in pauses] == [("platform", True)]
    second.gone(b.clock.now())
    assert b.host.audio(b.call, 0).any()
    assert (len(b.host.calls), b.host.faults) == (1, [])
    assert b.host.drops == {("message", "malformed"): 3}  # no resume said where it is; the call goes on all the same


@virtual
def test_sinch_is_answered(b):
    stream = b.socket("sinch")
    b.feed(stream, transcript("sinch")[0])
    assert stream.replies == ['{"command":"answer"}']


@virtual
def test_sinch_hears_from_us_well_before_the_minute_after_which_it_hangs_up(b):
    stream = b.socket("sinch")
    b.feed(stream, transcript("sinch")[0])
    stream.replies.clear()
    told = []
    for n in range(65 * 50):  # 16 kHz, 20 ms
        b.feed(stream, ("binary", bytes(640)), step=20)
        told += [(n + 1) // 50 for _ in stream.replies]
        assert set(stream.replies) <= {'{"command":"heartbeat"}'}
        stream.replies.clear()
    assert told == [20, 40, 60]
    assert len(b.host.audio(b.call, 0)) == 65 * 16_000


@virtual
def test_what_vonage_mixes_is_said_of_nobody_who_may_not_have_said_it(b):
    stream = b.socket("vonage")
    b.feed(stream, text({"event": "websocket:connected", "content-type": "audio/l16;rate=8000", "from": A, "to": B}))
    b.feed(stream, ("binary", voice(1, 0.5).tobytes()))
    parties = b.call.state.parties
    assert [party.who.tel for party in parties] == [A, B, ""]
    assert [track.party for track in b.call.state.tracks] == [2]
    assert parties[2].who.name == "everybody, mixed"


@virtual
def test_texts_that_mod_audio_fork_puts_together_are_each_read(b):
    stream = b.socket("mod_audio_fork", "mix=stereo")
    b.feed(stream, text({"from": A, "to": B, "callid": "C1"}))
    b.feed(stream, ("text", b'{"event":"dtmf","digit":"1"} {"event":"dtmf","digit":"2"}{"x":1}'))
    assert [moment.button for moment in b.call.state.history if moment.event == "keydown"] == ["1", "2"]


@virtual
def test_audio_of_mod_audio_stream_before_its_metadata_and_without_any_is_kept(b):
    said = voice(1, 1.0)
    frames = [("binary", both(said[at : at + 160], said[at : at + 160])) for at in range(0, len(said), 160)]
    for late in (10, None):
        stream = b.socket("mod_audio_stream", "mix=stereo")
        for number, frame in enumerate(frames):
            if number == late:
                b.feed(stream, text({"callid": "C1"}))
            b.feed(stream, frame, step=20)
        b.feed(stream, ("close", 1000))
    assert [call.key for call in b.host.calls] == ["mod_audio_stream:C1", "mod_audio_stream:socket-2"]
    for call in b.host.calls:
        assert np.asarray(b.host.audio(call, 0)).tobytes().find(said.tobytes()) >= 0


@virtual
def test_didlogic_is_answered_when_it_says_so(b):
    stream = b.socket("didlogic")
    opening, *rest = transcript("didlogic")
    b.feed(stream, opening)
    assert b.call.state.answered is None
    b.feed(stream, *rest, step=20)
    assert b.call.state.answered is not None


@virtual
def test_sockets_of_one_livekit_room_are_one_call_with_a_party_each(b):
    said = voice(1, 0.5)
    one = b.socket("livekit", "call=room&participant=ann&rate=8000&channels=2")
    two = b.socket("livekit", "call=room&participant=ben&rate=8000&channels=1")
    b.feed(one, ("binary", both(said, said)), step=500)
    b.feed(two, ("binary", said.tobytes()))
    b.feed(one, ("close", 1000))
    b.feed(two, ("close", 1000))
    assert len(b.host.calls) == 1
    assert [party.who.name for party in b.call.state.parties] == ["ann", "ben"]
    assert np.array_equal(np.asarray(b.host.audio(b.call, 0))[: len(said)], said)


def test_audio_that_stops_before_its_byte_order_is_known_is_kept_soon():
    async def main() -> None:
        b = Bench(grace=0)
        stream = b.socket("jambonz")
        b.feed(stream, text({"callSid": "C1", "sampleRate": 8000, "mixType": "mono"}))
        said = voice(1, 0.5)
        b.feed(stream, *[("binary", said[at : at + 160].tobytes()) for at in range(0, len(said), 160)], step=20)
        await asyncio.sleep(2)
        assert np.array_equal(np.asarray(b.host.audio(b.call, 0))[: len(said)], said)

    run_virtual(main())


@virtual
def test_audio_that_waits_when_its_call_is_cut_off_is_counted(b):
    stream = b.socket("jambonz")
    b.feed(stream, text({"callSid": "C1", "sampleRate": 8000, "mixType": "mono"}))
    said = voice(1, 2.0)
    frames = [("binary", said[at : at + 160].tobytes()) for at in range(0, len(said), 160)]
    b.feed(stream, *frames[:20], step=20)
    b.call.end(at=b.clock.now(), cause=Cause(text="limit"))
    b.feed(stream, *frames[20:], step=20)
    b.feed(stream, ("close", 1000))
    assert len(b.host.calls) == 2
    assert b.host.drops["frame", "after-close"] == 20
    assert np.asarray(b.host.audio(b.call, 0)).tobytes().find(said[21 * 160 :].tobytes()) >= 0


@virtual
def test_a_mixed_track_of_a_twilio_clone_is_said_of_nobody_who_may_not_have_said_it(b):
    stream, said = b.socket("carrierx"), voice(1, 0.5)
    start = {"callId": "C1", "tracks": ["mixed"], "customParameters": {"from": A, "to": B}}
    b.feed(stream, text({"event": "start", "start": start}))
    media = {"track": "mixed", "chunk": 1, "timestamp": 0, "payload": mulaw(said)}
    b.feed(stream, text({"event": "media", "media": media}), step=500)
    b.feed(stream, text({"event": "stop"}))
    assert [party.who.name for party in b.call.state.parties] == ["", "", "everybody, mixed"]
    assert [track.party for track in b.call.state.tracks] == [2]
    assert len(b.host.audio(b.call, 2)) == len(said)
    assert b.host.drops == {}


@virtual
def test_the_rate_may_stand_in_the_name_of_the_codec(b):
    stream = b.socket("exotel")
    form = {"encoding": "audio/x-l16; rate=16000"}
    b.feed(stream, text({"event": "start", "start": {"call_sid": "C1", "stream_sid": "S", "media_format": form}}))
    b.feed(stream, text({"event": "media", "media": {"payload": l16(voice(1, 0.1))}}))
    assert [track.rate for track in b.call.state.tracks] == [16_000]


@virtual
def test_a_participant_of_livekit_may_have_any_name(b):
    stream = b.socket("livekit", "call=room&participant=Änn Exämple")
    b.feed(stream, ("binary", voice(1, 0.5).tobytes()))
    assert [party.who.name for party in b.call.state.parties] == ["Änn Exämple"]
    assert b.host.drops == {}


@virtual
def test_calls_that_two_platforms_name_alike_are_two(b):
    for dialect in ("wavix", "didlogic"):
        b.feed(b.socket(dialect), text({"event": "start", "call_id": "1", "stream_type": "x", "sample_rate": 24_000}))
    assert [call.key for call in b.host.calls] == ["wavix:1", "didlogic:1"]


@virtual
def test_a_socket_of_yeastar_is_of_one_call_and_has_so_many_channels(b):
    stream = b.socket("yeastar")

    def say(call, channel):
        return text({"callid": call, "audio": l16(voice(1, 0.1)), "status": "process", "channelid": channel})

    b.feed(stream, say("C1", "a"), say("C2", "b"), *[say("C1", f"c{n}") for n in range(20)])
    assert [call.key for call in b.host.calls] == ["yeastar:C1"]
    assert len(b.call.state.tracks) == 16
    assert b.host.drops == {("message", "malformed"): 1, ("track", "limit"): 5}


@virtual
def test_metadata_of_freeswitchs_modules_may_look_like_anything(b):
    for dialect in ("mod_audio_stream", "mod_audio_fork"):
        for said in (
            {"callid": "C1", "channelid": "x"},
            {"event": "start", "start": {"callSid": "C1", "streamSid": "S"}},
            {"event": "connected"},
        ):
            stream = b.socket(dialect)
            assert b.feed(stream, text(said), ("binary", voice(1, 0.1).tobytes())) == GO_ON
            assert stream.started
    assert b.host.drops == {}
    stream = b.socket("mod_audio_fork")
    assert b.feed(stream, text({"sampleRate": 8000, "mixType": "stereo"})) == POLICY


@virtual
def test_a_tag_of_voximplant_may_come_again_and_more_than_enough_are_counted(b):
    stream = b.socket("voximplant")

    def start(tag):
        return text({"event": "start", "start": {"tag": tag, "mediaFormat": {"encoding": "PCM16", "sampleRate": 8000}}})

    b.feed(stream, start("a"), text({"event": "stop", "stop": {"tag": "a"}}), start("a"), start("a"))
    assert len(b.call.state.tracks) == 3
    b.feed(stream, *[start(f"t{n}") for n in range(20)])
    assert b.host.drops == {("track", "limit"): 5}


@virtual
def test_frames_that_telnyx_sends_in_another_order_lie_in_theirs(b):
    said = voice(1, 1.0)
    steps = written("telnyx", said, said)
    stream = b.socket("telnyx")
    for number in range(1, 49, 2):
        steps[number], steps[number + 1] = steps[number + 1], steps[number]
    for messages in steps:
        b.feed(stream, *messages, step=10)
    assert b.host.drops == {}


@pytest.mark.parametrize(
    ("dialect", "wrong"),
    [("telnyx", "AMR-WB"), ("telnyx", ""), ("telnyx", "L16x"), ("carrierx", "OPUS"), ("carrierx", "G722")],
)
def test_a_codec_that_cannot_be_taken_is_refused(dialect, wrong):
    @virtual
    def test(b):
        stream = b.socket(dialect)
        form = {"encoding": wrong, "sample_rate": 16000 if wrong else 7000}
        start = {"call_control_id" if dialect == "telnyx" else "callId": "C", "media_format": form}
        code = b.feed(stream, text({"event": "start", "stream_id": "S", "start": start}))
        assert (code, b.host.drops) == (UNSUPPORTED, {("stream", "encoding"): 1})

    test()


@virtual
def test_a_law_is_taken(b):
    said = voice(1, 0.5)
    stream = b.socket("telnyx")
    form = {"encoding": "PCMA", "sample_rate": 8000}
    b.feed(stream, text({"event": "start", "stream_id": "S", "start": {"call_control_id": "C", "media_format": form}}))
    payload = base64.b64encode(encode(Codec.PCMA, said)).decode()
    b.feed(
        stream,
        text({"event": "media", "media": {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": payload}}),
    )
    b.feed(stream, text({"event": "stop"}))
    assert b.call.state.tracks[0].codec == "PCMA"


@virtual
def test_parameters_that_are_none_cost_no_call(b):
    for wrong in (5, "x", [1], None):
        stream = b.socket("twilio")
        start = {"callSid": f"C{type(wrong).__name__}", "customParameters": wrong}
        assert b.feed(stream, text({"event": "start", "streamSid": "S", "start": start})) == GO_ON
        assert stream.started


@virtual
def test_names_of_calls_that_are_paths_or_lines_are_none(b):
    for wrong in ("../x", "a\nb", "x" * 200, "", "\x00", {"a": 1}):
        stream = b.socket("twilio")
        b.feed(stream, text({"event": "start", "streamSid": "S", "start": {"callSid": wrong}}))
        assert not stream.started


@virtual
def test_samples_of_ozonetel_that_are_none_are_counted(b):
    stream = b.socket("ozonetel")
    b.feed(stream, transcript("ozonetel")[0])
    for wrong in ([70_000], ["1"], [1.5], "x", None, [[1]]):
        b.feed(stream, text({"event": "media", "data": {"samples": wrong, "sampleRate": 8000}}))
    assert b.host.drops == {("message", "malformed"): 6}


@virtual
def test_half_samples_are_counted(b):
    stream = b.socket("jambonz")
    b.feed(stream, text({"callSid": "C1", "sampleRate": 8000, "mixType": "stereo"}))
    b.feed(stream, ("binary", b"\x00" * 322))
    assert b.host.drops == {("message", "binary"): 1}
