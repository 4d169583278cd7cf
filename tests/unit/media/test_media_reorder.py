from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.media.placement.reorder import MANY, Reorder

MS = 1_000_000


def feed(window, numbers, *, every=20 * MS, older=True):
    out = []
    for i, seq in enumerate(numbers):
        if window.expected(seq):
            out.append((0, seq))
        else:
            out += window.push(seq, seq, i * every, older=older)
    return out


def test_frames_in_order_go_straight_through():
    window = Reorder(16, 1 << 16)
    assert feed(window, [65534, 65535, 0, 1]) == [(0, 65534), (0, 65535), (0, 0), (0, 1)]
    assert (window.late, window.duplicates, window.reordered, window.resyncs) == (0, 0, 0, 0)


def test_a_frame_waits_for_the_one_before_it():
    window = Reorder(16, 1 << 16)
    assert feed(window, [1, 3, 4]) == [(0, 1)]
    assert window.push(2, 2, 60 * MS, older=True) == [(0, 2), (0, 3), (0, 4)]
    assert window.reordered == 1


def test_after_two_hundred_milliseconds_the_missing_are_given_up():
    window = Reorder(16, 1 << 16)
    feed(window, [1, 4, 5])
    assert window.tick(219 * MS) == []
    assert window.tick(220 * MS) == [(2, 4), (0, 5)]
    assert window.push(2, 2, 230 * MS, older=True) == []
    assert (window.late, window.duplicates) == (1, 0)
    assert window.push(2, 2, 230 * MS, older=True) == []
    assert (window.late, window.duplicates) == (1, 1)


def test_no_more_than_the_window_waits():
    window = Reorder(2, 1 << 16)
    assert feed(window, [1, 3, 4], every=0) == [(0, 1)]
    assert window.push(6, 6, 0, older=False) == [(1, 3), (0, 4)]
    assert window.flush() == [(1, 6)]


def test_doubles_are_dropped_wherever_their_twin_is():
    window = Reorder(16, 1 << 16)
    assert feed(window, [1, 2, 2, 4, 4, 1, 3, 3]) == [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert (window.duplicates, window.late) == (4, 0)


def test_a_frame_from_before_the_first_is_late():
    window = Reorder(16, 1 << 16)
    assert feed(window, [5, 4, 6]) == [(0, 5), (0, 6)]
    assert (window.late, window.duplicates) == (1, 0)


@pytest.mark.parametrize("seq", [2 + 3001, 2 - 101])
def test_numbers_far_away_are_a_new_numbering(seq):
    window = Reorder(16, 1 << 16)
    feed(window, [1, 3])
    assert window.push(seq, seq, 50 * MS, older=False) == [(1, 3), (MANY, seq)]
    assert window.resyncs == 1
    assert window.expected((seq + 1) % 65536)


def test_a_number_behind_with_a_stamp_ahead_is_a_new_numbering():
    window = Reorder(16, 0)
    feed(window, [50, 51])
    assert window.push(1, 1, 0, older=False) == [(MANY, 1)]


def test_without_a_modulus_numbers_do_not_wrap():
    window = Reorder(16)
    assert feed(window, [65535, 65536]) == [(0, 65535), (0, 65536)]


@given(st.integers(0, 65535), st.lists(st.integers(0, 40), max_size=80), st.integers(0, 20))
def test_what_comes_out_rises_and_nothing_is_made_up(base, offsets, size):
    window = Reorder(size, 1 << 16)
    came = [(base + offset) % 65536 for offset in offsets]
    out = feed(window, came, every=0)
    assert len(window._waiting) <= size
    out += window.flush()
    numbers = [(seq - base) % 65536 for _, seq in out]
    assert numbers == sorted(set(numbers))
    assert len(out) + window.duplicates + window.late == len(came)
    for (_, before), (missing, seq) in pairwise(out):
        assert (seq - before) % 65536 == missing + 1
