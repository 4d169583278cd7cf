from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vcond.media.placement.sliding_min import BUCKETS, SlidingMin


def test_nothing_seen_is_false():
    floor = SlidingMin(800)
    assert not floor
    assert floor.add(0, 5) == 5
    assert floor
    floor.clear()
    assert not floor


def test_the_least_counts_until_it_is_out_of_the_window():
    floor = SlidingMin(800)
    floor.add(0, 1)
    assert [floor.add(now, 9) for now in (100, 400, 700)] == [1, 1, 1]
    assert floor.add(2000, 9) == 9


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(-1000, 1000)), min_size=1, max_size=200))
def test_it_is_the_minimum_of_a_window_within_one_part_of_it(steps):
    window = 800
    floor, now, seen = SlidingMin(window), 0, []
    for step, value in steps:
        now += step
        seen.append((now, value))
        got = floor.add(now, value)
        surely = min(v for at, v in seen if at > now - window + 2 * window // BUCKETS)
        perhaps = min(v for at, v in seen if at >= now - window - window // BUCKETS)
        assert perhaps <= got <= surely
        assert got == floor.value


def test_it_keeps_a_few_numbers_however_much_it_sees():
    floor = SlidingMin(800)
    for now in range(100_000):
        floor.add(now, now)
    assert len(floor._old) <= BUCKETS


def test_a_time_before_the_latest_counts_as_the_latest():
    floor = SlidingMin(800)
    floor.add(1000, 5)
    assert floor.add(10, 3) == 3
    assert floor.add(1200, 7) == 3
