"""What is known after a gap: lists of the PBX against what was believed."""

from __future__ import annotations

import msgspec
import pytest

from vcond.sdk.contract import Tagged
from vcond.testing.host import MemoryHost
from vcond_asterisk import Config, wire
from vcond_asterisk.resync import resync
from vcond_asterisk.tracker import ChannelTracker

MS = 1_000_000


@pytest.fixture
def lists(script):
    """The channels and bridges that the script knows, as the PBX would list them."""

    def make(*gone):
        channels = [one for ident, one in script.channels.items() if ident not in gone]
        bridges = [
            {"id": ident, "bridge_type": "mixing", "channels": [m for m in members if m not in gone]}
            for ident, members in script.members.items()
        ]
        return {
            "channels": wire.decode_channels(msgspec.json.encode(channels)),
            "bridges": wire.decode_bridges(msgspec.json.encode(bridges)),
        }

    return make


def test_nothing_changed(script, tracker, host, taps, lists):
    script.call()
    before = host.calls[0].events[:]
    resync(tracker, host, taps, **lists(), at=host.clock.advance(MS), lost=None)
    assert host.calls[0].events == before


def test_a_call_that_vanished_ends_when_the_events_stopped(script, tracker, host, taps, lists):
    script.call()
    lost = host.clock.advance(MS)
    at = host.clock.advance(60_000 * MS)
    resync(tracker, host, taps, **lists("t1", "a1"), at=at, lost=lost)
    (call,) = host.calls
    assert call.state.ended == lost
    assert [warning.code for warning in call.state.warnings] == ["events-lost"]
    assert taps.on == {}


def test_a_call_that_vanished_ends_at_its_last_audio(script, tracker, host, taps, lists):
    script.call()
    lost = host.clock.advance(MS)
    heard = host.clock.advance(5_000 * MS)
    taps.last_heard = lambda leg: heard if leg.channel == "t1" else heard - MS
    resync(tracker, host, taps, **lists("t1", "a1"), at=host.clock.advance(60_000 * MS), lost=lost)
    assert host.calls[0].state.ended == heard


def test_a_party_that_came_and_one_that_went(script, tracker, host, taps, lists):
    script.call()
    script.channel("a2", "PJSIP/agent2-02", linked="t1", state="Up", who="Bob")
    script.members["bt1"] = ["t1", "a2"]
    resync(tracker, host, taps, **lists("a1"), at=host.clock.advance(MS), lost=host.clock.now())
    (call,) = host.calls
    assert [(party.who.name, party.here) for party in call.state.parties] == [
        ("", True),
        ("Alice", False),
        ("Bob", True),
    ]
    assert set(taps.on) == {"t1", "a2"}


def test_a_call_that_nobody_knew_begins_now(script, tracker, host, taps, lists):
    for name, linked in (("t1", ""), ("a1", "t1")):
        script.channel(name, f"PJSIP/{'trunk' if name == 't1' else 'agent'}-01", linked=linked, state="Up")
    script.members["b"] = ["t1", "a1"]
    at = host.clock.advance(MS)
    resync(tracker, host, taps, **lists(), at=at, lost=None)
    (call,) = host.calls
    assert (call.state.opened, call.state.answered, call.state.direction) == (at, at, "inbound")
    assert [warning.code for warning in call.state.warnings] == ["joined-late"]
    assert len(call.state.parties) == 2
    script.created("a2", "PJSIP/agent2-03", linked="t1")
    script.up("a2")
    assert call.state.parties[2].presences[0].joined > at, "who comes later joins when he comes"


def test_calls_of_an_earlier_run_are_taken_up_or_ended(script, tracker, host, taps, lists):
    script.call()
    script.call(trunk="t2", agent="a2")
    script.call(trunk="t3", agent="a3")
    script.leave("bt1", "a1")
    uuids = [call.uuid for call in host.calls]
    second = MemoryHost.after_crash(host)
    gone = ("a1", "t2", "a2")
    at = second.clock.advance(MS)
    resync(fresh(second, taps), second, taps, **lists(*gone), at=at, lost=None)
    first, ended, third = second.calls
    assert [first.uuid, ended.uuid, third.uuid] == uuids
    assert [call.over for call in second.calls] == [False, True, False]
    assert [party.here for party in first.state.parties] == [True, False]
    assert [party.here for party in third.state.parties] == [True, True]
    assert ended.state.ended == host.calls[1].state.last
    assert [warning.code for warning in ended.state.warnings] == ["ended-unseen"]
    assert second.faults == []


