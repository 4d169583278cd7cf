"""Agents whose channel stays up: one call with each customer."""

from __future__ import annotations

import pytest

MS = 1_000_000


@pytest.fixture
def script(make_tracker, make_script):
    return make_script(make_tracker())


def people(host) -> list[list[str]]:
    """Channels of the parties of all calls."""
    calls = [call.state for call in host.calls if not call.state.merged_into]
    channels = [{fact.party: fact.value for fact in call.facts if fact.name == "uniqueid"} for call in calls]
    return [[channels[i][party.index] for party in call.parties] for i, call in enumerate(calls)]


@pytest.mark.parametrize("app", ["ConfBridge", "AgentLogin", "MeetMe"])
def test_customers_of_an_agent_who_stays_are_apart(script, host, taps, app):
    script.created("a1", "PJSIP/agent-01", number="7001", state="Up")
    script.channels["a1"]["dialplan"]["app_name"] = app
    script.bridge("b1", "a1")
    for customer in ("t1", "t2", "t3"):
        script.created(customer, f"PJSIP/trunk-{customer}", number="+493012345", state="Up")
        script.bridge("b1", customer)
        assert set(taps.on) == {"a1", customer}
        script.leave("b1", customer)
        script.destroyed(customer)
        assert taps.on == {}
    script.destroyed("a1")
    assert people(host) == [["a1", "t1"], ["t2", "a1"], ["t3", "a1"]]
    assert all(call.over for call in host.calls)


def test_a_caller_in_an_application_goes_on_after_an_agent_left(script, host, taps):
    script.created("t1", "PJSIP/trunk-01", number="+493012345", state="Up")
    script.channels["t1"]["dialplan"]["app_name"] = "Stasis"
    script.bridge("b1", "t1")
    script.created("a1", "PJSIP/agent-01", number="7001", state="Up")
    script.bridge("b1", "a1")
    script.leave("b1", "a1")
    script.destroyed("a1")
    assert set(taps.on) == {"t1"}
    script.destroyed("t1")
    assert people(host) == [["t1", "a1"]]


def conference(script, *who):
    for ident in who:
        name = "trunk" if ident[0] == "t" else "agent"
        script.created(ident, f"PJSIP/{name}-{ident}", number="+493012345", state="Up", app="ConfBridge")
        script.bridge("b1", ident)


def leaves(script, *who):
    for ident in who:
        script.leave("b1", ident)
        script.destroyed(ident)


def test_a_conference_is_over_when_the_customers_side_has_left_although_its_first_member_went(script, host, taps):
    conference(script, "a1", "a2", "t1")
    leaves(script, "a1", "t1")
    assert taps.on == {}
    conference(script, "t2")
    leaves(script, "t2", "a2")
    assert people(host) == [["a1", "a2", "t1"], ["t2", "a2"]]
    assert all(call.over for call in host.calls)


def test_a_conference_is_over_when_a_colleague_leaves_after_the_customer(script, host, taps):
    conference(script, "a1", "t1", "a2")
    leaves(script, "t1")
    assert set(taps.on) == {"a1", "a2"}, "they talk about it"
    leaves(script, "a2")
    assert taps.on == {}
    conference(script, "t2")
    leaves(script, "t2", "a1")
    assert people(host) == [["a1", "t1", "a2"], ["t2", "a1"]]


def test_a_conference_of_ours_alone_goes_on_until_all_have_left(script, host, taps):
    conference(script, "a1", "a2")
    leaves(script, "a2")
    assert set(taps.on) == {"a1"}
    conference(script, "a3")
    leaves(script, "a3", "a1")
    assert people(host) == [["a1", "a2", "a3"]]
