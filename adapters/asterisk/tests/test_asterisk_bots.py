"""Voice bots: media of another application that talks with who is in its bridge."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from vcond.testing.sounds import find, voice
from vcond_asterisk import wire
from vcond_asterisk.resync import resync
from vcond_asterisk.tracker import ChannelTracker

UNICAST = "UnicastRTP/127.0.0.1:28190-0x7f9b5400e410"
SOCKET = "AudioSocket/127.0.0.1:9092-5a2bf4d2"


@pytest.mark.parametrize("first", ["bot", "caller"])
@pytest.mark.parametrize("name", [UNICAST, SOCKET, "WebSocket/media-00000001"])
def test_who_talks_to_a_party_by_media_is_a_bot(script, host, taps, name, first):
    """As captured: it is made with a linkedid of its own and is answered before it enters the bridge."""
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", app="Stasis")
    script.up("t1")
    script.created("bot", name, state="Down", app="AppDial2")
    script.up("bot")
    script.bridge("b", *(("bot", "t1") if first == "bot" else ("t1", "bot")))
    (call,) = host.calls
    assert [(party.who.tel, party.who.type) for party in call.state.parties] == [("+4930123456", ""), ("", "bot")]
    assert set(taps.on) == {"t1", "bot"}
    assert call.state.answered is not None
    assert call.state.direction == "inbound"
    script.destroyed("t1", by="t1")
    assert call.over, "its channel may stay; nobody is there any more"
    assert (taps.on, call.state.hung_up_by) == ({}, 0)
    script.destroyed("bot")
    assert len(host.calls) == 1
    assert host.faults == []


def test_the_media_of_taps_is_nobody(script, tracker, host, taps):
    """Ours, and that of another vcond or a recorder: it shares a bridge with a snoop, or with nobody."""
    script.call()
    script.created("vcond.m-1", SOCKET, state="Up")
    script.bridge("bt1", "vcond.m-1")
    script.created("other.s-1", "Snoop/t1-00000001", state="Up")
    script.created("other.m-1", SOCKET, state="Up")
    script.bridge("other.b-1", "other.s-1", "other.m-1")
    script.created("alone", UNICAST, state="Up")
    script.bridge("alone-b", "alone")
    assert len(host.calls) == 1
    assert set(taps.on) == {"t1", "a1"}


def test_a_bot_hands_over_to_an_agent(script, host, taps):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", app="Stasis")
    script.up("t1")
    script.created("bot", UNICAST, state="Up")
    script.bridge("b", "t1", "bot")
    script.created("a1", "PJSIP/agent-01", linked="t1", number="7001", state="Ringing")
    script.up("a1")
    script.bridge("b", "a1")
    script.leave("b", "bot")
    script.destroyed("bot")
    (call,) = host.calls
    assert [(party.who.type, party.here) for party in call.state.parties] == [("", True), ("bot", False), ("", True)]
    assert set(taps.on) == {"t1", "a1"}


def test_a_bot_is_found_after_a_gap(script, tracker, host, taps):
    script.channel("t1", "PJSIP/trunk-01", number="+4930123456", state="Up", app="Stasis")
    script.channel("bot", UNICAST, state="Up", app="Stasis")
    bridges = [{"id": "b", "bridge_type": "mixing", "channels": ["bot", "t1"]}]
    lists = {
        "channels": wire.decode_channels(msgspec.json.encode([script.channels["bot"], script.channels["t1"]])),
        "bridges": wire.decode_bridges(msgspec.json.encode(bridges)),
    }
    for _ in range(2):
        resync(tracker, host, taps, **lists, at=host.clock.advance(1_000_000), lost=None)
    (call,) = host.calls
    assert sorted(party.who.type for party in call.state.parties) == ["", "bot"]
    assert set(taps.on) == {"t1", "bot"}


def test_a_bot_is_heard_and_its_silence_is_no_alarm(world):
    async def main(one):
        pbx = one.pbx
        caller = pbx.channel("PJSIP/trunk", number="+4930123456")
        pbx.up(caller)
        bot = pbx.channel("UnicastRTP/127.0.0.1:28190", state="Up")
        pbx.bridge(caller, bot)
        await one.until(lambda: len(one.host.by_key(caller).state.tracks) == 2)
        said = voice(1, 2.0)
        pbx.say(bot, said)
        await pbx.said(bot)
        await asyncio.sleep(0.5)
        assert find(said, one.host.audio(one.host.by_key(caller), 1))[0] > 0.99
        await asyncio.sleep(3)
        assert one.codes(caller) == ["no-audio"], "the caller's"
        pbx.hang_up(caller)
        await one.until(lambda: one.host.by_key(caller).over)
        assert bot in pbx.channels
        pbx.hang_up(bot)

    world(main, no_audio_seconds=2.0)


def customers(host):
    calls = [call for call in host.calls if not call.state.merged_into]
    return [[party.who.tel or party.who.type or party.who.sip for party in call.state.parties] for call in calls]


@pytest.mark.parametrize("how", ["leaves", "stays in its bridge", "unseen"])
def test_a_bot_that_goes_on_to_the_next_caller_makes_no_call_of_two(script, tracker, host, taps, how):
    """The first caller talks to an agent by then: nothing of the two calls may be in one record."""
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", app="Stasis")
    script.up("t1")
    script.created("bot", UNICAST, state="Up")
    script.bridge("b", "t1", "bot")
    script.created("a1", "PJSIP/agent-01", linked="t1", number="7001", state="Ringing")
    script.up("a1")
    script.leave("b", "t1")
    script.bridge("b1", "t1", "a1")
    if how == "leaves":
        script.leave("b", "bot")
        assert set(taps.on) == {"t1", "a1"}
        assert [party.here for party in host.calls[0].state.parties] == [True, False, True]
    script.created("t2", "PJSIP/trunk-02", number="+4930123457", app="Stasis")
    script.up("t2")
    if how == "unseen":
        script.channels["t2"]["state"] = "Up"
        bridges = [
            {"id": "b", "bridge_type": "mixing", "channels": ["bot", "t2"]},
            {"id": "b1", "bridge_type": "mixing", "channels": ["t1", "a1"]},
        ]
        lists = {
            "channels": wire.decode_channels(msgspec.json.encode(list(script.channels.values()))),
            "bridges": wire.decode_bridges(msgspec.json.encode(bridges)),
        }
        resync(tracker, host, taps, **lists, at=host.clock.advance(1_000_000), lost=None)
    else:
        script.bridge("b", *(("t2",) if how == "stays in its bridge" else ("t2", "bot")))
    assert customers(host) == [["+4930123456", "bot", "7001@pbx.test"], ["+4930123457", "bot"]]
    assert set(taps.on) == {"t1", "a1", "t2", "bot"}


def test_a_bot_that_comes_back_is_the_same_party(script, host, taps):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", app="Stasis")
    script.up("t1")
    script.created("bot", UNICAST, state="Up")
    script.bridge("b", "t1", "bot")
    script.leave("b", "bot")
    assert set(taps.on) == {"t1"}
    script.bridge("b", "bot")
    assert customers(host) == [["+4930123456", "bot"]]
    assert set(taps.on) == {"t1", "bot"}


def steps(script, channel: str, app: str, data: str = "") -> None:
    """The dialplan goes on to an application."""
    script.channels[channel]["dialplan"] |= {"app_name": app, "app_data": data}
    script.tell("ChannelDialplan", channel=channel, dialplan_app=app)


def test_a_bot_that_the_dialplan_runs_is_there_while_it_runs(script, host, taps):
    """As captured: AudioSocket() has no channel and enters no bridge; the application after it is told as every one is."""
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", app="Answer")
    script.up("t1")
    steps(script, "t1", "AudioSocket", "40325ec2-5efd-4bd3-805f-53576e581d13,127.0.0.1:9092")
    (call,) = host.calls
    assert [(party.who.type, party.here) for party in call.state.parties] == [("", True), ("bot", True)]
    assert set(taps.on) == {"t1", "t1 AudioSocket/127.0.0.1:9092"}
    steps(script, "t1", "AudioSocket", "9d7f8b0e-0000-4bd3-805f-53576e581d13,127.0.0.1:9092")
    assert len(call.state.parties) == 2, "the same service again is the same bot"
    steps(script, "t1", "Dial", "PJSIP/agent")
    assert [(party.who.type, party.here) for party in call.state.parties] == [("", True), ("bot", False)]
    assert set(taps.on) == {"t1"}
    script.created("a1", "PJSIP/agent-01", linked="t1", number="7001", state="Ringing")
    script.up("a1")
    script.bridge("b", "t1", "a1")
    assert [party.who.type for party in call.state.parties] == ["", "bot", ""]
    script.destroyed("t1", by="t1")
    script.destroyed("a1")
    assert call.over
    assert (taps.on, host.faults) == ({}, [])


@pytest.mark.parametrize("app", ["AGI", "EAGI", "Playback", "Dictate", "Queue"])
def test_other_applications_are_no_bots(script, host, taps, app):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", app="Answer")
    script.up("t1")
    steps(script, "t1", app, "x,127.0.0.1:9092")
    assert [party.who.type for call in host.calls for party in call.state.parties] in ([], [""])
    assert set(taps.on) <= {"t1"}


def test_a_bot_that_runs_when_its_channel_goes_leaves_nothing(script, tracker, host, taps):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", app="Answer")
    script.up("t1")
    steps(script, "t1", "AudioSocket", "40325ec2-5efd-4bd3-805f-53576e581d13,127.0.0.1:9092")
    script.destroyed("t1", by="t1")
    assert host.calls[0].over
    assert (taps.on, tracker.legs, tracker.channels.bots.runs_on, tracker.channels.bots.parties) == ({}, {}, {}, set())


UUID = "40325ec2-5efd-4bd3-805f-53576e581d13"
SERVICE = f"{UUID},127.0.0.1:9092"


def runs(script, app="AudioSocket"):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", app="Answer")
    script.up("t1")
    steps(script, "t1", app, SERVICE)


def tapped(taps):
    return {(leg.runs_on or leg.channel, bool(leg.runs_on)) for leg in taps.on.values()}


def test_a_bot_before_the_answer_begins_with_it(script, host, taps):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", app="Progress")
    steps(script, "t1", "AudioSocket", SERVICE)
    assert taps.on == {}
    script.up("t1")
    assert tapped(taps) == {("t1", False), ("t1", True)}


def test_who_is_taken_into_a_bridge_is_not_with_the_bot_any_more(script, host, taps):
    """Its application may still be called so then."""
    runs(script)
    script.created("a1", "PJSIP/agent-01", linked="t1", number="7001", state="Ringing", app="AppDial")
    script.up("a1")
    script.bridge("b", "t1", "a1")
    assert tapped(taps) == {("t1", False), ("a1", False)}


def test_the_same_bot_again_is_the_same_party_and_another_one_is_not(script, host, taps):
    runs(script)
    steps(script, "t1", "Read", SERVICE)
    steps(script, "t1", "AudioSocket", SERVICE)
    assert customers(host) == [["+4930123456", "bot"]]
    steps(script, "t1", "AudioSocket", f"{UUID},127.0.0.1:9093")
    assert customers(host) == [["+4930123456", "bot", "bot"]]
    assert len(taps.on) == 2
    assert [party.here for party in host.calls[0].state.parties] == [True, False, True]


@pytest.mark.parametrize("how", ["told", "found"])
def test_a_bot_behind_a_local_channel(script, tracker, host, taps, how):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456")
    for half in ("1", "2"):
        script.created(f"l{half}", f"Local/630@site-00000000;{half}", linked="t1", state="Down", app="AppDial")
    if how == "told":
        script.up("l2")
        steps(script, "l2", "AudioSocket", SERVICE)
        script.up("l1", "t1")
        script.bridge("b", "l1", "t1")
    else:
        for one in ("t1", "l1", "l2"):
            script.channels[one]["state"] = "Up"
        script.channels["l2"]["dialplan"] |= {"app_name": "AudioSocket", "app_data": f"{UUID},bot.test:9092"}
        fresh = ChannelTracker(host, tracker._config, taps)
        bridges = [{"id": "b", "bridge_type": "mixing", "channels": ["l1", "t1"]}]
        lists = {
            "channels": wire.decode_channels(msgspec.json.encode(list(script.channels.values()))),
            "bridges": wire.decode_bridges(msgspec.json.encode(bridges)),
        }
        resync(fresh, host, taps, **lists, at=host.clock.advance(1_000_000), lost=None)
        script.tracker = fresh
    assert customers(host)[-1:] == [["+4930123456", "bot"]]
    assert tapped(taps) == {("t1", False), ("l2", True)}
    assert host.calls[-1].state.answered is not None
    script.destroyed("t1", by="t1")
    assert taps.on == {}
    steps(script, "l2", "AudioSocket", SERVICE)
    script.destroyed("l1", "l2")
    assert taps.on == {}, "a bot alone is no call"


@pytest.mark.parametrize("over", [False, True])
def test_a_gap_leaves_a_bot_that_runs_and_ends_one_that_does_not(script, tracker, host, taps, over):
    runs(script)
    if over:
        script.channels["t1"]["dialplan"]["app_name"] = "Playback"
    lists = {"channels": wire.decode_channels(msgspec.json.encode([script.channels["t1"]])), "bridges": []}
    resync(tracker, host, taps, **lists, at=host.clock.advance(1_000_000), lost=None)
    assert tapped(taps) == ({("t1", False)} if over else {("t1", False), ("t1", True)})
    assert [party.here for party in host.calls[0].state.parties] == [True, not over]
    assert taps.stopped == (["t1 AudioSocket/127.0.0.1:9092"] if over else [])


def test_what_is_sent_to_the_channel_is_what_a_bot_that_runs_says(world):
    async def main(one):
        pbx = one.pbx
        caller = pbx.channel("PJSIP/trunk", number="+4930123456")
        pbx.up(caller)
        pbx.channels[caller]["dialplan"] |= {"app_name": "AudioSocket", "app_data": f"{UUID},127.0.0.1:9092"}
        pbx.tell("ChannelDialplan", channel=caller, dialplan_app="AudioSocket")
        await one.until(lambda: len(one.host.by_key(caller).state.tracks) == 2)
        mine, bots = voice(1, 2.0), voice(2, 2.0)
        pbx.say(caller, mine)
        pbx.say(f"to {caller}", bots)
        await one.until(lambda: not pbx.voices[caller] and not pbx.voices[f"to {caller}"], within=10)
        await asyncio.sleep(0.5)
        call = one.host.by_key(caller)
        heard = {party.who.type: one.host.audio(call, party.index) for party in call.state.parties}
        assert find(mine, heard[""])[0] > 0.99
        assert find(bots, heard["bot"])[0] > 0.99
        pbx.hang_up(caller)
        await one.until(lambda: call.over)

    world(main)
