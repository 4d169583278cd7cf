"""What adapters of PBXs share; the conversation itself is tested through both of them, and by the golden vCons."""

from __future__ import annotations

from pathlib import Path

import pytest
from pbxkit import Plain

from vcond import sdk
from vcond.sdk.contract import CallAttribute, Cause, ConfigError, Transferred
from vcond.testing.desk import MemoryDesk
from vcond.testing.time import ManualClock


def test_texts_are_cleaned() -> None:
    assert sdk.clean(" Bob\r\nEvil\x00 \u202e") == "BobEvil"
    assert len(sdk.clean("x" * 10_000)) == sdk.MAX_TEXT
    assert sdk.clean("\n" * 300 + "late") == "late"


def test_patterns_are_those_of_a_shell() -> None:
    assert sdk.matches(["PJSIP/1*"], "PJSIP/1001")
    assert not sdk.matches(["PJSIP/1*"], "pjsip/1001")
    assert not sdk.matches([], "PJSIP/1001")


@pytest.mark.parametrize(
    ("internal", "trunks", "ours"),
    [([], [], None), (["a*"], [], True), (["b*"], [], False), ([], ["a*"], False), ([], ["b*"], True),
     (["a*"], ["a*"], True), (["b*"], ["b*"], None)],
)  # fmt: skip
def test_whose_a_leg_is(internal: list[str], trunks: list[str], ours: bool | None) -> None:
    assert sdk.inside(internal, trunks, "a1") is ours


def test_a_secret_is_given_or_lies_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-a-file\n")
    assert sdk.secret("given", "", "adapters.x.password_file") == "given"
    assert sdk.secret("", str(file), "adapters.x.password_file") == "from-a-file"
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        sdk.secret("", str(tmp_path / "none"), "adapters.x.password_file")
    assert caught.value.path == "adapters.x.password_file"


@pytest.mark.parametrize(
    ("first", "others", "way"),
    [
        (False, [True], "inbound"),
        (False, [], "inbound"),
        (True, [False], "outbound"),
        (True, [True], "internal"),
        (True, [True, False], "outbound"),
        (True, [], "internal"),
        (None, [None], "unknown"),
        (True, [None], "internal"),
    ],
)
def test_which_way_a_call_goes(first: bool | None, others: list[bool | None], way: str) -> None:
    assert sdk.direction(first, others) == way


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk("pbx", clock=ManualClock())


def test_two_who_are_up_are_a_call_that_is_answered(desk: MemoryDesk) -> None:
    talk = Plain("one", desk)
    ann, ben = talk.leg("ann"), talk.leg("ben")
    assert talk.heard == ["ann", "ben"]
    (call,) = desk.calls
    assert call.state.answered is not None
    now = desk.clock.now()
    talk.hold(ben, now)
    talk.hold(ben, now)
    talk.remove(ben, now, Cause(q850=16))
    talk.remove(ann, now, Cause(q850=16))
    assert talk.over
    talk.end(now)
    assert call.over
    assert [moment.event for moment in call.state.history] == ["join", "join", "hold", "unhold", "drop", "drop"]
    assert desk.faults == []


def test_who_is_never_recorded_ends_it_for_all(desk: MemoryDesk) -> None:
    talk = Plain("one", desk)
    talk.leg("ann")
    talk.leg("boss7")
    assert (talk.heard, talk.refused, talk.call) == ([], sdk.EXCLUDED, None)
    assert desk.calls[0].over
    talk.leg("ben")
    assert talk.heard == []


def test_a_context_that_is_not_wanted_opens_nothing(desk: MemoryDesk) -> None:
    Plain("one", desk).leg("ann", context="test")
    assert desk.calls == []


def test_no_more_than_the_limit(desk: MemoryDesk) -> None:
    talks = [Plain(str(n), desk) for n in range(3)]
    for talk in talks:
        talk.leg("ann")
    assert [talk.refused for talk in talks] == ["", "", "limit"]
    assert len(desk.calls) == 2


def test_a_blind_transfer_is_told_again_with_whom_it_reached(desk: MemoryDesk) -> None:
    talk = Plain("one", desk)
    ann, _ = talk.leg("ann"), talk.leg("ben")
    now = desk.clock.now()
    assert ann.party is not None
    talk.transferred(Transferred(at=now, kind="blind", transferor=0, transferee=1))
    talk.remove(ann, now, Cause(q850=16))
    talk.leg("cleo")
    (call,) = desk.calls
    told = [event for event in call.events if isinstance(event, Transferred)]
    assert [event.target for event in told] == [None, 2]


def test_a_call_that_the_core_ended_is_listened_to_no_more(desk: MemoryDesk) -> None:
    talk = Plain("one", desk)
    talk.leg("ann")
    now = desk.clock.now()
    desk.calls[0].end(at=now)
    talk.look(now)
    assert (talk.heard, talk.refused, talk.call) == ([], "ended", None)


