"""What channels say of consent by variables and keys, and of whom that is."""

from __future__ import annotations

import json

import pytest

from vcond.policy.consent import Terms
from vcond.sdk.contract import SECOND
from vcond_asterisk import wire
from vcond_asterisk.resync import resync


def ruled(script, host, **keys):
    """The call of somebody on t1, whose rule lets parties answer by key; a1 is being called."""
    rule = Terms(mode="ask", **keys)
    script.created("t1", "PJSIP/trunk-01", number="+4930123456")
    script.up("t1")
    (call,) = host.calls
    call.review.terms_of_call = lambda _: rule
    call.review.look()
    script.created("a1", "PJSIP/agent-01", linked="t1", state="Ringing")
    return call


def test_what_a_variable_says_of_consent_is_of_the_party_of_its_channel(make_tracker, make_script, host):
    script = make_script(make_tracker(variables=["VCOND_CONSENT"]))
    script.created("t1", "PJSIP/trunk-01", channelvars={"CHANNEL(linkedid)": "t1"})
    known = {"CHANNEL(linkedid)": "t1", "VCOND_CONSENT": "asked"}
    script.created("a1", "PJSIP/agent-01", linked="t1", state="Up", channelvars=known)
    script.tell("ChannelVarset", channel="a1", variable="VCOND_CONSENT", value="granted; announcement=rec-en")
    (call,) = host.calls
    said = call.state.consents.said
    assert [(call.state.parties[one.party].key, one.state, one.how) for one in said] == [
        ("PJSIP/agent", "asked", "variable"),
        ("PJSIP/agent", "granted", "variable"),
    ]


def test_who_was_asked_before_the_two_were_connected_has_answered(make_tracker, make_script, host):
    """``U()`` of Dial: the called channel is up, and no party yet. Words and keys count from their own moments, in their order."""
    script = make_script(make_tracker(variables=["VCOND_CONSENT"]))
    call = ruled(script, host, key_granted="1", key_denied="2")
    script.tell("Dial", caller="t1", peer="a1", dialstatus="")
    script.up("a1")
    script.tell(
        "ChannelDtmfReceived", channel="a1", digit="1", duration_ms=0
    )  # he takes the call: he was not asked yet
    script.tell("ChannelVarset", channel="a1", variable="VCOND_CONSENT", value="asked")
    script.tell("ChannelDtmfReceived", channel="a1", digit="2", duration_ms=0)
    pressed = host.clock.now()
    assert call.state.consents.said == []
    script.tell("Dial", caller="t1", peer="a1", dialstatus="ANSWER")
    script.bridge("b", "t1", "a1")
    told = [(one.party, one.state, one.how) for one in call.state.consents.said]
    assert told == [(1, "asked", "variable"), (1, "denied", "key")]
    assert call.state.consents.said[-1].at == pressed
    assert [moment.event for moment in call.state.history if moment.button] == []


@pytest.mark.parametrize("name", ["_VCOND_CONSENT", "__VCOND_CONSENT"])
def test_what_a_variable_handed_on_is_nobodys_word_until_it_is_set_there(make_tracker, make_script, host, name):
    """Asterisk tells of the called channel that the variable was set, with one ``_`` less (with ``__`` with both)."""
    script = make_script(make_tracker(variables=["VCOND_CONSENT"]))
    script.created("t1", "PJSIP/trunk-01", number="+4930123456")
    script.up("t1")
    script.tell("ChannelVarset", channel="t1", variable=name, value="granted; system=crm")
    script.created("a1", "PJSIP/agent-01", linked="t1", state="Ringing")
    inherited = name.removeprefix("_") if name.startswith("_V") else name
    script.tell("ChannelVarset", channel="a1", variable=inherited, value="granted; system=crm")
    script.tell("Dial", caller="t1", peer="a1", dialstatus="ANSWER")
    script.up("a1")
    script.bridge("b", "t1", "a1")
    (call,) = host.calls
    said = call.state.consents.said
    assert [(one.party, one.state) for one in said] == [(0, "granted")]
    script.tell("ChannelVarset", channel="a1", variable="VCOND_CONSENT", value="granted; system=crm")
    assert [(one.party, one.state) for one in said] == [(0, "granted"), (1, "granted")]


