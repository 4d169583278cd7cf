"""The adapter against an Asterisk that misbehaves: it stays attached, and taps stay on, whatever happens."""

from __future__ import annotations

import asyncio
import socket

import pytest

from vcond.sdk.contract import Cause
from vcond.testing.sounds import find, voice
from vcond_asterisk import adapter
from vcond_asterisk.client import Ari
from vcond_asterisk.taps import Tap
from vcond_asterisk.tracker import ChannelTracker


def test_it_sets_filter_and_subscription_after_every_connect(world):
    async def main(one):
        for _ in range(2):
            assert "ChannelVarset" not in one.pbx.allowed["vcond"]
            assert "ApplicationReplaced" in one.pbx.allowed["vcond"]
            assert one.pbx._subscribed == {"vcond"}
            one.pbx.cut_events()
            await one.until(lambda: not one.host.is_attached)
            await one.until(lambda: one.host.is_attached)
        assert not any("subscribeAll" in request for request in one.pbx.requests)

    world(main)


def test_variables_are_told_when_calls_are_chosen_by_one(world):
    async def main(one):
        assert "ChannelVarset" in one.pbx.allowed["vcond"]
        one.pbx.variables["REC"] = "yes"
        one.pbx.cut_events()
        caller = one.pbx.channel("PJSIP/trunk", state="Up")
        agent = one.pbx.channel("PJSIP/agent", linked=caller, state="Up")
        one.pbx.bridge(caller, agent)
        await one.until(lambda: len(one.host.by_key(caller).state.tracks) == 2)

    world(main, only_if_variable="REC")


def test_an_old_asterisk_without_event_filter(world):
    async def main(one):
        one.pbx.refuse["eventFilter"] = 404
        await one.start()
        await one.call()

    world(main, start=False)


@pytest.mark.parametrize(
    ("refused", "status", "says"),
    [("GET events", 401, "password"), ("GET channels", 500, "list of channels"), ("PUT", 403, "read_only")],
)
def test_it_is_not_attached_until_all_works(world, refused, status, says):
    async def main(one):
        one.pbx.refuse[refused] = status
        await one.start(attached=False)
        await one.until(lambda: len(one.host.attachments) >= 2)
        assert says in one.host.attachments[-1][1]
        one.pbx.refuse.clear()
        await one.until(lambda: one.host.is_attached)

    world(main, start=False)


def test_the_linkedid_is_asked_for_once_a_channel(world):
    async def main(one):
        one.pbx.channelvars = False
        caller, agent = await one.call()
        asked = [request for request in one.pbx.requests if request.endswith("/variable")]
        assert asked.count(f"GET channels/{agent}/variable") == 1
        assert asked.count(f"GET channels/{caller}/variable") <= 4, "and whether the caller hides, until he talks"
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.host.by_key(caller).over)

    world(main)


def test_a_caller_who_hides_the_number_is_anonymous_from_the_first_event_on(world):
    async def main(one):
        one.pbx.variables["CALLERID(pres)"] = "prohib_not_screened"
        caller, agent = await one.call()
        call = one.host.by_key(caller)
        number = one.pbx.channels[caller]["caller"]["number"]
        assert len(number) > 5
        assert number not in repr(call.events)
        assert call.state.parties[0].who.name == "anonymous"
        assert call.state.parties[1].who.name == one.pbx.channels[agent]["caller"]["name"]
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: call.over)

    world(main)


def test_a_mistake_of_ours_with_one_event_costs_no_call(world, monkeypatch):
    handled = ChannelTracker.event

    def breaks(tracker, event, arrived):
        if type(event).__name__ == "ChannelHold":
            raise RuntimeError("+4930123456")
        handled(tracker, event, arrived)

    monkeypatch.setattr(ChannelTracker, "event", breaks)

    async def main(one):
        caller, agent = await one.call()
        one.pbx.tell("ChannelHold", channel=agent)
        await one.until(lambda: one.host.drops["event", "mistake"] == 1)
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.host.by_key(caller).over)

    world(main)


def test_a_mistake_of_ours_while_looking_after_one_call_costs_no_other(world, monkeypatch):
    def breaks(*_):
        raise RuntimeError("+4930123456")

    async def main(one):
        caller, agent = await one.call()
        monkeypatch.setattr(adapter.TapManager, "look_after", breaks)
        await one.until(lambda: one.host.drops["event", "mistake"] >= 2)
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.host.by_key(caller).over)

    world(main)


