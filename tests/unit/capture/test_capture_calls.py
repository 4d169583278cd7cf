import numpy as np
import pytest

from vcond.base.errors import ProtocolError
from vcond.call import events as ev
from vcond.call.causes import Disposition
from vcond.call.state import fold
from vcond.capture.no_journal import NoJournal
from vcond.publish.builder import read_track
from vcond.sdk.contract import ArrivalClock, Cause, Codec, MillisClock
from vcond.speech.config import Match, Route, SpeechConfig
from vcond.speech.routes import Routes

FRAME = np.full(160, 5000, "<i2").tobytes()
QUIET = np.zeros(160, "<i2").tobytes()


def segments(house, track, since: float, until: float, frame: bytes = FRAME) -> None:
    """20 ms frames as they would come: each holds the audio of the 20 ms before it."""
    for i in range(round((until - since) * 50)):
        track.write(frame, arrived=house.now(since + (i + 1) * 0.02))


def two_parties(house, *, codec=Codec.L16):
    call = house.host.call("k", at=house.now(0), direction="inbound")
    tracks = []
    for key in ("a", "b"):
        party = call.party(key, at=house.at(0), who=ev.PartyInfo(name=key.upper()))
        tracks.append(call.track(party, at=house.at(0), codec=codec, rate=8000, clock=ArrivalClock()))
    call.emit(ev.Answered(at=house.at(0)))
    return call, *tracks


async def test_a_call_is_written_as_it_happens_and_reads_back_the_same(house):
    call, caller, agent = two_parties(house)
    segments(house, caller, 0, 2)
    segments(house, agent, 0, 2, QUIET)
    call.end(at=house.now(2), cause=Cause(q850=16), by=0)
    ((ended, journal),) = house.finished
    await journal.flush()

    state = fold(journal.events)
    assert state == ended.state
    assert (state.uuid, state.recorder, state.direction) == (call.uuid, "edge.example.com", "inbound")
    assert [track.samples for track in state.tracks] == [16_000, 16_000]
    assert state.tracks[0].spans.total(ev.SpanKind.RECEIVED) == 16_000
    assert state.tracks[1].spans.total(ev.SpanKind.SILENT) == 16_000
    assert [(m.party, m.event) for m in state.history] == [(0, "join"), (1, "join"), (0, "drop"), (1, "drop")]
    assert state.disposition is None
    assert read_track(journal, state.tracks[0]).mean() == 5000
    assert all(listener.closed and listener.upto == 16_000 for listener in house.speech.listeners)


async def test_the_same_key_is_the_same_call_and_party(house):
    call, *_ = two_parties(house)
    assert house.host.call("k", at=house.at(1)) is call
    assert call.party("a", at=house.at(1), who=ev.PartyInfo(tel="+15550100")) == 0
    assert call.state.parties[0].who == ev.PartyInfo(name="A", tel="+15550100")
    described = len(call.state.history)
    assert call.party("a", at=house.at(1), who=ev.PartyInfo(tel="+15550100")) == 0
    assert len(call.state.history) == described
    call.emit(ev.PartyLeft(at=house.at(1), party=0))
    assert call.party("a", at=house.at(2)) == 0
    assert call.state.parties[0].here


async def test_a_call_nobody_answered_has_a_disposition(house):
    call = house.host.call("k", at=house.now(0))
    call.party("a", at=house.at(0))
    call.end(at=house.now(9), cause=Cause(q850=17))
    assert call.state.disposition is Disposition.BUSY


async def test_nothing_changes_after_the_end(house):
    call, caller, _ = two_parties(house)
    call.end(at=house.now(1))
    before = len(call.state.history)
    call.end(at=house.now(2), by=1)
    call.emit(ev.Held(at=house.at(2), party=0))
    caller.write(FRAME, arrived=house.at(2))
    assert (len(call.state.history), call.state.ended) == (before, house.at(1))
    assert len(house.finished) == 1
    assert house.host.open_calls() == []
    assert house.host.call("k", at=house.at(3)) is not call


