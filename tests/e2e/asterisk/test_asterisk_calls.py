"""Calls on a real Asterisk: who was there, what happened, and who said what."""

from __future__ import annotations

import asyncio

import pytest
from heard import missing_head

from vcond.call.causes import Disposition
from vcond.call.events import SpanKind
from vcond.sdk.contract import SECOND
from vcond.testing.sounds import voice

pytestmark = pytest.mark.peer


async def test_plain_call(house, look):
    caller, agent, call = await house.connect()
    await house.say(v1=caller, v2=agent)
    await caller.hang_up()
    await house.over(call)
    house.check_voices(call, {0: [1], 1: [2]})
    house.check_lengths(call, parties=2)
    state = call.state
    assert (state.direction, state.cause.q850, state.hung_up_by) == ("inbound", 16, 0)
    assert state.answered is not None
    assert look.moments(call) == [(0, "join"), (1, "join"), *[(p, "drop") for p, e in look.moments(call)[2:]]]
    assert (state.parties[0].who.tel, state.parties[0].who.name) == (house.number, "Carol Caller")
    assert (state.parties[1].who.sip, state.parties[1].who.name) == ("7001@pbx.test", "Alice Agent")
    assert look.facts(call) == {"linkedid": call.key, "dialled": "200"}
    assert look.facts(call, 1)["endpoint"] == "PJSIP/agent"
    assert {"uniqueid", "sip_call_id"} <= set(look.facts(call, 0))


async def test_hold_and_digits(house, look, pbx_client):
    caller, agent, call = await house.connect()
    await house.say(v1=caller, v2=agent)
    async with pbx_client("judge") as pbx:
        await pbx.ask("POST", "/applications/judge/subscription", eventSource="channel:")
        for digit, ms in ("5", 120), ("#", 300):
            await caller.press(digit, ms)
            await house.until(lambda digit=digit: (0, f"keyup{digit}") in look.moments(call), f"digit {digit}")
            await pbx.until(
                lambda event, digit=digit: event["type"] == "ChannelDtmfReceived" and event["digit"] == digit,
                f"Asterisk's word for digit {digit}",
            )
        told = [event["duration_ms"] for event in pbx.events if event["type"] == "ChannelDtmfReceived"]
    await agent.hold(on=True)
    await house.until(lambda: (1, "hold") in look.moments(call), "hold")
    await house.say(v3=caller)
    await agent.hold(on=False)
    await house.until(lambda: (1, "unhold") in look.moments(call), "unhold")
    await house.say(v4=caller, v5=agent)
    await agent.hang_up()
    await house.over(call)
    house.check_voices(call, {0: [1, 3, 4], 1: [2, 5]})
    house.check_lengths(call, parties=2)
    assert call.state.hung_up_by == 1
    downs = [m for m in call.state.history if m.event == "keydown"]
    ups = [m for m in call.state.history if m.event == "keyup"]
    assert [m.button for m in downs] == ["5", "#"]
    held = [(up.at - down.at) / 1e6 for up, down in zip(ups, downs, strict=True)]
    assert held == pytest.approx(told, abs=1)
    assert told[0] >= 90
    assert told[1] >= 250
    hold, unhold = (next(m.at for m in call.state.history if m.event == e) for e in ("hold", "unhold"))
    agents = next(t for t in call.state.tracks if t.party == 1)
    first, last = (call.state.position(at, 8000) for at in (hold, unhold))
    assert agents.spans.total(SpanKind.HELD, first, last) >= 0.9 * (last - first), (
        "the agent was silent because of hold"
    )


async def test_blind_transfer(house, look):
    caller, agent, call = await house.connect()
    await house.say(v1=caller, v2=agent)
    await agent.refer("201")
    second = await house.farm.ringing("agent2", house.number)
    await second.answer()
    await house.until(lambda: len(call.state.parties) == 3 and house.tracks(call) == 2, "the second agent")
    await house.say(v3=caller, v4=second)
    await caller.hang_up()
    await house.over(call)
    house.check_voices(call, {0: [1, 3], 1: [2], 2: [4]})
    house.check_lengths(call, parties=3)
    (transfer,) = call.state.transfers
    assert (transfer.kind, transfer.transferor, transfer.transferee, transfer.target) == ("blind", 1, 0, 2)
    assert (transfer.outcome, transfer.to) == ("success", "201")
    assert call.state.hung_up_by == 0
    assert call.state.parties[2].who.name == "Bob Agent"
    assert len([c for c in house.host.calls if not c.state.merged_into]) == 1


async def test_attended_transfer(house, look):
    """By DTMF: the agent dials *2201, talks to the second agent, and hangs up to connect the two."""
    caller, agent, call = await house.connect()
    await house.say(v1=caller, v2=agent)
    await agent.press("*2")
    await house.until(lambda: (1, "hold") in look.moments(call), "the customer is put on hold")
    await agent.press("201")
    second = await house.farm.ringing("agent2", "7001")
    await second.answer()
    await house.until(lambda: house.tracks(call) == 3, "three tracks")
    await house.say(v3=agent, v4=second)
    await agent.hang_up()
    await house.until(lambda: bool(call.state.transfers), "the transfer")
    await house.until(lambda: not call.state.parties[1].here, "the first agent leaves")
    await house.say(v5=caller, v6=second)
    await second.hang_up()
    await house.over(call)
    house.check_voices(call, {0: [1, 5], 1: [2, 3], 2: [4, 6]})
    house.check_lengths(call, parties=3)
    (transfer,) = call.state.transfers
    assert (transfer.kind, transfer.transferor, transfer.transferee, transfer.target) == ("attended", 1, 0, 2)
    assert look.moments(call).count((1, "hold")) == look.moments(call).count((1, "unhold")) == 1
    assert call.state.hung_up_by == 2


