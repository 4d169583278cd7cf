"""What is kept of whom does not depend on the order in which rules, words, parties and other calls come to be known."""

import pytest
from test_call_consents import ASK, KEEP, Live, share

from vcond.call import events as ev
from vcond.policy.consent import Terms


def test_when_a_call_matches_no_rule_any_more_it_is_kept_from_then_on():
    live = Live(ASK)
    live.speak(1)
    live.terms = None
    live.call.emit(ev.Tagged(at=live.book.time, name="queue", value="other"))
    live.speak(1)
    live.end()
    assert not any(live.heard(0)[:10])
    assert all(live.heard(0)[11:])
    assert not live.call.state.hidden_in(live.book.time, live.book.time, 0)
    assert live.call.state.consents.open() == {}


def test_the_rule_of_a_call_that_is_merged_in_takes_nothing_of_this_one():
    one = Live(Terms(mode="record"), parties=1, key="a")
    two = Live(ASK, parties=1, key="b", book=one.book)
    one.speak(1, two)
    assert one.call.merge(two.call)
    one.tracks += two.tracks
    one.speak(1)
    one.end()
    assert share(one.heard(0)) == 1
    assert one.call.state.consents.withheld(0, "recording") == []
    assert not any(one.heard(1)[:10])
    assert all(one.heard(1)[11:])


def test_a_party_of_both_calls_is_kept_where_both_allow_it():
    one = Live(Terms(mode="record"), parties=1, key="same")
    two = Live(ASK, parties=1, key="same", book=one.book)
    one.speak(1, two)
    assert one.call.merge(two.call)
    one.speak(1)
    assert all(one.heard(0)[11:])
    assert one.call.state.consents.open() == {}


def test_a_line_of_several_of_whom_none_is_known_is_withheld_and_kept_by_rule():
    exempt = Terms(mode="ask", exempt=("agent",))
    for terms, kept in ((exempt, False), (ASK, False), (Terms(mode="never"), False), (KEEP, True), (None, True)):
        live = Live(terms, parties=1, who=(ev.PartyInfo(several=True),))
        live.speak(1)
        assert any(live.heard(0)) is kept
        live.call.party("late", at=live.book.time, who=ev.PartyInfo(role="agent"))
        live.speak(1)
        live.end()
        assert all(live.heard(0)[11:]) is (kept or terms == exempt)
        assert any(live.heard(0)[:10]) is kept


def test_who_joins_late_takes_nothing_of_what_a_line_of_several_heard_before():
    live = Live(ASK, parties=3, who=(ev.PartyInfo(), ev.PartyInfo(), ev.PartyInfo(several=True)))
    for party in (0, 1):
        live.say(party, "granted")
    live.speak(1)
    late = live.call.party("late", at=live.book.time)
    live.speak(1)
    live.say(late, "granted")
    live.speak(1)
    live.end()
    assert all(live.heard(2)[1:10])
    assert not any(live.heard(2)[11:20])
    assert all(live.heard(2)[21:])


def test_a_late_joiner_who_refuses_takes_what_the_line_heard_since_it_came():
    live = Live(KEEP, parties=3, who=(ev.PartyInfo(), ev.PartyInfo(), ev.PartyInfo(several=True)))
    live.speak(1)
    late = live.call.party("late", at=live.book.time)
    live.speak(1)
    live.say(late, "denied")
    live.speak(1)
    live.end()
    assert all(live.heard(2)[1:10])
    assert not any(live.heard(2)[11:])


@pytest.mark.parametrize("until", ["nothing", "buffer"])
def test_a_rule_that_is_found_after_the_consent_takes_what_was_said_before_it(until):
    live = Live()
    live.speak(2)
    live.say(0, "granted")
    live.speak(1)
    live.terms = Terms(mode="ask", until_granted=until, **({"buffer_seconds": 1} if until == "buffer" else {}))
    live.call.emit(ev.Tagged(at=live.book.time, name="queue", value="care"))
    live.speak(1)
    live.end()
    first = 10 if until == "buffer" else 20
    assert not any(live.heard(0)[:first])
    assert all(live.heard(0)[first + 1 :])
    assert not any(live.heard(1))


