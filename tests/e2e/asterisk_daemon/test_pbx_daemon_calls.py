"""From phones that call through a real Asterisk to the vCons that `vcond run` writes."""

from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.peer


async def test_plain_call_becomes_a_vcon(site, judge):
    async with site.running() as vcond:
        caller, agent, uuid = await site.talking(vcond)
        await site.say(v1=caller, v2=agent)
        await caller.press("5")
        await site.moment(vcond, uuid, 0, "keyup", "5")
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
        await caller.gone()
        await site.nothing_left()
    record = judge(document)
    assert document["uuid"] == uuid
    people = [{name: one.get(name) for name in ("tel", "sip", "name", "type")} for one in document["parties"]]
    assert people == [
        {"tel": site.number, "sip": None, "name": "Carol Caller", "type": None},
        {"tel": None, "sip": "7001@pbx.test", "name": "Alice Agent", "type": None},
        {"tel": None, "sip": None, "name": "edge.example.com", "type": "bot"},
    ]
    assert (record.call["type"], record.call["parties"]) == ("recording", [0, 1])
    record.check_voices({0: [1], 1: [2]})
    length = site.talked(caller)
    print(f"recorded {record.call['duration']:.3f} s of {length:.3f} s")
    assert abs(record.call["duration"] - length) <= 0.1 + 2 * site.late
    record.check_lengths()
    assert record.moments[:4] == [(0, "join"), (1, "join"), (0, "keydown5"), (0, "keyup5")]
    assert sorted(record.moments[4:]) == [(0, "drop"), (1, "drop")]
    calls = [record.call["sip_call_id"], *record.fact("sip_call_id")]
    assert len(set(calls)) == 2, "the two legs have a SIP call id each"
    record.check_whole()
    assert "direction:inbound" in record.attachment("tags")


async def test_hold_is_in_the_history_and_the_holder_is_held(site, judge):
    async with site.running() as vcond:
        caller, agent, uuid = await site.talking(vcond)
        await site.say(v1=caller, v2=agent)
        await agent.hold(on=True)
        await site.moment(vcond, uuid, 1, "hold")
        await site.say(v3=caller)
        await agent.hold(on=False)
        await site.moment(vcond, uuid, 1, "unhold")
        await site.say(v5=caller, v4=agent)
        await agent.hang_up()
        (document,) = await vcond.delivered(1)
    record = judge(document)
    record.check_voices({0: [1, 3, 5], 1: [2, 4]})
    assert [m for m in record.moments if "hold" in m[1]] == [(1, "hold"), (1, "unhold")]
    caller_held, agent_held = (party["seconds"]["held"] for party in record.report["parties"][:2])
    assert caller_held == 0
    assert agent_held >= 2.0
    record.check_whole()


async def test_blind_transfer_is_one_vcon_of_three(site, judge):
    async with site.running() as vcond:
        caller, agent, uuid = await site.talking(vcond)
        await site.say(v1=caller, v2=agent)
        await agent.refer("201")
        second = await site.farm.ringing("agent2", site.number)
        await second.answer()
        await site.tapped(vcond, uuid, 3)
        await site.say(v3=caller, v4=second)
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
        await site.nothing_left()
    record = judge(document)
    assert [party.get("name") for party in document["parties"][:3]] == ["Carol Caller", "Alice Agent", "Bob Agent"]
    assert record.call["type"] == "recording-set"
    record.check_voices({0: [1, 3], 1: [2], 2: [4]})
    record.check_lengths()
    (transfer,) = (dialog for dialog in document["dialog"] if dialog["type"] == "transfer")
    assert (transfer["transferor"], transfer["transferee"], transfer["transfer_target"]) == (1, 0, 2)
    assert (transfer["original"], transfer["target_dialog"]) == (0, 0)
    assert [move["to"] for move in record.report["transfers"]] == ["201"]
    assert document["uuid"] == uuid


async def test_calls_that_nobody_answers_are_incomplete(site, judge):
    """All at once: busy by the PBX and by the phone, no answer, and a caller who gives up."""
    wanted = {"205": "busy", "206": "busy", "207": "no-answer", "200": "hung-up"}
    numbers = {extension: f"{site.number[:-3]}{extension}" for extension in wanted}
    async with site.running() as vcond:
        callers = {extension: await site.farm.dial(extension, number) for extension, number in numbers.items()}
        await site.farm.ringing("agent", numbers["200"])
        await callers["200"].hang_up()
        await asyncio.gather(*(caller.gone() for caller in callers.values()))
        documents = await vcond.delivered(len(wanted))
        await site.nothing_left()
    found = {document["parties"][0]["tel"]: judge(document) for document in documents}
    assert found.keys() == set(numbers.values())
    for extension, disposition in wanted.items():
        record = found[numbers[extension]]
        dialogs = [(dialog["type"], dialog["disposition"]) for dialog in record.document["dialog"]]
        assert dialogs == [("incomplete", disposition)], extension
        assert record.audio == {}
        assert "analysis" not in record.document
