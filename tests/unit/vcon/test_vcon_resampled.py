"""Audio of another rate is converted piece by piece, and is the same however it is read."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from vcond.vcon.building.resampled import SECONDS, Resampled


def noise(seconds, rate):
    return (np.random.default_rng(7).standard_normal(round(seconds * rate)) * 3000).astype(np.int16)


@pytest.mark.parametrize(("rate", "target"), [(8000, 48000), (16000, 48000), (11025, 44100), (8000, 11025)])
@pytest.mark.parametrize("seconds", [0.0004, 1, SECONDS, SECONDS + 0.001, 2.3 * SECONDS])
def test_it_is_what_the_whole_of_it_would_be(rate, target, seconds):
    pcm = noise(seconds, rate)
    whole = np.clip(np.rint(soxr.resample(pcm.astype(np.float32), rate, target)), -32768, 32767)
    sound = Resampled(pcm, rate, target)
    assert len(sound) == len(whole)
    assert np.abs(sound[0 : len(sound)] - whole).max(initial=0) <= 1, "but for the last bit"
    if seconds <= SECONDS:
        assert (sound[0 : len(sound)] == whole).all()


def test_it_is_the_same_however_it_is_read():
    sound = Resampled(noise(50, 8000), 8000, 16000)
    whole = sound[0 : len(sound)]
    for step in (7919, 160_000, 320_001):
        parts = [sound[at : at + step] for at in range(0, len(sound), step)]
        assert (np.concatenate(parts) == whole).all()
    assert (sound[319_999:320_001] == whole[319_999:320_001]).all()
    assert len(sound[5:5]) == 0


def test_only_some_of_it_is_in_memory_at_a_time():
    asked = []

    class Long:
        def __len__(self):
            return 7200 * 8000

        def __getitem__(self, part):
            asked.append(part.stop - part.start)
            return np.zeros(part.stop - part.start, np.int16)

    sound = Resampled(Long(), 8000, 48000)
    assert len(sound) == 7200 * 48000
    assert not sound[3600 * 48000 : 3601 * 48000].any()
    assert asked == [(SECONDS + 2) * 8000]
