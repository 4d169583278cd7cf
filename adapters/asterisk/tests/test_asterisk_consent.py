"""What channels say of consent by variables and keys, and of whom that is."""

from __future__ import annotations

import pytest

from vcond.policy.consent import Terms
from vcond.sdk.contract import SECOND


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
    rule = Terms(mode="ask", key_granted="1", key_denied="2")
    script.created("t1", "PJSIP/trunk-01", number="+4930123456")
    script.up("t1")
    (call,) = host.calls
    call.review.terms_of_call = lambda _: rule
    call.review.look()
    script.created("a1", "PJSIP/agent-01", linked="t1", state="Ringing")
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
    rule = Terms(mode="ask", key_granted="1")
    script.created("t1", "PJSIP/trunk-01", number="+4930123456")
    script.up("t1")
    (call,) = host.calls
    call.review.terms_of_call = lambda _: rule
    call.review.look()
    script.created("a1", "PJSIP/agent-01", linked="t1", state="Ringing")
    script.up("a1")
    script.tell("ChannelUserevent", channel="a1", eventname="VcondConsent", userevent={"state": "asked"})
    script.tell("ChannelDtmfReceived", channel="a1", digit="1", duration_ms=0)
    script.tell("Dial", caller="t1", peer="a1", dialstatus="ANSWER")
    script.bridge("b", "t1", "a1")
    assert [(one.party, one.state) for one in call.state.consents.said] == [(1, "asked"), (1, "granted")]