@pytest.mark.parametrize("step", ["_set_up", "_complain"])
def test_a_mistake_of_ours_with_one_tap_costs_no_other_and_it_is_made_again(world, monkeypatch, step):
    right, failed = getattr(Tap, step), []

    def breaks(tap, *rest):
        if len(failed) < 4:
            failed.append(tap)
            raise RuntimeError("+4930123456")
        return right(tap, *rest)

    async def main(one):
        await one.call()
        before = set(one.pbx.helpers("vcond."))
        assert len(before) == 6
        with monkeypatch.context() as broken:
            broken.setattr(Tap, step, breaks)
            if step == "_complain":
                one.pbx.refuse["externalMedia"] = 500
            caller, agent = await one.call(tapped=0)
            await one.until(lambda: one.host.drops["event", "mistake"] >= 2)
            one.pbx.refuse.clear()
            await one.until(lambda: len(one.host.by_key(caller).state.tracks) == 2)
        assert before <= set(one.pbx.helpers("vcond."))
        assert one.host.is_attached
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.host.by_key(caller).over)

    world(main)


def test_helpers_that_a_mistake_of_ours_left_are_removed_with_the_next_attachment(world, monkeypatch):
    async def breaks(*_, **__):
        raise RuntimeError("+4930123456")

    async def main(one):
        caller, agent = await one.call()
        with monkeypatch.context() as broken:
            broken.setattr(Ari, "destroy_bridge", breaks)
            one.pbx.hang_up(agent, caller)
            await one.until(lambda: one.host.drops["event", "mistake"] == 2)
            assert one.pbx.helpers("vcond.")
        one.pbx.cut_events()
        await one.until(lambda: not one.pbx.helpers("vcond."))

    world(main)


def test_a_mistake_of_ours_while_attaching_is_no_end(world, monkeypatch):
    def breaks(*_, **__):
        raise RuntimeError("+4930123456")

    async def main(one):
        caller, _ = await one.call()
        with monkeypatch.context() as broken:
            broken.setattr(adapter, "resync", breaks)
            one.pbx.cut_events()
            await one.until(lambda: one.host.drops["event", "mistake"] >= 1)
        await one.until(lambda: one.host.is_attached)
        assert not one.host.by_key(caller).over
        assert not any("4930" in detail for _, detail in one.host.attachments)

    world(main)


def test_a_call_that_the_core_ended_is_not_listened_to_any_more(world):
    async def main(one):
        caller, agent = await one.call()
        call = one.host.by_key(caller)
        call.end(at=one.host.clock.now())
        await one.until(lambda: one.pbx.helpers("vcond.") == [])
        late = one.host.drops["frame", "after-close"] + one.host.drops["frame", "after-end"]
        assert late < 200, "about a second of frames of two parties"
        one.pbx.hang_up(agent, caller)
        await asyncio.sleep(1)
        assert len(one.host.calls) == 1

    world(main)


def test_a_call_that_the_core_cut_off_is_recorded_from_then_on(world):
    async def main(one):
        caller, agent = await one.call()
        old = one.host.by_key(caller)
        old.end(at=one.host.clock.now(), cause=Cause(text="limit"))
        await one.until(lambda: len(one.host.calls) == 2)
        await heard_again(one, old, caller, agent)

    world(main)


@pytest.mark.parametrize("early", [True, False], ids=["before-it-is-attached-again", "as-it-is-attached-again"])
def test_a_call_that_went_on_while_we_were_not_attached_is_recorded_from_then_on(world, early):
    async def main(one):
        caller, agent = await one.call()
        old = one.host.by_key(caller)
        heard = one.host.clock.now()
        one.pbx.refuse["GET events"] = 500
        one.pbx.cut_events()
        await asyncio.sleep(40)
        if not early:
            one.pbx.refuse.clear()
            await one.until(lambda: one.host.is_attached)
        old.end(at=heard, cause=Cause(text="adapter-gone"))
        await asyncio.sleep(2)
        assert early == (len(one.host.calls) == 1)
        one.pbx.refuse.clear()
        await one.until(lambda: len(one.host.calls) == 2)
        await heard_again(one, old, caller, agent)

    world(main)


async def heard_again(one, old, caller, agent):
    new = one.host.calls[1]
    await one.until(lambda: len(new.state.tracks) == 2)
    said = voice(1, 2.0)
    one.pbx.say(agent, said)
    await one.pbx.said(agent)
    await asyncio.sleep(0.5)
    assert [warning.code for warning in new.state.warnings] == ["joined-late"]
    assert find(said, one.host.audio(new, 1))[0] > 0.99
    one.pbx.hang_up(agent, caller, by=agent)
    await one.until(lambda: new.over)
    assert new.state.hung_up_by == 1
    assert len(old.state.tracks) == 2, "what was ended stays as it was"
    assert len(one.host.calls) == 2


