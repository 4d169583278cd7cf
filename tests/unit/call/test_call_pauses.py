"""What a pause leaves of a track, and whose pause ends when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_call_consents import Live

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.merge import merge
from vcond.call.state import Call, fold
from vcond.policy import pausing

ZERO = 1_795_339_662 * SECOND
RATE = 8000
OWNERS = [("operator", None), ("party", 0), ("party", 1), ("platform", None)]


def at(seconds: float) -> Instant:
    return Instant(ZERO + round(seconds * SECOND))


def call_of(*events):
    opened = ev.CallOpened(at=at(0), call="u", adapter="test", key="k")
    parties = [ev.PartyJoined(at=at(0), party=i, key=str(i)) for i in (0, 1)]
    return fold([opened, *parties, *events])


def switched(steps):
    """Pauses and their ends, each a while after the one before."""
    now, events = 0.0, []
    for after, owner, on in steps:
        now += after
        by, party = OWNERS[owner]
        events.append(
            ev.RecordingPaused(at=at(now), by=by, party=party)
            if on
            else ev.RecordingResumed(at=at(now), by=by, party=party)
        )
    return events


STEPS = st.lists(st.tuples(st.floats(0.001, 3), st.integers(0, 3), st.booleans()), max_size=12)


@given(STEPS, st.integers(0, 10 * RATE), st.integers(1, 20 * RATE))
def test_no_sample_of_a_pause_is_kept_and_all_others_are(steps, start, length):
    call = call_of(*switched(steps))
    kept = np.zeros(length, bool)
    for a, b in call.unpaused(start, start + length, RATE):
        assert start <= a < b <= start + length
        assert not kept[a - start : b - start].any()
        kept[a - start : b - start] = True
    moments = ZERO + (np.arange(start, start + length) * SECOND) // RATE
    paused, near = np.zeros(length, bool), np.zeros(length, bool)
    for pause in call.pauses:
        stop = pause.stop if pause.stop is not None else 1 << 62
        paused |= (moments >= pause.start) & (moments < stop)
        near |= (moments >= pause.start - 3 * SECOND // RATE) & (moments < stop + 3 * SECOND // RATE)
    assert not (kept & paused).any()
    assert (kept | near).all()


@given(STEPS)
def test_it_is_paused_while_anybody_wants_it(steps):
    wanted: set[tuple[str, int | None]] = set()
    events = switched(steps)
    for event in events:
        owner = (event.by, event.party)
        if isinstance(event, ev.RecordingPaused):
            wanted.add(owner)
        else:
            wanted.discard(owner)
    call = call_of(*events)
    assert call.paused == bool(wanted)
    assert {(pause.by, pause.party) for pause in call.pauses if pause.stop is None} == wanted


def test_a_pause_is_its_partys_also_after_a_merge():
    into = call_of()
    events = [
        ev.CallOpened(at=at(1), call="v", adapter="test", key="k2"),
        ev.PartyJoined(at=at(1), party=0, key="c"),
        ev.RecordingPaused(at=at(2), by="party", party=0),
    ]
    into.apply(merge(into, fold(events), events, at=at(3)).event)
    assert pausing.made(into.pauses, pausing.Owner("party", 2))
    into.apply(ev.RecordingResumed(at=at(4), by="party", party=2))
    assert not into.paused
    assert into.odd == 0


@pytest.mark.parametrize("who", OWNERS)
def test_whoever_lets_recording_go_on_ends_its_own_pause_only(who):
    call = call_of(*[ev.RecordingPaused(at=at(1), by=by, party=party) for by, party in OWNERS])
    call.apply(ev.RecordingResumed(at=at(2), by=who[0], party=who[1]))
    assert {(pause.by, pause.party) for pause in call.pauses if pause.stop is not None} == {who}
    assert call.paused
    assert call.odd == 0


@pytest.mark.parametrize("who", [("operator", None), ("platform", None), ("platform", 1), ("", None)])
def test_a_pause_of_a_party_that_left_is_for_parties_to_end(who):
    call = call_of(ev.RecordingPaused(at=at(1), by="party", party=0), ev.PartyLeft(at=at(2), party=0))
    call.apply(ev.RecordingResumed(at=at(3), by=who[0], party=who[1]))
    assert call.paused
    call.apply(ev.RecordingResumed(at=at(4), by="party", party=1))
    assert not call.paused


def test_an_override_ends_all_pauses_and_is_told_of_each():
    call = call_of(*[ev.RecordingPaused(at=at(1), by=by, party=party) for by, party in OWNERS])
    call.apply(ev.RecordingResumed(at=at(2), by="party", party=0))
    call.apply(ev.PauseOverridden(at=at(3), by="operator", reason="court order"))
    assert not call.paused
    told = {(pause.by, pause.party): (pause.overridden_by, pause.override_reason) for pause in call.pauses}
    by_operator = ("operator", "court order")
    assert told == {owner: ("", "") if owner == ("party", 0) else by_operator for owner in OWNERS}


def test_pauses_that_are_over_cost_next_to_nothing(monkeypatch):
    steps = [(1.0, 1, number % 2 == 0) for number in range(2_000)]
    call = call_of(*switched(steps))
    assert len(call.pauses) == 1_000
    asked = []
    position = Call.position
    monkeypatch.setattr(Call, "position", lambda self, *at: asked.append(at) or position(self, *at))
    start = round(1_998.5 * RATE)
    again = 2_000 * RATE
    assert call.unpaused(start, again + RATE, RATE) == [(start, again - RATE - 1), (again + 1, again + RATE)]
    assert len(asked) <= 4


@pytest.mark.parametrize("name", ["variable.VCOND_PAUSE", "parameter.vcond-pause", "sip_header.X-Vcond-Pause.2"])
def test_an_attribute_pauses_and_lets_it_go_on_and_says_why(name):
    live = Live()
    said = []
    for value in ("card", "card", "off", "off", "x" * 99, "No"):
        live.speak(1)
        live.call.emit(ev.CallAttribute(at=live.book.time, name=name, value=value, party=1))
        said.append(live.call.state.paused)
    assert said == [True, True, False, False, True, False]
    assert [(one.by, one.reason) for one in live.call.state.pauses] == [("platform", "card"), ("platform", "x" * 64)]
    live.end()
    heard = live.heard(0)
    assert [all(heard[10 * at + 1 : 10 * at + 9]) for at in range(6)] == [True, False, False, True, True, False]


def test_an_attribute_ends_no_pause_of_others_and_others_names_pause_nothing():
    live = Live()
    live.call.emit(ev.CallAttribute(at=live.book.time, name="variable.VCOND_PAUSED", value="card"))
    assert not live.call.state.paused
    live.call.emit(ev.RecordingPaused(at=live.book.time, by="party", party=0))
    live.call.emit(ev.CallAttribute(at=live.book.time, name="variable.VCOND_PAUSE", value="off"))
    assert live.call.state.paused
