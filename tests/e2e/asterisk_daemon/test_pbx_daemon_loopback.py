"""`vcond check --loopback` through a real Asterisk, beside a vcond that records a call there."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.peer


async def test_a_call_of_its_own_is_green_and_the_one_that_goes_on_is_recorded_undisturbed(site, judge):
    async with site.running() as vcond:
        caller, agent, uuid = await site.talking(vcond)
        code, printed = await site.vcond.command("check", "--loopback")
        lines = [line.strip() for line in printed.splitlines() if "loopback asterisk" in line]
        assert lines == [
            "ok      loopback asterisk: a daemon of its own is attached",
            "ok      loopback asterisk: a call was placed, and hung up: two channels in a bridge of Asterisk",
            "ok      loopback asterisk: audio of 2 parties arrived completely",
            lines[-1],
        ], printed
        assert "its vCon is valid" in lines[-1]
        assert code < 2, printed
        rows = await vcond.ask("calls")
        assert [row["call"] for row in rows] == [uuid], "the daemon that runs took it for no call"
        await site.say(v1=caller, v2=agent)
        await agent.hang_up()
        (document,) = await vcond.delivered(1)
        await site.nothing_left()
    judge(document).check_voices({0: [1], 1: [2]})
    channels, bridges = await site.pbx.ask("GET", "/channels"), await site.pbx.ask("GET", "/bridges")
    assert [one["id"] for one in (*channels, *bridges) if one["id"].startswith("vcond-loopback")] == []