def test_an_audio_port_that_somebody_has_is_tried_again(world):
    async def main(one):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            one.config.port = taken.getsockname()[1]
            await one.start(attached=False)
            await one.until(lambda: bool(one.host.attachments))
            assert "cannot listen" in one.host.attachments[-1][1]
        await one.until(lambda: one.host.is_attached)

    world(main, start=False)


def test_a_pbx_that_restarts_ends_its_calls(world):
    async def main(one):
        caller, _ = await one.call()
        one.pbx.cut_events()
        one.pbx.channels.clear()
        one.pbx.bridges.clear()
        one.pbx.cut_audio()
        ended = one.host.clock.now()
        await one.until(lambda: one.host.by_key(caller).over)
        assert abs(one.host.by_key(caller).state.ended - ended) < 1e9
        assert one.codes(caller) == ["events-lost"]

    world(main)


# Taps.


def test_a_tap_is_tried_again_until_it_works(world):
    async def main(one):
        one.pbx.refuse["externalMedia"] = 500
        caller, agent = await one.call(tapped=0)
        await one.until(lambda: "tap-failed" in one.codes(caller))
        assert one.codes(caller).count("tap-failed") == 2, "once for each party"
        one.pbx.refuse.clear()
        await one.until(lambda: len(one.host.by_key(caller).state.tracks) == 2)
        said = voice(1, 2.0)
        one.pbx.say(agent, said)
        await one.pbx.said(agent)
        await asyncio.sleep(0.5)
        assert find(said, one.host.audio(one.host.by_key(caller), 1))[0] > 0.99

    world(main)


def test_a_tap_gives_up_when_its_channel_is_gone(world):
    async def main(one):
        one.pbx.refuse["/snoop/"] = 404
        await one.call(tapped=0)
        await asyncio.sleep(20)
        assert sum("/snoop/" in request for request in one.pbx.requests) == 2

    world(main)


def test_a_request_that_is_never_answered(world):
    async def main(one):
        one.pbx.hang = "externalMedia"
        caller, _ = await one.call(tapped=0)
        await one.until(lambda: "tap-failed" in one.codes(caller))
        one.pbx.hang = ""
        await one.until(lambda: len(one.host.by_key(caller).state.tracks) == 2)

    world(main, timeout=1.0)


def test_a_pbx_that_is_slow_is_given_more_time_with_each_try(world):
    """Setting up takes two turns of 3 s, which is longer than the first try may take."""

    async def main(one):
        one.pbx.slow = 3.0
        caller, agent = await one.call(tapped=0)
        await one.until(lambda: len(one.host.by_key(caller).state.tracks) == 2)
        said = voice(1, 2.0)
        one.pbx.say(agent, said)
        await one.pbx.said(agent)
        await asyncio.sleep(0.5)
        assert find(said, one.host.audio(one.host.by_key(caller), 1))[0] > 0.99
        assert "tap-failed" not in one.codes(caller)
        assert one.host.drops["tap", "stalled"] == 0

    world(main, timeout=5.0)


def test_a_stalled_tap_is_made_anew(world):
    async def main(one):
        caller, _ = await one.call()
        first = set(one.pbx._streams)
        one.pbx.mute |= first
        await one.until(lambda: len(set(one.pbx._streams) - first) == 2)
        await one.until(lambda: not first & set(one.pbx.channels))
        call = one.host.by_key(caller)
        await asyncio.sleep(3)
        assert len(call.state.tracks) == 2, "the same tracks go on"
        assert len(set(one.pbx._streams) - first) == 2, "and the new taps stay"

    world(main, stall_seconds=2.0)


def test_taps_that_stand_still_go_on_with_a_frame_of_silence(world):
    async def main(one):
        one.pbx.still = 1
        caller, agent = await one.call()
        said = voice(1, 2.0)
        one.pbx.say(agent, said)
        await one.pbx.said(agent)
        await asyncio.sleep(0.5)
        call = one.host.by_key(caller)
        assert find(said, one.host.audio(call, 1))[0] > 0.95
        assert one.codes(caller) == []
        assert one.pbx.requests.count("POST channels/externalMedia") == 2, "none was made anew"
        assert all(0 < len(taken) < 4 * 323 for taken in one.pbx.taken.values()), "no more than it takes"

    world(main)


