"""Each thing that may be missing in a record has its code, and the PBX's hint before the general one."""

import tomllib

import pytest

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.causes import Cause
from vcond.call.diagnosis import HINTS, Diagnosis, diagnose, hint
from vcond.call.events import SpanKind
from vcond.call.state import fold

RATE = 8000


def at(seconds: float) -> Instant:
    return Instant(round(seconds * SECOND))


def call(*more: ev.Event, heard=((0, SpanKind.RECEIVED), (1, SpanKind.RECEIVED)), end: float | None = 100):
    """Two parties who met at 0, with a track each of one kind all the time."""
    events: list[ev.Event] = [ev.CallOpened(at=at(0), call="u", adapter="asterisk", key="k")]
    events += [ev.PartyJoined(at=at(0), party=party, key=str(party)) for party in (0, 1)]
    events.append(ev.Answered(at=at(0)))
    for track, (party, kind) in enumerate(heard):
        events.append(ev.TrackOpened(at=at(0), track=track, party=party, codec="PCMU", rate=RATE))
        if kind is not None:
            events.append(ev.Span(at=at(1), track=track, start=0, stop=100 * RATE, kind=kind))
    events += more
    if end is not None:
        events.append(ev.CallEnded(at=at(end), cause=Cause()))
    return fold(events)


def codes(found: list[Diagnosis]) -> list[tuple[str, int | None]]:
    return [(one.code, one.party) for one in found]


def test_a_call_of_which_all_came_has_no_findings():
    assert diagnose(call(), {0: "sound", 1: "sound"}) == []


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (((0, None), (1, None)), [("no-audio", 0), ("no-audio", 1)]),
        ((), [("no-audio", 0), ("no-audio", 1)]),
        (((0, SpanKind.RECEIVED), (1, None)), [("one-way-audio", 1)]),
        (((0, SpanKind.RECEIVED), (1, SpanKind.SILENT)), [("digital-silence", 1)]),
        (((0, SpanKind.RECEIVED), (1, SpanKind.LOST)), [("one-way-audio", 1), ("audio-lost", 1)]),
    ],
)
def test_who_is_not_heard(heard, expected):
    assert codes(diagnose(call(heard=heard))) == expected


@pytest.mark.parametrize(("kind", "code"), [("comfort-noise", "comfort-noise"), ("noise", "wrong-codec")])
def test_what_a_track_sounds_like(kind, code):
    assert codes(diagnose(call(), {0: "sound", 1: kind})) == [(code, 1)]


def test_who_was_heard_and_whose_spans_a_crash_lost_is_not_missed():
    assert diagnose(call(heard=((0, SpanKind.RECEIVED), (1, None))), {1: "sound"}) == []


def test_a_call_that_goes_on_is_given_some_seconds():
    young = call(heard=((0, SpanKind.RECEIVED), (1, None)), end=None)
    assert diagnose(young, now=at(5)) == []
    assert codes(diagnose(young, now=at(11))) == [("one-way-audio", 1)]


def test_nobody_is_missed_in_a_call_that_nobody_answered():
    events = [
        ev.CallOpened(at=at(0), call="u", adapter="asterisk", key="k"),
        ev.PartyJoined(at=at(0), party=0, key="a"),
        ev.CallEnded(at=at(20)),
    ]
    assert diagnose(fold(events)) == []


def test_a_hold_that_never_ended_is_one_that_lasts_to_the_end():
    held = ev.Held(at=at(10), party=0)
    assert codes(diagnose(call(held))) == [("hold-not-ended", 0)]
    assert codes(diagnose(call(held, ev.PartyLeft(at=at(99), party=0)))) == [("hold-not-ended", 0)]
    assert diagnose(call(held, ev.Retrieved(at=at(90), party=0))) == []
    assert diagnose(call(ev.Held(at=at(50), party=0))) == [], "who is hung up on while he waits is no fault"
    assert diagnose(call(held, ev.PartyLeft(at=at(80), party=0))) == [], "a transfer"


def test_what_was_warned_of_comes_first_and_once():
    warned = ev.Warned(at=at(3), code="tap-failed", text="this party could not be listened to for a while")
    found = diagnose(call(warned, warned, heard=((0, SpanKind.RECEIVED), (1, None))))
    assert codes(found) == [("tap-failed", None), ("one-way-audio", 1)]
    assert found[0].text == warned.text


def test_an_interruption_is_a_crash_when_it_was_one():
    crash = (ev.Interrupted(at=at(10), reason="crash"), ev.Recovered(at=at(14)))
    assert diagnose(call(*crash)) == [Diagnosis("crash", "capture interrupted for 4.0 s (crash)")]
    assert codes(diagnose(call(ev.Interrupted(at=at(10), reason="stop"), ev.Recovered(at=at(11))))) == [
        ("interrupted", None)
    ]


@pytest.mark.parametrize(
    ("reason", "code"), [("deadline", "texts-deferred"), ("no-engine", "no-engine"), ("engine-failed", "texts-failed")]
)
def test_texts_that_are_not_there(reason, code):
    spoken = ev.Utterance(at=at(2), utterance=0, track=0, start=0, stop=RATE)
    assert codes(diagnose(call(spoken, ev.Untranscribed(at=at(99), utterance=0, reason=reason)))) == [(code, None)]
    assert codes(diagnose(call(spoken))) == [("texts-deferred", None)], "still waiting at the end"
    assert diagnose(call(spoken, end=None), now=at(50)) == [], "while the call goes on a text may come"


def test_a_pause_explains_and_is_not_wrong():
    (found,) = diagnose(call(ev.RecordingPaused(at=at(5), by="operator"), ev.RecordingResumed(at=at(9), by="operator")))
    assert (found.code, found.wrong) == ("paused", False)


def test_the_hint_of_the_pbx_comes_before_the_general_one():
    assert hint("no-audio", {"no-audio": "own"}) == "own"
    assert hint("no-audio", {}) == HINTS["no-audio"]
    assert hint("of-a-plug-in") == ""


def test_hints_of_adapters_are_for_codes_that_there_are(request):
    files = sorted(request.config.rootpath.glob("adapters/*/vcond_*/hints*.toml"))
    assert len(files) >= 7
    for file in files:
        told = tomllib.loads(file.read_text("utf-8"))
        assert told.keys() <= HINTS.keys(), file
        assert all(0 < len(text) <= 160 for text in told.values()), file