def test_a_refusal_takes_the_name_also_when_the_rule_that_says_so_is_found_later():
    live = Live(who=(ev.PartyInfo(tel="+15550100", name="Ann"),))
    live.say(0, "denied")
    live.terms = Terms(mode="ask", denied="name")
    live.call.emit(ev.Tagged(at=live.book.time, name="queue", value="care"))
    assert live.call.state.parties[0].who.name == "anonymous"


def test_a_digit_while_recording_is_paused_is_no_answer():
    live = Live(Terms(mode="ask", key_granted="1", key_denied="2"))
    live.call.emit(ev.RecordingPaused(at=live.book.time, by="operator", reason="card"))
    for button in "4111":
        live.call.emit(ev.Dtmf(at=live.book.time, party=0, button=button, ms=80))
    assert live.call.state.consents.said == []
    live.call.emit(ev.RecordingResumed(at=live.book.time, by="operator"))
    live.speak(1)
    live.call.emit(ev.Dtmf(at=live.book.time, party=0, button="1", ms=80))
    assert live.call.state.consents.state_of(0, "recording") == "granted"


def test_a_key_pressed_on_a_line_of_several_is_nobodys_answer():
    live = Live(Terms(mode="ask", key_granted="1"), who=(ev.PartyInfo(), ev.PartyInfo(several=True)))
    live.call.emit(ev.Dtmf(at=live.book.time, party=1, button="1", ms=80))
    assert live.call.state.consents.said == []


def test_a_clock_that_is_ahead_cannot_make_consent_outlive_a_refusal():
    live = Live(KEEP)
    live.speak(1)
    live.say(0, "granted", when=ahead(live, 8))
    live.speak(1)
    live.say(0, "denied")
    assert live.call.state.consents.state_of(0, "recording") == "denied"
    assert live.call.state.consents.said[0].at == ahead(live, -1)


def ahead(live, seconds):
    return type(live.book.time)(live.book.time + seconds * 1_000_000_000)


def test_an_attribute_that_is_told_again_does_not_outlive_a_withdrawal():
    live = Live(KEEP)

    def say(value: str) -> None:
        live.call.emit(ev.CallAttribute(at=live.book.time, name="siprec.vcond_consent", value=value, party=0))

    say("granted")
    live.speak(1)
    live.say(0, "withdrawn")
    live.speak(1)
    say("granted")
    assert live.call.state.consents.state_of(0, "recording") == "withdrawn"
    say("granted; how=page")
    assert live.call.state.consents.state_of(0, "recording") == "granted"


def test_a_frame_asks_for_what_has_not_ended_only():
    live = Live(ASK)
    for _ in range(3):
        live.say(0, "granted")
        live.speak(0.1)
        live.say(0, "withdrawn")
        live.speak(0.1)
    consents = live.call.state.consents
    assert len(consents.withheld(0, "recording")) == 4
    (last,) = consents.withheld(0, "recording", after=live.book.time)
    assert last.stop is None
    live.say(0, "granted")
    assert consents.withheld(0, "recording", after=ahead(live, 1)) == []


@pytest.mark.parametrize("who", [(), (ev.PartyInfo(several=True),)])
@pytest.mark.parametrize(
    "states", [("granted",), ("denied",), ("granted", "withdrawn"), ("granted", "withdrawn", "granted")]
)
def test_what_is_known_at_once_to_be_kept_is_not_withheld(states, who):
    """Each frame asks: what needs no looking must not lie in a stretch of which nothing is kept."""
    live, known = Live(ASK, parties=2, who=who), {0: 0, 1: 0}
    for state in (*states, ""):
        consents = live.call.state.consents
        for moment in range(round(live.book.time - 3e9), round(live.book.time + 2e9), 250_000_000):
            for party, purpose in [(n, of) for n in (0, 1) for of in ("recording", "transcription")]:
                over = consents.over(party, purpose, moment)
                assert not (over and consents.withheld(party, purpose, after=moment))
                known[party] += over
        live.speak(1)
        if state:
            live.call.emit(ev.Consent(at=live.book.time, party=1, state=state))
        live.speak(1)
    assert (known[1] > 0) is (states[0] == "granted")
    assert known[0] == 0, "of who said nothing, and of a line of several, each stretch is looked at"
