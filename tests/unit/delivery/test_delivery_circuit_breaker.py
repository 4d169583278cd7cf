"""How fast a sink is tried: pure, with time as an argument."""

from __future__ import annotations

from random import Random

import pytest
from delivery_kit import NOON, SECOND
from hypothesis import given
from hypothesis import strategies as st

from vcond.delivery.circuit_breaker import STREAK, CircuitBreaker
from vcond.delivery.rows import HORIZON


class Most(Random):
    """Chance that always picks the bound."""

    def uniform(self, a, b):
        return b


def breaker(**options):
    return CircuitBreaker(**({"concurrency": 2, "first": 5, "most": 300, "rng": Most()} | options))


def test_a_healthy_sink_gets_as_many_as_it_takes():
    fresh = breaker(concurrency=3)
    assert [fresh.slots(NOON, busy) for busy in range(5)] == [3, 2, 1, 0, 0]


def test_the_bound_doubles_up_to_the_cap():
    waits = [breaker().backoff(n) / SECOND for n in (1, 2, 3, 4, 5, 6, 7, 8, 1000)]
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


@given(st.integers(1, 10_000), st.integers())
def test_full_jitter_stays_below_the_bound(failures, seed):
    wait = breaker(rng=Random(seed)).backoff(failures)
    assert 0 <= wait <= min(300, 5 * 2 ** min(failures - 1, 30)) * SECOND


def test_a_sink_that_is_down_gets_one_probe_at_a_time():
    it = breaker()
    assert it.failed(NOON, 1, whole_sink=True, after=None)
    assert it.slots(NOON + 4 * SECOND, 0) == 0
    assert it.wait(NOON + 4 * SECOND) == SECOND
    assert it.slots(NOON + 5 * SECOND, 0) == 1
    assert it.slots(NOON + 5 * SECOND, 1) == 0
    assert not it.failed(NOON + 5 * SECOND, 2, whole_sink=True, after=None)  # said once
    assert it.wait(NOON + 5 * SECOND) == 10 * SECOND
    assert it.succeeded(NOON, 0)
    assert not it.succeeded(NOON, 0)
    assert it.slots(NOON, 0) == 2


def test_what_began_before_the_sink_was_known_to_be_down_counts_once():
    it = breaker(concurrency=4)
    it.failed(NOON, 1, whole_sink=True, after=None)
    for seq in (2, 3, 4):
        it.failed(NOON + SECOND, seq, whole_sink=True, after=None)
    assert it.wait(NOON) == 5 * SECOND


def test_a_vcon_that_fails_alone_does_not_stop_the_sink():
    it = breaker()
    for n in range(100):
        assert not it.failed(NOON + n, 1, whole_sink=False, after=None)
    assert not it.down


def test_many_different_ones_in_a_row_do():
    it = breaker()
    assert [it.failed(NOON, n, whole_sink=False, after=None) for n in range(STREAK)] == [*[False] * (STREAK - 1), True]
    it.succeeded(NOON, 0)
    for n in range(STREAK - 1):
        it.failed(NOON, n, whole_sink=False, after=None)
    it.succeeded(NOON, 0)
    assert not it.failed(NOON, 99, whole_sink=False, after=None)


def test_retry_after_is_the_least_wait():
    it = breaker()
    it.failed(NOON, 1, whole_sink=True, after=100)
    assert it.wait(NOON) == 100 * SECOND
    it.nudge()
    assert it.wait(NOON) == 100 * SECOND  # it asked us to
    it.nudge(urgent=True)
    assert it.wait(NOON) == 0


def test_something_new_is_a_reason_to_look_soon():
    it = breaker()
    for n in range(8):
        it.failed(NOON + n * 400 * SECOND, 1, whole_sink=True, after=None)
    now = NOON + 7 * 400 * SECOND
    assert it.wait(now) == 300 * SECOND
    it.nudge()
    assert it.wait(now) == 30 * SECOND
    it.nudge()
    assert it.wait(now) == 30 * SECOND  # no sooner for being asked twice


@pytest.mark.parametrize("jump", [-86_400 * 365, -HORIZON // SECOND - 1, 86_400 * 365])
def test_a_clock_that_jumps_makes_nothing_wait_for_ever(jump):
    it = breaker()
    it.failed(NOON, 1, whole_sink=True, after=3600)
    assert it.slots(NOON + jump * SECOND, 0) == 1