@pytest.mark.parametrize(("frames", "seconds"), [(0, 1.0), (2, 1.0), (80, 2.0)])
def test_taps_that_silence_does_not_help_are_made_anew_and_told(world, frames, seconds):
    async def main(one):
        caller, _ = await one.call()
        await asyncio.sleep(frames * 0.02)
        loop = asyncio.get_running_loop()
        began, first = loop.time(), set(one.pbx._streams)
        one.pbx.mute |= first
        await one.until(lambda: len(set(one.pbx._streams) - first) == 2)
        assert seconds <= loop.time() - began < seconds + 0.8
        code, reason = ("audio-stopped", "stopped") if frames > 50 else ("tap-stalled", "stalled")
        assert one.codes(caller) == [code] * 2, "once for each party"
        assert one.host.drops["tap", reason] == 2

    world(main, stall_seconds=2.0)


def test_audio_and_events_cut_at_once(world):
    async def main(one):
        caller, agent = await one.call()
        one.pbx.cut_audio()
        one.pbx.cut_events()
        await one.until(lambda: not one.host.is_attached)
        await one.until(lambda: one.host.is_attached)
        await asyncio.sleep(1)
        said = voice(2, 2.0)
        one.pbx.say(caller, said)
        await one.pbx.said(caller)
        await asyncio.sleep(0.5)
        call = one.host.by_key(caller)
        assert find(said, one.host.audio(call, 0))[0] > 0.99
        assert len(call.state.tracks) == 2
        assert agent in one.pbx.channels

    world(main)


def test_a_party_of_whom_only_silence_comes_is_told_once(world):
    async def main(one):
        caller, _ = await one.call()
        one.pbx.say(caller, voice(1, 1.0))
        await one.until(lambda: "no-audio" in one.codes(caller))
        await asyncio.sleep(3)
        (warning,) = one.host.by_key(caller).state.warnings
        assert "only silence" in warning.text

    world(main, no_audio_seconds=2.0)


def test_parties_of_whom_nothing_comes_at_all_are_told(world):
    async def main(one):
        one.pbx.mute.add("*")
        caller, _ = await one.call(tapped=0)
        await one.until(lambda: one.codes(caller).count("no-audio") == 2)
        told = [w.text for w in one.host.by_key(caller).state.warnings if w.code == "no-audio"]
        assert all("no audio of this party arrives" in text for text in told)

    world(main, no_audio_seconds=2.0)


def test_who_holds_is_not_reported_as_silent(world):
    async def main(one):
        caller, agent = await one.call()
        one.pbx.say(caller, voice(1, 1.0))
        one.pbx.tell("ChannelHold", channel=agent)
        await asyncio.sleep(4)
        assert one.codes(caller) == []

    world(main, no_audio_seconds=2.0)


def test_a_leg_that_ends_while_it_is_being_tapped_leaves_nothing(world):
    async def main(one):
        caller, agent = one.pbx.channel("PJSIP/trunk"), one.pbx.channel("PJSIP/agent")
        one.pbx.up(caller)
        one.pbx.up(agent)
        await one.until(lambda: any("/snoop/" in request for request in one.pbx.requests))
        one.pbx.hang_up(caller, agent)
        await one.until(lambda: all(call.over for call in one.host.calls))

    world(main)


def test_it_is_stopped_while_taps_are_being_made(world):
    async def main(one):
        one.pbx.hang = "addChannel"
        await one.call(tapped=0)
        await one.until(lambda: any("addChannel" in request for request in one.pbx.requests))

    world(main)


def test_orphans_of_an_earlier_run_are_removed_and_those_of_others_are_not(world):
    async def main(one):
        one.pbx.bridge(ident="vcond.b-1", kind="stasis")
        one.pbx.bridge(ident="vcond2.b-1", kind="stasis")
        one.pbx._helper("vcond.m-1", "AudioSocket/x", "vcond")
        await one.start()
        await one.until(lambda: one.pbx.helpers("vcond.") == [])
        assert one.pbx.helpers("vcond2.") == ["vcond2.b-1"]

    world(main, start=False)


def test_helpers_that_cannot_be_removed_are_when_it_attaches_again(world):
    async def main(one):
        caller, agent = await one.call()
        one.pbx.refuse["DELETE"] = 500
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.host.by_key(caller).over)
        await asyncio.sleep(1)
        assert len([name for name in one.pbx.helpers("vcond.") if ".b-" in name]) == 2
        one.pbx.refuse.clear()
        one.pbx.cut_events()
        await one.until(lambda: one.pbx.helpers("vcond.") == [])

    world(main)
