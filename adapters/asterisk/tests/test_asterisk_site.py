"""Captures of an Asterisk with dial plans as sites have them: who is in the record, and what is not."""

from __future__ import annotations

import json

import pytest

from vcond.sdk.contract import Disposition, PartyDescribed
from vcond_asterisk import wire
from vcond_asterisk.resync import resync

TRUNK = ["PJSIP/trunk"]


@pytest.fixture
def tracker(make_tracker):
    return make_tracker(internal=["PJSIP/10??"])


def play(tracker, host, events):
    for event in events:
        host.clock.advance(1_000_000)
        decoded = wire.decode_event(json.dumps(event))
        if decoded is not None:
            tracker.event(decoded, host.clock.now())
    assert host.faults == []


def live(host):
    return [call for call in host.calls if not call.state.merged_into]


def people(call):
    return [party.who.tel or party.who.sip for party in call.state.parties]


def facts(call, party=None):
    return {fact.name: fact.value for fact in call.state.facts if fact.party == party}


def moments(call):
    return [(m.party, m.event + m.button) for m in call.state.history]


# Who.


def test_click_to_call_keeps_the_agents_own_number_and_finds_the_direction(tracker, host, site):
    events = site("click-ami")
    dial = next(e for e in events if e["type"] == "Dial" and "trunk" in e["peer"]["name"])
    dial["dialstring"] = "15550100406@trunk"
    play(tracker, host, events)
    (call,) = host.calls
    assert people(call) == ["1001@pbx.test", "15550100406"]
    assert call.state.direction == "outbound"
    assert call.state.answered is not None


def test_an_agent_whom_an_application_called_keeps_his_own_number(tracker, host, site):
    agent = {"bot-ag-1": "bot-ag-1", "pbx-1795947033.102": "pbx-1795947033.102"}
    events = site("bot-acd")
    for event in events:
        for channel in [event[name] for name in ("channel", "peer") if name in event]:
            channel["channelvars"] = {"CHANNEL(linkedid)": agent[channel["id"]]}
    play(tracker, host, events)
    (call,) = live(host)
    assert people(call) == ["15550412", "1001@pbx.test"]
    assert call.state.direction == "inbound"


def test_an_outbound_call_from_an_extension_that_is_no_number(tracker, host, site):
    events = site("outbound-s", pbx_1795946991_62="pbx-1795946991.62", pbx_1795946991_63="pbx-1795946991.62")
    next(e for e in events if e["type"] == "Dial")["dialstring"] = "15550100200@trunk"
    play(tracker, host, events)
    (call,) = host.calls
    assert people(call) == ["1001@pbx.test", "15550100200"]
    assert call.state.direction == "outbound"


# Who hid the number.


@pytest.mark.parametrize("name", ["cid-prohib", "hidden-caller"])
def test_a_hidden_number_is_nowhere(tracker, host, site, name):
    events = site(name)
    for event in events:
        host.clock.advance(1_000_000)
        decoded = wire.decode_event(json.dumps(event))
        for channel in tracker.identities.unpresented(decoded):
            # the dial plan hides it after the channel was made
            tracker.identities.presented(
                channel,
                "allowed"
                if event["type"] == "ChannelCreated" and not host.calls and event["channel"]["id"] == channel
                else "prohib_not_screened",
                host.clock.now(),
            )
        tracker.event(decoded, host.clock.now())
    (call,) = host.calls
    assert call.state.parties[0].who.name == "anonymous"
    number = events[0]["channel"]["caller"]["number"]
    assert number.lstrip("+") not in repr(call.events)
    assert people(call) == ["", "1001@pbx.test"]


def test_a_number_that_is_hidden_later_is_not_shown(tracker, host, site):
    """Found out when he meets somebody: the party is anonymous from then on."""
    events = site("cid-prohib")
    play(tracker, host, events)
    number = events[0]["channel"]["caller"]["number"]
    assert people(host.calls[0])[0] == number
    last = events[-1]["channel"]
    last["channelvars"]["CALLERID(pres)"] = "prohib_not_screened"
    play(tracker, host, [{"type": "ChannelConnectedLine", "channel": last}])
    (call,) = host.calls
    assert (call.state.parties[0].who.tel, call.state.parties[0].who.name) == ("", "anonymous")
    assert isinstance(call.events[-1], PartyDescribed)


