from __future__ import annotations

import numpy as np
import pytest

from vcond_webrtc.sound import TAPS, Thirds, mono


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return np.rint(10_000 * np.sin(2 * np.pi * hertz * np.arange(round(48_000 * seconds)) / 48_000)).astype(np.int16)


def thirds(pcm: np.ndarray, frame: int) -> np.ndarray:
    one = Thirds()
    return np.concatenate([one.take(pcm[at : at + frame]) for at in range(0, len(pcm), frame)])


def test_the_mean_of_two_channels():
    assert mono(np.array([1, 3, -2, -4, 32767, 32767, -32768, -32768], np.int16), 2).tolist() == [2, -3, 32767, -32768]
    one = np.array([1, 2], np.int16)
    assert mono(one, 1) is one


@pytest.mark.parametrize(
    ("hertz", "least", "most"), [(100, 0.99, 1.01), (3000, 0.99, 1.01), (7000, 0.97, 1.03), (9000, 0, 0.01)]
)
def test_speech_passes_and_what_16_khz_cannot_hold_does_not(hertz, least, most):
    out = thirds(tone(hertz), 960)
    assert len(out) == 16_000
    gain = float(np.std(out[200:].astype(float))) / float(np.std(tone(hertz).astype(float)))
    assert least <= gain <= most


@pytest.mark.parametrize("frame", [120, 480, 960, 2880])
def test_frames_have_no_seam(frame):
    pcm = tone(1234.5)
    assert np.array_equal(thirds(pcm, frame), thirds(pcm, len(pcm)))


def test_the_delay_is_that_of_the_filter():
    pulse = np.zeros(960, np.int16)
    pulse[480] = 30_000
    out = np.concatenate([(one := Thirds()).take(pulse), one.take(np.zeros(960, np.int16))])
    assert abs(int(np.argmax(out)) - (480 + (TAPS - 1) / 2 - 2) / 3) <= 1


def test_after_a_gap_nothing_of_before_is_heard():
    one = Thirds()
    one.take(tone(1000, 0.02))
    one.reset()
    assert not one.take(np.zeros(960, np.int16)).any()


def test_full_scale_does_not_wrap_around():
    square = np.repeat(np.array([32767, -32768], np.int16), 24).repeat(1)
    out = thirds(np.tile(square, 100), 960).astype(int)
    assert np.abs(np.diff(out)).max() < 60_000
    assert out.max() == 32767


def test_odds_and_ends_are_cut_and_nothing_comes_of_nothing():
    one = Thirds()
    assert len(one.take(np.zeros(0, np.int16))) == 0
    assert len(one.take(np.zeros(7, np.int16))) == 2
