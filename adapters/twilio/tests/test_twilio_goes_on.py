"""The core cut a call off (a limit, an adapter that was away): whose streams go on is recorded on, in a call of its own."""

from __future__ import annotations

import asyncio

import pytest

from vcond.media.codecs import Codec, encode
from vcond.sdk.contract import MILLI, SECOND, Cause, Consent, Dtmf, RecordingPaused
from vcond.sdk.media_stream import Stream, StreamedCalls
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond.testing.time import ManualClock, run_virtual
from vcond_twilio.config import TwilioConfig
from vcond_twilio.dialect import TwilioDialect

CUT = Cause(text="limit")


class Bench:
    """A host, a tracker, and streams that are fed by hand."""

    def __init__(self, twilio, **config) -> None:
        self.twilio = twilio
        self.clock = ManualClock()
        self.host = MemoryHost("twilio", clock=self.clock)
        self.streamed = StreamedCalls(self.host, TwilioConfig(**config))

    def feed(self, stream, *messages) -> None:
        for message in messages:
            stream.feed(self.twilio.raw(message), self.clock.now())

    def started(self, **start) -> Stream:
        stream = Stream(self.host, self.streamed, TwilioDialect())
        self.feed(stream, self.twilio.connected(), self.twilio.start(**start))
        return stream

    def talk(self, stream, said, *, first=0) -> None:
        for number in range(max(len(pcm) for pcm in said.values()) // 160):
            self.clock.advance(20 * MILLI)
            for track, pcm in said.items():
                payload = encode(Codec.PCMU, pcm[160 * number : 160 * (number + 1)])
                self.feed(stream, self.twilio.media(track, first // 20 + number + 1, first + 20 * number, payload))

    @property
    def call(self):
        return self.host.calls[-1]


def virtual(test):
    def run(twilio):
        run_virtual(test(lambda **config: Bench(twilio, **config)))

    run.__name__ = test.__name__
    return run


@virtual
async def test_streams_of_a_call_that_was_cut_off_go_on_into_the_next_at_once(bench):
    b = bench(stop_grace=0)
    said, later = voice(1, 2.0), voice(2, 2.0)
    stream = b.started(parameters={"callerName": "Rita", "queue": "sales"})
    b.talk(stream, {"inbound": said, "outbound": voice(3, 2.0)})
    first = b.call
    first.end(at=b.clock.now(), cause=CUT)
    b.talk(stream, {"inbound": later, "outbound": voice(4, 2.0)}, first=2000)
    assert len(b.host.calls) == 2
    second = b.call
    assert (second.over, second.key, second.state.answered is not None) == (False, first.key, True)
    assert 0 < second.state.opened - first.state.ended <= 20 * MILLI
    assert [party.who for party in second.state.parties] == [party.who for party in first.state.parties]
    known = {fact.name: fact.value for fact in first.state.facts}
    assert {fact.name: fact.value for fact in second.state.facts} == known | {"continues": first.uuid}
    assert [warned.code for warned in second.state.warnings] == ["joined-late"]
    b.feed(stream, b.twilio.stop())
    assert second.over
    for party, pcm in ((0, later), (1, voice(4, 2.0))):
        assert find(pcm[160:], b.host.audio(second, party))[0] > 0.95  # it begins at the end of the first frame
    assert b.host.drops == {}


@virtual
async def test_two_streams_of_it_go_on_into_the_same_one(bench):
    b = bench()
    one, two = b.started(tracks=["inbound"]), b.started(tracks=["outbound"], stream="MZtwo")
    b.call.end(at=b.clock.now(), cause=CUT)
    b.talk(one, {"inbound": voice(1, 1.0)})
    b.talk(two, {"outbound": voice(2, 1.0)})
    assert len(b.host.calls) == 2
    assert [track.party for track in b.call.state.tracks] == [0, 1]
    assert b.host.drops == {}


@virtual
async def test_a_key_that_is_pressed_first_is_in_the_next_call(bench):
    b = bench()
    stream = b.started()
    b.call.end(at=b.clock.now(), cause=CUT)
    b.feed(stream, b.twilio.dtmf("5"))
    assert [event.button for event in b.call.events if isinstance(event, Dtmf)] == ["5"]
    assert len(b.host.calls) == 2


@pytest.mark.parametrize("stopped", [True, False])
def test_a_stream_that_ends_right_after_opens_nothing(twilio, stopped):
    @virtual
    async def test(bench):
        b = bench(grace=1)
        stream = b.started()
        b.call.end(at=b.clock.now(), cause=CUT)
        if stopped:
            b.feed(stream, b.twilio.stop())
        else:
            stream.gone(b.clock.now())
        b.clock.advance(60 * SECOND)
        await asyncio.sleep(60)
        assert len(b.host.calls) == 1
        assert b.host.drops == {}

    test(twilio)


@virtual
async def test_a_call_that_was_ended_on_purpose_is_not_begun_again(bench):
    b = bench()
    stream = b.started()
    b.call.end(at=b.clock.now(), cause=Cause(text="operator"))
    b.talk(stream, {"inbound": voice(1, 1.0)})
    assert len(b.host.calls) == 1


# A stream that comes later than it is waited for.


def facts(call):
    return {fact.name: fact.value for fact in call.state.facts}


def b_now(call):
    return call.state.known_until


def later(bench, told, *, seconds=0):
    """A call whose stream stopped, and another stream of it."""
    b = bench()
    stream = b.started(parameters={"vcond_consent": "granted"})
    told(b.call)
    b.feed(stream, b.twilio.stop())
    b.clock.advance((1 + seconds) * SECOND)
    b.started(stream="MZnew", parameters={"vcond_consent": "granted"})
    return b


def recording(call, party=0):
    return call.state.consents.state_of(party, "recording")


@virtual
async def test_a_record_names_the_one_that_it_continues(bench):
    b = later(bench, lambda _: None)
    first, second = b.host.calls
    assert (first.over, facts(second)["continues"]) == (True, first.uuid)
    assert [warning.code for warning in second.state.warnings] == ["continued"]
    assert "continues" not in facts(first)


@virtual
async def test_a_stream_a_day_later_is_of_another_call(bench):
    b = later(bench, lambda call: call.emit(RecordingPaused(at=b_now(call), by="platform")), seconds=86_400)
    assert "continues" not in facts(b.call)
    assert (b.call.state.paused, recording(b.call)) == (False, "granted")


@virtual
async def test_what_was_said_of_consent_goes_on_with_it(bench):
    """The stream's parameter says again what was said before it was taken back."""

    def told(call):
        call.emit(Consent(at=b_now(call), party=0, state="withdrawn", how="key", purposes=()))
        call.emit(Consent(at=b_now(call), party=1, state="granted", how="key", purposes=("recording",)))

    b = later(bench, told)
    assert [recording(b.call, party) for party in (0, 1)] == ["withdrawn", "granted"]
    assert {said.state for said in b.call.state.consents.said if said.party == 0} == {"withdrawn"}


@virtual
async def test_it_is_paused_as_that_was_but_for_what_ended_by_itself_or_was_a_rules(bench):
    def told(call):
        at = b_now(call)
        for by, until in (("operator", None), ("platform", at + 1), ("rule", None)):
            call.emit(RecordingPaused(at=at, by=by, reason="card", until=until))

    b = later(bench, told)
    assert [(pause.by, pause.reason) for pause in b.call.state.pauses] == [("operator", "card")]


@virtual
async def test_who_refused_is_not_asked_for_again_by_the_stream_of_a_call_that_was_cut_off(bench):
    b = bench(grace=60)
    stream = b.started(parameters={"vcond_consent": "granted"})
    b.call.emit(Consent(at=b.clock.now(), party=0, state="withdrawn", how="key", purposes=()))
    b.call.end(at=b.clock.now(), cause=CUT)
    b.talk(stream, {"inbound": voice(1, 0.1)})
    first, second = b.host.calls
    assert (recording(second), facts(second)["continues"]) == ("withdrawn", first.uuid)
    assert second.state.consents.state_of(0, "transcription") == "withdrawn"