@pytest.mark.parametrize("name", ["CALLERID(pres)", "CALLERID(num-pres)", "CALLERID(name-pres)"])
def test_events_that_say_it_are_enough(tracker, host, script, name):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", who="Carol")
    script.channels["t1"]["channelvars"] |= {"CALLERID(pres)": "", name: "prohib_failed_screen"}
    script.up("t1")
    (call,) = host.calls
    assert call.state.parties[0].who.name == "anonymous"
    assert "4930123456" not in repr(call.events)
    assert "Carol" not in repr(call.events)


def test_variables_with_a_hidden_number_are_not_kept(make_tracker, host, site):
    tracker = make_tracker(internal=["PJSIP/10??"], variables=["FROM", "LANG"])
    events = site("hidden-caller")
    for event in events:
        event.get("channel", {}).setdefault("channelvars", {})["CALLERID(pres)"] = "prohib"
    play(tracker, host, events)
    for name, value in (("FROM", "tel:+1 555-0100-501"), ("LANG", "de")):
        play(
            tracker,
            host,
            [{"type": "ChannelVarset", "channel": events[0]["channel"], "variable": name, "value": value}],
        )
    assert facts(host.calls[0]) == {"linkedid": "pbx-1795946199.12", "variable.LANG": "de"}


def test_of_ours_and_of_whom_asterisk_called_nothing_is_asked(tracker, host, site):
    asked = set()
    for event in site("click-ami") + site("conf-return"):
        decoded = wire.decode_event(json.dumps(event))
        asked |= set(tracker.identities.unpresented(decoded))
        tracker.event(decoded, host.clock.advance(1_000_000))
    assert asked == set()


@pytest.mark.parametrize("config", [{"only_if_variable": "REC"}, {"exclude": ["PJSIP/trunk-x*"]}])
def test_a_conference_that_is_not_recorded_costs_few_requests(make_tracker, make_script, config):
    """They are asked for one after the other, before the next event is looked at."""
    tracker = make_tracker(**config)
    script, asked, members = make_script(tracker), 0, []
    for i in range(60):
        ident = script.channel(f"t{i}", f"PJSIP/trunk-x-0{i}", linked="t0", number=f"+493012345{i:02}")
        members.append(ident)
        for kind in ("ChannelCreated", "ChannelStateChange", "ChannelEnteredBridge"):
            script.channels[ident]["state"] = "Ring" if kind == "ChannelCreated" else "Up"
            bridge = {"id": "room", "bridge_type": "mixing", "channels": members}
            more = {"bridge": bridge} if kind == "ChannelEnteredBridge" else {}
            event = {"type": kind, "channel": script.channels[ident], **more}
            asked += len(tracker.identities.unpresented(wire.decode_event(json.dumps(event))))
            script.tell(kind, channel=ident, **more)
    assert asked <= 60 * 3 * 5


# Who takes the call.


def test_who_answers_and_does_not_take_the_call_is_not_heard(tracker, host, taps, site):
    events = site("confirm-refused")
    heard = set()
    for event in events:
        play(tracker, host, [event])
        heard |= set(taps.on)
    assert heard == {"pbx-1795947898.8340"}, "only the caller"
    (call,) = host.calls
    assert call.state.answered is None
    assert call.state.disposition is Disposition.NO_ANSWER
    assert call.over


def test_who_takes_the_call_joins_when_his_dial_says_so(tracker, host, taps, script):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", state="Up", app="Dial")
    script.created("a1", "PJSIP/1001-02", linked="t1", number="1001", state="Down", app="AppDial")
    script.tell("Dial", peer="a1", caller="t1", dialstatus="", dialstring="1001")
    script.up("a1")
    assert set(taps.on) == {"t1"}
    script.tell("Dial", peer="a1", caller="t1", dialstatus="ANSWER")
    assert set(taps.on) == {"t1", "a1"}


