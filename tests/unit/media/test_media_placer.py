"""What the timeline tests do not reach: the judgement of single frames."""

from __future__ import annotations

import numpy as np
import pytest

from vcond.media.placement.at_offset import is_digital_silence, is_quiet
from vcond.media.placement.placer import FIRST_BURST, MAX_HELD_FRAMES, Placer

MS = 1_000_000


@pytest.mark.parametrize("pcm", [[0], [8, 8], [-8] * 7, [0] * 160])
def test_one_small_value_is_digital_silence(pcm):
    assert is_digital_silence(np.array(pcm, np.int16))


@pytest.mark.parametrize("pcm", [[9], [-9, -9], [0, 0, 8, 0, 0], [8, -8], [0] * 40 + [1] + [0] * 119, [-32768] * 3])
def test_anything_else_is_not(pcm):
    assert not is_digital_silence(np.array(pcm, np.int16))


def test_quiet_is_below_45_decibels():
    assert is_quiet(np.full(160, 180, np.int16))
    assert not is_quiet(np.full(160, 190, np.int16))
    assert not is_quiet(np.full(160, -32768, np.int16))


def test_tiny_frames_are_held_in_a_bounded_number():
    placer, out = Placer(8000, window=2_000_000_000, jitter=200 * MS), []
    for i in range(3 * FIRST_BURST * MAX_HELD_FRAMES):
        placer.take(i, np.ones(1, np.int16), 0, -1, out)
        assert len(placer._held) < (MAX_HELD_FRAMES if out else FIRST_BURST * MAX_HELD_FRAMES)
    assert out


def test_a_single_frame_after_a_stall_waits_and_is_then_taken_for_the_begin_of_a_burst():
    placer, out = Placer(8000, window=2_000_000_000, jitter=200 * MS), []
    pcm = np.full(160, 3000, np.int16)
    for i in range(50):
        placer.take(i * 160, pcm, 20 * (i + 1) * MS, -1, out)
    placer.take(8000, pcm, 5000 * MS, -1, out)
    assert len(out) == 50
    placer.idle(5199 * MS, out)
    assert len(out) == 50
    placer.idle(5200 * MS, out)
    assert [start for start, _ in out[50:]] == [8000]


def test_a_steady_flow_that_idle_looks_at_has_a_gap_before_it():
    placer, out = Placer(8000, window=2_000_000_000, jitter=200 * MS), []
    pcm = np.full(160, 3000, np.int16)
    for i in range(50):
        placer.take(i * 160, pcm, 20 * (i + 1) * MS, -1, out)
    for i in range(10):
        placer.take((50 + i) * 160, pcm, (5000 + 20 * i) * MS, -1, out)
    assert len(out) == 50
    placer.idle(5200 * MS, out)
    assert out[50].start == 4980 * 8
    assert placer.runs.settled(final=True) == [
        (0, 8000, "received"),
        (8000, 39_840, "lost"),
        (39_840, 41_440, "received"),
    ]


def test_frames_that_are_late_by_less_than_the_jitter_wait_for_nothing():
    placer, out = Placer(8000, window=2_000_000_000, jitter=200 * MS), []
    pcm = np.full(160, 3000, np.int16)
    for i in range(50):
        placer.take(i * 160, pcm, 20 * (i + 1) * MS, -1, out)
    placer.take(8000, pcm, 1230 * MS, -1, out)
    assert len(out) == 50
    placer.take(8160, pcm, 1235 * MS, -1, out)
    assert [start for start, _ in out[50:]] == [8000, 8160]
