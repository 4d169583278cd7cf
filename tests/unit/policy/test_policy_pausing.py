"""Who may pause a recording and who may let it go on, asked of the rules themselves, without a call."""

from typing import NamedTuple

import pytest

from vcond.base.time import SECOND, Instant
from vcond.policy.pausing import (
    MOST_PAUSED,
    OPERATOR,
    STILL_PAUSED,
    CutOff,
    Left,
    Owner,
    Standing,
    made,
    may_end,
    of_others,
    on,
    standing,
)


class Pause(NamedTuple):
    by: str
    party: int | None = None
    reason: str = ""
    stop: Instant | None = None
    until: Instant | None = None


class Person(NamedTuple):
    index: int
    key: str
    here: bool = True


ANN, BEN, CY = Owner("party", 0), Owner("party", 1), Owner("party", 2)
PLATFORM, BEFORE = Owner("platform"), Owner("party")
OWNERS = [OPERATOR, PLATFORM, ANN, BEN, CY, BEFORE]
HERE = [Person(0, "ann"), Person(1, "ben"), Person(2, "cy", here=False)]
ALL = [Pause(*owner) for owner in OWNERS]


@pytest.mark.parametrize(
    ("who", "ends"),
    [
        (OPERATOR, [OPERATOR]),
        (PLATFORM, [PLATFORM]),
        (ANN, [ANN, CY, BEFORE]),  # who left, and who is not back yet, can end nothing
        (BEN, [BEN, CY, BEFORE]),
        (BEFORE, [CY, BEFORE]),
        (Owner("platform", 2), []),
        (Owner(""), []),
    ],
)
def test_each_ends_its_own_pause_and_a_party_those_of_parties_who_cannot(who, ends):
    assert [Owner(pause.by, pause.party) for pause in may_end(ALL, who, HERE)] == ends
    left = [owner for owner in OWNERS if owner not in ends]
    assert [Owner(pause.by, pause.party) for pause in of_others(ALL, who, HERE)] == left


def test_a_pause_that_is_over_is_nobodys():
    over = [Pause(*owner, stop=Instant(1)) for owner in OWNERS]
    assert on(over) == []
    for owner in OWNERS:
        assert made(over, owner) == may_end(over, owner, HERE) == of_others(over, owner, HERE) == []
    assert standing(over, HERE) == []


def test_only_ones_own_pause_is_a_second_one():
    assert made([Pause("party", 0)], ANN)
    assert not made([Pause("party", 0)], BEN)
    assert not made([Pause("operator")], ANN)


def test_the_call_that_goes_on_is_told_whose_pauses_were_on():
    pauses = [
        Pause("party", 1, "card"),
        Pause("operator"),
        Pause("party", 0, stop=Instant(1)),
        Pause("party", 9, until=Instant(9)),
    ]
    assert standing(pauses, HERE) == [
        Standing("party", "ben", "card"), Standing("operator", "", ""), Standing("party", "", "", Instant(9)),
    ]  # fmt: skip


def test_a_call_that_was_cut_off_is_remembered_for_an_hour_and_for_one_call_of_its_key():
    pauses, cut_off = [Standing("operator", "", "")], CutOff()
    for after, kept in ((STILL_PAUSED, pauses), (STILL_PAUSED + 1, [])):
        cut_off.keep("pbx", "1", Instant(5 * SECOND), Left(pauses, {}))
        assert cut_off.take("pbx", "2", Instant(5 * SECOND)) == Left([], {})
        assert cut_off.take("other", "1", Instant(5 * SECOND)) == Left([], {})
        assert cut_off.take("pbx", "1", Instant((5 + after) * SECOND)) == Left(kept, {})
        assert cut_off.take("pbx", "1", Instant(5 * SECOND)) == Left([], {})


def test_only_the_latest_are_remembered_and_calls_that_were_not_paused_take_no_room():
    pauses, cut_off = [Standing("operator", "", "")], CutOff()
    for number in range(MOST_PAUSED + 1):
        cut_off.keep("pbx", str(number), Instant(0), Left(pauses, {}))
        cut_off.keep("pbx", "unpaused", Instant(0), Left([], {}))
    assert cut_off.take("pbx", "0", Instant(0)) == Left([], {})
    assert cut_off.take("pbx", "1", Instant(0)) == Left(pauses, {})
    assert cut_off.take("pbx", str(MOST_PAUSED), Instant(0)) == Left(pauses, {})
