"""What adapters of PBXs share; the conversation itself is tested through both of them, and by the golden vCons."""

from __future__ import annotations

from pathlib import Path

import pytest
from pbxkit import Plain

from vcond import sdk
from vcond.sdk.contract import CallAttribute, Cause, ConfigError, Transferred
from vcond.testing.host import MemoryHost
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
    assert sdk.Selection(internal=internal, trunks=trunks).inside("a1") is ours


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
def host() -> MemoryHost:
    return MemoryHost("pbx", clock=ManualClock())


def test_two_who_are_up_are_a_call_that_is_answered(host: MemoryHost) -> None:
    talk = Plain("one", host)
    ann, ben = talk.leg("ann"), talk.leg("ben")
    assert talk.heard == ["ann", "ben"]
    (call,) = host.calls
    assert call.state.answered is not None
    now = host.clock.now()
    talk.hold(ben, now)
    talk.hold(ben, now)
    talk.remove(ben, now, Cause(q850=16))
    talk.remove(ann, now, Cause(q850=16))
    assert talk.over
    talk.end(now)
    assert call.over
    assert [moment.event for moment in call.state.history] == ["join", "join", "hold", "unhold", "drop", "drop"]
    assert host.faults == []


def test_who_is_never_recorded_ends_it_for_all(host: MemoryHost) -> None:
    talk = Plain("one", host)
    talk.leg("ann")
    talk.leg("boss7")
    assert (talk.heard, talk.refused, talk.call) == ([], sdk.EXCLUDED, None)
    assert host.calls[0].over
    talk.leg("ben")
    assert talk.heard == []


def test_a_context_that_is_not_wanted_opens_nothing(host: MemoryHost) -> None:
    Plain("one", host).leg("ann", context="test")
    assert host.calls == []


def test_no_more_than_the_limit(host: MemoryHost) -> None:
    talks = [Plain(str(n), host) for n in range(3)]
    for talk in talks:
        talk.leg("ann")
    assert [talk.refused for talk in talks] == ["", "", "limit"]
    assert len(host.calls) == 2


def test_a_blind_transfer_is_told_again_with_whom_it_reached(host: MemoryHost) -> None:
    talk = Plain("one", host)
    ann, _ = talk.leg("ann"), talk.leg("ben")
    now = host.clock.now()
    assert ann.party is not None
    talk.transferred(Transferred(at=now, kind="blind", transferor=0, transferee=1))
    talk.remove(ann, now, Cause(q850=16))
    talk.leg("cleo")
    (call,) = host.calls
    told = [event for event in call.events if isinstance(event, Transferred)]
    assert [event.target for event in told] == [None, 2]


def test_a_call_that_the_core_ended_is_listened_to_no_more(host: MemoryHost) -> None:
    talk = Plain("one", host)
    talk.leg("ann")
    now = host.clock.now()
    host.calls[0].end(at=now)
    talk.look(now)
    assert (talk.heard, talk.refused, talk.call) == ([], "ended", None)


@pytest.mark.parametrize("why", ["adapter-gone", "limit"])
def test_a_call_that_the_core_cut_off_and_that_lives_on_is_recorded_from_then_on(host: MemoryHost, why: str) -> None:
    talk = Plain("one", host)
    ann, ben = talk.leg("ann"), talk.leg("ben")
    gone = talk.leg("gone")
    talk.hold(ben, host.clock.now())
    host.calls[0].end(at=host.clock.now(), cause=Cause(text=why))
    talk.look(host.clock.now())
    assert (talk.heard, talk.refused) == ([], "")
    talk.settle(host.clock.now())
    talk.remove(gone, host.clock.now(), Cause())
    assert len(host.calls) == 1, "nothing is told while the PBX is not attached"
    at = host.clock.advance(60 * 10**9)
    talk.again(at)
    talk.again(at)
    old, new = host.calls
    assert talk.heard == ["ann", "ben"]
    assert (new.key, new.state.opened, new.state.answered) == (old.key, at, at)
    assert [warning.code for warning in new.state.warnings] == ["joined-late"]
    assert [(moment.party, moment.event) for moment in new.state.history] == [(0, "join"), (1, "join"), (1, "hold")]
    now = host.clock.advance(10**9)
    for leg in (ann, ben):
        talk.remove(leg, now, Cause(q850=16))
    talk.end(now)
    assert new.state.ended == now
    assert host.faults == []


def test_a_call_that_the_core_cut_off_and_that_is_over_is_no_new_one(host: MemoryHost) -> None:
    talk = Plain("one", host)
    ann = talk.leg("ann")
    now = host.clock.now()
    host.calls[0].end(at=now, cause=Cause(text="adapter-gone"))
    talk.look(now)
    talk.remove(ann, now, Cause())
    talk.end(now)
    assert len(host.calls) == 1


