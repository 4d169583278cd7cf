from __future__ import annotations

import asyncio

import numpy as np
import pytest

from vcond.base.time import MILLI
from vcond.media.codecs import Codec, encode
from vcond.sdk.contract import SECOND, Instant, PartyInfo, SpanKind
from vcond.sdk.media_stream import GO_ON, NORMAL, POLICY, UNSUPPORTED, Stream, StreamedCalls
from vcond.sdk.media_stream.stream import MAX_GARBAGE
from vcond.sdk.media_stream.tracks import EARLY
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond.testing.time import NOON, ManualClock, run_virtual
from vcond_twilio.config import TwilioConfig
from vcond_twilio.dialect import TwilioDialect


class Bench:
    """A host, a tracker, and streams that are fed by hand. The clock moves only with ``wait``."""

    def __init__(self, twilio, **config) -> None:
        self.twilio = twilio
        self.clock = ManualClock()
        self.host = MemoryHost("twilio", clock=self.clock)
        self.streamed = StreamedCalls(self.host, TwilioConfig(**config))

    def stream(self) -> Stream:
        return Stream(self.host, self.streamed, TwilioDialect())

    def feed(self, stream, *messages) -> int:
        code = GO_ON
        for message in messages:
            raw = message if isinstance(message, bytes) else self.twilio.raw(message)
            code = stream.feed(raw, self.clock.now())
        return code

    def started(self, **start) -> Stream:
        stream = self.stream()
        assert self.feed(stream, self.twilio.connected(), self.twilio.start(**start)) == GO_ON
        return stream

    def talk(self, stream, said: dict, *, first=0, seq=None, stamps=None) -> None:
        """Frames of 20 ms, each fed when it has been spoken; ``stamps`` maps a frame's number to its timestamp."""
        length = max(len(pcm) for pcm in said.values())
        for number, at in enumerate(range(0, length, 160)):
            self.clock.advance(20 * MILLI)
            stamp = first + 20 * number if stamps is None else stamps(number)
            for track, pcm in said.items():
                payload = encode(Codec.PCMU, pcm[at : at + 160])
                self.feed(stream, self.twilio.media(track, first // 20 + number + 1, stamp, payload))

    async def wait(self, seconds: float) -> None:
        self.clock.advance(round(seconds * SECOND))
        await asyncio.sleep(seconds)

    @property
    def call(self):
        return self.host.calls[-1]


def virtual(test):
    """Run the test in virtual time, with a bench that it may configure."""

    def run(twilio):
        run_virtual(test(lambda **config: Bench(twilio, **config)))

    run.__name__ = test.__name__
    return run


def at(seconds: float) -> Instant:
    return Instant(NOON + round(seconds * SECOND))


@virtual
async def test_a_stream_that_is_late_and_catches_up_has_every_word_where_its_timestamp_says(bench):
    """As on a busy machine or a full line: late by more and more, nothing at all for two seconds, and then in bursts."""
    b = bench()
    stream = b.started()
    said = {"inbound": voice(1, 20), "outbound": voice(2, 20)}
    begun = b.clock.now()
    for number in range(1000):
        late = 4 * max(0, number - 300) if number < 600 else 0 if number % 100 else 400
        ready = begun + (20 * (number + 1) + late) * MILLI
        if 650 <= number < 750:
            ready = max(ready, begun + 15_000 * MILLI)
        b.clock.advance(max(0, ready - b.clock.now()))
        for track, pcm in said.items():
            payload = encode(Codec.PCMU, pcm[160 * number : 160 * (number + 1)])
            b.feed(stream, b.twilio.media(track, number + 1, 20 * number, payload))
    b.feed(stream, b.twilio.stop())
    for party, pcm in enumerate(said.values()):
        heard = b.host.audio(b.call, party)
        for second in range(20):
            match, lag = find(pcm[8000 * second : 8000 * (second + 1)], heard)
            assert match >= 0.99
            assert abs(lag - 8000 * second) <= 8
    assert not b.host.drops


@virtual
async def test_a_start_opens_the_call_and_names_who_is_in_it(bench):
    b = bench()
    b.started(parameters={"From": "+15550100", "To": "+15550199", "callerName": "Ann", "queue": "sales"})
    state = b.call.state
    assert (b.call.key, state.direction, state.answered) == (b.twilio.CALL, "unknown", NOON)
    assert [(party.key, party.who) for party in state.parties] == [
        ("caller", PartyInfo(tel="+15550100", name="Ann", validation="none")),
        ("callee", PartyInfo(tel="+15550199")),
    ]
    assert [(track.party, track.codec, track.rate) for track in state.tracks] == [(0, "PCMU", 8000), (1, "PCMU", 8000)]
    assert {fact.name: fact.value for fact in state.facts} == {
        "callSid": b.twilio.CALL,
        "streamSid": b.twilio.STREAM,
        "accountSid": b.twilio.ACCOUNT,
        "parameter.queue": "sales",
    }


@virtual
async def test_a_parameter_says_that_a_party_agreed(bench):
    b = bench()
    b.started(parameters={"vcond_consent": "granted; party=1"})
    (said,) = b.call.state.consents.said
    assert (said.party, said.state, said.how) == (1, "granted", "variable")


@virtual
async def test_of_a_call_that_twilio_placed_the_inbound_track_is_the_callee(bench):
    b = bench()
    b.started(parameters={"from": "+15550100", "to": "+15550199", "direction": "outbound-api"})
    assert b.call.state.direction == "outbound"
    assert [party.who.tel for party in b.call.state.parties] == ["+15550100", "+15550199"]
    assert [track.party for track in b.call.state.tracks] == [1, 0]


@virtual
async def test_a_stop_ends_the_call_at_once(bench):
    b = bench()
    stream = b.started()
    b.talk(stream, {"inbound": voice(1, 1.0), "outbound": voice(2, 1.0)})
    assert b.feed(stream, b.twilio.stop()) == NORMAL
    assert (b.call.state.ended, b.call.state.disposition, b.call.state.cause.text) == (at(1.0), None, "stop")
    assert {track.samples for track in b.call.state.tracks} == {8000}
    stream.gone(b.clock.now())
    assert b.host.drops == {}


@virtual
async def test_a_call_of_no_length(bench):
    b = bench()
    assert b.feed(b.started(), b.twilio.stop()) == NORMAL
    assert b.call.state.ended == b.call.state.opened == NOON
    assert [track.samples for track in b.call.state.tracks] == [0, 0]


@virtual
async def test_audio_lies_at_its_timestamp_and_what_is_missing_is_lost(bench):
    b = bench()
    stream, ann = b.started(), voice(1, 2.0)
    for number in range(100):
        b.clock.advance(20 * MILLI)
        if not 40 <= number < 60:
            payload = encode(Codec.PCMU, ann[160 * number : 160 * (number + 1)])
            b.feed(stream, b.twilio.media("inbound", number + 1, 20 * number, payload))
    b.feed(stream, b.twilio.stop())
    heard = b.host.audio(b.call, 0)
    assert not heard[6400:9600].any()
    assert find(ann[:6400], heard)[1] == 0
    assert find(ann[9600:], heard[9600:])[0] > 0.95
    assert b.call.state.tracks[0].spans.total(SpanKind.LOST) == 3200


@virtual
async def test_tracks_that_begin_apart_stay_on_one_clock(bench):
    b = bench()
    stream, ann, ben = b.started(), voice(1, 2.0), voice(2, 2.0)
    for number in range(105):
        b.clock.advance(20 * MILLI)
        for track, pcm, offset in (("inbound", ann, 93), ("outbound", ben, 5)):
            frame = number - (offset // 20)
            if 0 <= frame < 100:
                payload = encode(Codec.PCMU, pcm[160 * frame : 160 * (frame + 1)])
                b.feed(stream, b.twilio.media(track, frame + 1, offset + 20 * frame, payload))
    b.feed(stream, b.twilio.stop())
    (_, first), (_, second) = find(ann, b.host.audio(b.call, 0)), find(ben, b.host.audio(b.call, 1))
    assert (first - second) / 8 == pytest.approx(88, abs=20)


@virtual
async def test_audio_that_comes_before_the_start_is_kept(bench):
    b = bench()
    stream, ann = b.stream(), voice(1, 2.0)
    b.talk(stream, {"inbound": ann[:1600]})
    b.feed(stream, b.twilio.start())
    b.talk(stream, {"inbound": ann[1600:]}, first=200)
    b.feed(stream, b.twilio.stop())
    assert b.call.state.opened == at(0), "when its first frame was spoken, not when it came"
    assert find(ann, b.host.audio(b.call, 0))[0] > 0.95
    assert b.host.drops == {}


@virtual
async def test_audio_that_waits_for_a_start_is_bounded_and_counted(bench):
    b = bench()
    stream = b.stream()
    for number in range(EARLY + 7):
        b.feed(stream, b.twilio.media("inbound", number + 1, 20 * number))
    stream.gone(b.clock.now())
    assert b.host.drops == {("frame", "before-start"): 7, ("frame", "no-start"): EARLY}
    assert b.host.calls == []


@virtual
async def test_a_lost_socket_ends_the_call_after_the_grace_and_dates_it_back(bench):
    b = bench(grace=10)
    stream = b.started()
    b.talk(stream, {"inbound": voice(1, 1.0)})
    stream.gone(b.clock.now())
    await b.wait(9.9)
    assert not b.call.over
    await b.wait(0.2)
    assert (b.call.state.ended, b.call.state.cause.text) == (at(1.0), "stream-lost")
    assert [warning.code for warning in b.call.state.warnings] == ["stream-lost"]


@virtual
async def test_another_stream_of_the_call_goes_on_with_it(bench):
    b = bench(grace=10)
    stream, ann = b.started(), voice(1, 1.0)
    b.talk(stream, {"inbound": ann, "outbound": ann})
    stream.gone(b.clock.now())
    await b.wait(3)
    second = b.started(stream="MZnew")
    await b.wait(30)
    b.talk(second, {"inbound": ann, "outbound": ann}, first=30_000)
    b.feed(second, b.twilio.stop())
    assert len(b.host.calls) == 1
    assert [party.key for party in b.call.state.parties] == ["caller", "callee"]
    assert [track.party for track in b.call.state.tracks] == [0, 1, 0, 1]
    assert b.call.state.ended == at(35)
    assert b.call.state.tracks[2].spans.kind_at(2 * 8000) is SpanKind.LOST
    assert [fact.value for fact in b.call.state.facts if fact.name == "streamSid"] == ["MZnew"]


@virtual
async def test_with_a_stop_grace_a_stopped_stream_may_come_back(bench):
    b = bench(stop_grace=60)
    stream, ann = b.started(), voice(1, 1.0)
    b.talk(stream, {"inbound": ann})
    assert b.feed(stream, b.twilio.stop()) == NORMAL
    await b.wait(20)
    second = b.started(stream="MZnew")
    b.talk(second, {"inbound": ann})
    b.feed(second, b.twilio.stop())
    await b.wait(61)
    assert len(b.host.calls) == 1
    assert (b.call.state.ended, b.call.state.cause.text) == (at(22), "stop")
    assert b.call.state.tracks[2].spans.kind_at(5 * 8000) is SpanKind.PAUSED


@virtual
async def test_a_stream_of_a_call_that_had_ended_begins_a_record_of_its_own(bench):
    b = bench()
    b.feed(b.started(), b.twilio.stop())
    b.feed(b.started(stream="MZnew"), b.twilio.stop())
    assert [call.key for call in b.host.calls] == [b.twilio.CALL] * 2
    assert len({call.uuid for call in b.host.calls}) == 2


@virtual
async def test_two_streams_with_a_track_each_are_one_call(bench):
    b = bench()
    one, two = b.started(tracks=["inbound"]), b.started(stream="MZ2", tracks=["outbound"])
    assert [track.party for track in b.call.state.tracks] == [0, 1]
    b.talk(one, {"inbound": voice(1, 0.5)})
    b.talk(two, {"outbound": voice(2, 0.5)})
    b.feed(one, b.twilio.stop())
    assert not b.call.over
    b.feed(two, b.twilio.stop(stream="MZ2"))
    assert b.call.over


@virtual
async def test_of_two_streams_with_the_same_track_the_later_one_counts(bench):
    b = bench()
    one = b.started()
    two = b.started()  # also the same streamSid, as after a socket that is dead and does not know it
    b.talk(one, {"inbound": voice(1, 0.2)})
    b.talk(two, {"inbound": voice(2, 2.0)})
    b.feed(two, b.twilio.stop())
    assert b.host.drops == {("frame", "superseded"): 10}
    assert not b.call.over
    one.gone(b.clock.now())
    assert find(voice(2, 2.0), b.host.audio(b.call, 0))[0] > 0.95
    await b.wait(11)
    assert b.call.over


@virtual
async def test_a_track_that_was_not_announced_is_taken_when_it_comes(bench):
    b = bench()
    stream = b.started(tracks=["inbound"])
    b.talk(stream, {"outbound": voice(2, 1.0)})
    assert [track.party for track in b.call.state.tracks] == [0, 1]
    b.feed(stream, b.twilio.stop())
    assert find(voice(2, 1.0), b.host.audio(b.call, 1))[0] > 0.95


@virtual
async def test_an_unknown_track_is_counted(bench):
    b = bench()
    stream = b.started()
    b.feed(stream, *[b.twilio.media("sideways", n, 20 * n) for n in range(3)])
    assert b.host.drops == {("frame", "unknown-track"): 3}


@pytest.mark.parametrize("wrong", [{"encoding": "audio/x-alaw"}, {"sampleRate": 16000}, {"channels": 2}])
def test_another_encoding_is_refused(twilio, wrong):
    async def main():
        b = Bench(twilio)
        assert b.feed(b.stream(), twilio.start(**wrong)) == UNSUPPORTED
        assert (b.host.calls, dict(b.host.drops)) == ([], {("stream", "encoding"): 1})

    run_virtual(main())


@virtual
async def test_digits_of_either_party_are_told(bench):
    b = bench()
    stream = b.started()
    b.feed(stream, b.twilio.dtmf("1"), b.twilio.dtmf("#", "outbound_track"), b.twilio.dtmf("A", "elsewhere"))
    downs = [(moment.party, moment.button) for moment in b.call.state.history if moment.event == "keydown"]
    assert downs == [(0, "1"), (1, "#"), (0, "A")]


@virtual
async def test_digits_that_are_none_are_counted(bench):
    b = bench()
    b.feed(b.stream(), b.twilio.dtmf("1"))
    b.feed(b.started(), b.twilio.dtmf("12"), b.twilio.dtmf("w"), b.twilio.dtmf(""))
    assert b.host.drops == {("message", "malformed"): 4}


@virtual
async def test_messages_that_never_came_are_counted(bench):
    b = bench()
    stream = b.started()
    for seq in (2, 3, 7, 8, 5, 9, 10**10):
        b.feed(stream, b.twilio.media("inbound", seq, 20 * seq, seq=seq))
    assert b.host.drops == {("message", "sequence-gap"): 3 + 1000, ("message", "out-of-order"): 1}


@virtual
async def test_what_a_later_twilio_says_and_marks_are_nothing(bench):
    b = bench()
    stream = b.started()
    b.feed(stream, {"event": "weather", "sun": True}, {"event": "mark", "mark": {"name": "x"}}, b.twilio.connected())
    assert b.host.drops == {}
    assert b.host.faults == []


@virtual
async def test_a_second_start_is_counted_and_changes_nothing(bench):
    b = bench()
    stream = b.started()
    assert b.feed(stream, b.twilio.start(call="CAother")) == GO_ON
    assert [call.key for call in b.host.calls] == [b.twilio.CALL]
    assert b.host.drops == {("message", "second-start"): 1}


@virtual
async def test_garbage_is_counted_until_it_is_too_much(bench):
    b = bench()
    stream = b.started()
    codes = [b.feed(stream, b"{") for _ in range(MAX_GARBAGE)]
    assert codes == [GO_ON] * (MAX_GARBAGE - 1) + [POLICY]
    assert b.host.drops == {("message", "malformed"): MAX_GARBAGE}


@virtual
async def test_too_many_parameters_are_counted_and_the_call_is_taken(bench):
    b = bench()
    b.started(parameters={f"p{n}": "x" for n in range(40)})
    assert b.host.drops == {("parameter", "limit"): 8}
    assert len(b.host.calls) == 1


@pytest.mark.parametrize(
    "stamps",
    [
        lambda n: 20 * n + (3_600_000 if n > 50 else 0),
        lambda n: 20 * n if n < 50 else 20 * (n - 50),
        lambda n: 20 * (n % 5),
        lambda n: 0,
        lambda n: 10**12,
        lambda n: 20 * n * 50,
        lambda n: (7919 * n) % 100_000,
    ],
    ids=["an hour ahead", "from 0 again", "in circles", "standing", "huge", "fifty times too fast", "wild"],
)
def test_clocks_that_jump_lose_no_call(twilio, stamps):
    async def main():
        b = Bench(twilio)
        stream = b.started()
        b.talk(stream, {"inbound": voice(1, 2.0), "outbound": voice(2, 2.0)}, stamps=stamps)
        b.feed(stream, twilio.stop())
        assert b.call.state.ended == at(2.0)
        assert all(8 * 1900 <= track.samples <= 8 * 3100 for track in b.call.state.tracks)
        assert len(b.host.audio(b.call, 0)) == 16000
        assert b.host.faults == []

    run_virtual(main())


@virtual
async def test_a_call_of_ten_hours(bench):
    b = bench()
    stream = b.started()
    b.talk(stream, {"inbound": voice(1, 0.5)})
    b.clock.advance(36_000 * SECOND)
    b.talk(stream, {"inbound": voice(1, 0.5)}, first=36_000_500)
    b.feed(stream, b.twilio.stop())
    assert b.call.state.ended == at(36_001)
    assert b.call.state.tracks[0].samples == 36_001 * 8000


@virtual
async def test_odd_payloads_hurt_nothing(bench):
    b = bench()
    stream = b.started()
    for number, payload in enumerate((b"", b"\xff", b"\xff" * 7, bytes(range(256)) * 60, b"\xff" * 160)):
        b.clock.advance(20 * MILLI)
        b.feed(stream, b.twilio.media("inbound", number + 1, 20 * number, payload))
    b.feed(stream, b.twilio.stop())
    assert b.host.faults == []
    assert np.asarray(b.host.audio(b.call, 0)).any()


@virtual
async def test_calls_that_an_earlier_run_left_open_end_after_the_grace(bench):
    b = bench(grace=10)
    b.started()
    b.streamed.close()
    again = StreamedCalls(b.host, TwilioConfig(grace=10))
    await b.wait(9)
    assert not b.call.over
    await b.wait(2)
    assert (b.call.over, b.call.state.ended) == (True, NOON)
    again.close()


@virtual
async def test_a_board_that_is_closed_leaves_calls_open(bench):
    b = bench(grace=1)
    one, two = b.started(), b.started(call="CAtwo")
    one.gone(b.clock.now())
    b.streamed.close()
    two.gone(b.clock.now())
    await b.wait(5)
    assert not any(call.over for call in b.host.calls)
