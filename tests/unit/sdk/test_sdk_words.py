"""What was said of consent and pauses before a call, in it, and in the one after it, whatever told it."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
from msgspec import structs
from pbxkit import Plain

from vcond import sdk
from vcond.policy.consent import Said
from vcond.sdk.call_events import MOST_PAUSED
from vcond.sdk.contract import SECOND, Cause, Consent, Dtmf, Instant, LiveCall, Purpose, RecordingPaused
from vcond.sdk.words import MOST_SAID, Origin
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock

Says = Callable[[Plain, sdk.Leg, Said], None]


@pytest.fixture
def host() -> MemoryHost:
    return MemoryHost("pbx", clock=ManualClock())


def variable(talk: Plain, leg: sdk.Leg, state: Said) -> None:
    talk.variable("VCOND_CONSENT", f"{state}; system=crm", talk.host.clock.advance(SECOND), leg, origin="set")


def event(talk: Plain, leg: sdk.Leg, state: Said) -> None:
    talk.consent(leg, Consent(at=talk.host.clock.advance(SECOND), party=0, state=state, purposes=()))


def operator(talk: Plain, leg: sdk.Leg, state: Said) -> None:
    assert talk.call is not None
    assert leg.party is not None
    talk.call.emit(
        Consent(at=talk.host.clock.advance(SECOND), party=leg.party.index, state=state, how="operator", purposes=())
    )


def states(call: LiveCall | None, leg: sdk.Leg) -> dict[Purpose, str]:
    """What is known of a leg's party, but what is unknown."""
    assert call is not None
    assert leg.party is not None
    known = {purpose: call.state.consents.state_of(leg.party.index, purpose) for purpose in get_args(Purpose)}
    return {purpose: state for purpose, state in known.items() if state != "unknown"}


def comes(talk: Plain, host: MemoryHost, who: str) -> sdk.Leg:
    """Somebody calls who was somewhere else before."""
    host.clock.advance(SECOND)
    other = Plain(f"of {who}", host)
    leg = other.leg(who)
    talk.absorb(other)
    talk.settle(host.clock.now())
    return leg


def goes(talk: Plain, leg: sdk.Leg) -> None:
    talk.remove(leg, talk.host.clock.advance(SECOND), Cause())


WAYS = pytest.mark.parametrize("says", [variable, event])
RECORDED = {"recording": "granted", "transcription": "granted"}
REFUSED = {"recording": "denied", "transcription": "denied", "analysis": "denied"}


@pytest.mark.parametrize("says", [variable, event, operator])
@pytest.mark.parametrize("state", ["granted", "denied"])
def test_what_is_said_in_a_conversation_is_of_that_one(host: MemoryHost, says: Says, state: Said) -> None:
    talk = Plain("one", host)
    agent = talk.leg("agent")
    customer = comes(talk, host, "ann")
    says(talk, agent, state)
    assert set(states(talk.call, agent).values()) == {state}
    goes(talk, customer)
    comes(talk, host, "ben")
    assert agent.party is not None
    assert states(talk.call, agent) == {}
    says(talk, agent, state)
    assert set(states(talk.call, agent).values()) == {state}, "the same word, said anew"


@WAYS
@pytest.mark.parametrize(("state", "known"), [("granted", RECORDED), ("denied", REFUSED)])
def test_what_somebody_said_alone_is_said_to_each_who_comes(
    host: MemoryHost, says: Says, state: Said, known: dict[str, str]
) -> None:
    talk = Plain("one", host)
    agent = talk.leg("agent")
    says(talk, agent, state)
    for who in ("ann", "ben", "cleo"):
        customer = comes(talk, host, who)
        assert states(talk.call, agent) == known
        goes(talk, customer)


@WAYS
@pytest.mark.parametrize("alone", ["at first", "in between"])
def test_consent_that_was_taken_back_is_not_given_again_to_who_comes_next(
    host: MemoryHost, says: Says, alone: str
) -> None:
    talk = Plain("one", host)
    agent = talk.leg("agent")
    if alone == "in between":
        goes(talk, comes(talk, host, "zoe"))
    says(talk, agent, "granted")
    customer = comes(talk, host, "ann")
    assert states(talk.call, agent) == RECORDED
    operator(talk, agent, "withdrawn")
    goes(talk, customer)
    talk.variable("VCOND_CONSENT", "granted; system=crm", host.clock.now(), agent, origin="shown")
    comes(talk, host, "ben")
    shown = {} if says is variable else RECORDED  # of an event the variable says nothing: it is new there
    assert states(talk.call, agent) == shown