def test_what_was_not_told_when_it_was_set_counts_of_who_was_called_only_when_it_refuses(
    make_tracker, make_script, host
):
    """A snapshot, or an answer after a restart, does not show who set it."""
    tracker = make_tracker(variables=["VCOND_CONSENT"])
    script = make_script(tracker)
    script.call()
    now = host.clock.now()
    tracker.asked("a1", "VCOND_CONSENT", "granted", now)
    script.channels["a1"]["channelvars"]["VCOND_CONSENT"] = "granted"
    script.up("a1")
    (call,) = host.calls
    assert call.state.consents.said == []
    tracker.asked("t1", "VCOND_CONSENT", "granted", now)
    tracker.asked("a1", "VCOND_CONSENT", "denied", now)
    assert [(one.party, one.state) for one in call.state.consents.said] == [(0, "granted"), (1, "denied")]


def test_user_events_say_consent_of_the_party_of_their_channel_and_pause_the_call(make_tracker, make_script, host):
    script = make_script(make_tracker())
    script.call()
    (call,) = host.calls

    def says(event: str, channel: str = "a1", **said: object) -> None:
        script.tell("ChannelUserevent", channel=channel, eventname=event, userevent={"eventname": event, **said})

    says("VcondConsent", State="Granted", Announcement="rec-en", purposes="recording")
    says("vcondconsent", state="granted", announcement="rec-en", purposes="recording")  # nothing new
    for _ in range(3):
        says("VcondConsent", "t1", State="perhaps")
    says("SomebodyElses", State="denied")
    (said,) = call.state.consents.said
    assert (call.state.parties[said.party].key, said.state, said.how) == ("PJSIP/agent", "granted", "other")
    assert (said.evidence, said.purposes) == ({"announcement": "rec-en"}, ("recording",))
    assert [warning.code for warning in call.state.warnings] == ["consent-unclear"]
    says("VcondPause", Reason="card", Seconds="90")
    (pause,) = call.state.pauses
    assert (pause.by, pause.reason, pause.until) == ("platform", "card", host.clock.now() + 90 * SECOND)
    says("VcondResume", "t1")
    assert not call.state.paused
    for seconds in ("-1", "99999999999", "soon"):
        says("VcondPause", Seconds=seconds)
        assert call.state.pauses[-1].until is None
        says("VcondResume")
    says("VcondConsent", **{f"k{i}": "x" * 5000 for i in range(100)}, State="denied")
    assert call.state.consents.state_of(said.party, "recording") == "granted", "so much is not looked at"
    script.tell("ChannelUserevent", eventname="VcondPause")
    script.tell("ChannelUserevent", eventname="VcondPause", channel=script.channel("n9", "Snoop/a1-0001"))
    assert not call.state.paused


def test_who_said_it_by_an_event_before_he_was_connected_said_it(make_tracker, make_script, host):
    script = make_script(make_tracker())
    call = ruled(script, host, key_granted="1")
    script.up("a1")
    script.tell("ChannelUserevent", channel="a1", eventname="VcondConsent", userevent={"state": "asked"})
    script.tell("ChannelDtmfReceived", channel="a1", digit="1", duration_ms=0)
    script.tell("Dial", caller="t1", peer="a1", dialstatus="ANSWER")
    script.bridge("b", "t1", "a1")
    assert [(one.party, one.state) for one in call.state.consents.said] == [(1, "asked"), (1, "granted")]


# Of which call, and of whom, a word is.


def says(script, channel, state, *, variable=False):
    if variable:
        script.tell("ChannelVarset", channel=channel, variable="VCOND_CONSENT", value=state)
    else:
        script.tell("ChannelUserevent", channel=channel, eventname="VcondConsent", userevent={"State": state})


def states(call):
    """What each party's channel has said of being recorded, by its latest channel."""
    channels = {fact.party: fact.value for fact in call.state.facts if fact.name.startswith("uniqueid")}
    return {channels[one.index]: call.state.consents.state_of(one.index, "recording") for one in call.state.parties}


def latest(host):
    return [call for call in host.calls if not call.state.merged_into][-1]


def meets(script, customer):
    script.created(customer, f"PJSIP/trunk-0{customer[1:]}", number="+493012345", state="Up")
    script.bridge("b1", customer)


def leaves(script, *who):
    for ident in who:
        script.leave("b1", ident)
        script.destroyed(ident)


@pytest.mark.parametrize("variable", [True, False])
@pytest.mark.parametrize("state", ["granted", "denied"])
def test_what_an_agent_who_stays_says_in_one_call_is_not_said_in_the_next(
    make_tracker, make_script, host, state, variable
):
    script = make_script(make_tracker(variables=["VCOND_CONSENT"]))
    script.created("a1", "PJSIP/agent-01", number="7001", state="Up", app="ConfBridge")
    script.bridge("b1", "a1")
    meets(script, "t1")
    says(script, "a1", state, variable=variable)
    assert states(host.calls[0])["a1"] == state
    leaves(script, "t1")
    script.channels["a1"]["channelvars"]["VCOND_CONSENT"] = state  # its snapshots still have it
    meets(script, "t2")
    call = latest(host)
    assert states(call) == {"t2": "unknown", "a1": "unknown"}
    says(script, "a1", state, variable=variable)
    assert states(call) == {"t2": "unknown", "a1": state}


