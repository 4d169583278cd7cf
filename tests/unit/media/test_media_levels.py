from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.media.detect.levels import Level, Meter, dbfs, heard, rms


def test_full_scale_is_zero_and_nothing_is_minus_infinity():
    assert dbfs(32768) == 0
    assert dbfs(0) == -math.inf
    assert dbfs(16384) == pytest.approx(-6.02, abs=0.01)
    assert rms(np.zeros(0, np.int16)) == 0


def test_a_window_is_measured_when_it_is_full():
    meter = Meter(8000, window_ms=100)
    assert meter.feed(np.full(799, -32768, np.int16)) == []
    assert meter.feed(np.full(1, -32768, np.int16)) == [Level(0.0, 0.0)]
    (level,) = meter.feed(np.r_[np.zeros(799), 3277].astype(np.int16))
    assert level.peak == pytest.approx(-20, abs=0.01)
    assert level.rms == pytest.approx(-20 - 10 * math.log10(800), abs=0.01)


@given(st.lists(st.integers(0, 300), max_size=20))
def test_however_the_stream_is_cut_the_levels_are_the_same(cuts):
    pcm = np.random.default_rng(1).normal(0, 3000, 2000).astype(np.int16)
    whole, parts, at = Meter(8000, 50).feed(pcm), [], 0
    meter = Meter(8000, 50)
    for cut in [*cuts, 2000]:
        parts += meter.feed(pcm[at : at + cut])
        at += cut
    assert [level.peak for level in parts] == [level.peak for level in whole]
    assert [level.rms for level in parts] == pytest.approx([level.rms for level in whole])


@pytest.mark.parametrize(
    ("pcm", "expected"),
    [
        (np.zeros(0), False),
        (np.full(160, 8), False),
        (np.random.default_rng(0).normal(0, 60, 800), False),
        (np.random.default_rng(0).normal(0, 300, 800), True),
        (3000 * np.sin(np.arange(800)), True),
    ],
)
def test_line_noise_is_not_heard(pcm, expected):
    assert heard(pcm.astype(np.int16)) is expected