async def test_what_becomes_known_of_a_call_changes_how_it_is_heard_from_then_on(house):
    routes = [
        Route(match=Match(adapter="test", dialled="0800*"), language="de", engine="vosk", model="/de"),
        Route(match=Match(attributes={"queue": "yes-no"}), vocabulary=["yes", "no"]),
    ]
    house.registry.recognition_options = Routes(SpeechConfig(language="en", routes=routes)).recognition_options
    call, track, _ = two_parties(house)
    assert (track.language, track.vocabulary, track.model) == ("en", None, 0)
    call.emit(ev.CallAttribute(at=house.at(0), name="queue", value="yes-no", party=1))
    assert (track.language, track.vocabulary) == ("en", ("yes", "no"))
    call.emit(ev.CallAttribute(at=house.at(0), name="dialled", value="08001234"))
    assert (track.language, track.vocabulary, track.model) == ("de", None, 1)


async def test_frames_that_are_no_audio_are_counted_and_the_rest_goes_on(house):
    call, caller, _ = two_parties(house)
    caller.write(b"\x01", arrived=house.now(0.02))
    segments(house, caller, 0.02, 1)
    call.end(at=house.now(1))
    assert call.state.tracks[0].samples == 8000


@pytest.mark.parametrize("rate", [0, -1, 7999, 48_001, 10**9])
async def test_a_rate_that_cannot_be_taken_is_refused(house, rate: int):
    call, *_ = two_parties(house)
    with pytest.raises(ProtocolError, match="8,000 to 48,000"):
        call.track(0, at=house.at(0), codec=Codec.L16, rate=rate, clock=MillisClock())


async def test_while_paused_nothing_is_kept(house):
    call, caller, _ = two_parties(house)
    segments(house, caller, 0, 1)
    call.emit(ev.RecordingPaused(at=house.now(1), reason="card"))
    call.emit(ev.Dtmf(at=house.at(1.5), party=0, button="4", ms=80))
    call.emit(ev.Dtmf(at=house.at(0.98), party=0, button="5", ms=80))  # by a clock that is a little behind
    segments(house, caller, 1, 2)
    call.emit(ev.RecordingResumed(at=house.now(2)))
    segments(house, caller, 2, 3)
    call.end(at=house.now(3))
    ((_, journal),) = house.finished
    pcm = read_track(journal, call.state.tracks[0])
    assert not pcm[8000 - 1 : 16_000 + 1].any()
    assert pcm[: 8000 - 1].all()
    assert pcm[16_000 + 1 :].all()
    spans = call.state.tracks[0].spans
    assert spans.total(ev.SpanKind.PAUSED) == 8000
    assert spans.total(ev.SpanKind.RECEIVED) == 16_000
    assert not any(isinstance(event, ev.Dtmf) for event in journal.events)


async def test_silence_of_a_party_that_holds_the_others_is_held(house):
    call, _, agent = two_parties(house)
    segments(house, agent, 0, 1)
    call.emit(ev.Held(at=house.now(1), party=1))
    segments(house, agent, 1, 2, QUIET)
    call.emit(ev.Retrieved(at=house.now(2), party=1))
    segments(house, agent, 2, 3)
    call.emit(ev.Held(at=house.now(3), party=1))
    segments(house, agent, 3, 4, QUIET)
    call.end(at=house.now(4))
    spans = call.state.tracks[1].spans
    assert spans.total(ev.SpanKind.HELD) == 16_000
    assert spans.total(ev.SpanKind.RECEIVED) == 16_000


async def test_a_hold_told_a_little_after_the_last_frame_is_no_loss(house):
    call, _, agent = two_parties(house)
    segments(house, agent, 0, 1)
    call.emit(ev.Held(at=house.now(1.01), party=1))
    call.emit(ev.Retrieved(at=house.now(1.99), party=1))
    segments(house, agent, 2, 3)
    call.end(at=house.now(3))
    spans = call.state.tracks[1].spans
    assert spans.total(ev.SpanKind.LOST) == 0
    assert spans.total(ev.SpanKind.HELD) == 8000


