"""Agents whose channel stays up: one call with each customer."""

from __future__ import annotations

import pytest

MS = 1_000_000


@pytest.fixture
def script(make_board, make_script):
    return make_script(make_board())


def people(desk) -> list[list[str]]:
    """Channels of the parties of all calls."""
    calls = [call.state for call in desk.calls if not call.state.merged_into]
    channels = [{fact.party: fact.value for fact in call.facts if fact.name == "uniqueid"} for call in calls]
    return [[channels[i][party.index] for party in call.parties] for i, call in enumerate(calls)]


@pytest.mark.parametrize("app", ["ConfBridge", "AgentLogin", "MeetMe"])
def test_customers_of_an_agent_who_stays_are_apart(script, desk, taps, app):
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
    assert people(desk) == [["a1", "t1"], ["t2", "a1"], ["t3", "a1"]]
    assert all(call.over for call in desk.calls)


def test_a_caller_in_an_application_goes_on_after_an_agent_left(script, desk, taps):
    script.created("t1", "PJSIP/trunk-01", number="+493012345", state="Up")
    script.channels["t1"]["dialplan"]["app_name"] = "Stasis"
    script.bridge("b1", "t1")
    script.created("a1", "PJSIP/agent-01", number="7001", state="Up")
    script.bridge("b1", "a1")
    script.leave("b1", "a1")
    script.destroyed("a1")
    assert set(taps.on) == {"t1"}
    script.destroyed("t1")
    assert people(desk) == [["t1", "a1"]]
