from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vcond.media.placement.runs import HISTORY, MARKS, Runs

KINDS = ["received", "silent", "lost"]


def paint(cells, spans):
    for start, stop, kind in spans:
        cells[start:stop] = kind


def test_runs_of_a_kind_grow_together():
    runs = Runs(1000)
    for start in range(0, 50, 10):
        runs.add(start, start + 10, "received" if start < 30 else "silent")
    assert runs.settled() == [(0, 30, "received")]
    assert runs.settled() == []
    assert runs.settled(final=True) == [(30, 50, "silent")]
    assert runs.settled(final=True) == []


def test_a_run_that_grows_is_told_in_parts():
    runs = Runs(100)
    told = []
    for start in range(0, 250, 10):
        runs.add(start, start + 10, "received")
        told += runs.settled()
    assert told == [(0, 100, "received"), (100, 200, "received")]
    assert runs.settled(final=True) == [(200, 250, "received")]


def test_what_is_absent_is_not_told():
    runs = Runs(100)
    runs.add(0, 50, "absent")
    runs.add(50, 60, "received")
    assert runs.settled(final=True) == [(50, 60, "received")]


def test_a_mark_repaints_the_past_but_not_what_was_heard():
    runs = Runs(10)
    runs.add(0, 100, "received")
    runs.add(100, 200, "silent")
    runs.add(200, 250, "lost")
    runs.add(250, 300, "received")
    assert runs.settled() == [(0, 100, "received"), (100, 200, "silent"), (200, 250, "lost"), (250, 300, "received")]
    runs.mark(50, 275, "held")
    assert runs.settled() == [(100, 200, "held"), (200, 250, "held")]


def test_a_mark_on_what_was_not_told_yet_is_told_once():
    runs = Runs(1000)
    runs.add(0, 100, "silent")
    runs.mark(40, 60, "held")
    assert runs.settled(final=True) == [(0, 40, "silent"), (40, 60, "held"), (60, 100, "silent")]


def test_a_mark_colours_gaps_to_come():
    runs = Runs(1000)
    runs.add(0, 100, "received")
    runs.mark(100, 300, "held")
    runs.add(100, 400, "lost")
    runs.add(400, 410, "received")
    assert runs.settled(final=True) == [
        (0, 100, "received"),
        (100, 300, "held"),
        (300, 400, "lost"),
        (400, 410, "received"),
    ]
    assert not runs._marks, "a mark of the past costs nothing any more"


def test_a_mark_before_the_first_frame_is_told_with_it():
    runs = Runs(1000)
    runs.mark(0, 50, "held")
    runs.add(0, 80, "absent")
    runs.add(80, 90, "received")
    assert runs.settled(final=True) == [(0, 50, "held"), (80, 90, "received")]


def test_what_was_expected_and_came_so_is_told_once():
    runs = Runs(100)
    runs.add(0, 50, "received")
    runs.expect(40, "lost")
    assert runs.settled() == []
    runs.expect(300, "lost")
    assert runs.settled() == [(0, 50, "received"), (50, 300, "lost")]
    runs.expect(350, "lost")
    assert runs.settled() == []
    runs.add(50, 400, "lost")
    runs.add(400, 410, "received")
    assert runs.settled(final=True) == [(300, 400, "lost"), (400, 410, "received")]


def test_what_was_expected_and_came_otherwise_is_told_anew():
    runs = Runs(100)
    runs.add(0, 50, "received")
    runs.expect(300, "lost")
    runs.add(50, 120, "received")
    runs.add(120, 400, "received")
    cells = np.full(400, "", dtype="U10")
    paint(cells, runs.settled(final=True))
    assert set(cells.tolist()) == {"received"}


def test_a_mark_repaints_what_was_expected():
    runs = Runs(100)
    runs.add(0, 50, "received")
    runs.expect(300, "lost")
    assert runs.settled() == [(0, 50, "received"), (50, 300, "lost")]
    runs.mark(100, 500, "held")
    assert runs.settled() == [(100, 300, "held")]
    runs.add(50, 600, "lost")
    assert runs.settled(final=True) == [(300, 500, "held"), (500, 600, "lost")]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 20), st.integers(1, 20), st.sampled_from(KINDS)),
            st.tuples(st.just("mark"), st.integers(-50, 300), st.integers(-50, 300)),
            st.tuples(st.just("settled")),
        ),
        max_size=60,
    ),
    st.integers(1, 60),
)
def test_painting_what_is_told_gives_what_was_said(actions, settle):
    runs, cells, told, at = Runs(settle), np.full(4000, "", dtype="U10"), np.full(4000, "", dtype="U10"), 0
    marks = []
    for action in actions:
        if action[0] == "add":
            start, stop, kind = at + action[1], at + action[1] + action[2], action[3]
            cells[start:stop] = kind
            if kind != "received":
                for low, high in marks:
                    cells[max(low, start) : max(min(high, stop), low, start)] = "held"
            at = stop
            runs.add(start, stop, kind)
        elif action[0] == "mark":
            low, high = max(action[1], 0), action[2]
            if high > low:
                part = cells[low:high]
                part[(part != "received") & (part != "")] = "held"
                marks = [*marks, (low, high)]
            runs.mark(action[1], action[2], "held")
        else:
            paint(told, runs.settled())
    paint(told, runs.settled(final=True))
    assert told[:at].tolist() == cells[:at].tolist()


def test_nothing_grows_without_bound():
    runs = Runs(10**9)
    for i in range(5000):
        runs.add(2 * i, 2 * i + 1, KINDS[i % 3])
        if i % 50 == 0:  # each looks through the whole history
            runs.mark(10**6 + i, 10**6 + i + 1, "held")
    assert len(runs._past) <= HISTORY
    assert len(runs._marks) <= MARKS
    assert len(runs.settled(final=True)) <= HISTORY + 1
