"""What is given up when, in time that is counted by hand."""

import pytest

from vcond.policy.pressure import HOLD, Level, Pressure, Reading


def memory(left: float) -> Reading:
    return Reading("memory", left, 60, f"{left} left", "give it more", texts=100, partials=150)


def disk(left: float) -> Reading:
    return Reading("disk", left, 500, f"{left} left", "free space")


@pytest.mark.parametrize(
    ("left", "level"),
    [(150, Level.NOTHING), (149, Level.PARTIALS), (100, Level.PARTIALS), (99, Level.TEXTS), (60, Level.TEXTS), (59, Level.CALLS)],
)  # fmt: skip
def test_words_go_first_then_texts_then_new_calls(left: float, level: Level):
    pressure = Pressure()
    assert [one.level for one in pressure.judge([memory(left)], 0)] == [level][: left < 150]
    assert [one.level for one in pressure.standing] == [level]
    assert bool(pressure.refusing) is (level is Level.CALLS)
    assert pressure.texts == min(level, Level.TEXTS)


def test_worse_comes_at_once_and_better_when_there_was_room_to_spare_for_a_while():
    pressure = Pressure()
    pressure.judge([memory(50)], 0)
    assert not pressure.judge([memory(70)], 1), "70 is more than 60, and not by enough"
    assert not pressure.judge([memory(80)], 2)
    assert not pressure.judge([memory(80)], 2 + HOLD - 0.1)
    (one,) = pressure.judge([memory(80)], 2 + HOLD)
    assert one.level is Level.TEXTS
    (one,) = pressure.judge([memory(50)], 2 + HOLD)
    assert one.level is Level.CALLS


def test_what_comes_and_goes_does_not_flap():
    pressure = Pressure()
    changes = [
        one.level
        for second in range(3600)
        for one in pressure.judge([memory((59, 61, 90, 500)[second % 4])], second)
    ]  # fmt: skip
    assert changes == [Level.CALLS]


def test_a_moment_without_room_to_spare_begins_the_wait_anew():
    pressure = Pressure()
    pressure.judge([disk(400)], 0)
    pressure.judge([disk(900)], 1)
    pressure.judge([disk(510)], 6)
    assert not pressure.judge([disk(900)], 1 + HOLD)
    assert [one.level for one in pressure.judge([disk(900)], 1 + 2 * HOLD)] == [Level.NOTHING]


def test_texts_are_not_given_up_for_what_they_give_nothing_back_of():
    pressure = Pressure()
    pressure.judge([disk(400), memory(1000)], 0)
    assert [reading.resource for reading in pressure.refusing] == ["disk"]
    assert pressure.texts is Level.NOTHING


def test_each_thing_is_judged_by_itself():
    pressure = Pressure()
    pressure.judge([disk(400), memory(50)], 0)
    pressure.judge([memory(1000)], 1)
    pressure.judge([memory(1000)], 1 + HOLD)
    assert [reading.resource for reading in pressure.refusing] == ["disk"]


def test_what_is_exact_is_judged_at_once():
    def calls(left: float) -> Reading:
        return Reading("calls", left, 1, "", "", slack=1.0, hold=0.0)

    pressure = Pressure()
    assert [one.level for left in (1, 0, 1) for one in pressure.judge([calls(left)], 0)] == [Level.CALLS, Level.NOTHING]