@pytest.mark.parametrize("app", ["FollowMe", "Dial"])
def test_who_is_asked_through_a_local_channel_joins_when_he_takes_the_call(tracker, host, taps, script, app):
    """His phone was answered, but the other half of the channel that leads to him still plays the question."""
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", state="Up", app=app)
    script.created("l1", "Local/1001@x-00000001;1", linked="t1", state="Down")
    script.created("l2", "Local/1001@x-00000001;2", linked="t1", state="Ring")
    script.tell("Dial", peer="l1", caller="t1", dialstatus="")
    script.created("a1", "PJSIP/1001-02", linked="t1", number="1001", state="Down", app="AppDial")
    script.tell("Dial", peer="a1", caller="l2", dialstatus="", dialstring="1001")
    script.up("a1")
    script.tell("Dial", peer="a1", caller="l2", dialstatus="ANSWER")
    script.bridge("inner", "a1", "l2")
    script.up("l2", "l1")
    if app == "FollowMe":
        script.tell("Dial", peer="l1", caller="t1", dialstatus="ANSWER")
    assert set(taps.on) == {"t1"}, "he is being asked"
    assert host.calls[0].state.answered is None
    if app == "Dial":
        script.tell("Dial", peer="l1", caller="t1", dialstatus="ANSWER")
    else:
        script.bridge("outer", "l1", "t1")
    assert set(taps.on) == {"t1", "a1"}
    script.bridge("outer", *(() if app == "FollowMe" else ("l1", "t1")))
    assert people(host.calls[0]) == ["+4930123456", "1001@pbx.test"]


def test_a_phone_that_was_off_hook_first_called(tracker, host, taps, script):
    """Some technologies make the channel when the receiver is lifted: it is Down then, and rings in when it has dialled."""
    script.created("p1", "SCCP/2001-01", number="2001", state="Down", app="")
    script.channels["p1"]["state"] = "Ring"
    script.channels["p1"]["dialplan"]["app_name"] = "VoiceMailMain"
    script.tell("ChannelStateChange", channel="p1")
    script.up("p1")
    assert set(taps.on) == {"p1"}


# The same phone.


def test_who_returns_to_a_conference_is_the_same_party(tracker, host, taps, site):
    play(tracker, host, site("conf-return"))
    (call,) = live(host)
    assert people(call) == ["1001@pbx.test", "1002@pbx.test"]
    assert [party.here for party in call.state.parties] == [True, True]
    assert [m for m in moments(call) if m[0] == 1] == [(1, "join"), (1, "drop"), (1, "join")]
    assert facts(call, 1)["uniqueid"] == "pbx-1795946202.20", "the first leg's stays"
    assert set(taps.on) == {"pbx-1795946202.18", "pbx-1795946205.26"}


def test_an_agents_two_legs_are_one_party(tracker, host, taps, site):
    """He holds the one and calls on the other, and connects the two (REFER with Replaces)."""
    one, two = "pbx-1795946967.38", "pbx-1795946970.44"
    linked = {"pbx_1795946967_38": one, "pbx_1795946967_39": one, "pbx_1795946970_44": two, "pbx_1795946970_45": two}
    play(tracker, host, site("replaces", **linked))
    (call,) = live(host)
    assert people(call) == ["15550132", "1001@pbx.test", "1002@pbx.test"]
    (transfer,) = call.state.transfers
    assert (transfer.transferor, transfer.transferee, transfer.target) == (1, 0, 2)
    assert [party.here for party in call.state.parties] == [True, False, True]
    assert set(taps.on) == {one, "pbx-1795946970.45"}


def test_two_phones_of_one_name_that_talk_are_two_parties(tracker, host, script):
    for ident in ("a1", "a2"):
        script.created(ident, f"PJSIP/1001-0{ident[1]}", number="1001", app="ConfBridge")
        script.up(ident)
    script.bridge("room", "a1", "a2")
    (call,) = live(host)
    assert len(call.state.parties) == 2


# Pickups and transfers.


