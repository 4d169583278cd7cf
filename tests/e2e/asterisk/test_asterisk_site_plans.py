"""Dial plans as sites have them, on a real Asterisk: who is in the record, who said what, and who is not heard."""

from __future__ import annotations

import pytest

from vcond_asterisk import wire

pytestmark = pytest.mark.peer


def people(call) -> list[str]:
    return [party.who.tel or party.who.sip or party.who.name for party in call.state.parties]


def calls(house) -> list:
    return [call for call in house.host.calls if not call.state.merged_into]


async def two_up(house):
    await house.until(lambda: house.tracks(house.call) == 2, "both tracks")
    return house.call


async def done(house, call, said):
    await house.over(call)
    house.check_voices(call, said)
    house.check_lengths(call, parties=len(said))
    assert len(calls(house)) == 1


@pytest.mark.parametrize("extension", ["610001", "610004"])
async def test_groups_and_queues_through_local_channels(house, extension):
    caller = await house.farm.dial(extension, house.number)
    first = await house.farm.ringing("agent", house.number)
    second = await house.farm.ringing("agent2", house.number)
    await second.answer()
    await first.gone()
    await caller.up()
    call = await two_up(house)
    await house.say(v1=caller, v2=second)
    await caller.hang_up()
    await done(house, call, {0: [1], 1: [2]})
    assert people(call) == [house.number, "7002@pbx.test"]
    assert call.state.direction == "inbound"


@pytest.mark.parametrize(("extension", "asked"), [("610002", "agent"), ("610003", "agent")])
async def test_who_is_asked_whether_he_takes_the_call_is_not_heard_before(house, extension, asked):
    caller = await house.farm.dial(extension, house.number)
    await caller.up()
    agent = await house.farm.ringing(asked, house.number)
    await agent.answer()
    await agent.up()
    await house.say(v3=agent)
    assert house.tracks(house.call) == 1, "only the caller"
    assert house.call.state.answered is None
    await agent.press("1")
    call = await two_up(house)
    await house.say(v1=caller, v2=agent)
    await caller.hang_up()
    await house.over(call)
    agents = people(call).index("7001@pbx.test")
    house.check_voices(call, {0: [1], agents: [2]})
    assert house.heard(call, agents, 3) <= 0.2


async def test_who_does_not_take_the_call_is_not_heard(house):
    caller = await house.farm.dial("610002", house.number)
    await caller.up()
    agent = await house.farm.ringing("agent", house.number)
    await agent.answer()
    await agent.up()
    await house.say(v3=agent)
    await agent.press("2")
    await caller.gone()
    await house.until(lambda: house.call.over, "the end")
    assert {track.party for track in house.call.state.tracks} == {0}
    assert house.call.state.answered is None


@pytest.mark.parametrize("named", [True, False])
async def test_a_pickup_is_one_call(open_house, monkeypatch, named):
    """``named``: events say the linkedid."""
    if not named:
        monkeypatch.setattr(wire.Channel, "linkedid", property(lambda channel: ""))
    async with open_house() as house:
        caller = await house.farm.dial("610001", house.number)
        await house.farm.ringing("agent", house.number)
        picker = await house.farm.dial("610005", "agent3", name="Cleo Agent")
        await picker.up()
        await caller.up()
        call = await two_up(house)
        await house.say(v1=caller, v2=picker)
        await caller.hang_up()
        await house.over(call)
        said = {people(call).index(house.number): [1], people(call).index("agent3@pbx.test"): [2]}
        await done(house, call, said)
        assert call.state.direction == "inbound"


async def test_outbound_from_a_subroutine_has_the_number_that_was_dialled(house, look):
    number = house.number
    agent = await house.farm.dial(f"2{number}", "agent3", name="Cleo Agent")
    customer = await house.farm.ringing(number, "15550009999")
    await customer.answer()
    await agent.up()
    call = await two_up(house)
    await house.say(v1=agent, v2=customer)
    await agent.hang_up()
    await done(house, call, {0: [1], 1: [2]})
    assert people(call) == ["agent3@pbx.test", number]
    assert call.state.direction == "outbound"
    assert look.facts(call)["dialled"] == f"2{number}"


