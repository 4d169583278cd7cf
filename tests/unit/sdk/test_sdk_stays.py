"""Agents on legs that stay up: one conversation for each who comes to them."""

from __future__ import annotations

import pytest
from pbxkit import Plain

from vcond import sdk
from vcond.sdk.contract import SECOND, Cause, Instant, PartyInfo
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock

NORMAL = Cause(q850=16)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def host(clock: ManualClock) -> MemoryHost:
    return MemoryHost("pbx", clock=clock)


def meet(one: Plain, two: Plain, now: Instant) -> Plain:
    older, newer = (one, two) if one.since <= two.since else (two, one)
    older.absorb(newer, now)
    older.settle(now)
    return older


def arrives(host: MemoryHost, name: str) -> tuple[Plain, sdk.Leg]:
    talk = Plain(name, host)
    leg = talk.leg(name)
    leg.who = PartyInfo(name=name)
    return talk, leg


def parties(host: MemoryHost) -> list[list[str]]:
    return [[party.key for party in call.state.parties] for call in host.calls if not call.state.merged_into]


def test_each_customer_of_an_agent_who_stays_is_a_call_of_its_own(host: MemoryHost, clock: ManualClock) -> None:
    talk, agent = arrives(host, "agent")
    for name in ("one", "two", "three"):
        clock.advance(60 * SECOND)
        other, customer = arrives(host, name)
        clock.advance(5 * SECOND)
        talk = meet(talk, other, clock.now())
        assert {*talk.heard, *other.heard} == {"agent", name}
        clock.advance(5 * SECOND)
        talk.remove(customer, clock.now(), NORMAL)
        assert talk.idle
        assert "agent" not in talk.heard
        assert agent.party is None
    assert parties(host) == [["agent", "one"], ["two", "agent"], ["three", "agent"]]
    assert all(call.over for call in host.calls)
    clock.advance(60 * SECOND)
    talk.remove(agent, clock.now(), NORMAL)
    assert talk.over
    talk.end(clock.now())
    assert len(parties(host)) == 3
    assert host.faults == []


def test_an_agent_joins_when_he_is_connected_and_not_when_he_logged_in(host: MemoryHost, clock: ManualClock) -> None:
    talk, _ = arrives(host, "agent")
    clock.advance(3600 * SECOND)
    other, _ = arrives(host, "one")
    clock.advance(5 * SECOND)
    meet(talk, other, clock.now())
    alone, call = host.calls
    assert alone.over
    assert parties(host) == [["agent"], ["one", "agent"]]
    joins = [(moment.party, (moment.at - call.state.opened) / SECOND) for moment in call.state.history]
    assert joins == [(0, 0.0), (1, 5.0)]


def test_who_may_be_hanging_up_too_is_waited_for(host: MemoryHost, clock: ManualClock) -> None:
    """The PBX ended the other side: because the one who was there first hung up, or for a reason of its own."""
    for goes in (True, False):
        talk, agent = arrives(host, "agent")
        other, customer = arrives(host, "one")
        clock.advance(SECOND)
        talk = meet(talk, other, clock.now())
        customer.put_down = True
        talk.remove(customer, clock.now(), NORMAL)
        assert not talk.idle
        assert talk.call is not None
        call = host.calls[-2]
        clock.advance(3 * SECOND)
        if goes:
            talk.remove(agent, clock.now(), NORMAL)
            talk.end(clock.now())
            assert call.state.ended == clock.now()
        else:
            talk.look(clock.now())
            assert talk.idle
            assert call.state.ended == clock.now() - 3 * SECOND


def test_who_comes_to_one_who_was_left_alone_begins_a_conversation(host: MemoryHost, clock: ManualClock) -> None:
    talk, agent = arrives(host, "agent")
    other, customer = arrives(host, "one")
    clock.advance(SECOND)
    meet(talk, other, clock.now())
    customer.put_down = True
    talk.remove(customer, clock.now(), NORMAL)
    clock.advance(SECOND)
    talk.leg("two")
    assert parties(host) == [["agent", "one"], ["agent", "two"]]
    assert talk.first is agent
    assert host.calls[-1].state.opened == clock.now() - SECOND


def test_an_agent_goes_to_the_next_while_the_first_talks_to_another(host: MemoryHost, clock: ManualClock) -> None:
    talk, agent = arrives(host, "agent")
    other, _ = arrives(host, "one")
    clock.advance(SECOND)
    meet(talk, other, clock.now())
    talk.leg("colleague")
    after, _ = arrives(host, "two")
    clock.advance(SECOND)
    talk.move(agent, after, clock.now())
    after.settle(clock.now())
    assert parties(host) == [["agent", "one", "colleague"], ["two", "agent"]]
    assert [party.here for party in host.calls[0].state.parties] == [False, True, True]


def test_a_caller_from_outside_is_no_agent_who_stays(host: MemoryHost, clock: ManualClock) -> None:
    talk, caller = arrives(host, "caller")
    caller.inside = False
    clock.advance(SECOND)
    other, agent = arrives(host, "agent")
    clock.advance(SECOND)
    meet(talk, other, clock.now())
    assert (caller.stays, agent.stays) == (False, True)
    talk.remove(agent, clock.now(), NORMAL)
    assert not talk.idle
    assert talk.call is not None


def test_two_who_stay_are_a_call_when_they_meet(host: MemoryHost, clock: ManualClock) -> None:
    talks = []
    for name in ("ann", "ben"):
        talk, _ = arrives(host, name)
        other, customer = arrives(host, f"of {name}")
        clock.advance(SECOND)
        talk = meet(talk, other, clock.now())
        talk.remove(customer, clock.now(), NORMAL)
        talks.append(talk)
    clock.advance(SECOND)
    meet(*talks, clock.now())
    assert parties(host)[-1] == ["ann", "ben"]
    assert host.calls[-1].state.opened == clock.now()


def test_after_a_restart_an_agent_who_was_there_before_still_stays(host: MemoryHost, clock: ManualClock) -> None:
    begun = clock.now()
    talk, _ = arrives(host, "agent")
    for name in ("one", "two"):
        clock.advance(10 * SECOND)
        other, customer = arrives(host, name)
        clock.advance(SECOND)
        talk = meet(talk, other, clock.now())
        if name == "one":
            talk.remove(customer, clock.now(), NORMAL)
    again = MemoryHost.after_crash(host)
    (left,) = again.unfinished()
    found = Plain("found", again)
    for key, created in (("agent", begun), ("two", left.state.opened)):
        leg = sdk.Leg(key, key, None, found, created, "pbx")
        leg.up = created
        found.add(leg)
    found.adopt(again.call(left.key, at=clock.now()), clock.now())
    found.remove(found.legs["two"], clock.now(), NORMAL)
    assert found.idle
    assert left.over