def test_a_pickup_is_one_call_when_no_event_names_the_linkedid(tracker, host, script):
    """The picker's linkedid changed after it was asked for; the Dial that he answers names both."""
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", state="Up")
    script.created("l1", "Local/1001@x-00000001;1", linked="t1", state="Down")
    script.created("l2", "Local/1001@x-00000001;2", linked="t1", state="Ring")
    script.created("a1", "PJSIP/1001-02", linked="t1", number="1001", state="Ringing", app="AppDial")
    script.created("a5", "PJSIP/1005-03", number="1005", app="Pickup")
    script.up("a5")
    script.tell("Dial", peer="a5", caller="l2", dialstatus="ANSWER")
    script.bridge("inner", "a5", "l2")
    script.bridge("outer", "t1", "l1")
    (call,) = live(host)
    assert people(call) == ["+4930123456", "1005@pbx.test"]


def test_a_transfer_to_a_phone_that_still_rings_gets_its_target(tracker, host, site):
    ids = [f"pbx_1795946979_{n}" for n in (50, 51)] + [f"pbx_1795946984_{n}" for n in (56, 57, 58)]
    play(tracker, host, site("att-semi", **dict.fromkeys(ids, "pbx-1795946979.50")))
    (call,) = live(host)
    (transfer,) = call.state.transfers
    assert people(call) == ["15550130", "1001@pbx.test", "1002@pbx.test"]
    assert (transfer.kind, transfer.transferor, transfer.transferee, transfer.target) == ("attended", 1, 0, 2)


def test_a_consultation_that_is_cancelled(tracker, host, site):
    play(tracker, host, site("att-cancel"))
    (call,) = live(host)
    assert call.state.transfers == []
    assert moments(call).count((1, "hold")) == moments(call).count((1, "unhold")) == 1


def test_a_hold_for_a_transfer_that_came_to_nothing_ends(tracker, host, site):
    play(tracker, host, site("blind-hash-none"))
    (call,) = live(host)
    assert moments(call)[-1] != (1, "unhold")
    for conversation in tracker.conversations:
        conversation.look(host.clock.advance(7_000_000_000))
    hold, unhold = ([m.at for m in call.state.history if m.event == event] for event in ("hold", "unhold"))
    assert len(hold) == len(unhold) == 1
    digits = [m.at for m in call.state.history if m.event == "keydown"]
    assert abs(unhold[0] - max(digits)) < 500_000_000


def test_a_hold_for_a_transfer_lasts_while_keys_are_pressed(tracker, host, script):
    script.call(agent="a1")
    script.tell("ChannelHold", channel="a1", musicclass="N/A")
    for _ in range(3):
        host.clock.advance(4_000_000_000)
        script.tell("ChannelDtmfReceived", channel="a1", digit="8", duration_ms=100)
        tracker.conversations[0].look(host.clock.now())
    assert host.calls[0].state.history[-1].event == "keyup"
    pressed = host.clock.now()
    tracker.conversations[0].look(host.clock.advance(7_000_000_000))
    unhold = [m.at for m in host.calls[0].state.history if m.event == "unhold"]
    assert unhold == [pressed]


def test_a_call_that_comes_back_from_its_parking_place_was_transferred_to_nobody(tracker, host, site):
    play(tracker, host, site("park-timeout"))
    (call,) = live(host)
    (transfer,) = call.state.transfers
    assert (transfer.transferor, transfer.target) == (1, None)
    assert people(call) == ["15550702", "1001@pbx.test"]
    assert facts(call, 1)["uniqueid"] == "pbx-1795946650.51"
    assert facts(call, 1)["uniqueid.again"] == "pbx-1795946658.56"


def test_a_call_fetched_from_its_parking_place_by_another_phone(tracker, host, site):
    play(tracker, host, site("park7"))
    (call,) = live(host)
    assert people(call) == ["15550109", "1001@pbx.test", "1003@pbx.test"]


# Who only listens in.


def test_a_supervisor_who_listens_in_is_no_party_and_no_call(tracker, host, taps, site):
    play(tracker, host, site("spy"))
    (call,) = host.calls
    assert people(call) == ["15550110", "1001@pbx.test"]
    assert set(taps.on) == {"pbx-1795944789.100", "pbx-1795944789.101"}


