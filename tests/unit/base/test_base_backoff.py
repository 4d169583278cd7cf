"""How long to wait before another try."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.backoff import Backoff


def test_waits_double_up_to_the_most():
    assert [Backoff(5, 300).bound(n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 10**9)] == [
        5,
        10,
        20,
        40,
        80,
        160,
        300,
        300,
        300,
    ]


@given(st.integers(-5, 10_000), st.integers(), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_chance_stays_within_its_part(failures, seed, steady):
    one = Backoff(5, 300, steady)
    assert one.bound(failures) * steady <= one.wait(failures, Random(seed).uniform) <= one.bound(failures)


def test_two_do_not_come_in_step_unless_nothing_is_left_to_chance():
    assert len({Backoff(1, 60).wait(3) for _ in range(20)}) > 1
    assert {Backoff(1, 60, steady=1).wait(3) for _ in range(20)} == {4}


@pytest.mark.parametrize("failures", [0, -1])
def test_before_the_first_failure_it_is_the_first_wait(failures):
    assert Backoff(2, 60, steady=1).wait(failures) == 2
