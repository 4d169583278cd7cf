"""vcond is killed or stopped while people talk through a real Asterisk, and started again."""

from __future__ import annotations

import asyncio
import time

import pytest

pytestmark = pytest.mark.peer


async def interrupted(site, judge, stop, reason):
    """Two people talk on while vcond is away; its record as a judge sees it."""
    async with site.running() as vcond:
        caller, agent, uuid = await site.talking(vcond)
        talks = site.talk_on(caller, 1), site.talk_on(agent, 2)
        await vcond.ticks(5)  # of the first phrase enough to be looked for
        helpers = len(await site.leftovers())
        stopped = time.time()
        await stop(vcond)
    async with site.running() as vcond:
        (row,) = await vcond.ask("calls")
        assert row["call"] == uuid
        await site.tapped(vcond, uuid, 4)
        await vcond.ticks(3)
        assert len(await site.leftovers()) == helpers, "what the run before left on the PBX is gone"
        await asyncio.gather(*(talk.enough() for talk in talks))
        await agent.hang_up()
        (document,) = await vcond.delivered(1)
        await site.nothing_left()
    assert document["uuid"] == uuid
    assert len(list(site.vcond.vcons.iterdir())) == 1
    record = judge(document)
    gap = record.check_gap(reason, stopped, site.late)
    record.check_places(site, 0, talks[0], gap, talks[1])
    record.check_places(site, 1, talks[1], gap, talks[0])
    assert [party.get("name") for party in document["parties"][:2]] == ["Carol Caller", "Alice Agent"]
    assert record.moments[:2] == [(0, "join"), (1, "join")]
    assert sorted(record.moments[2:]) == [(0, "drop"), (1, "drop")]
    return record


async def test_killed_and_restarted_mid_call(site, judge):
    await interrupted(site, judge, lambda vcond: vcond.kill(), "crash")


async def test_stopped_and_restarted_mid_call(site, judge):
    async def stop(vcond):
        await vcond.process.stop()
        await site.nothing_of_ours_left()

    await interrupted(site, judge, stop, "stop")


async def test_the_call_ends_while_vcond_is_killed(site, judge):
    async with site.running() as vcond:
        caller, agent, uuid = await site.talking(vcond)
        await site.say(v1=caller, v2=agent)
        await vcond.ticks(1)  # what a phone said last is still under way
        await vcond.kill()
    await caller.hang_up()
    await agent.gone()
    async with site.running() as vcond:
        (document,) = await vcond.delivered(1)
        await site.nothing_left()
    record = judge(document)
    assert document["uuid"] == uuid
    record.check_voices({0: [1], 1: [2]})
    (window,) = record.report["interruptions"]
    assert window["reason"] == "crash"
    assert [warning["code"] for warning in record.report["warnings"]] == ["ended-unseen"]
    assert record.report["complete"] is False
    assert "vcond_gap:true" in record.attachment("tags")
    assert (record.call["type"], record.call["parties"]) == ("recording", [0, 1])
    record.check_lengths()


async def test_killed_while_it_rings_and_answered_meanwhile(site, judge):
    async with site.running() as vcond:
        caller = await site.farm.dial("200", site.number)
        agent = await site.farm.ringing("agent", site.number)
        (row,) = await vcond.until("calls", bool)
        await vcond.kill()
    await agent.answer()
    await caller.up()
    async with site.running() as vcond:
        await site.tapped(vcond, row["call"], 2)
        await site.say(v1=caller, v2=agent)
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
        await site.nothing_left()
    record = judge(document)
    assert document["uuid"] == row["call"]
    record.check_voices({0: [1], 1: [2]})
    assert record.moments[:2] == [(0, "join"), (1, "join")]
    assert record.report["complete"] is False


async def test_killed_while_it_rings_and_over_meanwhile(site, judge):
    """Nobody knows whether it was answered: the record does not claim to be complete."""
    async with site.running() as vcond:
        caller = await site.farm.dial("200", site.number)
        await site.farm.ringing("agent", site.number)
        (row,) = await vcond.until("calls", bool)
        await vcond.kill()
    await caller.hang_up()
    await caller.gone()
    async with site.running() as vcond:
        (document,) = await vcond.delivered(1)
    record = judge(document)
    assert document["uuid"] == row["call"]
    assert (record.call["type"], record.call["disposition"]) == ("incomplete", "failed")
    assert record.report["complete"] is False
    assert "vcond_gap:true" in record.attachment("tags")