@pytest.mark.parametrize("says", [variable, event, operator])
def test_what_was_said_goes_with_who_goes_on_in_another_record(host: MemoryHost, says: Says) -> None:
    """Two calls that cannot be merged: a refusal by a key was lost, and consent that was taken back was given again."""
    one, two = Plain("one", host), Plain("two", host)
    one.leg("ann")
    ben, cleo, dora = two.leg("ben"), two.leg("cleo"), two.leg("dora")
    says(two, ben, "granted")
    says(two, cleo, "denied")
    variable(two, dora, "granted")
    says(two, dora, "withdrawn")
    host.unmergeable = "disk"
    one.absorb(two)
    one.settle(host.clock.now())
    assert ben.conversation is one
    assert states(one.call, ben) == RECORDED
    assert states(one.call, cleo) == REFUSED
    assert set(states(one.call, dora).values()) == {"withdrawn"}
    assert {said.purposes for said in one.call.state.consents.said if said.state == "denied"} == {get_args(Purpose)}


def test_consent_goes_on_for_what_it_was_given_for(host: MemoryHost) -> None:
    """Under another rule that asks for more, too."""
    one, two = Plain("one", host), Plain("two", host)
    one.leg("ann")
    ben = two.leg("ben")
    two.consent(ben, Consent(at=host.clock.now(), party=0, state="granted", purposes=("transcription",)))
    host.unmergeable = "disk"
    one.absorb(two)
    one.settle(host.clock.now())
    assert states(one.call, ben) == {"transcription": "granted"}


@pytest.mark.parametrize("by", ["platform", "operator", "party", "rule"])
def test_a_call_that_is_given_up_while_paused_pauses_the_one_that_goes_on(host: MemoryHost, by: str) -> None:
    """A rule says so itself of the call that goes on."""
    one, two = Plain("one", host), Plain("two", host)
    one.leg("ann")
    two.leg("ben")
    assert two.call is not None
    party = 0 if by == "party" else None
    two.call.emit(RecordingPaused(at=host.clock.now(), by=by, party=party, reason="card"))
    host.unmergeable = "disk"
    one.absorb(two)
    assert one.call is not None
    assert [(pause.by, pause.party, pause.reason) for pause in one.call.state.pauses] == (
        [] if by == "rule" else [(by, None, "card")]
    )


def test_what_a_variable_is_shown_as_may_be_older_than_what_was_told(host: MemoryHost) -> None:
    talk = Plain("one", host)
    leg = talk.leg("ann")
    for state in ("granted", "withdrawn"):
        talk.variable("VCOND_CONSENT", state, host.clock.advance(SECOND), leg, origin="set")
    talk.variable("VCOND_CONSENT", "granted", host.clock.advance(SECOND), leg, origin="shown")
    assert states(talk.call, leg)["recording"] == "withdrawn"
    talk.variable("VCOND_CONSENT", "granted", host.clock.advance(SECOND), leg, origin="set")
    assert states(talk.call, leg)["recording"] == "granted"


@pytest.mark.parametrize("origin", ["shown", "asked"])
@pytest.mark.parametrize("first", [True, False])
def test_what_a_variable_has_after_a_restart_is_no_consent_of_who_has_refused(
    host: MemoryHost, origin: Origin, first: bool
) -> None:
    """It was set before that, perhaps, on another channel of the same party. A refusal is heeded."""
    call = host.call("one", at=host.clock.now())
    for number, key in enumerate(("ann", "ben")):
        call.party(key, at=host.clock.now())
        call.emit(Consent(at=host.clock.now(), party=number, state="denied" if number == 0 else "granted", purposes=()))
    host.clock.advance(SECOND)
    talk = Plain("one", host)
    legs = [sdk.Leg(key, key, None, talk, host.clock.now(), "pbx") for key in ("ann", "ben")]
    for leg in legs:
        talk.add(leg)

    def read() -> None:
        for leg, word in zip(legs, ("granted", "withdrawn"), strict=True):
            talk.variable("VCOND_CONSENT", word, host.clock.now(), leg, origin=origin)

    if first:
        read()
    talk.adopt(call, host.clock.now())
    if not first:
        read()
    assert [states(call, leg)["recording"] for leg in legs] == ["denied", "withdrawn"]


