"""Levels of parties: measured of what is kept, while somebody looks, and bounded."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pytest

from vcond.capture import levels as module
from vcond.capture.levels import FLOOR, RECENT, Levels


@dataclass
class Track:
    """As ``Levels`` sees one."""

    call: str
    party: int
    recent: deque = field(default_factory=lambda: deque(maxlen=RECENT))


def sine(amplitude: float, count: int = 160) -> np.ndarray:
    return np.rint(amplitude * np.sin(np.arange(count) * np.pi / 20)).astype(np.int16)


def wanted() -> Levels:
    made = Levels()
    made.want(True)
    return made


def test_rms_and_peak_are_those_of_the_last_frames_since_the_last_look_by_call_and_party():
    levels, ann, ben, eve = wanted(), Track("a", 0), Track("a", 1), Track("b", 3)
    for _ in range(10):
        levels.hear(ann, np.full(160, 30_000, np.int16))
    for _ in range(RECENT):
        levels.hear(ann, sine(16_384))
        levels.hear(eve, sine(327))
    levels.hear(ben, np.full(80, -32_768, np.int16))
    levels.hear(ben, np.zeros(240, np.int16))
    assert levels.take() == {"a": [(0, -9, -6), (1, -6, 0)], "b": [(3, -43, -40)]}
    assert levels.take() == {}
    levels.hear(ann, sine(16_384))
    assert levels.take() == {"a": [(0, -9, -6)]}


def test_two_tracks_of_a_party_are_one_level_and_a_track_that_moved_is_of_its_new_call():
    levels, one, other = wanted(), Track("a", 0), Track("b", 1)
    levels.hear(one, np.full(160, 32_767, np.int16))
    levels.hear(other, np.zeros(160, np.int16))
    other.call, other.party = "a", 0
    assert levels.take() == {"a": [(0, -3, 0)]}


@pytest.mark.parametrize("pcm", [np.zeros(160, np.int16), np.zeros(0, np.int16), sine(10)])
def test_who_is_silent_is_not_told(pcm):
    levels = wanted()
    for _ in range(2 * RECENT):
        levels.hear(Track("a", 0), pcm)
    levels.hear(Track("a", 1), sine(3000))
    assert [one.party for one in levels.take()["a"]] == [1]
    assert FLOOR == -60


def test_what_waits_for_a_look_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_TRACKS", 3)
    levels, tracks = wanted(), [Track("a", party) for party in range(5)]
    for track in tracks:
        for _ in range(RECENT + 5):
            levels.hear(track, sine(3000))
    assert [len(track.recent) for track in tracks] == [RECENT] * 3 + [0] * 2
    assert [one.party for one in levels.take()["a"]] == [0, 1, 2]
    assert not any(track.recent for track in tracks), "nothing is held for nobody"


def test_nothing_is_left_when_nobody_looks_any_more():
    levels, track = wanted(), Track("a", 0)
    levels.hear(track, sine(3000))
    levels.want(False)
    assert (levels.wanted, levels.take(), len(track.recent)) == (False, {}, 0)
