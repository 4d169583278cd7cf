"""Milliseconds that a source counts over a connection that loses nothing: late frames lie where their stamps say."""

from __future__ import annotations

import numpy as np
import pytest

from vcond.media.placement.clocks import MillisClock
from vcond.media.placement.timeline import Timeline

RATE = 8000
FRAME = 160
MS = 1_000_000
LOUD = np.full(FRAME, 3000, np.int16)


class Line:
    """A timeline and all that came out of it."""

    def __init__(self):
        self.line, self.placed = Timeline(RATE, MillisClock()), []

    def frame(self, i, at, pcm=LOUD):
        """Frame ``i`` of a steady stream, at so many ms."""
        self.placed += self.line.push(pcm, arrived=at * MS, stamp=20 * i, seq=i + 1)

    def idle(self, at):
        self.placed += self.line.idle(at * MS)

    def close(self, at):
        self.placed += self.line.close(at * MS)

    def where(self):
        return [start * 1000 / RATE for start, _ in self.placed]


def ramp(i):
    """Up to a second late within ten, and then none."""
    return 2 * max(0, i - 500) if i < 1000 else 0


def slow_there_and_back(i):
    return max(0, min(i - 500, 2500 - i)) / 2


def sluggish(i):
    """In time now and then, and half a second late else."""
    return 500 if i % 400 >= 30 else 0


@pytest.mark.parametrize(
    "late",
    [ramp, slow_there_and_back, sluggish, lambda i: 150 * (500 <= i < 1500), lambda i: 3000 * (500 <= i < 2500)],
    ids=["ramp", "there and back", "sluggish", "a little", "for 40 s"],
)
@pytest.mark.parametrize("ticks", [False, True])
def test_where_stamps_are_time_what_is_late_lands_where_they_say(late, ticks):
    line, before = Line(), 0
    for i in range(4000):
        at = max(before, round(20 * (i + 1) + late(i)))
        for tick in range(before + 100, at, 100) if ticks else ():
            line.idle(tick)
        line.frame(i, at=at)
        before = at
    line.close(80_000)
    assert line.where() == [20 * i for i in range(4000)]


def test_where_stamps_are_time_what_stays_late_for_longer_than_the_window_moves_and_nothing_is_cut():
    line = Line()
    for i in range(5000):
        line.frame(i, at=20 * (i + 1) + (0 if i < 500 else 500))
    line.close(100_500)
    assert line.line.trimmed == 0
    assert line.where()[:3000] == [20 * i for i in range(3000)]
    assert line.where()[-1] - 20 * 4999 == 500


def test_where_stamps_are_time_no_speech_is_cut_because_a_late_start_is_made_up_for():
    line = Line()
    for i in range(1000):  # 900 ms late at first, less and less
        quiet = i >= 500 and i % 50 < 10
        line.frame(i, at=20 * (i + 1) + max(0, 900 - 10 * i), pcm=np.full(FRAME, 50, np.int16) if quiet else LOUD)
    line.close(20_000)
    assert sum(len(pcm) for _, pcm in line.placed if pcm[0] == 3000) == 900 * FRAME, "500 and 40 of each 50"
    assert line.where()[-1] == 19_980