def test_what_the_pbx_still_tells_of_channels_that_are_in_no_list_is_no_other_call(script, host, taps, lists):
    """Attached in the moment in which a call of an earlier run ends: its channels are in no list, and their last events still come."""
    script.call()
    script.call(trunk="t2", agent="a2")
    second = MemoryHost.after_crash(host)
    script.tracker = fresh(second, taps)
    resync(script.tracker, second, taps, **lists("a1", "t2", "a2"), at=second.clock.advance(MS), lost=None)
    script.leave("bt1", "a1")
    script.leave("bt2", "t2", "a2")
    script.destroyed("a1", "t2", "a2", by="t2")
    goes_on, ended = second.calls
    assert (goes_on.over, ended.over) == (False, True)
    assert len(goes_on.state.parties) == 2
    script.destroyed("t1")
    assert len(second.calls) == 2
    assert second.faults == []


def test_what_ended_while_nobody_watched_ends_when_it_was_last_heard(script, host, taps, lists):
    """Texts of what was captured come at the restart; the call and who left it were over by then."""
    script.call()
    script.call(trunk="t2", agent="a2")
    heard = host.clock.now()
    host.clock.advance(3_600_000 * MS)
    second = MemoryHost.after_crash(host)
    for call in second.calls:
        call.record(Tagged(at=second.clock.now(), name="said", value="later"))
    at = second.clock.advance(MS)
    resync(fresh(second, taps), second, taps, **lists("t1", "a1", "a2"), at=at, lost=None)
    ended, goes_on = second.calls
    assert (ended.over, goes_on.over) == (True, False)
    assert heard - 10 * MS <= ended.state.ended <= heard
    assert ended.state.warnings[-1].at == ended.state.ended
    stays = [party.presences[0].left for party in goes_on.state.parties]
    assert stays[0] is None
    assert heard - 10 * MS <= stays[1] <= heard


def test_a_hold_of_an_earlier_run_ends(script, host, taps, lists, make_script):
    script.call()
    script.tell("ChannelHold", channel="a1")
    second = MemoryHost.after_crash(host)
    tracker = fresh(second, taps)
    resync(tracker, second, taps, **lists(), at=second.clock.advance(MS), lost=None)
    again = make_script(tracker)
    again.channels = script.channels
    again.tell("ChannelUnhold", channel="a1")
    assert [moment.event for moment in second.calls[0].state.history][-2:] == ["hold", "unhold"]


def test_a_conference_of_an_earlier_run_is_one_call_although_its_first_member_left(script, host, taps, lists):
    for i in range(3):
        script.created(f"t{i}", f"PJSIP/trunk-0{i}", number=f"+49301234{i}")
        script.up(f"t{i}")
        script.bridge("room", f"t{i}")
    script.destroyed("t0")
    second = MemoryHost.after_crash(host)
    resync(fresh(second, taps), second, taps, **lists("t0"), at=second.clock.advance(MS), lost=None)
    goes_on = [call for call in second.calls if not call.over]
    assert [call.key for call in goes_on] == ["t0"]
    assert [party.here for party in goes_on[0].state.parties] == [False, True, True]


def test_calls_of_this_process_whose_adapter_was_started_again(script, tracker, host, taps, lists):
    script.call()
    resync(fresh(host, taps), host, taps, **lists(), at=host.clock.advance(MS), lost=None)
    assert len(host.calls) == 1
    assert [party.here for party in host.calls[0].state.parties] == [True, True]


def test_two_unfinished_calls_that_met_meanwhile_become_one(script, host, taps, lists):
    script.call()
    script.call(trunk="t2", agent="a2")
    script.members["bt1"] += ["t2"]
    script.members["bt2"].remove("t2")
    second = MemoryHost.after_crash(host)
    resync(fresh(second, taps), second, taps, **lists("a2"), at=second.clock.advance(MS), lost=None)
    goes_on = [call for call in second.calls if not call.over]
    assert len(goes_on) == 1
    assert len(goes_on[0].state.parties) == 4


def test_an_unfinished_call_that_must_not_be_recorded_any_more_is_ended(script, host, taps, lists):
    script.call()
    second = MemoryHost.after_crash(host)
    tracker = ChannelTracker(second, Config(exclude=["PJSIP/agent"]).checked(), taps)
    resync(tracker, second, taps, **lists(), at=second.clock.advance(MS), lost=None)
    assert second.calls[0].over
    assert len(second.calls) == 1


def fresh(host, taps):
    taps.on.clear()
    return ChannelTracker(host, Config(internal=["PJSIP/agent*"]).checked(), taps)