async def test_queue(house, look):
    """The caller waits, is heard while he waits, and one of the two agents that ring answers."""
    caller = await house.farm.dial("500", house.number)
    await caller.up()
    agents = [await house.farm.ringing(who, house.number) for who in ("agent", "agent2")]
    await house.until(lambda: house.tracks(house.call) == 1, "the waiting caller is listened to")
    call = house.call
    assert call.state.answered is None
    await house.say(v1=caller)
    await agents[1].answer()
    await house.until(lambda: house.tracks(call) == 2, "both tracks")
    await house.say(v2=caller, v3=agents[1])
    await caller.hang_up()
    await house.over(call)
    house.check_voices(call, {0: [1, 2], 1: [3]})
    house.check_lengths(call, parties=2)
    assert look.facts(call)["queue"] == "support"
    assert call.state.parties[1].who.name == "Bob Agent"
    assert call.state.answered is not None


async def test_conference_of_three(house, look):
    """Three callers, three linkedids, one room: one call."""
    people = []
    for _ in range(3):
        people.append(await house.farm.dial("520", house.number))
        await people[-1].up()
        await house.until(lambda: house.tracks(house.call) == len(people), "the next one is listened to")
    call = house.call
    await house.say(v1=people[0], v2=people[1], v3=people[2])
    await people[0].hang_up()
    await house.until(lambda: not call.state.parties[0].here, "the first one leaves")
    await house.say(v4=people[1], v5=people[2])
    await people[1].hang_up()
    await people[2].hang_up()
    await house.over(call)
    house.check_voices(call, {0: [1], 1: [2, 4], 2: [3, 5]})
    house.check_lengths(call, parties=3)
    assert len([c for c in house.host.calls if not c.state.merged_into]) == 1
    assert look.facts(call)["conference"] == "room1"


async def test_direct_media(house):
    """The phones talk to one another past the PBX; the tap makes it take the audio back."""
    house.number = "dmcaller"
    caller = await house.farm.dial("210", "dmcaller")
    agent = await house.farm.ringing("agent", "dmcaller")
    await agent.answer()
    await caller.up()
    await house.until(lambda: house.tracks(house.call) == 2, "both tracks")
    call = house.call
    await house.say(v9=caller)  # until the re-INVITE is through, less than a second is lost
    await house.say(v1=caller, v2=agent)
    await caller.hang_up()
    await house.over(call)
    house.check_voices(call, {0: [1], 1: [2]})
    house.check_lengths(call, parties=2)


@pytest.mark.parametrize(
    ("extension", "disposition", "text"),
    [("205", Disposition.BUSY, ""), ("206", Disposition.BUSY, "BUSY"), ("207", Disposition.NO_ANSWER, "NOANSWER")],
    ids=["busy-pbx", "busy-phone", "no-answer"],
)
async def test_nobody_answers(house, extension, disposition, text):
    caller = await house.farm.dial(extension, house.number)
    await caller.gone()
    await house.until(lambda: house.call.over, "the end")
    state = house.call.state
    assert (state.disposition, state.cause.text) == (disposition, text)
    assert state.answered is None
    assert len(state.parties) == (1 if extension == "205" else 2)
    assert state.tracks == []


async def test_caller_cancels(house):
    caller = await house.farm.dial("200", house.number)
    await house.farm.ringing("agent", house.number)
    await caller.hang_up()
    await house.until(lambda: house.call.over, "the end")
    state = house.call.state
    assert (state.disposition, state.cause.text, state.hung_up_by) == (Disposition.HUNG_UP, "CANCEL", 0)
    assert state.answered is None
    assert [party.who.name for party in state.parties] == ["Carol Caller", "Alice Agent"]
    assert state.tracks == []


async def test_voicemail_is_an_answered_call_of_one_party(house, look):
    caller = await house.farm.dial("600", house.number)
    await caller.up()
    await house.until(lambda: house.tracks(house.call) == 1, "the caller's track")
    call = house.call
    await house.say(v1=caller)
    await caller.hang_up()
    await house.over(call)
    house.check_voices(call, {0: [1]})
    house.check_lengths(call, parties=1)
    assert look.facts(call)["answered_by"] == "VoiceMail"
    assert call.state.answered is not None


async def test_the_first_word_after_the_answer(house):
    """What is said from the moment of the answer: how much of its head is missing."""
    house.farm.voice("hello", voice(1, 2.0))
    caller = await house.farm.dial("200", house.number)
    agent = await house.farm.ringing("agent", house.number)
    await agent.answer()
    await asyncio.gather(agent.say("hello"), caller.up())
    await house.until(lambda: house.tracks(house.call) == 2, "both tracks")
    call = house.call
    await caller.hang_up()
    await house.over(call)
    track = next(t for t in call.state.tracks if t.party == 1)
    head = (track.opened - call.state.answered) / SECOND
    missing = missing_head(voice(1, 2.0), house.host.audio(call, 1))
    print(
        f"first frame {head * 1000:.0f} ms after the answer, {missing:.3f} s of what was said from then on are missing"
    )
    assert missing <= max(head, 0) + 0.15, "what was said before anybody listened, and no more"