async def test_moments_far_from_our_clock_are_taken_as_now(house):
    call, *_ = two_parties(house)
    house.now(5)
    call.emit(ev.Held(at=house.at(10**6), party=0))
    call.emit(ev.Retrieved(at=house.at(-(10**6)), party=0))
    assert [moment.at for moment in call.state.history[-2:]] == [house.at(5), house.at(5)]


async def test_too_many_parties_are_bounded(house):
    call = house.host.call("k", at=house.now(0))
    for i in range(600):
        call.party(f"p{i}", at=house.at(0))
    assert len(call.state.parties) == 500
    assert [warning.code for warning in call.state.warnings] == ["limit"]


async def test_two_calls_become_one(house):
    call, caller, agent = two_parties(house)
    segments(house, caller, 0, 1)
    other = house.host.call("k2", at=house.now(1))
    other.party("b", at=house.at(1))
    new = other.party("c", at=house.at(1), who=ev.PartyInfo(name="C"))
    third = other.track(new, at=house.at(1), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    segments(house, third, 1, 2)
    call.merge(other)
    segments(house, third, 2, 3)
    segments(house, caller, 2, 3)
    call.end(at=house.now(3))

    ((_, journal),) = house.finished
    assert [journal.uuid for journal in house.discarded] == [other.uuid]
    state = fold(journal.events)
    assert state == call.state
    assert [party.who.name for party in state.parties] == ["A", "B", "C"]
    assert state.odd == 0
    pcm = read_track(journal, state.tracks[2])
    assert (len(pcm), pcm[:8000].any(), pcm[8000:].all()) == (24_000, False, True)
    assert state.tracks[2].spans.total(ev.SpanKind.RECEIVED) == 16_000
    assert house.host.open_calls() == []
    assert agent is not third


async def test_what_speech_finds_in_a_merged_track_is_the_new_calls(house):
    call, *_ = two_parties(house)
    other = house.host.call("k2", at=house.now(1))
    party = other.party("c", at=house.at(1))
    track = other.track(party, at=house.at(1), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    segments(house, track, 1, 2)
    source = house.speech.listeners[-1].source
    number = source.next_utterance()
    call.merge(other)
    source.emit(ev.Utterance(at=house.at(2), utterance=number, track=source.track, start=800, stop=4000))
    words = [ev.Word(1000, 1500, "hi", 0.9)]
    source.emit(ev.Transcribed(at=house.at(2), utterance=number, engine="e", model="m", text="hi", words=words))
    (said,) = call.state.speech.values()
    assert (said.utterance.track, said.utterance.start, said.utterance.stop) == (2, 8800, 12_000)
    assert said.transcript.words == [ev.Word(9000, 9500, "hi", 0.9)]


async def test_captions_are_shown_to_who_watches(house):
    call, caller, _ = two_parties(house)
    with house.bus.watch() as lines:
        segments(house, caller, 0, 1)
        source = house.speech.listeners[0].source
        source.partial(800, 4000, "he")
        source.emit(ev.Utterance(at=house.at(1), utterance=0, track=0, start=800, stop=4000))
        source.emit(ev.Transcribed(at=house.at(1), utterance=0, engine="e", model="m", text="hello"))
        call.emit(ev.Held(at=house.at(1), party=1))
        house.bus.close()
        seen = [(line.kind, line.text, line.name, line.start) async for line in lines]
    assert seen == [("partial", "he", "A", 0.1), ("final", "hello", "A", 0.1), ("event", "held", "", 1.0)]


async def test_captions_are_of_one_call_and_end_with_it(house):
    call, caller, _ = two_parties(house)
    other = house.host.call("other", at=house.at(0))
    segments(house, caller, 0, 1)
    source = house.speech.listeners[0].source
    with call.captions() as lines, other.captions() as others:
        source.partial(800, 4000, "he")
        source.emit(ev.Utterance(at=house.at(1), utterance=0, track=0, start=800, stop=4000))
        source.emit(ev.Untranscribed(at=house.at(1), utterance=0, reason="deadline"))
        call.end(at=house.now(1))
        assert [(line.kind, line.text) async for line in lines] == [
            ("partial", "he"), ("final", ""), ("event", "callended"),
        ]  # fmt: skip
        other.end(at=house.now(1))
        assert [line.text async for line in others] == ["callended"]
    with call.captions() as lines:
        assert [line async for line in lines] == []
    assert not house.bus.watched(call.uuid)


async def test_captions_of_a_merged_call_go_on_with_the_survivors(house):
    call, caller, _ = two_parties(house)
    other = house.host.call("k2", at=house.now(1))
    segments(house, caller, 0, 1)
    with other.captions() as lines:
        call.merge(other)
        house.speech.listeners[0].source.partial(800, 4000, "he")
        call.end(at=house.now(2))
        seen = [(line.call, line.text) async for line in lines]
    assert seen == [(call.uuid, "he"), (call.uuid, "callended")]
    assert not house.bus.watched(call.uuid)


async def test_what_a_pause_touches_is_not_shown(house):
    call, caller, _ = two_parties(house)
    segments(house, caller, 0, 2)
    source = house.speech.listeners[0].source
    with call.captions() as lines:
        call.emit(ev.RecordingPaused(at=house.at(1), by="party", party=1))
        source.partial(800, 7000, "before")
        source.partial(800, 9000, "before and in it")
        source.emit(ev.Utterance(at=house.at(2), utterance=0, track=0, start=800, stop=9000))
        source.emit(ev.Transcribed(at=house.at(2), utterance=0, engine="e", model="m", text="before and in it"))
        call.emit(ev.RecordingResumed(at=house.at(2), by="party", party=1))
        call.end(at=house.now(2))
        seen = [(line.kind, line.text, line.party) async for line in lines]
    assert seen == [
        ("event", "paused", 1), ("partial", "before", 0), ("final", "", 0), ("event", "unpaused", 1),
        ("event", "callended", None),
    ]  # fmt: skip


async def test_audio_that_the_disk_did_not_take_is_lost_and_said_so(house):
    call, caller, _ = two_parties(house)
    segments(house, caller, 0, 1)
    call.journal.on_lost("0.pcm", 4000, 6000)
    call.end(at=house.now(1))
    assert call.state.tracks[0].spans.total(ev.SpanKind.LOST) == 2000
    assert [warning.code for warning in call.state.warnings] == ["disk"]


async def test_below_the_disk_floor_no_new_call_is_recorded_and_those_that_go_on_are(house):
    call, caller, _ = two_parties(house)
    house.free = 1_000_000
    house.registry.tick(house.now(1))
    assert "wanted" in house.registry.pressure.trouble["disk"]
    lost = house.host.call("k2", at=house.now(1))
    assert isinstance(lost.journal, NoJournal)
    lost.end(at=house.now(2))
    segments(house, caller, 2, 3)
    call.end(at=house.now(3))
    assert [ended for ended, _ in house.finished] == [call]
    house.free = 10**12
    for second in (4, 14):
        house.registry.tick(house.now(second))
    assert not house.registry.pressure.trouble


async def test_a_call_whose_history_is_too_long_for_a_record_stays_a_call_of_its_own(house, monkeypatch):
    monkeypatch.setattr("vcond.call.recorder.LARGEST_MERGE", 10)
    call, *_ = two_parties(house)
    other = house.host.call("k2", at=house.now(1))
    other.party("c", at=house.at(1))
    call.merge(other)
    assert house.host.open_calls() == [call, other]
    assert call.state.odd == 0


async def test_an_event_that_the_journal_refuses_stops_nothing(house):
    call, caller, _ = two_parties(house)
    call.emit(ev.CallAttribute(at=house.at(0), name="x", value="y" * (9 << 20)))
    segments(house, caller, 0, 1)
    call.end(at=house.now(1))
    assert call.state.tracks[0].samples == 8000


async def test_a_party_that_cannot_be_taken_is_nobody_and_its_track_takes_nothing(house):
    call, *_ = two_parties(house)
    long = call.party("x" * 300, at=house.at(0))
    assert call.party("x" * 300, at=house.at(0)) == long
    call.end(at=house.now(1))
    events = len(call.journal.events)
    assert call.party("late", at=house.at(2)) == -1
    track = call.track(-1, at=house.at(2), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    track.write(FRAME, arrived=house.at(2))
    track.close(at=house.at(3))
    assert len(call.journal.events) == events
    assert call.state.warnings == []


async def test_a_track_of_a_party_that_never_joined_takes_nothing(house):
    call, *_ = two_parties(house)
    call.track(7, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock()).write(FRAME, arrived=house.at(1))
    assert len(call.state.tracks) == 2
    assert call.state.odd == 0


async def test_the_sources_own_codec_is_in_the_record(house):
    call, *_ = two_parties(house)
    call.track(0, at=house.at(0), codec=Codec.L16, rate=48_000, clock=MillisClock(), source="OPUS")
    assert call.state.tracks[2].codec == "OPUS"


async def test_text_that_is_no_unicode_is_mended_at_the_border(house):
    call, *_ = two_parties(house)
    call.emit(ev.PartyDescribed(at=house.at(0), party=0, who=ev.PartyInfo(name="Mu\udcfcller")))
    assert call.state.parties[0].who.name == "Mu?ller"
    assert call.journal.events[-1].who.name == "Mu?ller"


async def test_what_the_journal_refuses_is_not_in_the_state_either(house):
    call, *_ = two_parties(house)
    call.emit(ev.CallAttribute(at=house.at(0), name="x", value="y" * (9 << 20)))
    assert call.state.facts == []


async def test_an_older_call_taken_in_by_a_younger_one_says_what_is_lost(house):
    older = house.host.call("older", at=house.now(0))
    track = older.track(
        older.party("c", at=house.at(0)), at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock()
    )
    segments(house, track, 0, 1)
    younger = house.host.call("younger", at=house.now(1))
    younger.merge(older)
    assert [warning.code for warning in younger.state.warnings] == ["merged-late"]


async def test_a_pause_covers_late_frames_of_every_pause(house):
    call, _, _ = two_parties(house)
    for since in (1, 3):
        call.emit(ev.RecordingPaused(at=house.now(since)))
        call.emit(ev.RecordingResumed(at=house.now(since + 1)))
    assert call.state.unpaused(8100, 8200, 8000) == []
    assert call.state.unpaused(16_100, 16_200, 8000) == [(16_100, 16_200)]
    assert call.state.unpaused(7_000, 40_000, 8000) == [(7000, 7999), (16_001, 23_999), (32_001, 40_000)]


async def test_what_is_said_ends_at_the_pause_and_begins_anew_after_it(house):
    call, caller, _ = two_parties(house)
    segments(house, caller, 0, 1)
    call.emit(ev.RecordingPaused(at=house.now(1)))
    segments(house, caller, 1, 2)
    before = house.speech.listeners[0]
    assert (before.closed, before.upto) == (True, 8000)
    call.emit(ev.RecordingResumed(at=house.now(2)))
    segments(house, caller, 2, 3)
    after = house.speech.listeners[-1]
    assert (after.start, after.closed) == (16_000 + 1, False)


async def test_a_pause_ends_what_is_said_also_when_no_frame_comes(house):
    call, caller, _ = two_parties(house)
    segments(house, caller, 0, 1)
    call.emit(ev.RecordingPaused(at=house.now(1)))
    house.registry.tick(house.now(1.5))
    assert not house.speech.listeners[0].closed
    house.registry.tick(house.now(2.5))
    assert (house.speech.listeners[0].closed, house.speech.listeners[0].upto) == (True, 8000 - 1)


async def test_a_pause_told_late_takes_back_what_was_kept_since(house):
    call, caller, _ = two_parties(house)
    segments(house, caller, 0, 2)
    call.emit(ev.Dtmf(at=house.at(1.2), party=0, button="4", ms=80))
    call.emit(ev.RecordingPaused(at=house.at(1)))
    call.emit(ev.RecordingResumed(at=house.at(1.5)))  # what came until now was not kept: it ends now
    call.emit(ev.Dtmf(at=house.at(1.9), party=0, button="5", ms=80))
    segments(house, caller, 2, 3)
    call.end(at=house.now(3))
    ((_, journal),) = house.finished
    pcm = read_track(journal, call.state.tracks[0])
    assert pcm[:7999].all()
    assert not pcm[7999:16_001].any()
    assert pcm[16_001:].all()
    assert call.state.tracks[0].spans.total(ev.SpanKind.PAUSED) == 8000
    assert [event.button for event in journal.events if isinstance(event, ev.Dtmf)] == ["4"]


async def test_a_second_pause_changes_nothing_and_there_is_room_for_one_always(house, monkeypatch):
    monkeypatch.setattr("vcond.call.recorder.MAX_EVENTS", 5)
    call, *_ = two_parties(house)
    for _ in range(9):
        call.emit(ev.Held(at=house.now(1), party=0))
    call.emit(ev.RecordingPaused(at=house.now(2), by="party", party=1))
    call.emit(ev.RecordingPaused(at=house.now(3), by="party", party=1))
    assert call.state.paused
    assert [(pause.start, pause.party) for pause in call.state.pauses] == [(house.at(2), 1)]
    assert sum(isinstance(event, ev.RecordingPaused) for event in call.journal.events) == 1


async def test_recording_goes_on_when_everyone_who_paused_let_it(house):
    call, caller, _ = two_parties(house)
    call.emit(ev.RecordingPaused(at=house.now(1), by="party", party=0))
    call.emit(ev.RecordingPaused(at=house.now(2), by="operator"))
    call.emit(ev.RecordingPaused(at=house.now(3), by="party", party=1))
    call.emit(ev.RecordingResumed(at=house.now(4), by="party", party=0))
    assert call.state.paused
    segments(house, caller, 4, 5)
    call.emit(ev.RecordingResumed(at=house.now(5), by="operator"))
    assert call.state.paused
    call.emit(ev.RecordingResumed(at=house.now(5), by="party", party=1))
    assert not call.state.paused
    segments(house, caller, 5, 6)
    call.end(at=house.now(6))
    stops = [(pause.by, pause.party, pause.stop) for pause in call.state.pauses]
    assert stops == [("party", 0, house.at(4)), ("operator", None, house.at(5)), ("party", 1, house.at(5))]
    spans = call.state.tracks[0].spans
    assert (spans.total(ev.SpanKind.PAUSED), spans.total(ev.SpanKind.RECEIVED)) == (4 * 8000, 8000)


async def test_a_pause_of_somebody_who_left_can_be_ended_by_who_is_here(house):
    call, *_ = two_parties(house)
    call.emit(ev.RecordingPaused(at=house.now(1), by="party", party=0))
    assert call.state.ending("party", 1) == []
    call.emit(ev.PartyLeft(at=house.now(2), party=0))
    assert call.state.paused
    call.emit(ev.RecordingResumed(at=house.now(3), by="party", party=1))
    assert not call.state.paused


async def test_a_call_that_was_heard_is_answered_whatever_was_not_said(house):
    """Found half-way, say: nobody saw the answer."""
    call = house.host.call("k", at=house.now(0))
    track = call.track(call.party("a", at=house.at(0)), at=house.at(0), codec=Codec.L16, rate=8000,
                       clock=ArrivalClock())  # fmt: skip
    segments(house, track, 0, 1)
    call.end(at=house.now(1), cause=Cause(q850=16))
    assert call.state.disposition is None


async def test_numbers_of_any_size_do_not_reach_the_adapter(house):
    call, *_ = two_parties(house)
    call.emit(ev.Dtmf(at=house.at(0), party=0, button="1", ms=10**30))
    call.emit(ev.Held(at=house.at(0), party=10**30))
    assert [moment.event for moment in call.state.history] == ["join", "join"]


async def test_names_that_are_no_unicode_are_recognised_again(house):
    call = house.host.call("k\udcff", at=house.now(0))
    assert house.host.call("k\udcff", at=house.at(0)) is call
    who = ev.PartyInfo(name="M\udcff")
    assert [call.party("p\udcff", at=house.at(0), who=who) for _ in range(3)] == [0, 0, 0]
    assert len(call.journal.events) == 2
