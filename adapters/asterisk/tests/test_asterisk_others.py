"""Others on the same PBX: clients that have our application, and an operator who changes our password."""

from __future__ import annotations

import asyncio

import pytest

from vcond.sdk.contract import SpanKind
from vcond.testing.host import MemoryHost
from vcond_asterisk import AsteriskAdapter


def test_a_second_vcond_with_the_same_application_waits_and_harms_nobody(world):
    async def main(one):
        caller, agent = await one.call()
        helpers = one.pbx.helpers("vcond.")
        second = MemoryHost("asterisk")
        run = asyncio.create_task(AsteriskAdapter(one.config).run(second))
        await asyncio.sleep(120)
        assert not second.is_attached
        assert "another client" in second.attachments[-1][1]
        assert one.host.is_attached
        assert len(one.host.attachments) == 1, "nobody was thrown out"
        assert one.pbx.helpers("vcond.") == helpers
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.host.by_key(caller).over)
        assert len(one.host.by_key(caller).state.tracks) == 2
        one.task.cancel()
        await asyncio.wait([one.task])
        await one.until(lambda: second.is_attached)
        run.cancel()
        await asyncio.wait([run])

    world(main)


def test_a_client_that_takes_our_application_keeps_it(world):
    async def main(one):
        theirs = await one.pbx.rob("vcond")
        await one.until(lambda: not one.host.is_attached)
        assert "another client" in one.host.attachments[-1][1]
        await asyncio.sleep(600)
        assert not one.host.is_attached, "it is not taken back"
        theirs.close()
        await one.until(lambda: one.host.is_attached)

    world(main)


def test_our_own_application_is_taken_again_at_once(world):
    """Asterisk may believe for a while that a connection which we lost is there."""

    async def main(one):
        one.pbx.cut_events()
        one.pbx._sockets["vcond"] = None
        await one.until(lambda: not one.host.is_attached)
        one.pbx._sockets.pop("vcond")
        await one.until(lambda: one.host.is_attached)
        assert one.pbx.requests.count("GET applications/vcond") == 1, "at the start only"

    world(main)


@pytest.mark.parametrize("status", [401, 403])
def test_requests_that_are_refused_are_no_attachment(world, status):
    async def main(one):
        one.pbx.refuse |= {"POST": status, "DELETE": status, "PUT": status}
        caller, agent = await one.call(tapped=0)
        await one.until(lambda: not one.host.is_attached, within=10)
        assert ("password" if status == 401 else "read_only") in one.host.attachments[-1][1]
        await asyncio.sleep(30)
        assert not one.host.is_attached
        assert [ok for ok, _ in one.host.attachments] == [True, False]
        one.pbx.refuse.clear()
        await one.until(lambda: one.host.is_attached, within=10)
        await one.until(lambda: len(one.host.by_key(caller).state.tracks) == 2)
        assert agent in one.pbx.channels
        assert sum(request == "GET events" for request in one.pbx.requests) == 1, "the event socket lived on"

    world(main)


def test_helpers_that_could_not_be_removed_are_when_requests_are_accepted_again(world):
    async def main(one):
        caller, agent = await one.call()
        one.pbx.password = "another"
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.host.by_key(caller).over)
        await one.until(lambda: not one.host.is_attached)
        assert len([name for name in one.pbx.helpers("vcond.") if ".b-" in name]) == 2
        one.pbx.password = "secret-of-the-fake"
        await one.until(lambda: one.pbx.helpers("vcond.") == [], within=10)
        await one.until(lambda: one.host.is_attached, within=10)

    world(main)


def test_that_helpers_stay_is_said_once_until_requests_are_accepted_again(world, capsys):
    def said():
        return capsys.readouterr().out.count("could not remove tap channels")

    async def refused(one):
        one.pbx.password = "another"
        one.pbx.cut_audio()
        await one.until(lambda: not one.host.is_attached)
        await asyncio.sleep(60)
        assert said() == 1, "not with every try of both taps"
        one.pbx.password = "secret-of-the-fake"
        await one.until(lambda: one.host.is_attached)
        await asyncio.sleep(10)

    async def main(one):
        await one.call()
        await refused(one)
        await refused(one)
        assert said() == 0

    world(main)


