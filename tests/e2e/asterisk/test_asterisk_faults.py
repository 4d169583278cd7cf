"""When something between vcond and a real Asterisk breaks, or one of them starts anew, mid-call."""

from __future__ import annotations

import asyncio

import pytest
from pbx_modules import house as pbx

from vcond.sdk.contract import SECOND
from vcond.testing.host import MemoryHost
from vcond_asterisk import AsteriskAdapter, Config, media, wire

pytestmark = pytest.mark.peer


async def test_events_cut_and_restored(open_house, line, look):
    """The audio goes on, the call stays one, and what happened in the meantime is made up for."""
    async with open_house(url=f"http://127.0.0.1:{line.port}") as house:
        caller, agent, call = await house.connect()
        await house.say(v1=caller, v2=agent)
        line.cut()
        await house.until(lambda: not house.host.is_attached, "the loss is noticed")
        await house.say(v3=caller, v4=agent)
        line.mend()
        await house.until(lambda: house.host.is_attached, "attached again")
        await caller.press("7")
        await house.until(lambda: (0, "keyup7") in look.moments(call), "a digit, after the gap")
        await house.say(v5=caller, v6=agent)
        await caller.hang_up()
        await house.over(call)
        house.check_voices(call, {0: [1, 3, 5], 1: [2, 4, 6]})
        house.check_lengths(call, parties=2)
        assert len(house.host.calls) == 1
        assert len(call.state.tracks) == 2
        assert house.gap(call) <= pbx.SLIP
        assert [warning.code for warning in call.state.warnings] == ["events-lost"]


async def test_a_call_that_ends_while_events_are_cut(open_house, line):
    """Its end is that of its audio, not the moment of the next connection."""
    async with open_house(url=f"http://127.0.0.1:{line.port}") as house:
        caller, agent, call = await house.connect()
        await house.say(v1=caller, v2=agent)
        line.cut()
        await house.until(lambda: not house.host.is_attached, "the loss is noticed")
        before = house.host.clock.now()
        await caller.hang_up()
        await agent.gone()
        after = house.host.clock.now()
        later = await house.farm.dial("200", house.number)
        second = await house.farm.ringing("agent", house.number)
        await second.answer()
        await later.up()
        line.mend()
        await house.until(lambda: call.over and len(house.host.calls) == 2, "both are known")
        assert before - SECOND < call.state.ended < after + SECOND
        late = house.host.calls[1]
        await house.until(lambda: house.tracks(late) == 2, "the one that began meanwhile is listened to")
        assert [warning.code for warning in late.state.warnings] == ["joined-late"]
        await house.say(v3=later, v4=second)
        await later.hang_up()
        await house.over(late)
        first = [party.who.name for party in late.state.parties].index("Carol Caller")
        house.check_voices(late, {first: [3], 1 - first: [4]})


async def test_adapter_stopped_and_started_mid_call(house, look):
    """As after a crash: the same call goes on, with the same parties, at a host that knows it from its journal.

    They talk when it stops: Asterisk lets go of a snoop only with the next packet of the phone it listened to.
    """
    caller, agent, call = await house.connect()
    await house.say(v1=caller, v2=agent)
    talk = asyncio.create_task(house.say(v5=caller, v6=agent))
    await house.until(lambda: bool(house.host.audio(call, 1)[-100:].any()), "they talk again")
    await house.stop()
    await house.nothing_left()
    await talk
    assert not call.over
    await house.start(MemoryHost.after_crash(house.host))
    again = house.call
    assert again.uuid == call.uuid
    await house.until(lambda: house.tracks(again) == 2, "both are listened to again")
    await house.say(v3=caller, v4=agent)
    await agent.hang_up()
    await house.over(again)
    house.check_voices(again, {0: [1, 3], 1: [2, 4]})
    house.check_lengths(again, parties=2)
    assert [party.key for party in again.state.parties] == [party.key for party in call.state.parties]
    assert again.state.hung_up_by == 1
    assert look.moments(again).count((0, "join")) == look.moments(again).count((1, "join")) == 1
    assert len(again.state.interruptions) == 1


async def test_party_that_left_and_call_that_ended_while_vcond_was_down(house, look):
    caller, agent, call = await house.connect()
    await house.stop()
    await agent.refer("201")
    second = await house.farm.ringing("agent2", house.number)
    await second.answer()
    await house.start(MemoryHost.after_crash(house.host))
    again = house.call
    await house.until(lambda: house.tracks(again) == 2, "both are listened to again")
    assert again.uuid == call.uuid
    assert [party.here for party in again.state.parties] == [True, False, True]
    await house.say(v3=caller, v4=second)
    await house.stop()
    await caller.hang_up()
    await second.gone()
    await house.start(MemoryHost.after_crash(house.host))
    ended = house.host.by_key(call.key)
    assert ended.over
    assert [warning.code for warning in ended.state.warnings] == ["ended-unseen"]
    house.check_voices(ended, {0: [3], 2: [4]})


