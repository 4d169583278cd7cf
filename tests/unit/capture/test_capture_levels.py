"""Levels of parties: measured of what is kept, while somebody looks, and bounded."""

import numpy as np
import pytest

from vcond.capture import levels as module
from vcond.capture.levels import FLOOR, Levels


def sine(amplitude: float, count: int = 160) -> np.ndarray:
    return np.rint(amplitude * np.sin(np.arange(count) * np.pi / 20)).astype(np.int16)


def wanted() -> Levels:
    made = Levels()
    made.want(True)
    return made


def test_rms_and_peak_are_those_of_all_samples_since_the_last_look_by_call_and_party():
    levels = wanted()
    for _ in range(10):
        levels.hear("a", 0, sine(16_384))
        levels.hear("b", 3, sine(327))
    levels.hear("a", 1, np.full(80, -32_768, np.int16))
    levels.hear("a", 1, np.zeros(240, np.int16))
    assert levels.take() == {"a": [(0, -9, -6), (1, -6, 0)], "b": [(3, -43, -40)]}
    assert levels.take() == {}


@pytest.mark.parametrize("pcm", [np.zeros(160, np.int16), np.zeros(0, np.int16), sine(10)])
def test_who_is_silent_is_not_told(pcm):
    levels = wanted()
    levels.hear("a", 0, pcm)
    levels.hear("a", 1, sine(3000))
    assert [one.party for one in levels.take()["a"]] == [1]
    assert FLOOR == -60


def test_what_waits_for_a_look_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_PARTIES", 3)
    levels = wanted()
    for party in range(5):
        for _ in range(module.MOST_FRAMES + 5):
            levels.hear("a", party, sine(3000))
    assert {len(frames) for frames in levels._frames.values()} == {module.MOST_FRAMES}
    assert [one.party for one in levels.take()["a"]] == [0, 1, 2]


def test_nothing_is_left_when_nobody_looks_any_more():
    levels = wanted()
    levels.hear("a", 0, sine(3000))
    levels.want(False)
    assert (levels.wanted, levels.take()) == (False, {})