@pytest.mark.parametrize("app", ["ChanSpy", "ExtenSpy"])
@pytest.mark.parametrize("called", [False, True])
def test_a_supervisor_is_known_by_his_next_step(tracker, host, taps, script, app, called):
    """He called, or Asterisk called him."""
    script.created(
        "s1", "PJSIP/1006-01", number="1006", state="Down" if called else "Ring", app="AppDial2" if called else ""
    )
    if called:
        script.tell("Dial", peer="s1", dialstatus="")
    script.channels["s1"]["dialplan"]["app_name"] = "AppDial2" if called else "Answer"
    script.up("s1")
    if called:
        script.tell("Dial", peer="s1", dialstatus="ANSWER")
    for step in ("Wait", app):
        script.channels["s1"]["dialplan"]["app_name"] = step
        script.tell("ChannelDialplan", channel="s1", dialplan_app=step)
    script.destroyed("s1", by="s1")
    assert host.calls == []
    assert taps.on == {}


def test_supervisors_are_recorded_where_that_is_wanted(make_tracker, make_script, host, taps):
    script = make_script(make_tracker(internal=["PJSIP/10??"], record_supervisors=True))
    script.created("s1", "PJSIP/1006-01", number="1006", app="Answer")
    script.up("s1")
    script.channels["s1"]["dialplan"]["app_name"] = "ChanSpy"
    script.tell("ChannelDialplan", channel="s1", dialplan_app="ChanSpy")
    assert set(taps.on) == {"s1"}


@pytest.mark.parametrize("how", ["step", "time"])
def test_one_of_ours_who_is_alone_with_a_machine_is_a_call(tracker, host, taps, script, how):
    script.created("a1", "PJSIP/1006-01", number="1006", app="Answer")
    script.up("a1")
    assert host.calls == []
    if how == "step":
        script.channels["a1"]["dialplan"]["app_name"] = "VoiceMailMain"
        script.tell("ChannelDialplan", channel="a1", dialplan_app="VoiceMailMain")
    else:
        tracker.conversations[0].look(host.clock.advance(3_000_000_000))
    assert set(taps.on) == {"a1"}


# Calls that are found.


@pytest.mark.parametrize("order", [1, -1])
def test_calls_that_are_found_have_their_order_and_direction(tracker, host, taps, script, order):
    """Asterisk lists channels in no order."""
    script.channel(
        "t1", "PJSIP/trunk-01", number="+4930123456", state="Up", creationtime="2026-11-29T09:00:00.000+0000"
    )
    script.channel(
        "a1", "PJSIP/1001-02", linked="t1", number="1001", state="Up", app="AppDial",
        creationtime="2026-11-29T09:00:00.002+0000", dialplan={"exten": ""},
    )  # fmt: skip
    bridge = {"id": "b1", "bridge_type": "mixing", "channels": ["t1", "a1"]}
    lists = {
        "channels": wire.decode_channels(json.dumps(list(script.channels.values())[::order]).encode()),
        "bridges": wire.decode_bridges(json.dumps([bridge]).encode()),
    }
    resync(tracker, host, taps, **lists, at=host.clock.advance(1_000_000), lost=None)
    (call,) = host.calls
    assert people(call) == ["+4930123456", "1001@pbx.test"]
    assert call.state.direction == "inbound"
    assert facts(call)["dialled"] == "200"


def test_an_agent_whom_an_application_called_is_found_with_his_own_number(tracker, host, taps, script):
    """What is listed of him is what was shown to him."""
    script.channel("t1", "PJSIP/trunk-01", number="+4930123456", state="Up", creationtime="1")
    script.channel(
        "a1", "PJSIP/1001-02", linked="t1", number="+4930123456", state="Up", app="AppDial2", creationtime="2"
    )
    bridge = {"id": "b1", "bridge_type": "mixing", "channels": ["t1", "a1"]}
    lists = {
        "channels": wire.decode_channels(json.dumps(list(script.channels.values())).encode()),
        "bridges": wire.decode_bridges(json.dumps([bridge]).encode()),
    }
    resync(tracker, host, taps, **lists, at=host.clock.advance(1_000_000), lost=None)
    assert people(host.calls[0]) == ["+4930123456", "1001@pbx.test"]


# What channels say of themselves.


def test_language_and_account_code_are_kept(tracker, host, script):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", language="de", accountcode="sales")
    script.up("t1")
    assert {k: v for k, v in facts(host.calls[0], 0).items() if k in {"language", "accountcode"}} == {
        "language": "de", "accountcode": "sales",
    }  # fmt: skip
