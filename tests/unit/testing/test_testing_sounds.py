from __future__ import annotations

import numpy as np
import pytest

from vcond.media.codecs import Codec, decode, encode
from vcond.testing.sounds import RATE, find, voice


def test_voices_are_loud_reproducible_and_unlike():
    one, two = voice(1, 2.0), voice(2, 2.0)
    assert len(one) == 2 * RATE
    assert (one == voice(1, 2.0)).all()
    assert 1000 < np.std(one) < 8000
    assert abs(find(one, two)[0]) < 0.1


def test_a_voice_survives_g711():
    said = voice(1, 2.0)
    assert find(said, decode(Codec.PCMU, encode(Codec.PCMU, said)))[0] > 0.99


@pytest.mark.parametrize("lag", [0, 1, 799, 8000])
def test_a_voice_is_found_where_it_lies(lag):
    said = voice(1, 1.0)
    heard = np.concatenate([np.zeros(lag, np.int16), said, np.zeros(400, np.int16)])
    score, where = find(said, heard)
    assert (round(score, 3), where) == (1.0, lag)


def test_a_hole_lowers_the_correlation():
    said = voice(1, 1.0)
    heard = said.copy()
    heard[2000:6000] = 0
    assert 0.5 < find(said, heard)[0] < 0.9


def test_silence_is_no_voice():
    said, nothing = voice(1, 1.0), np.zeros(RATE, np.int16)
    assert find(said, nothing) == find(nothing, said) == find(said, said[:100]) == (0.0, 0)