@pytest.mark.parametrize("why", ["adapter-gone", "limit"])
def test_a_call_that_the_core_cut_off_and_that_lives_on_is_recorded_from_then_on(desk: MemoryDesk, why: str) -> None:
    talk = Plain("one", desk)
    ann, ben = talk.leg("ann"), talk.leg("ben")
    gone = talk.leg("gone")
    talk.hold(ben, desk.clock.now())
    desk.calls[0].end(at=desk.clock.now(), cause=Cause(text=why))
    talk.look(desk.clock.now())
    assert (talk.heard, talk.refused) == ([], "")
    talk.settle(desk.clock.now())
    talk.remove(gone, desk.clock.now(), Cause())
    assert len(desk.calls) == 1, "nothing is told while the PBX is not attached"
    at = desk.clock.advance(60 * 10**9)
    talk.again(at)
    talk.again(at)
    old, new = desk.calls
    assert talk.heard == ["ann", "ben"]
    assert (new.key, new.state.opened, new.state.answered) == (old.key, at, at)
    assert [warning.code for warning in new.state.warnings] == ["joined-late"]
    assert [(moment.party, moment.event) for moment in new.state.history] == [(0, "join"), (1, "join"), (1, "hold")]
    now = desk.clock.advance(10**9)
    for leg in (ann, ben):
        talk.remove(leg, now, Cause(q850=16))
    talk.end(now)
    assert new.state.ended == now
    assert desk.faults == []


def test_a_call_that_the_core_cut_off_and_that_is_over_is_no_new_one(desk: MemoryDesk) -> None:
    talk = Plain("one", desk)
    ann = talk.leg("ann")
    now = desk.clock.now()
    desk.calls[0].end(at=now, cause=Cause(text="adapter-gone"))
    talk.look(now)
    talk.remove(ann, now, Cause())
    talk.end(now)
    assert len(desk.calls) == 1


def test_a_call_that_was_cut_off_goes_on_in_the_one_that_it_meets(desk: MemoryDesk) -> None:
    talk, other = Plain("one", desk), Plain("two", desk)
    talk.leg("ann")
    other.leg("ben")
    now = desk.clock.now()
    desk.calls[0].end(at=now, cause=Cause(text="limit"))
    talk.look(now)
    talk.absorb(other)
    talk.settle(now)
    assert [party.key for party in desk.calls[1].state.parties] == ["ben", "ann"]


def test_variables_are_told_once_there_is_a_call_and_bounded(desk: MemoryDesk) -> None:
    talk = Plain("one", desk)
    now = desk.clock.now()
    talk.variable("LANG", "de", now)
    talk.leg("ann")
    for n in range(500):
        talk.variable("N", str(n), now)
        talk.variable("LANG", "de", now)
    told = [event for event in desk.calls[0].events if isinstance(event, CallAttribute)]
    assert [fact.value for fact in told if fact.name == "variable.LANG"] == ["de"]
    assert len(told) == sdk.MOST_VARIABLES


def test_variables_of_what_is_merged_in_are_the_calls(desk: MemoryDesk) -> None:
    one, two = Plain("one", desk), Plain("two", desk)
    one.leg("ann")
    two.variable("LANG", "de", desk.clock.now())
    one.absorb(two)
    assert [(fact.name, fact.value) for fact in desk.calls[0].state.facts] == [("variable.LANG", "de")]


def test_a_merge_that_fails_ends_the_other_and_its_legs_join_anew(desk: MemoryDesk) -> None:
    one, two = Plain("one", desk), Plain("two", desk)
    one.leg("ann")
    ben = two.leg("ben")
    desk.unmergeable = "disk"
    one.absorb(two)
    one.settle(desk.clock.now())
    kept, other = desk.calls
    assert (kept.over, other.over) == (False, True)
    assert [warning.code for warning in other.state.warnings] == ["not-merged"]
    assert [party.key for party in kept.state.parties] == ["ann", "ben"]
    assert ben.party is kept.state.parties[1]
    assert (one.heard, two.heard) == (["ann", "ben"], [])
    assert desk.drops == {("merge", "disk"): 1}
    assert desk.faults == []


def test_a_hold_goes_with_its_leg_into_the_call_that_goes_on(desk: MemoryDesk) -> None:
    one, two = Plain("one", desk), Plain("two", desk)
    one.leg("ann")
    ben = two.leg("ben")
    two.hold(ben, desk.clock.now())
    desk.unmergeable = "disk"
    one.absorb(two)
    one.settle(desk.clock.now())
    one.unhold(ben, desk.clock.now())
    told = [(moment.party, moment.event) for moment in desk.calls[0].state.history if "hold" in moment.event]
    assert told == [(1, "hold"), (1, "unhold")]


def test_who_only_listens_in_is_no_party(desk: MemoryDesk) -> None:
    talk, alone = Plain("one", desk), Plain("two", desk)
    ann, spy = talk.leg("ann"), talk.leg("spy")
    late = alone.leg("late", up=False)
    talk.listens_in(spy, desk.clock.now())
    alone.listens_in(late, desk.clock.now())
    late.up = desk.clock.now()
    for conversation in (talk, alone):
        conversation.settle(desk.clock.now())
    (call,) = desk.calls
    assert [(party.key, party.here) for party in call.state.parties] == [("ann", True), ("spy", False)]
    assert (talk.heard, alone.heard, alone.refused) == (["ann"], [], sdk.SUPERVISOR)
    talk.listens_in(ann, desk.clock.now())
    assert call.over
