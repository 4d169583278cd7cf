"""What is kept of whom, by what was said of consent: the fold, and a call that goes on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.time import EPOCH, SECOND, Instant
from vcond.call import events as ev
from vcond.call.consenting import without
from vcond.call.matching import Match, matches
from vcond.call.merge import merge
from vcond.call.state import fold
from vcond.policy.consent import Terms
from vcond.sdk.contract import ArrivalClock, Codec
from vcond.testing.call import MemoryCall

ZERO = 1_795_339_662 * SECOND
RATE = 8000
ASK = Terms(mode="ask", until_granted="nothing")
BUFFER = Terms(mode="ask", until_granted="buffer", buffer_seconds=5)
KEEP = Terms(mode="ask", until_granted="keep")


def at(seconds: float) -> Instant:
    return Instant(ZERO + round(seconds * SECOND))


class Book:
    unmergeable = ""

    def __init__(self):
        self.time, self.faults, self.drops = at(0), [], []

    def now(self):
        return self.time

    def changed(self):
        pass

    def dropped(self, what, reason, count=1):
        self.drops.append((what, reason))

    def fault(self, text):
        self.faults.append(text)


class Live:
    """A call in memory whose parties speak all the time, each with a level of its own."""

    def __init__(self, terms=None, parties=2, key="k", book=None, who=()):
        self.book = book or Book()
        self.terms = terms
        self.call = MemoryCall(self.book, [ev.CallOpened(at=self.book.time, call=f"u-{key}", adapter="test", key=key)])
        self.call.review.terms_of_call = lambda _: self.terms
        self.call.review.look()
        infos = [*who, *[ev.PartyInfo()] * (parties - len(who))]
        for index, info in enumerate(infos):
            self.call.party(f"{key}{index}", at=self.book.time, who=info)
        self.tracks = [self.open(index) for index in range(parties)]

    def open(self, party):
        return self.call.track(party, at=self.book.time, codec=Codec.L16, rate=RATE, clock=ArrivalClock())

    def speak(self, seconds, *others):
        """Time passes in steps of 20 ms."""
        for _ in range(round(seconds * 50)):
            self.book.time = Instant(self.book.time + SECOND // 50)
            for live in (self, *others):
                for track in live.tracks:
                    if not track.closed:
                        level = 100 * (1 + track.party)
                        track.write(np.full(160, level, "<i2").tobytes(), arrived=live.book.time)
                        track.tick(live.book.time)

    def say(self, party, state, how="operator", when=None, **more):
        self.call.emit(ev.Consent(at=when or self.book.time, party=party, state=state, how=how, **more))

    def end(self):
        self.call.end(at=self.book.time)
        return self

    def heard(self, track):
        """Per tenth of a second, whether anything is kept."""
        pcm = self.call.sounds[track].read(round((self.book.time - self.call.state.opened) / SECOND * RATE))
        return [bool(pcm[i + 200 : i + 600].any()) for i in range(0, len(pcm), RATE // 10)]

    def kinds(self, track):
        return {kind.value for _, _, kind in self.call.state.tracks[track].spans}


def share(flags):
    return sum(flags) / len(flags)


def test_without_a_rule_everything_is_kept_and_nothing_is_written_of_consent():
    live = Live()
    live.speak(1)
    live.end()
    assert share(live.heard(0)) == share(live.heard(1)) == 1
    assert not any(isinstance(event, ev.Consent | ev.PolicyApplied | ev.Released) for event in live.call.events)


def test_nothing_is_kept_of_a_party_until_it_agrees_and_the_other_stays():
    live = Live(ASK)
    live.say(1, "granted")
    live.speak(1)
    live.say(0, "asked")
    live.speak(1)
    live.say(0, "granted")
    live.speak(2)
    live.end()
    assert not any(live.heard(0)[:20])
    assert all(live.heard(0)[20:])
    assert all(live.heard(1)[1:])
    assert live.kinds(0) == {"withheld", "received"}


def test_what_was_buffered_is_placed_as_if_recorded_when_consent_comes():
    live = Live(BUFFER)
    live.speak(2)
    assert not any(live.heard(0))
    live.say(0, "granted")
    live.speak(1)
    live.end()
    assert all(live.heard(0))
    assert not any(live.heard(1))
    assert live.kinds(0) == {"received"}
    assert live.kinds(1) == {"withheld"}


def test_a_buffer_is_bounded_and_what_was_before_stays_withheld():
    live = Live(BUFFER)
    live.speak(8)
    live.say(0, "granted")
    live.end()
    flags = live.heard(0)
    assert not any(flags[:29])
    assert all(flags[31:])
    assert live.kinds(0) == {"withheld", "received"}


def test_a_pause_told_late_takes_from_the_buffer_too():
    live = Live(BUFFER)
    live.speak(2)
    live.call.emit(ev.RecordingPaused(at=Instant(live.book.time - SECOND), by="party", party=1))
    live.say(0, "granted")
    live.end()
    assert all(live.heard(0)[:9])
    assert not any(live.heard(0)[10:])


@pytest.mark.parametrize("terms", [None, KEEP, BUFFER, ASK])
def test_a_refusal_is_silence_from_the_beginning_for_that_party_only(terms):
    live = Live(terms)
    live.say(1, "granted")
    live.speak(2)
    live.say(0, "denied")
    live.speak(1)
    live.end()
    assert not any(live.heard(0))
    assert all(live.heard(1)[1:])
    assert live.kinds(0) == {"withheld"}


@pytest.mark.parametrize(("withdrawn", "kept"), [("stop", True), ("take_back", False)])
def test_a_withdrawal_stops_at_once_and_takes_back_by_rule(withdrawn, kept):
    live = Live(Terms(mode="ask", until_granted="nothing", withdrawn=withdrawn))
    live.say(0, "granted")
    live.speak(2)
    live.say(0, "withdrawn")
    live.speak(1)
    live.end()
    assert all(live.heard(0)[1:19]) is kept
    assert not any(live.heard(0)[21:])


def test_consent_after_a_withdrawal_counts_from_then_on():
    live = Live(ASK)
    for state in ("granted", "withdrawn", "granted"):
        live.say(0, state)
        live.speak(1)
    live.end()
    assert [share(live.heard(0)[a:b]) for a, b in ((1, 10), (11, 20), (21, 30))] == [1, 0, 1]


def test_a_withdrawal_told_late_takes_back_what_came_in_between():
    live = Live(ASK)
    live.say(0, "granted")
    live.speak(2)
    live.say(0, "withdrawn", when=Instant(live.book.time - SECOND))
    live.end()
    assert all(live.heard(0)[1:9])
    assert not any(live.heard(0)[10:])


def test_a_late_joiner_begins_at_unknown():
    live = Live(ASK)
    for party in (0, 1):
        live.say(party, "granted")
    live.speak(1)
    live.tracks.append(live.open(live.call.party("late", at=live.book.time)))
    live.speak(1)
    live.end()
    assert live.call.state.consents.state_of(2, "recording") == "unknown"
    assert all(live.heard(0)[1:])
    assert not any(live.heard(2))


def test_a_rule_that_is_found_late_counts_from_the_beginning():
    live = Live()
    live.speak(1)
    live.terms = ASK
    live.call.emit(ev.Tagged(at=live.book.time, name="queue", value="care"))
    live.speak(1)
    live.end()
    assert not any(live.heard(0))
    assert live.call.state.consents.terms == ASK


def test_one_refusal_silences_a_line_of_several():
    live = Live(KEEP, parties=3, who=(ev.PartyInfo(), ev.PartyInfo(), ev.PartyInfo(several=True)))
    live.speak(1)
    assert any(live.heard(2))
    live.say(0, "granted")
    live.say(1, "denied")
    live.speak(1)
    live.end()
    assert any(live.heard(0))
    assert not any(live.heard(1))
    assert not any(live.heard(2))


def test_a_machine_and_an_exempt_role_need_not_be_asked():
    terms = Terms(mode="ask", exempt=("agent",))
    live = Live(terms, who=(ev.PartyInfo(type="bot"), ev.PartyInfo(role="agent"), ev.PartyInfo()), parties=3)
    live.speak(1)
    live.end()
    assert [share(live.heard(track)[1:]) for track in range(3)] == [1, 1, 0]


def test_a_key_answers_once_and_is_no_digit_of_the_record():
    live = Live(Terms(mode="ask", key_granted="1", key_denied="2"))

    def press(party: int, button: str) -> None:
        live.call.emit(ev.Dtmf(at=live.book.time, party=party, button=button, ms=80))

    press(0, "5")
    press(0, "1")
    press(1, "2")
    live.speak(1)
    press(0, "2")
    press(1, "7")
    live.end()
    states = [live.call.state.consents.state_of(party, "recording") for party in (0, 1)]
    assert states == ["granted", "denied"]
    assert [(e.party, e.button) for e in live.call.events if isinstance(e, ev.Dtmf)] == [(0, "2")]
    assert [e.evidence for e in live.call.events if isinstance(e, ev.Consent)] == [{"key": "1"}, {"key": "2"}]


def test_a_key_agrees_to_what_the_rule_asks_for_and_refuses_all_and_may_take_consent_back():
    live = Live(Terms(mode="ask", key_granted="1", key_denied="2", key_withdrawn="2", purposes=("transcription",)))

    def press(party: int, button: str) -> None:
        live.call.emit(ev.Dtmf(at=live.book.time, party=party, button=button, ms=80))
        live.speak(1)

    press(0, "1")
    press(1, "2")
    press(0, "2")
    press(0, "1")  # who took it back has answered: a digit like others
    said = [(e.party, e.state, e.purposes) for e in live.call.events if isinstance(e, ev.Consent)]
    everything = ("recording", "transcription", "analysis")
    assert said == [
        (0, "granted", ("transcription",)),
        (1, "denied", everything),
        (0, "withdrawn", everything),
    ]


@pytest.mark.parametrize(
    ("terms", "purposes"),
    [
        (None, ("recording", "transcription")),
        (ASK, ("recording", "transcription")),
        (Terms(mode="ask", purposes=("recording",)), ("recording",)),
    ],
)
def test_an_attribute_without_purposes_agrees_to_what_was_asked_for(terms, purposes):
    live = Live(terms)
    for index, value in enumerate(("granted", "denied", "granted; purposes=analysis")):
        live.call.emit(ev.CallAttribute(at=live.book.time, name="variable.VCOND_CONSENT", value=value, party=index % 2))
    everything = ("recording", "transcription", "analysis")
    told = [one.purposes for one in live.call.state.consents.said]
    assert told == [purposes, everything, ("analysis",)]


def test_the_same_word_twice_is_one_event_and_a_party_that_is_none_is_odd():
    live = Live(ASK)
    for _ in range(3):
        live.say(0, "granted", evidence={"text": "x" * 5000})
    live.say(7, "granted")
    said = [event for event in live.call.events if isinstance(event, ev.Consent)]
    assert [(event.party, len(event.evidence.get("text", ""))) for event in said] == [(0, 1024), (7, 0)]
    assert live.call.state.odd == 1
    assert live.book.faults


def test_of_two_words_the_later_moment_counts_whenever_it_is_told():
    live = Live(ASK)
    live.speak(2)
    live.say(0, "withdrawn")
    live.say(0, "granted", when=Instant(live.book.time - SECOND))
    assert live.call.state.consents.state_of(0, "recording") == "withdrawn"
    assert not live.call.state.consents.keeps(0, "recording")


def test_a_refusal_takes_the_name_by_rule():
    for denied, name in (("voice", "Ann"), ("name", "anonymous")):
        live = Live(Terms(mode="ask", denied=denied), who=(ev.PartyInfo(tel="+15550100", name="Ann"),))
        live.say(0, "denied")
        assert live.call.state.parties[0].who.name == name


def test_words_of_a_party_without_consent_are_not_shown():
    live = Live(ASK)
    live.speak(2)
    lines = []
    live.call.tell = lambda kind, text, *_: lines.append((kind, text))
    live.call.watched = lambda: True
    live.call.say(0, "hello")
    live.call.say(0, "hel", kind="partial")
    assert lines == [("final", "")]


def test_a_party_of_another_call_keeps_what_it_said_there_when_calls_are_merged():
    one = Live(ASK, parties=1, key="a")
    one.say(0, "granted")
    two = Live(ASK, parties=2, key="b", book=one.book)
    two.say(0, "granted")
    two.speak(1, one)
    assert one.call.merge(two.call)
    one.tracks += two.tracks
    one.speak(1)
    one.end()
    assert [one.call.state.consents.state_of(party, "recording") for party in range(3)] == [
        "granted",
        "granted",
        "unknown",
    ]
    assert all(one.heard(0)[1:])
    assert all(one.heard(1)[1:])
    assert not any(one.heard(2))


def test_a_merge_translates_the_parties_of_consents():
    say = ev.Consent(at=at(1), party=0, state="denied")
    into = fold([ev.CallOpened(at=at(0), call="u", adapter="t", key="k"), ev.PartyJoined(at=at(0), party=0, key="a")])
    history = [ev.CallOpened(at=at(0), call="v", adapter="t", key="l"), ev.PartyJoined(at=at(0), party=0, key="b"), say]
    into.apply(merge(into, fold(history), history, at=at(2)).event)
    assert [into.consents.state_of(party, "recording") for party in (0, 1)] == ["unknown", "denied"]


def test_a_history_without_what_a_party_said_and_pressed():
    said = ev.Transcribed(at=at(3), utterance=0, engine="e", model="m", text="secret")
    events = [
        ev.CallOpened(at=at(0), call="u", adapter="t", key="k"),
        ev.PartyJoined(at=at(0), party=0, key="a"),
        ev.PartyJoined(at=at(0), party=1, key="b"),
        ev.TrackOpened(at=at(0), track=0, party=0, codec="PCMU", rate=RATE),
        ev.Dtmf(at=at(1), party=0, button="4"),
        ev.Dtmf(at=at(1), party=1, button="5"),
        ev.Utterance(at=at(2), utterance=0, track=0, start=0, stop=9),
        said,
    ]
    left = without(events, {0}, digits=True)
    assert left is not None
    assert "secret" not in str(left)
    assert [event.button for event in left if isinstance(event, ev.Dtmf)] == ["5"]
    assert fold(left).speech[0].failed == "no-consent"
    assert without(left, {0}, digits=True) is None
    assert len(without(events, {0}, digits=False)) == len(events)
    inside = [ev.Merged(at=at(4), call="v", events=[ev.encode(event) for event in events[3:]])]
    assert "secret" not in str(without(inside, {0}, digits=True))


WORDS = st.sampled_from(["asked", "granted", "denied", "withdrawn"])
STEPS = st.lists(st.tuples(st.integers(0, 1), WORDS, st.floats(0.1, 0.5)), max_size=6)


@given(STEPS, st.sampled_from([None, ASK, BUFFER, KEEP, Terms(mode="announce"), Terms(mode="never")]))
def test_what_is_folded_again_is_the_same_and_no_party_is_heard_after_its_refusal(steps, terms):
    live = Live(terms)
    for party, word, seconds in steps:
        live.say(party, word)
        live.speak(seconds)
    live.end()
    assert fold(live.call.events) == live.call.state
    for party in (0, 1):
        state = live.call.state.consents.state_of(party, "recording")
        if state == "denied" and (party, "granted") not in [(p, w) for p, w, _ in steps]:
            assert not any(live.heard(party))
        if terms == ASK and state != "granted" and (party, "granted") not in [(p, w) for p, w, _ in steps]:
            assert not any(live.heard(party))


def test_a_match_is_the_same_for_every_table():
    call = fold(
        [ev.CallOpened(at=EPOCH, call="u", adapter="twilio", key="k"), ev.Tagged(at=EPOCH, name="queue", value="care")]
    )
    assert matches(Match(), call)
    assert matches(Match(adapter="twilio", attributes={"queue": "ca*"}), call)
    assert not matches(Match(attributes={"queue": "sales"}), call)


def told(live, name, value, party=None):
    live.call.emit(ev.CallAttribute(at=live.book.time, name=name, value=value, party=party))
    return [(one.party, one.state, one.how) for one in live.call.state.consents.said]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("parameter.vcond_consent", "variable"),
        ("parameter.vcondConsent", "variable"),
        ("variable.VCOND_CONSENT", "variable"),
        ("sip_header.X-Vcond-Consent", "header"),
        ("siprec.extension.vcond-consent", "metadata"),
        ("siprec.extension.vcond-consent.2", "metadata"),
    ],
)
def test_an_attribute_of_that_name_is_a_word_of_the_caller_wherever_it_comes_from(name, how):
    assert told(Live(ASK), name, "granted") == [(0, "granted", how)]


def test_what_an_attribute_says_beside_is_whose_it_is_for_what_and_what_proves_it():
    live = Live(ASK)
    value = "Asked; party=1; purposes=recording+analysis; how=announcement; announcement=rec-en; sha256=ab"
    assert told(live, "parameter.vcond_consent", value) == [(1, "asked", "announcement")]
    (said,) = live.call.state.consents.said
    assert said.purposes == ("recording", "analysis")
    assert said.evidence == {"attribute": "parameter.vcond_consent", "announcement": "rec-en", "sha256": "ab"}
    assert told(live, "variable.VCOND_CONSENT", "granted", 1)[-1] == (1, "granted", "variable")
    assert [one[:2] for one in told(live, "parameter.vcond_consent", "granted; party=all")[2:]] == [(0, "granted")]


def test_a_word_that_comes_before_its_party_waits_for_it():
    live = Live(ASK, parties=0)
    assert told(live, "parameter.vcond_consent", "granted") == []
    live.call.party("a", at=live.book.time)
    assert [(one.party, one.state) for one in live.call.state.consents.said] == [(0, "granted")]


@pytest.mark.parametrize(
    "value", ["yes", "", "granted; party=9", "granted; party=x", "granted; purposes=marketing", "x" * 10_000]
)
def test_words_that_are_not_known_change_nothing_and_the_record_says_so(value):
    live = Live(ASK)
    assert told(live, "parameter.vcond_consent", value) == []
    assert [warned.code for warned in live.call.state.warnings] == ["consent-unclear"]


def test_other_attributes_are_no_words_of_consent():
    live = Live(ASK)
    assert told(live, "consent", "granted") == []
    assert told(live, "parameter.vcond_consent_text", "granted") == []
    assert not live.call.state.warnings