@pytest.mark.parametrize("variable", [True, False])
def test_what_an_agent_said_before_the_first_customer_is_said_to_each(make_tracker, make_script, host, variable):
    """As of a contract, before ``AgentLogin``; until it is taken back in one of the calls."""
    script = make_script(make_tracker(variables=["VCOND_CONSENT"]))
    script.created("a1", "PJSIP/agent-01", number="7001", state="Up", app="AgentLogin")
    says(script, "a1", "granted", variable=variable)
    script.bridge("b1", "a1")
    for customer in ("t1", "t2"):
        meets(script, customer)
        assert states(latest(host))["a1"] == "granted"
        if customer == "t2":
            says(script, "a1", "withdrawn")
        leaves(script, customer)
    meets(script, "t3")
    assert states(latest(host))["a1"] == "unknown"


def test_a_snapshot_that_is_older_than_what_was_set_gives_no_consent_back(make_tracker, make_script, host):
    """Events of keys and holds show a channel as it was when it was last shown, with the variables of then."""
    script = make_script(make_tracker(variables=["VCOND_CONSENT"]))
    script.call()
    (call,) = host.calls
    for state in ("granted", "withdrawn"):
        script.tell("ChannelVarset", channel="t1", variable="VCOND_CONSENT", value=state)
    script.channels["t1"]["channelvars"]["VCOND_CONSENT"] = "granted"
    script.tell("ChannelDtmfReceived", channel="t1", digit="5", duration_ms=0)
    assert states(call)["t1"] == "withdrawn"


@pytest.mark.parametrize("variable", [True, False])
def test_another_phone_on_a_channel_has_not_said_what_was_said_there_before(make_tracker, make_script, host, variable):
    """A pickup of older versions: the channel keeps its id and its variables."""
    tracker = make_tracker(variables=["VCOND_CONSENT"])
    script = make_script(tracker)
    script.call()
    says(script, "a1", "granted", variable=variable)
    script.channels["a1"] |= {"name": "PJSIP/agent2-0000000f", "caller": {"name": "Bob", "number": "7002"}}
    script.channels["a1"]["channelvars"]["VCOND_CONSENT"] = "granted"
    script.tell("ChannelCallerId", channel="a1")
    tracker.asked("a1", "VCOND_CONSENT", "granted", host.clock.now())
    tracker.asked("a1", "VCOND_CONSENT", "granted; what=was never told", host.clock.now())
    (call,) = host.calls
    assert [call.state.consents.state_of(party, "recording") for party in range(3)] == ["unknown", "granted", "unknown"]
    says(script, "a1", "denied", variable=variable)
    assert call.state.consents.state_of(2, "recording") == "denied"


@pytest.mark.parametrize("variable", [True, False])
@pytest.mark.parametrize("state", ["granted", "denied"])
def test_who_takes_a_channel_over_brings_what_he_said_on_his_own(make_tracker, make_script, host, state, variable):
    script = make_script(make_tracker(variables=["VCOND_CONSENT"]))
    script.call()
    script.created("a2", "PJSIP/agent2-0000000f", number="7002")
    script.up("a2")
    says(script, "a2", state, variable=variable)
    script.channels["a1"] |= {"name": "PJSIP/agent2-0000000f", "caller": {"name": "Bob", "number": "7002"}}
    script.channels["a2"]["name"] = "PJSIP/agent-1<ZOMBIE>"
    script.tell("ChannelCallerId", channel="a1")
    script.destroyed("a2")
    call = host.calls[0]
    assert [call.state.consents.state_of(party, "recording") for party in range(3)] == ["unknown", "unknown", state]