def test_of_much_that_is_said_before_a_call_the_refusal_is_kept(host: MemoryHost) -> None:
    talk = Plain("one", host)
    talk.leg("ann")
    ben = talk.leg("ben", up=False)
    event(talk, ben, "denied")
    for _ in range(MOST_SAID + 4):
        event(talk, ben, "asked")
        talk.pressed(ben, Dtmf(at=host.clock.now(), party=0, button="5"))
    assert len(ben.said) == MOST_SAID
    ben.up = host.clock.now()
    talk.settle(ben.up)
    assert states(talk.call, ben) == REFUSED


# Pauses.


def paused(host: MemoryHost, seconds: int = 0) -> RecordingPaused:
    now = host.clock.now()
    until = Instant(now + seconds * SECOND) if seconds else None
    return RecordingPaused(at=now, by="platform", reason="card", until=until)


def begins(talk: Plain, *legs: sdk.Leg) -> LiveCall:
    now = talk.host.clock.advance(SECOND)
    for leg in legs:
        leg.up = now
    talk.settle(now)
    (call,) = talk.host.calls
    return call


def test_a_pause_that_was_said_before_the_call_pauses_it_from_its_beginning(host: MemoryHost) -> None:
    talk = Plain("one", host)
    ann = talk.leg("ann", up=False)
    talk.pause("ann", paused(host))
    assert host.calls == []
    call = begins(talk, ann)
    assert [(one.by, one.reason, one.stop) for one in call.state.pauses] == [("platform", "card", None)]
    assert all(one.start <= call.state.known_until for one in call.state.pauses)
    assert call.state.tracks == []
    talk.resume(host.clock.advance(SECOND))
    assert not call.state.paused


@pytest.mark.parametrize("why", ["resumed", "its end came", "its channel went", "the conversation ended"])
def test_a_pause_of_before_the_call_that_is_over_pauses_nothing(host: MemoryHost, why: str) -> None:
    talk = Plain("one", host)
    ann = talk.leg("ann", up=False)
    if why == "its channel went":
        gone = sdk.Leg("gone", "gone", None, talk, host.clock.now(), "test", relay=True)
        talk.add(gone)
    talk.pause("gone" if why == "its channel went" else "ann", paused(host, seconds=1 if why == "its end came" else 0))
    if why == "resumed":
        talk.resume(host.clock.advance(SECOND))
    elif why == "its channel went":
        talk.remove(gone, host.clock.now(), Cause())
    elif why == "the conversation ended":
        talk.begin_anew(host.clock.now())
        talk.idle = False
    host.clock.advance(SECOND)
    assert not begins(talk, ann).state.paused


def test_a_pause_of_a_call_to_come_goes_where_its_channel_goes(host: MemoryHost) -> None:
    one, two = Plain("one", host), Plain("two", host)
    one.leg("ann")
    two.leg("ben", up=False)
    two.pause("ben", paused(host))
    met = host.clock.advance(SECOND)
    one.absorb(two, met)
    (call,) = host.calls
    assert [pause.start for pause in call.state.pauses] == [met], "what was recorded before he came is kept"


def test_the_longest_pause_of_a_channel_counts_and_few_channels_are_kept(host: MemoryHost) -> None:
    talk = Plain("one", host)
    ann = talk.leg("ann", up=False)
    for seconds in (500, 100):
        talk.pause("ann", paused(host, seconds))
    for number in range(2 * MOST_PAUSED):
        talk.pause(f"relay {number}", structs.replace(paused(host, 10), reason="many"))
    until = host.clock.now() + 500 * SECOND
    call = begins(talk, ann)
    assert len({(pause.start, pause.until) for pause in call.state.pauses}) <= MOST_PAUSED
    assert max(pause.until or 0 for pause in call.state.pauses) == until


@WAYS
def test_what_is_said_when_the_core_has_cut_a_call_off_is_said_in_the_one_that_goes_on(
    host: MemoryHost, says: Says
) -> None:
    """Nobody had looked yet: it was told to the call that was over, and lost."""
    talk = Plain("one", host)
    ann = talk.leg("ann")
    talk.leg("ben")
    host.calls[0].end(at=host.clock.now(), cause=Cause(text="limit"))
    says(talk, ann, "denied")
    talk.pause("ann", RecordingPaused(at=host.clock.now(), by="platform", reason="card"))
    now = host.clock.advance(SECOND)
    talk.look(now)
    talk.again(now)
    new = host.calls[1]
    assert set(states(new, ann).values()) == {"denied"}
    assert [pause.reason for pause in new.state.pauses] == ["card"]
    assert "event" not in {what for what, _ in host.drops}