def test_what_a_tap_lost_during_a_hold_is_not_held(world):
    async def main(one):
        caller, agent = await one.call()
        await asyncio.sleep(2)
        one.pbx.tell("ChannelHold", channel=agent)
        await asyncio.sleep(0.5)
        one.pbx.hang = "addChannel"
        one.pbx.cut_audio()
        await asyncio.sleep(3)
        one.pbx.hang = ""
        await asyncio.sleep(8)
        one.pbx.tell("ChannelUnhold", channel=agent)
        await asyncio.sleep(1)
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.host.by_key(caller).over)
        (track,) = [track for track in one.host.by_key(caller).state.tracks if track.party == 1]
        totals = {kind: track.spans.total(kind) / track.rate for kind in SpanKind}
        assert totals[SpanKind.LOST] > 2, totals
        assert totals[SpanKind.HELD] > 5, "silence that came is"

    world(main, timeout=2.0)


def test_calls_go_on_being_heard_while_the_password_is_wrong(world):
    async def main(one):
        one.pbx.channelvars = False
        caller, agent = await one.call()
        one.pbx.password = "another"
        late = one.pbx.channel("PJSIP/trunk", number="+4930123457")
        await one.until(lambda: not one.host.is_attached)
        call = one.host.by_key(caller)
        one.pbx.tell("ChannelHold", channel=agent)
        await one.until(lambda: call.state.history[-1].event == "hold")
        one.pbx.password = "secret-of-the-fake"
        await one.until(lambda: one.host.is_attached)
        assert one.codes(caller) == []
        one.pbx.hang_up(late)

    world(main)


def test_what_could_not_be_asked_is_asked_when_requests_are_accepted_again(world):
    """Who called while our user was refused, and hid the number; and which channels belong together."""

    async def main(one):
        one.pbx.channelvars = False
        one.pbx.variables["CALLERID(pres)"] = "prohib"
        one.pbx.password = "another"
        caller = one.pbx.channel("PJSIP/trunk", number="+4930123456", name="Carol")
        one.pbx.up(caller)
        agent = one.pbx.channel("PJSIP/agent", linked=caller, number="7001", name="Alice")
        one.pbx.up(agent)
        await one.until(lambda: not one.host.is_attached)
        assert one.host.by_key(caller).state.parties[0].who.tel, "nobody could know"
        one.pbx.password = "secret-of-the-fake"
        await one.until(lambda: one.host.is_attached)
        await one.until(lambda: one.host.by_key(caller).state.parties[0].who.name == "anonymous", within=1)
        one.pbx.tell("ChannelHold", channel=agent)
        await one.until(lambda: one.host.by_key(agent).state.merged_into, within=5)
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: all(call.over or call.state.merged_into for call in one.host.calls))

    world(main)


def test_questions_that_are_not_answered_hold_up_no_event_and_are_asked_again(world, capsys):
    """The linkedid and whether the number is hidden cost one time-out in all, not one for each call."""

    async def main(one):
        one.pbx.channelvars = False
        one.pbx.variables["CALLERID(pres)"] = "prohib"
        one.pbx.hang = "/variable"
        callers = [one.pbx.channel("PJSIP/trunk", number=f"+493012345{i}", name="Carol") for i in range(8)]
        for caller in callers:
            one.pbx.up(caller)
        agent = one.pbx.channel("PJSIP/agent", linked=callers[0], number="7001", name="Alice")
        one.pbx.up(agent)
        await one.until(lambda: len(one.host.by_key(agent).state.tracks) == 1, within=7)
        assert [one.host.by_key(caller).state.parties[0].who.tel for caller in callers] == [
            f"+493012345{i}" for i in range(8)
        ]
        await asyncio.sleep(60)
        assert [ok for ok, _ in one.host.attachments] == [True], "nothing was attached anew"
        one.pbx.hang = ""
        await one.until(
            lambda: all(one.host.by_key(caller).state.parties[0].who.name == "anonymous" for caller in callers),
            within=15,
        )
        one.pbx.tell("ChannelHold", channel=agent)
        await one.until(lambda: one.host.by_key(agent).state.merged_into, within=5)
        assert [ok for ok, _ in one.host.attachments] == [True]
        assert capsys.readouterr().out.count("cannot read caller ids") == 1
        one.pbx.hang_up(agent, *callers)
        await one.until(lambda: all(call.over or call.state.merged_into for call in one.host.calls))

    world(main, timeout=5.0)


def test_calls_are_found_although_nobody_says_who_they_are(world):
    async def main(one):
        one.pbx.channelvars = False
        one.pbx.hang = "/variable"
        callers = [one.pbx.channel("PJSIP/trunk", number=f"+493012345{i}", state="Up") for i in range(8)]
        await one.start()
        await one.until(lambda: len(one.host.calls) == 8, within=1)
        one.pbx.hang = ""
        one.pbx.hang_up(*callers)
        await one.until(lambda: all(call.over for call in one.host.calls))

    world(main, start=False, timeout=5.0)