def test_a_call_that_was_cut_off_goes_on_in_the_one_that_it_meets(host: MemoryHost) -> None:
    talk, other = Plain("one", host), Plain("two", host)
    talk.leg("ann")
    other.leg("ben")
    now = host.clock.now()
    host.calls[0].end(at=now, cause=Cause(text="limit"))
    talk.look(now)
    talk.absorb(other)
    talk.settle(now)
    assert [party.key for party in host.calls[1].state.parties] == ["ben", "ann"]


def test_variables_are_told_once_there_is_a_call_and_bounded(host: MemoryHost) -> None:
    talk = Plain("one", host)
    now = host.clock.now()
    talk.variable("LANG", "de", now)
    talk.leg("ann")
    for n in range(500):
        talk.variable("N", str(n), now)
        talk.variable("LANG", "de", now)
    told = [event for event in host.calls[0].events if isinstance(event, CallAttribute)]
    assert [fact.value for fact in told if fact.name == "variable.LANG"] == ["de"]
    assert len(told) == sdk.MOST_VARIABLES


def test_what_a_channel_says_of_consent_is_of_its_party_as_soon_as_it_is_one(host: MemoryHost) -> None:
    talk = Plain("one", host)
    now = host.clock.now()
    talk.leg("ann")
    ben = talk.leg("ben", up=False)
    talk.variable("VCOND_CONSENT", "granted; announcement=rec-en", now, ben)
    talk.variable("VCOND_CONSENT", "", now, ben)
    assert not host.calls[0].state.consents.said
    ben.up = now
    talk.settle(now)
    (said,) = host.calls[0].state.consents.said
    assert (host.calls[0].state.parties[said.party].key, said.state, said.how) == ("ben", "granted", "variable")
    talk.variable("VCOND_CONSENT", "withdrawn", now, ben)
    talk.variable("VCOND_CONSENT", "withdrawn", now, ben)
    assert [one.state for one in host.calls[0].state.consents.said] == ["granted", "withdrawn"]


def test_variables_of_what_is_merged_in_are_the_calls(host: MemoryHost) -> None:
    one, two = Plain("one", host), Plain("two", host)
    one.leg("ann")
    two.variable("LANG", "de", host.clock.now())
    one.absorb(two)
    assert [(fact.name, fact.value) for fact in host.calls[0].state.facts] == [("variable.LANG", "de")]


def test_a_merge_that_fails_ends_the_other_and_its_legs_join_anew(host: MemoryHost) -> None:
    one, two = Plain("one", host), Plain("two", host)
    one.leg("ann")
    ben = two.leg("ben")
    host.unmergeable = "disk"
    one.absorb(two)
    one.settle(host.clock.now())
    kept, other = host.calls
    assert (kept.over, other.over) == (False, True)
    assert [warning.code for warning in other.state.warnings] == ["not-merged"]
    assert [party.key for party in kept.state.parties] == ["ann", "ben"]
    assert ben.party is kept.state.parties[1]
    assert (one.heard, two.heard) == (["ann", "ben"], [])
    assert host.drops == {("merge", "disk"): 1}
    assert host.faults == []


def test_a_hold_goes_with_its_leg_into_the_call_that_goes_on(host: MemoryHost) -> None:
    one, two = Plain("one", host), Plain("two", host)
    one.leg("ann")
    ben = two.leg("ben")
    two.hold(ben, host.clock.now())
    host.unmergeable = "disk"
    one.absorb(two)
    one.settle(host.clock.now())
    one.unhold(ben, host.clock.now())
    told = [(moment.party, moment.event) for moment in host.calls[0].state.history if "hold" in moment.event]
    assert told == [(1, "hold"), (1, "unhold")]


def test_who_only_listens_in_is_no_party(host: MemoryHost) -> None:
    talk, alone = Plain("one", host), Plain("two", host)
    ann, spy = talk.leg("ann"), talk.leg("spy")
    late = alone.leg("late", up=False)
    talk.listens_in(spy, host.clock.now())
    alone.listens_in(late, host.clock.now())
    late.up = host.clock.now()
    for conversation in (talk, alone):
        conversation.settle(host.clock.now())
    (call,) = host.calls
    assert [(party.key, party.here) for party in call.state.parties] == [("ann", True), ("spy", False)]
    assert (talk.heard, alone.heard, alone.refused) == (["ann"], [], sdk.SUPERVISOR)
    talk.listens_in(ann, host.clock.now())
    assert call.over
