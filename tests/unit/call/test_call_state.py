import msgspec
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.causes import NORMAL
from vcond.call.state import as_published, fold

ZERO = 1_795_339_662 * SECOND


def at(seconds: float) -> Instant:
    return Instant(ZERO + round(seconds * SECOND))


OPENED = ev.CallOpened(at=at(0), call="u", adapter="test", key="k", direction="inbound")
TALK = [
    OPENED,
    ev.PartyJoined(at=at(0), party=0, key="a", who=ev.PartyInfo(tel="+15550100")),
    ev.PartyJoined(at=at(1), party=1, key="b", who=ev.PartyInfo(name="Bea")),
    ev.Answered(at=at(1)),
    ev.TrackOpened(at=at(1), track=0, party=0, codec="PCMU", rate=8000),
]


def test_a_plain_call():
    call = fold([*TALK, ev.PartyLeft(at=at(9), party=0), ev.CallEnded(at=at(9), cause=NORMAL, by=0)])
    assert (call.uuid, call.direction, call.answered, call.ended) == ("u", "inbound", at(1), at(9))
    assert [p.who.tel or p.who.name for p in call.parties] == ["+15550100", "Bea"]
    assert [(m.party, m.event) for m in call.history] == [(0, "join"), (1, "join"), (0, "drop")]
    assert call.hung_up_by == 0
    assert call.odd == 0


def test_a_party_that_returns_keeps_its_index():
    call = fold(
        [
            *TALK,
            ev.PartyLeft(at=at(2), party=1),
            ev.PartyJoined(at=at(5), party=1, key="b", who=ev.PartyInfo(role="agent")),
        ]
    )
    assert len(call.parties) == 2
    assert call.parties[1].here
    assert [(s.joined, s.left) for s in call.parties[1].presences] == [(at(1), at(2)), (at(5), None)]
    assert call.parties[1].who == ev.PartyInfo(name="Bea", role="agent")


def test_what_makes_no_sense_is_counted_and_the_rest_goes_on():
    call = fold(
        [
            *TALK,
            ev.PartyJoined(at=at(2), party=7, key="z"),
            ev.PartyLeft(at=at(2), party=9),
            ev.Span(at=at(2), track=5, start=0, stop=3, kind=ev.SpanKind.LOST),
            ev.Utterance(at=at(2), utterance=0, track=4, start=0, stop=3),
            ev.Transcribed(at=at(2), utterance=8, engine="e", model="m", text="x"),
            ev.RecordingResumed(at=at(2)),
            ev.Recovered(at=at(2)),
            OPENED,
            ev.Held(at=at(3), party=1),
        ]
    )
    assert call.odd == 8
    assert call.history[-1].event == "hold"


def test_a_digit_is_a_key_down_and_a_key_up():
    call = fold([*TALK, ev.Dtmf(at=at(2), party=0, button="5", ms=120)])
    assert [(m.event, m.button, m.at) for m in call.history[-2:]] == [("keydown", "5", at(2)), ("keyup", "5", at(2.12))]


def test_the_first_end_counts():
    call = fold([*TALK, ev.CallEnded(at=at(3), cause=NORMAL), ev.CallEnded(at=at(9))])
    assert call.ended == at(3)
    assert call.odd == 1


def test_pauses_and_interruptions_are_windows():
    call = fold(
        [
            *TALK,
            ev.RecordingPaused(at=at(2), reason="card"),
            ev.RecordingPaused(at=at(3)),
            ev.RecordingResumed(at=at(4)),
            ev.Interrupted(at=at(5), reason="crash"),
            ev.Recovered(at=at(6)),
            ev.RecordingPaused(at=at(7)),
        ]
    )
    assert [(w.start, w.stop, w.reason) for w in call.pauses] == [(at(2), at(4), "card"), (at(7), None, "")]
    assert [(w.start, w.stop) for w in call.interruptions] == [(at(5), at(6))]
    assert call.paused


def test_a_call_that_is_taken_in_does_not_end_our_pause():
    theirs = [ev.RecordingPaused(at=at(3)), ev.RecordingResumed(at=at(4)), ev.RecordingResumed(at=at(5))]
    merged = ev.Merged(at=at(6), call="v", events=[ev.encode(event) for event in theirs])
    call = fold([*TALK, ev.RecordingPaused(at=at(2)), merged])
    assert call.paused
    assert [(w.start, w.stop) for w in call.pauses] == [(at(2), None), (at(3), at(4))]
    call.apply(ev.RecordingResumed(at=at(8)))
    assert not call.paused
    assert call.pauses[0].stop == at(8)


def test_what_is_known_for_good_is_not_painted_over():
    def span(start: int, stop: int, kind: ev.SpanKind, *, final: bool = False) -> ev.Span:
        return ev.Span(at=at(2), track=0, start=start, stop=stop, kind=kind, final=final)

    call = fold([*TALK, span(40, 60, ev.SpanKind.LOST, final=True), span(0, 100, ev.SpanKind.RECEIVED)])
    assert call.tracks[0].spans.total(ev.SpanKind.LOST) == 20