@pytest.mark.parametrize("variable", [True, False])
@pytest.mark.parametrize("state", ["granted", "denied"])
def test_a_phone_that_gets_another_channel_is_the_same_party_and_said_what_it_said(
    make_tracker, make_script, host, taps, state, variable
):
    """``Bridge`` and redirections: a new channel gets the name of the old one, which is a zombie then."""
    tracker = make_tracker(variables=["VCOND_CONSENT"])
    script = make_script(tracker)
    script.call()
    says(script, "a1", state, variable=variable)
    script.created("a9", "Surrogate/PJSIP/agent-1", linked="t1", state="Up")
    shown = script.channels["a9"]
    shown |= {"name": "PJSIP/agent-1", "caller": {"name": "Alice", "number": "7001"}}
    shown["channelvars"]["VCOND_CONSENT"] = state
    script.channels["a1"]["name"] = "Surrogate/PJSIP/agent-1<ZOMBIE>"
    script.tell("ChannelCallerId", channel="a9")
    script.leave("bt1", "a1")
    script.destroyed("a1")
    script.bridge("bt1", "a9")
    (call,) = host.calls
    assert [(party.key, party.here) for party in call.state.parties[1:]] == [("PJSIP/agent", True)]
    assert states(call) == {"t1": "unknown", "a9": state}
    assert len(call.state.consents.said) == 1
    assert set(taps.on) == {"t1", "a9"}
    script.destroyed("a9", by="a9")
    assert not call.state.parties[1].here


def test_a_phone_that_gets_another_channel_keeps_its_pause_of_the_call_to_come(make_tracker, make_script, host):
    script = make_script(make_tracker())
    script.created("t1", "PJSIP/trunk-01", number="+4930123456")
    script.tell("ChannelUserevent", channel="t1", eventname="VcondPause", userevent={"Reason": "card"})
    script.created("t9", "PJSIP/trunk-01", linked="t1", number="+4930123456")
    script.destroyed("t1")
    assert host.calls == []
    script.up("t9")
    (call,) = host.calls
    assert [pause.reason for pause in call.state.pauses] == ["card"]


def test_what_a_channel_has_when_it_is_made_in_a_call_that_was_found_may_be_handed_on(make_tracker, make_script, host):
    """vcond did not see that the caller's variable begins with ``_``. What is set before the phone rings counts a second later."""
    tracker = make_tracker(variables=["VCOND_CONSENT"])
    script = make_script(tracker)
    caller = script.channel("t1", "PJSIP/trunk-01", state="Up", number="+4930123456")
    resync_with(tracker, script, host, caller)
    for agent, later in (("a1", 0), ("a2", 5)):
        script.created(agent, f"PJSIP/agent-0{agent[1]}", linked="t1", state="Ringing")
        host.clock.advance(later * SECOND)
        says(script, agent, "granted", variable=True)
        script.tell("Dial", caller="t1", peer=agent, dialstatus="ANSWER")
        script.up(agent)
        script.bridge("b", agent)
    (call,) = host.calls
    assert states(call) == {"t1": "unknown", "a1": "unknown", "a2": "granted"}


def test_what_a_channel_has_that_another_one_led_to_is_nobodys_consent_after_a_restart(make_tracker, make_script, host):
    """Who was called and calls on himself now does not look as if he had been called."""
    tracker = make_tracker(variables=["VCOND_CONSENT"])
    script = make_script(tracker)
    script.channel("t1", "PJSIP/trunk-01", state="Up", number="+4930123456")
    script.channel("a1", "PJSIP/agent-01", linked="t1", state="Up", app="Dial")
    script.members["b"] = ["t1", "a1"]
    resync_with(tracker, script, host, "t1", "a1", bridges=["b"])
    now = host.clock.now()
    for channel in ("t1", "a1"):
        tracker.asked(channel, "VCOND_CONSENT", "granted", now)
    (call,) = host.calls
    assert states(call) == {"t1": "granted", "a1": "unknown"}
    tracker.asked("a1", "VCOND_CONSENT", "denied", now)
    assert states(call) == {"t1": "granted", "a1": "denied"}


def resync_with(tracker, script, host, *channels, bridges=()):
    resync(
        tracker, host, tracker.channels._taps,
        channels=wire.decode_channels(json.dumps([script.channels[one] for one in channels]).encode()),
        bridges=wire.decode_bridges(json.dumps([script.shown(one) for one in bridges]).encode()),
        at=host.clock.now(), lost=None,
    )  # fmt: skip


def test_a_word_with_a_hidden_number_in_it_is_heard_without_the_number(make_tracker, make_script, host):
    """It was left out as a whole, a refusal, too."""
    script = make_script(make_tracker(variables=["VCOND_CONSENT"]))
    number, hidden = "+4930123456", {"CHANNEL(linkedid)": "t1", "CALLERID(pres)": "prohib"}
    script.created("t1", "PJSIP/trunk-01", number=number, state="Up", channelvars=hidden)
    script.tell("ChannelVarset", channel="t1", variable="VCOND_CONSENT", value=f"denied; caller={number}; how=key")
    script.tell(
        "ChannelUserevent", channel="t1", eventname="VcondConsent",
        userevent={"State": "granted", "caller": number, "system": "crm"},
    )  # fmt: skip
    script.tell("ChannelVarset", channel="t1", variable="VCOND_CONSENT", value=f"denied; party={number}")
    (call,) = host.calls
    said = call.state.consents.said
    assert [(one.state, sorted(one.evidence)) for one in said] == [
        ("denied", ["attribute"]),
        ("granted", ["system"]),
    ]
    assert number not in repr(call.events)


