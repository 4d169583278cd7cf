"""A tap's way from being wanted to being gone, as all adapters of PBXs share it."""

from __future__ import annotations

from vcond.sdk.contract import MILLI, SECOND, Instant
from vcond.sdk.tap import TapState

START = Instant(1_000 * SECOND)


def after(seconds: float) -> Instant:
    return Instant(START + int(seconds * SECOND))


def test_pauses_grow_with_failures_and_stay_at_the_last():
    tap, pauses = TapState((0.05, 0.1, 2.0)), []
    for failures in range(5):
        tap.failures = failures
        pauses.append(tap.pause)
    assert pauses == [0.05, 0.1, 2.0, 2.0, 2.0]


def test_nothing_stalls_before_it_stands():
    tap = TapState((1.0,))
    assert tap.silent(after(1_000)) is None
    assert not tap.stalled(after(1_000), 1)


def test_one_that_stands_and_gives_nothing_is_stalled():
    tap = TapState((1.0,))
    tap.since = START
    assert not tap.stalled(Instant(after(3) - 1), 3)
    assert tap.stalled(after(3), 3)


def test_audio_puts_it_off_and_that_of_an_earlier_start_does_not():
    tap = TapState((1.0,))
    tap.last, tap.since = Instant(START - 60 * SECOND), START
    assert tap.silent(after(2)) == 2 * SECOND
    tap.last = after(1)
    assert tap.silent(after(2)) == SECOND
    assert not tap.stalled(after(3.9), 3)
    assert tap.stalled(after(4), 3)


def test_one_that_is_started_again_is_not_stalled_meanwhile():
    tap = TapState((1.0,))
    tap.since, tap.last = START, after(1)
    tap.since = None
    assert not tap.stalled(after(100), 3)
    tap.since = after(100)
    assert tap.silent(after(101)) == SECOND


def test_it_works_when_audio_of_this_start_came_for_long_enough():
    tap = TapState((1.0,))
    tap.last, tap.since = Instant(START - MILLI), START
    assert not tap.works(after(11), 10 * SECOND), "what came is of an earlier start"
    tap.last = after(9)
    assert not tap.works(after(10), 10 * SECOND)
    assert tap.works(Instant(after(10) + 1), 10 * SECOND)


def test_each_thing_is_said_once():
    tap = TapState((1.0,))
    assert [tap.first(code) for code in ("no-audio", "tap-failed", "no-audio", "tap-failed")] == [
        True,
        True,
        False,
        False,
    ]