@pytest.mark.parametrize("local", [False, True])
async def test_click_to_call(house, look, local):
    """The agent is called first, and shown the customer's number."""
    number = house.number
    await house.pbx.ask(
        "POST", "/channels", endpoint="Local/7001@site-agents" if local else "PJSIP/agent", extension=f"2{number}",
        context="site", priority="1", callerId=f"Click <{number}>",
    )  # fmt: skip
    agent = await house.farm.ringing("agent", number)
    await agent.answer()
    customer = await house.farm.ringing(number, "15550009999")
    await customer.answer()
    call = await two_up(house)
    await house.say(v1=agent, v2=customer)
    await agent.hang_up()
    await done(house, call, {0: [1], 1: [2]})
    assert people(call) == ["7001@pbx.test", number]
    assert call.state.direction == "outbound"
    assert local or look.facts(call)["dialled"] == f"2{number}"


async def test_an_application_calls_an_agent_and_shows_him_the_caller(house):
    caller = await house.farm.dial("611", house.number)
    await caller.up()
    await house.until(lambda: house.tracks(house.call) == 1, "the caller")
    first = next(c["id"] for c in await house.pbx.ask("GET", "/channels") if c["caller"]["number"] == house.number)
    await house.pbx.ask(
        "POST", "/channels", endpoint="PJSIP/agent", extension="610006", context="site", priority="1",
        callerId=f"AI <{house.number}>", originator=first,
    )  # fmt: skip
    agent = await house.farm.ringing("agent", house.number)
    await agent.answer()
    call = await two_up(house)
    await agent.hang_up()
    await caller.hang_up()
    await house.over(call)
    assert people(call) == [house.number, "7001@pbx.test"]


async def test_who_returns_to_a_conference_is_the_same_party(house):
    first = await house.farm.dial("610006", "agent", name="Alice Agent")
    second = await house.farm.dial("610006", "agent2", name="Bob Agent")
    await first.up()
    await second.up()
    call = await two_up(house)
    await house.until(lambda: call.state.answered is not None, "they meet")
    await house.say(v1=first, v2=second)
    await second.hang_up()
    await house.until(lambda: house.tracks(house.call) == 1, "one left")
    second = await house.farm.dial("610006", "agent2", name="Bob Agent")
    await second.up()
    await house.until(lambda: house.tracks(house.call) == 2 and len(calls(house)) == 1, "he is back")
    call = house.call
    await house.say(v3=first, v4=second)
    await first.hang_up()
    await second.hang_up()
    await house.over(call)
    assert sorted(people(call)) == ["agent2@pbx.test", "agent@pbx.test"]
    at = people(call).index("agent@pbx.test")
    house.check_voices(call, {at: [1, 3], 1 - at: [2, 4]})
    assert len(calls(house)) == 1


@pytest.mark.parametrize(("extension", "who"), [("610007", "anonymous"), ("610008", "+15550100312")])
async def test_hidden_and_ill_written_numbers(house, extension, who):
    caller = await house.farm.dial(extension, house.number)
    agent = await house.farm.ringing("agent", "anonymous" if who == "anonymous" else "+1 (555) 010-0312")
    await agent.answer()
    call = await two_up(house)
    await house.say(v1=caller, v2=agent)
    await caller.hang_up()
    await done(house, call, {0: [1], 1: [2]})
    assert people(call) == [who, "7001@pbx.test"]
    assert house.number not in repr(call.events)


async def test_a_supervisor_who_listens_in_is_no_party_and_no_call(house):
    caller, agent, call = await house.connect()
    spy = await house.farm.dial("610009", "agent3", name="Cleo Agent")
    await spy.up()
    await house.say(v1=caller, v2=agent, v3=spy)
    await spy.hang_up()
    await caller.hang_up()
    await done(house, call, {0: [1], 1: [2]})
    assert people(call) == [house.number, "7001@pbx.test"]
