from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.speech.engines import confidence


@given(st.floats(0, 1))
def test_what_nobody_measured_is_left_as_it_is(raw):
    assert confidence.RAW.words(raw) == pytest.approx(raw)


@pytest.mark.parametrize("curve", confidence.TINY_EN)
@given(first=st.floats(0, 1), second=st.floats(0, 1))
def test_who_is_surer_stays_surer(curve, first, second):
    low, high = sorted((first, second))
    assert 0 <= curve(low) <= curve(high) <= 1


@pytest.mark.parametrize("curve", confidence.TINY_EN)
def test_the_points_rise_and_are_met(curve):
    for (x, low), (after, high) in pairwise(curve.points):
        assert x < after
        assert low <= high
    assert all(curve(x) == pytest.approx(worth) for x, worth in curve.points)
    assert curve(1.0) == curve.points[-1][1]
