"""What events mean for conversations: captured calls, and what captures do not have."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.sdk.contract import CallAttribute, Cause, Disposition
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock
from vcond_asterisk import Config, wire
from vcond_asterisk.tracker import ChannelTracker

MS = 1_000_000


def replay(tracker, host, events):
    for event in events:
        host.clock.advance(MS)
        decoded = wire.decode_event(json.dumps(event))
        if decoded is not None:
            tracker.event(decoded, host.clock.now())
    assert host.faults == []


def moments(call):
    return [(m.party, m.event + m.button) for m in call.state.history]


def facts(call, party=None):
    return {fact.name: fact.value for fact in call.state.facts if fact.party == party}


def live(host):
    return [call for call in host.calls if not call.state.merged_into]


# Captured on the real Asterisk.


def test_captured_plain_call(tracker, host, taps, capture):
    replay(tracker, host, capture("plain-call"))
    (call,) = host.calls
    state = call.state
    assert (state.key, state.direction, state.cause.q850, state.hung_up_by) == ("pbx-1795339661.4", "inbound", 16, 0)
    assert [(p.who.tel, p.who.sip, p.who.name) for p in state.parties] == [
        ("15550100", "", "Carol Caller"),
        ("", "7001@pbx.test", "Alice Agent"),
    ]
    assert moments(call) == [
        (0, "join"), (1, "join"), (0, "keydown5"), (0, "keyup5"), (0, "keydown#"), (0, "keyup#"), (1, "hold"),
        (1, "unhold"), (1, "drop"), (0, "drop"),
    ]  # fmt: skip
    downs = [m.at for m in state.history if m.event == "keydown"]
    ups = [m.at for m in state.history if m.event == "keyup"]
    assert [up - down for down, up in zip(downs, ups, strict=True)] == [200 * MS, 200 * MS]
    assert facts(call) == {"linkedid": "pbx-1795339661.4", "dialled": "200"}
    assert facts(call, 1)["sip_call_id"] == "a5309c8d-3044-477a-8f48-87b6922adc85"
    assert sorted(taps.stopped) == ["pbx-1795339661.4", "pbx-1795339661.5"]
    assert tracker.conversations == []
    assert tracker.legs == {}


def test_captured_times_are_those_of_the_pbx(tracker, host, capture):
    """However late events arrive, the distances between them are what Asterisk says."""
    replay(tracker, host, capture("plain-call"))
    history = {m.event + m.button: m.at for m in host.calls[0].state.history}
    assert abs((history["unhold"] - history["hold"]) - 1003 * MS) <= 1100 * MS  # replayed faster than it was


def test_captured_blind_transfer(tracker, host, taps, capture):
    replay(tracker, host, capture("blind-transfer"))
    (call,) = host.calls
    (transfer,) = call.state.transfers
    assert (transfer.kind, transfer.transferor, transfer.transferee, transfer.target) == ("blind", 1, 0, 2)
    assert (transfer.outcome, transfer.to) == ("success", "201")
    assert [party.here for party in call.state.parties] == [True, False, True]
    assert set(taps.on) == {"pbx-1795339934.26", "pbx-1795339936.30"}
    assert call.state.hung_up_by is None


@pytest.mark.parametrize("name", ["attended-transfer", "attended-transfer-no-target"])
def test_captured_attended_transfer(tracker, host, capture, name):
    """In the second one Asterisk did not say who the target is."""
    replay(tracker, host, capture(name))
    (call,) = host.calls
    (transfer,) = call.state.transfers
    assert (transfer.kind, transfer.transferor, transfer.transferee, transfer.target) == ("attended", 1, 0, 2)
    assert [party.who.name for party in call.state.parties] == ["Carol Caller", "Alice Agent", "Bob Agent"]
    assert not call.state.parties[1].here
    assert moments(call).count((1, "hold")) == moments(call).count((1, "unhold")) == 1
    assert not any(channel in tracker.legs for channel in tracker.locals)


def test_captured_queue(tracker, host, taps, capture):
    """The caller is listened to while he waits; who rang in vain is no party."""
    events = capture("queue")
    waiting = next(i for i, event in enumerate(events) if event["type"] == "Dial" and event.get("caller"))
    replay(tracker, host, events[:waiting])
    assert list(taps.on) == ["pbx-1795339946.40"]
    assert host.calls[0].state.answered is None
    replay(tracker, host, events[waiting:])
    (call,) = host.calls
    assert call.state.answered is not None
    assert facts(call)["queue"] == "support"
    assert [(p.who.name, p.who.role) for p in call.state.parties] == [("Carol", "customer"), ("Alice Agent", "agent")]


@pytest.mark.parametrize(
    ("name", "disposition", "text", "q850", "sip", "by", "parties"),
    [
        ("busy-pbx", Disposition.BUSY, "", 17, 486, None, 1),
        ("busy-phone", Disposition.BUSY, "BUSY", 17, 486, None, 2),
        ("no-answer", Disposition.NO_ANSWER, "NOANSWER", 16, None, None, 2),
        ("cancelled", Disposition.HUNG_UP, "CANCEL", 16, None, 0, 2),
    ],
)
def test_captured_calls_that_nobody_answered(
    tracker, host, taps, capture, name, disposition, text, q850, sip, by, parties
):
    replay(tracker, host, capture(name))
    state = host.calls[0].state
    assert state.answered is None
    assert (state.disposition, state.cause.text, state.cause.q850, state.cause.sip) == (disposition, text, q850, sip)
    assert (state.hung_up_by, len(state.parties)) == (by, parties)
    assert state.parties[-1].who.name != ""
    assert taps.on == {}


# What calls are made of.


def test_the_direction_is_known_before_the_call_opens(script, host):
    script.created("a1", "PJSIP/agent-01", number="7001")
    assert host.calls == []
    script.created("t1", "PJSIP/trunk-02", linked="a1", number="4930123")
    assert [(call.state.direction, call.key) for call in host.calls] == [("outbound", "a1")]
    assert host.calls[0].state.opened < host.clock.now()


def test_a_call_between_two_of_ours_is_internal(script, host):
    script.created("a1", "PJSIP/agent-01")
    script.created("a2", "PJSIP/agent-02", linked="a1")
    assert host.calls[0].state.direction == "internal"


def test_a_phone_that_comes_back_is_the_same_party(script, host):
    script.call()
    script.created("a2", "PJSIP/agent2-02", linked="t1", state="Up")
    script.destroyed("a1")
    script.created("a3", "PJSIP/agent-03", linked="t1", number="7001", state="Up")
    (call,) = host.calls
    assert [party.key for party in call.state.parties][1:] == ["PJSIP/agent", "PJSIP/agent2"]
    assert call.state.parties[1].here
    assert (facts(call, 1)["uniqueid"], facts(call, 1)["uniqueid.again"]) == ("a1", "a3")


def test_two_callers_through_one_trunk_are_two_parties(script, host):
    script.call()
    script.created("t2", "PJSIP/trunk-09", linked="t1", number="+4930999999", state="Up")
    script.destroyed("t2")
    script.created("t3", "PJSIP/trunk-0a", linked="t1", number="+4930888888", state="Up")
    assert len(host.calls[0].state.parties) == 4


def test_a_desk_phone_transfers_by_two_calls(script, host, taps):
    """The agent calls a colleague on a second line (a call of its own) and connects the two with Replaces."""
    script.call()
    script.created("a2", "PJSIP/agent-02", number="7001", who="Alice")
    script.created("b2", "PJSIP/agent2-03", linked="a2", number="7002", who="Bob")
    script.up("b2", "a2")
    script.bridge("b2nd", "b2", "a2")
    assert len(host.calls) == 2
    for channel in ("a2", "b2"):
        script.channels[channel]["channelvars"]["CHANNEL(linkedid)"] = "t1"
    script.leave("bt1", "a1")
    script.leave("b2nd", "a2", "b2")
    script.bridge("bt1", "b2")
    script.tell(
        "BridgeAttendedTransfer",
        result="Success",
        transferer_first_leg="a1",
        transferer_second_leg="a2",
        transferee="t1",
    )
    script.destroyed("a1", "a2")
    first, second = host.calls
    assert second.state.merged_into == first.uuid
    (transfer,) = first.state.transfers
    names = [party.who.name for party in first.state.parties]
    assert (names[transfer.transferor], names[transfer.target]) == ("Alice", "Bob")
    assert transfer.transferee == 0
    assert set(taps.on) == {"t1", "b2"}
    script.destroyed("b2", "t1", by="t1")
    assert first.over
    assert first.state.hung_up_by == 0


def test_a_consultation_that_leads_to_nothing_stays_a_call_of_its_own(script, host):
    script.call()
    script.created("a2", "PJSIP/agent-02", number="7001")
    script.created("b2", "PJSIP/agent2-03", linked="a2")
    script.up("b2", "a2")
    script.bridge("b2nd", "b2", "a2")
    script.destroyed("b2", "a2")
    assert [call.over for call in host.calls] == [False, True]
    assert not host.calls[1].state.merged_into


def test_a_conference_is_one_call(script, host):
    for i in range(3):
        script.created(
            f"t{i}", f"PJSIP/trunk-0{i}", number=f"+49301234{i}", app="ConfBridge", dialplan={"app_data": "room"}
        )
        script.up(f"t{i}")
        script.bridge("room", f"t{i}")
    (call,) = live(host)
    assert call.key == "t0"
    assert [party.here for party in call.state.parties] == [True] * 3
    assert call.state.answered is not None
    assert facts(call)["conference"] == "room"
    script.destroyed("t0")
    assert not call.over
    script.destroyed("t1", "t2")
    assert call.over


def test_callers_parked_in_one_place_do_not_meet(script, host):
    for i in range(2):
        script.created(f"t{i}", f"PJSIP/trunk-0{i}")
        script.up(f"t{i}")
        script.bridge("lot", f"t{i}", kind="holding")
    assert len(live(host)) == 2


def test_another_phone_takes_a_channel_over(script, host, taps):
    """Pickup: the channel keeps its id and speaks with another voice."""
    script.call()
    script.channels["a1"]["name"] = "PJSIP/agent2-0000000f"
    script.channels["a1"]["caller"] = {"name": "Bob", "number": "7002"}
    script.tell("ChannelCallerId", channel="a1")
    (call,) = host.calls
    assert [party.here for party in call.state.parties] == [True, False, True]
    assert call.state.parties[2].who.name == "Bob"
    assert "a1" in taps.stopped
    assert "a1" in taps.on


def test_a_name_that_becomes_known_is_told(script, host):
    script.call()
    script.channels["t1"]["caller"]["name"] = "Carol"
    script.tell("ChannelConnectedLine", channel="t1")
    assert host.calls[0].state.parties[0].who.name == "Carol"


def test_a_machine_that_answered_is_an_answer(script, host):
    script.created("t1", "PJSIP/trunk-01", app="Answer")
    script.up("t1")
    script.channels["t1"]["dialplan"] = {"app_name": "VoiceMail", "app_data": "1000@default,u"}
    script.destroyed("t1", by="t1")
    (call,) = host.calls
    assert call.state.answered is not None
    assert call.state.disposition is None
    assert (facts(call)["answered_by"], facts(call)["mailbox"]) == ("VoiceMail", "1000@default")


def test_a_caller_who_gives_up_in_a_queue_was_not_answered(script, host):
    script.created("t1", "PJSIP/trunk-01", app="Queue", dialplan={"app_data": "support,t"})
    script.up("t1")
    script.destroyed("t1", by="t1")
    (call,) = host.calls
    assert (call.state.answered, call.state.disposition) == (None, Disposition.HUNG_UP)
    assert facts(call)["queue"] == "support"


def test_a_call_waits_for_local_channels_that_may_still_reach_somebody(script, host):
    script.created("l1", "Local/1@x-00000001;1")
    script.created("a1", "PJSIP/agent-01", linked="l1", state="Ringing")
    script.created("a2", "PJSIP/agent2-02", linked="l1", state="Ringing")
    script.destroyed("a1", "a2", cause=19)
    assert not host.calls[0].over
    script.created("a3", "PJSIP/agent3-03", linked="l1", state="Up")
    script.destroyed("a3", "l1")
    (call,) = host.calls
    assert call.over


# What is recorded.


def test_an_excluded_phone_ends_the_recording(make_tracker, make_script, host, taps):
    script = make_script(make_tracker(exclude=["PJSIP/agent2"]))
    script.call()
    script.created("a2", "PJSIP/agent2-02", linked="t1")
    (call,) = host.calls
    assert call.over
    assert call.state.warnings[-1].code == "excluded"
    assert taps.on == {}
    script.up("a2")
    script.destroyed("a1", "a2", "t1")
    assert len(host.calls) == 1


def test_a_call_with_an_excluded_phone_never_opens(make_tracker, make_script, host, taps):
    script = make_script(make_tracker(exclude=["PJSIP/agent"]))
    script.call()
    script.destroyed("a1", "t1")
    assert host.calls == []
    assert taps.on == {}


def test_only_some_phones_and_contexts(make_tracker, make_script, host):
    script = make_script(make_tracker(include=["PJSIP/agent2"], exclude_contexts=["secret"]))
    script.call()
    script.destroyed("a1", "t1")
    script.created("t2", "PJSIP/trunk-02", dialplan={"context": "secret"})
    script.created("a2", "PJSIP/agent2-03", linked="t2", state="Up")
    assert host.calls == []
    script.created("t3", "PJSIP/trunk-03")
    script.created("a3", "PJSIP/agent2-04", linked="t3", state="Up")
    assert [call.key for call in host.calls] == ["t3"]


def test_only_calls_that_the_dialplan_wants(make_tracker, make_script, host, taps):
    script = make_script(make_tracker(only_if_variable="REC"))
    script.call()
    assert host.calls == []
    script.tell("ChannelVarset", channel="a1", variable="REC", value="no")
    assert host.calls == []
    script.tell("ChannelVarset", channel="a1", variable="__REC", value="1")
    (call,) = host.calls
    assert len(call.state.parties) == 2
    assert call.state.answered is not None
    assert set(taps.on) == {"a1", "t1"}


def test_variables_are_facts_of_the_call(make_tracker, make_script, host):
    script = make_script(make_tracker(variables=["LANG", "CAMPAIGN"]))
    script.created("t1", "PJSIP/trunk-01", channelvars={"CHANNEL(linkedid)": "t1", "CAMPAIGN": "spring"})
    script.tell("ChannelVarset", channel="t1", variable="__LANG", value="de\x00")
    script.tell("ChannelVarset", channel="t1", variable="SECRET", value="1234")
    script.created("a1", "PJSIP/agent-01", linked="t1", state="Up")
    script.tell("ChannelVarset", channel="a1", variable="LANG", value="fr")
    script.tell("ChannelVarset", channel="a1", variable="LANG", value="fr")
    (call,) = host.calls
    told = [(fact.name, fact.value) for fact in call.state.facts if fact.name.startswith("variable.")]
    assert told == [("variable.CAMPAIGN", "spring"), ("variable.LANG", "fr")]
    values = [
        event.value for event in call.events if isinstance(event, CallAttribute) and event.name == "variable.LANG"
    ]
    assert values == ["de", "fr"]


def test_no_more_calls_than_configured(make_tracker, make_script, host, taps):
    script = make_script(make_tracker(max_calls=1))
    script.call()
    script.call(trunk="t2", agent="a2")
    assert len(host.calls) == 1
    assert host.drops["call", "limit"] == 1
    assert set(taps.on) == {"a1", "t1"}


# What makes no sense.


def test_events_for_unknown_channels_and_ids_used_twice(script, tracker, host):
    script.channel("t1", "PJSIP/trunk-01")
    script.destroyed("t1")
    assert host.calls == []
    script.created("t1", "PJSIP/trunk-01")
    script.created("t1", "PJSIP/trunk-01")
    script.up("t1")
    script.destroyed("t1")
    script.up("t1")  # a late event of a channel that is gone
    assert tracker.legs == {}
    script.channels["t1"]["state"] = "Ring"
    script.created("t1", "PJSIP/trunk-02")
    script.up("t1")
    assert len(host.calls) == 2
    assert host.faults == []


def test_the_linkedid_is_asked_for_when_events_do_not_say_it(tracker, script, host):
    script.channel("t1", "PJSIP/trunk-01", channelvars={})
    event = wire.decode_event(json.dumps({"type": "ChannelCreated", "channel": script.channels["t1"]}))
    assert tracker.identities.nameless(event) == ["t1"]
    tracker.identities.told("t1", "linked-1")
    assert tracker.identities.nameless(event) == []
    script.tell("ChannelCreated", channel="t1")
    script.channel("s1", "Snoop/t1-01", channelvars={})
    assert (
        tracker.identities.nameless(
            wire.decode_event(json.dumps({"type": "ChannelCreated", "channel": script.channels["s1"]}))
        )
        == []
    )
    script.up("t1")
    assert host.calls[0].key == "linked-1"


names = st.sampled_from(
    [
        "PJSIP/trunk-01",
        "PJSIP/agent-02",
        "Local/2@x-03;1",
        "Local/2@x-03;2",
        "PJSIP/agent2-04",
        "PJSIP/agent-02<ZOMBIE>",
    ]
)
channels = st.builds(
    lambda ident, name, state, linked, app: {
        "id": ident, "name": name, "state": state, "dialplan": {"app_name": app, "context": "x"},
        "channelvars": {"CHANNEL(linkedid)": linked} if linked else {},
    },
    st.sampled_from("abcdef"), names, st.sampled_from(["Down", "Ring", "Ringing", "Up"]), st.sampled_from(["", *"abc"]),
    st.sampled_from(["", "Queue", "VoiceMail", "Dial"]),
)  # fmt: skip
bridges = st.builds(
    lambda ident, members, kind: {"id": ident, "bridge_type": kind, "channels": members},
    st.sampled_from("xyz"), st.lists(st.sampled_from("abcdef"), max_size=4, unique=True), st.sampled_from(["mixing", "holding"]),
)  # fmt: skip


def told(kind, channel, other, bridge, number, flag):
    """An event of any type: whatever field it has is there."""
    return {
        "type": kind, "channel": channel, "caller": channel, "transferee": channel, "transferer_first_leg": channel,
        "peer": other, "transferer_second_leg": other, "transfer_target": other, "bridge": bridge,
        "bridge_from": {**bridge, "id": "w"}, "digit": "5", "cause": number % 128, "duration_ms": number, "soft": flag,
        "variable": "REC", "value": "1", "exten": "201", "result": "Success" if flag else "Fail",
        "dialstatus": "BUSY" if flag else "ANSWER", "eventname": "VcondPause" if flag else "VcondConsent",
        "userevent": {"eventname": "x", "State": "granted" if number % 2 else "perhaps", "Seconds": str(number)},
    }  # fmt: skip


stories = st.lists(
    st.builds(told, st.sampled_from(wire.READ), channels, channels, bridges, st.integers(-5, 10**9), st.booleans()),
    max_size=30,
)


@settings(deadline=None, max_examples=150)
@given(stories)
def test_any_story_is_told_without_a_mistake(story):
    """Whatever order events come in: nothing is raised, every record makes sense, and all ends when all is gone."""
    host = MemoryHost("asterisk", clock=ManualClock())
    tracker = ChannelTracker(host, Config(internal=["PJSIP/agent*"]), NoTaps())
    replay(tracker, host, story)
    for channel in "abcdef":
        tracker.channels.remove(channel, host.clock.advance(MS), Cause(q850=16))
    assert tracker.legs == {}
    assert tracker.conversations == []
    for call in host.calls:
        assert call.over
        assert call.state.odd == 0
        host.state_from_events(call)


class NoTaps:
    def start(self, leg):
        assert leg.party is not None, "who is listened to is a party"

    def stop(self, leg, at):
        pass

    def own(self, name):
        return False

    def last_heard(self, leg):
        return None
