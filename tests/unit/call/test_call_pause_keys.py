"""Keys that pause the recording of a call and let it go on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_call_consents import Live

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.policy.consent import Terms
from vcond.policy.pausing import pressed

KEYS = Terms(pause_keys="*1", resume_keys="*2")
CARD = "4532015112830366"


def press(live: Live, party: int, buttons: str, every: float = 0.3) -> None:
    for button in buttons:
        live.call.emit(ev.Dtmf(at=live.book.time, party=party, button=button))
        live.speak(every)


def pauses(live: Live) -> list[tuple[str, int | None, str, bool]]:
    return [(one.by, one.party, one.reason, one.stop is None) for one in live.call.state.pauses]


def buttons(live: Live) -> str:
    return "".join(event.button for event in live.call.events if isinstance(event, ev.Dtmf))


@pytest.mark.parametrize("terms", [KEYS, Terms(mode="ask", until_granted="keep", pause_keys="*1", resume_keys="*2")])
def test_a_party_pauses_by_keys_and_lets_it_go_on_and_no_digit_in_between_is_anywhere(terms):
    live = Live(terms)
    live.speak(1)
    press(live, 1, "*1")
    assert pauses(live) == [("party", 1, "keys", True)]
    start = live.book.time
    press(live, 0, f"{CARD}#")
    press(live, 1, "*2")
    assert pauses(live) == [("party", 1, "keys", False)]
    stop = live.book.time
    press(live, 0, "7")
    live.end()
    assert buttons(live) == "*7", "what came before the last key of a sequence was a digit then"
    first, last = (round((at - live.call.state.opened) / SECOND * 10) for at in (start, stop))
    for track in (0, 1):
        heard = live.heard(track)
        assert all(heard[1:9])
        assert not any(heard[first : last - 4])
        assert all(heard[last + 1 :])


def test_who_did_not_pause_does_not_end_it_and_whose_pause_has_gone_anybody_ends():
    live = Live(KEYS)
    press(live, 1, "*1")
    press(live, 0, "*2")
    assert live.call.state.paused
    live.call.emit(ev.PartyLeft(at=live.book.time, party=1))
    press(live, 0, "*2")
    assert not live.call.state.paused


@pytest.mark.parametrize(
    ("party_of", "typed", "every", "paused"),
    [
        ("00", "*1", 4.9, True),
        ("00", "*1", 5.1, False),
        ("01", "*1", 0.1, False),
        ("00", "*2", 0.1, False),
        ("000", "**1", 0.1, True),
        ("000", "*01", 0.1, False),
        ("000", "#*1", 0.1, True),
    ],
)
def test_a_sequence_is_of_one_party_without_another_key_and_soon(party_of, typed, every, paused):
    live = Live(KEYS)
    for who, button in zip(party_of, typed, strict=True):
        press(live, int(who), button, every)
    assert live.call.state.paused is paused
    live.end()
    assert buttons(live) == (typed[:-1] if paused else typed), "keys that pause nothing are digits of the record"


def test_without_a_rule_and_of_nobody_it_is_a_key_like_others():
    live = Live()
    press(live, 0, "*1")
    assert not live.call.state.paused
    live = Live(KEYS)
    press(live, 7, "*1")
    assert not live.call.state.paused


def test_what_is_pressed_in_a_pause_is_remembered_nowhere():
    live = Live(KEYS)
    press(live, 0, "*1")
    press(live, 0, CARD)
    assert {count for count, _ in live.call.review._keys._came.values()} == {0}


@given(keys=st.text("*1", min_size=2, max_size=8), typed=st.text("*12", max_size=40))
def test_a_sequence_is_found_wherever_it_ends(keys: str, typed: str):
    so_far = 0
    for n, button in enumerate(typed):
        so_far = pressed(keys, so_far, button)
        assert (so_far == len(keys)) is typed[: n + 1].endswith(keys)


def test_a_clock_that_is_behind_pauses_all_the_same():
    live = Live(KEYS)
    live.speak(2)
    for at in (live.book.time, Instant(live.book.time - SECOND // 2)):
        live.call.emit(ev.Dtmf(at=at, party=0, button="*" if at == live.book.time else "1"))
    assert live.call.state.paused