async def test_orphans_of_a_killed_vcond_are_removed(house, pbx_client):
    """A vcond that was killed left a snoop, a media channel and a bridge; the next one removes them."""
    caller, _, _ = await house.connect()
    await house.stop()
    async with pbx_client() as pbx:
        await pbx.ask("POST", f"/bridges/{house.app}.b-dead", type="mixing")
        await pbx.ask("POST", "/bridges/somebody-elses", type="mixing")
        assert f"{house.app}.b-dead" in await house.leftovers()
        await house.start(MemoryHost.after_crash(house.host))
        await house.until(lambda: house.tracks(house.call) == 2, "listened to again")
        assert f"{house.app}.b-dead" not in await house.leftovers()
        assert "somebody-elses" in [bridge["id"] for bridge in await pbx.ask("GET", "/bridges")]
        await pbx.ask("DELETE", "/bridges/somebody-elses")
    await caller.hang_up()
    await house.over(house.call)


async def test_audio_connections_cut(house, monkeypatch):
    """The taps are made anew at once; what was missed is lost and said to be."""
    links = []
    opened = media.Link._introduce
    monkeypatch.setattr(media.Link, "_introduce", lambda link, token: (opened(link, token), links.append(link))[0])
    caller, agent, call = await house.connect()
    await house.say(v1=caller, v2=agent)
    cut = house.host.clock.now()
    for link in tuple(links):
        link.abort()
    await house.until(lambda: len(links) >= 4, "both connections again")
    away = (house.host.clock.now() - cut) / SECOND
    await house.say(v3=caller, v4=agent)
    await caller.hang_up()
    await house.over(call)
    house.check_voices(call, {0: [1, 3], 1: [2, 4]})
    house.check_lengths(call, parties=2)
    print(f"lost: {house.gap(call) * 1000:.0f} ms, both connected again after {away * 1000:.0f} ms")
    assert house.gap(call) < away + 0.5 + 2 * house.late
    assert away < 0.5 + 8 * house.late, "at once: four requests, one after the other"


async def test_replaced_by_another_client(house, pbx_client):
    """It says so, is not ready, and leaves the call alone."""
    async with pbx_client(house.app):
        await house.until(lambda: not house.host.is_attached, "it notices")
        assert "another client" in house.host.attachments[-1][1]


async def test_asterisk_without_channelvars(open_house, monkeypatch):
    """ari.conf does not send the linkedid: it is asked for."""
    monkeypatch.setattr(wire.Channel, "linkedid", property(lambda channel: ""))
    async with open_house() as house:
        caller, agent, call = await house.connect()
        await agent.refer("201")
        second = await house.farm.ringing("agent2", house.number)
        await second.answer()
        await house.until(lambda: len(call.state.parties) == 3 and house.tracks(call) == 2, "the second agent")
        await caller.hang_up()
        await house.over(call)
        assert len(house.host.calls) == 1


async def test_only_calls_that_the_dialplan_wants(open_house):
    async with open_house(only_if_variable="RECORD_CALL") as house:
        unwanted = await house.farm.dial("200", house.number)
        agent = await house.farm.ringing("agent", house.number)
        await agent.answer()
        await unwanted.up()
        await unwanted.hang_up()
        await agent.gone()
        caller, agent, call = await house.connect("220")
        await house.say(v1=caller, v2=agent)
        await caller.hang_up()
        await house.over(call)
        house.check_voices(call, {0: [1], 1: [2]})
        assert len(house.host.calls) == 1


async def test_excluded_endpoints(open_house):
    """Nobody in a call with an excluded phone is listened to, whoever came later."""
    async with open_house(exclude=["PJSIP/agent2"]) as house:
        never = await house.farm.dial("201", house.number)
        second = await house.farm.ringing("agent2", house.number)
        await second.answer()
        await never.up()
        assert await house.leftovers() == []
        await never.hang_up()
        await second.gone()
        caller, agent, call = await house.connect()
        await agent.refer("201")
        await house.farm.ringing("agent2", house.number)
        await house.over(call)
        await house.nothing_left()
        assert call.state.warnings[-1].code == "excluded"
        await caller.hang_up()
        assert len(house.host.calls) == 1


async def test_check_finds_everything_right(bed, house):
    adapter = AsteriskAdapter(Config(**{**house.config, "domain": "pbx.test"}))
    found = [finding async for finding in adapter.check()]
    for finding in found:
        print(finding)
    used = [finding for finding in found if finding.ours]
    assert [finding.level for finding in used] == ["warning"], "the application and the port are in use: by us"
    assert {finding.level for finding in found if not finding.ours} == {"ok"}
    assert len(found) >= 6
    await asyncio.sleep(0)
    assert house.host.is_attached, "the running vcond was not disturbed"


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"password": "wrong"}, "user or its password"),
        ({"user": "vcond_ro"}, "read_only"),
        ({"advertise": "127.0.0.1:9"}, "cannot connect"),
        ({"url": "http://127.0.0.1:9"}, "nothing listens"),
    ],
)
async def test_check_says_what_is_wrong(bed, house, config, what):
    adapter = AsteriskAdapter(Config(**{**house.config, **config}))
    errors = [finding async for finding in adapter.check() if finding.level == "error"]
    assert errors
    assert any(what in finding.detail for finding in errors), errors
    assert all(finding.fix for finding in errors)