# Pauses that are said before there is a call.


def test_a_pause_that_the_dialplan_says_before_the_call_begins_is_of_that_call(make_tracker, make_script, host):
    script = make_script(make_tracker())
    script.created("t1", "PJSIP/trunk-01", number="+4930123456")
    script.tell("ChannelUserevent", channel="t1", eventname="VcondPause", userevent={"Reason": "card"})
    assert host.calls == []
    script.up("t1")
    (call,) = host.calls
    assert [(pause.by, pause.reason) for pause in call.state.pauses] == [("platform", "card")]
    assert call.state.paused
    script.tell("ChannelUserevent", channel="t1", eventname="VcondResume")
    assert not call.state.paused


def test_a_pause_before_the_call_goes_with_its_channel(make_tracker, make_script, host):
    """Of a Local channel as well, which is no party."""
    script = make_script(make_tracker())
    script.created("l1", "Local/200@x-00000001;1", linked="t1")
    script.created("t1", "PJSIP/trunk-01", number="+4930123456")
    for event in ("VcondPause", "VcondResume", "VcondPause"):
        script.tell("ChannelUserevent", channel="l1", eventname=event)
    script.destroyed("l1")
    script.up("t1")
    (call,) = host.calls
    assert not call.state.pauses


def test_a_variable_pauses_from_before_the_call_on_and_as_often_as_it_is_set(make_tracker, make_script, host):
    script = make_script(make_tracker(variables=["VCOND_PAUSE"]))
    script.created("t1", "PJSIP/trunk-01")
    script.tell("ChannelVarset", channel="t1", variable="VCOND_PAUSE", value="card")
    assert host.calls == []
    script.up("t1")
    (call,) = host.calls
    assert [(one.by, one.reason) for one in call.state.pauses] == [("platform", "card")]
    said = []
    for value in ("off", "card", "card", "off", "", "card"):
        script.tell("ChannelVarset", channel="t1", variable="VCOND_PAUSE", value=value)
        said.append(call.state.paused)
    assert said == [False, True, True, False, False, True]


def test_a_variable_of_a_local_channel_pauses_the_call_that_it_leads_to(make_tracker, make_script, host):
    """As those of a queue do, whose dial plan runs on one."""
    script = make_script(make_tracker(variables=["VCOND_PAUSE"]))
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", state="Up")
    script.created("l1", "Local/200@x-00000001;2", linked="t1")
    (call,) = host.calls
    said = []
    for value in ("card", "", "off"):
        script.tell("ChannelVarset", channel="l1", variable="VCOND_PAUSE", value=value)
        said.append(call.state.paused)
    assert said == [True, True, False]


def test_an_end_of_a_pause_that_is_handed_on_to_who_is_called_ends_no_other_pause(make_tracker, make_script, host):
    script = make_script(make_tracker(variables=["VCOND_PAUSE"]))
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", state="Up")
    script.tell("ChannelVarset", channel="t1", variable="__VCOND_PAUSE", value="off")
    script.tell("ChannelUserevent", channel="t1", eventname="VcondPause", userevent={"Reason": "card"})
    script.created("a1", "PJSIP/agent-02", linked="t1", state="Ringing")
    script.tell("ChannelVarset", channel="a1", variable="__VCOND_PAUSE", value="off")
    (call,) = host.calls
    assert call.state.paused
    script.tell("ChannelVarset", channel="a1", variable="VCOND_PAUSE", value="off")
    assert not call.state.paused


def test_an_end_that_nobody_saw_set_ends_no_pause_of_another_channel(make_tracker, make_script, host):
    """After a restart one channel has ``off`` of long ago, and another one what pauses."""
    tracker = make_tracker(variables=["VCOND_PAUSE"])
    script = make_script(tracker)
    script.created("t1", "PJSIP/trunk-01", number="+4930123456", state="Up")
    script.created("a1", "PJSIP/agent-02", linked="t1", state="Up")
    (call,) = host.calls
    for channel, value in (("a1", "card"), ("t1", "off")):
        tracker.asked(channel, "VCOND_PAUSE", value, host.clock.now())
    assert call.state.paused
    tracker.asked("a1", "VCOND_PAUSE", "off", host.clock.now())
    assert not call.state.paused