def test_a_transfer_that_is_told_again_with_its_target_is_one_transfer():
    told = ev.Transferred(at=at(2), kind="blind", transferor=1, transferee=0, to="201")
    call = fold([*TALK, ev.PartyJoined(at=at(3), party=2, key="c"), told, msgspec.structs.replace(told, target=2)])
    assert [(t.to, t.target) for t in call.transfers] == [("201", 2)]


def test_a_key_is_not_held_for_years():
    call = fold([*TALK, ev.Dtmf(at=at(2), party=0, button="1", ms=10**12)])
    assert call.history[-1].at == at(62)


def test_utterances_wait_until_there_is_a_text_or_never_will_be():
    spoken = [ev.Utterance(at=at(2 + i), utterance=i, track=0, start=100 * i, stop=100 * i + 50) for i in range(3)]
    call = fold(
        [
            *TALK,
            *spoken,
            ev.Transcribed(at=at(6), utterance=0, engine="e", model="m", text="hi"),
            ev.Untranscribed(at=at(6), utterance=1, reason="deadline"),
        ]
    )
    assert [u.utterance for u in call.untranscribed()] == [2]


def test_positions_and_moments():
    call = fold(TALK)
    assert call.position(at(1.5), 8000) == 12_000
    assert call.at(12_000, 8000) == at(1.5)


indices = st.integers(-1, 4)
some = st.one_of(
    st.builds(ev.PartyJoined, at=st.just(at(1)), party=indices, key=st.sampled_from("abcd")),
    st.builds(ev.PartyLeft, at=st.just(at(1)), party=indices),
    st.builds(ev.TrackOpened, at=st.just(at(1)), track=indices, party=indices, codec=st.just("L16"),
              rate=st.sampled_from([0, 8000])),
    st.builds(ev.Span, at=st.just(at(1)), track=indices, start=st.integers(-5, 50), stop=st.integers(-5, 50),
              kind=st.sampled_from(list(ev.SpanKind))),
    st.builds(ev.TrackClosed, at=st.just(at(1)), track=indices, samples=st.integers(-5, 50)),
    st.builds(ev.Utterance, at=st.just(at(1)), utterance=indices, track=indices, start=st.integers(0, 50),
              stop=st.integers(0, 50)),
    st.builds(ev.Transcribed, at=st.just(at(1)), utterance=indices, engine=st.just("e"), model=st.just("m"),
              text=st.just("t")),
    st.builds(ev.Transferred, at=st.just(at(1)), kind=st.just("blind"), transferor=indices, target=indices),
    st.builds(ev.Held, at=st.just(at(1)), party=indices),
    st.builds(ev.Merged, at=st.just(at(1)), call=st.just("v"),
              events=st.just([{"t": "Held", "at": 3, "party": 0}, {"broken": 1}])),
    st.builds(ev.RecordingPaused, at=st.just(at(1))),
    st.builds(ev.RecordingResumed, at=st.just(at(1))),
    st.builds(ev.PauseOverridden, at=st.just(at(1))),
    st.builds(ev.CallEnded, at=st.just(at(1))),
)  # fmt: skip


@given(st.lists(some, max_size=60))
def test_no_history_is_too_strange(events: list[ev.Event]):
    call = fold([OPENED, *events])
    assert [party.index for party in call.parties] == list(range(len(call.parties)))
    assert all(0 <= track.party < len(call.parties) for track in call.tracks)
    assert fold([OPENED, *events]) == call


def test_how_a_call_is_transcribed_begins_anew_with_a_new_run():
    deferred = ev.SpeechState(at=at(2), state="deferred")
    call = fold([*TALK, deferred, ev.Interrupted(at=at(3), reason="crash"), ev.Recovered(at=at(5))])
    assert call.speech_states == [deferred, ev.SpeechState(at=at(5), state="live")]
    assert fold([*TALK, ev.Interrupted(at=at(3)), ev.Recovered(at=at(5))]).speech_states == []


def test_texts_that_come_after_the_vcon_left_are_counted_and_can_be_left_out():
    events = [
        *TALK,
        ev.Utterance(at=at(3), utterance=0, track=0, start=0, stop=8000),
        ev.Untranscribed(at=at(4), utterance=0, reason="deadline"),
        ev.Amending(at=at(4), vcon="v", until=at(9)),
        ev.Published(at=at(5), sha512="aa"),
        ev.Transcribed(at=at(6), utterance=0, engine="e", model="m", text="late"),
        ev.Published(at=at(7), sha512="bb", vcon="v"),
    ]
    call = fold(events)
    assert (call.added, call.added_at, call.published, call.amended) == (1, at(6), "aa", "bb")
    assert call.missed() == []
    before = as_published(events)
    assert before == fold(events[:-3])
    assert [one.utterance for one in before.missed()] == [0]
