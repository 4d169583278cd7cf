from __future__ import annotations

import numpy as np
import pytest

from vcond.media.codecs import Codec, decode, encode
from vcond.media.detect.tones import is_steady_tone

PAIRS = [
    (350, 440),  # dial tone (US)
    (440, 480),  # ringback (US)
    (480, 620),  # busy (US)
    (425,),  # all of them (Europe)
    (400, 450),  # ringback (UK)
    (1100,),  # fax
    (2100,),  # modem
    *((low, high) for low in (697, 770, 852, 941) for high in (1209, 1336, 1477, 1633)),  # ITU-T Q.23
]


def tone(frequencies, amplitude, codec, *, noise=0.0, phase=0.0, n=160):
    t = np.arange(n) / 8000
    pcm = sum(amplitude / len(frequencies) * np.sin(2 * np.pi * f * t + phase) for f in frequencies)
    pcm = pcm + np.random.default_rng(0).normal(0, noise, n)
    return decode(codec, encode(codec, pcm.astype(np.int16))).astype(np.float32)


@pytest.mark.parametrize("frequencies", PAIRS)
@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA, Codec.L16])
def test_tones_of_the_telephone_network(frequencies, codec):
    for amplitude in (500, 4000, 25_000):
        for phase in (0, 1, 2, 3):
            assert is_steady_tone(tone(frequencies, amplitude, codec, phase=phase))


def test_a_tone_in_noise_that_is_known():
    frame = tone((440, 480), 3000, Codec.PCMU, noise=60)
    energy = float(np.mean(np.square(frame)))
    assert not is_steady_tone(frame)
    assert is_steady_tone(frame, 60**2 / energy)


@pytest.mark.parametrize("noise", [0.0, 0.01, 1.0])
def test_noise_is_no_tone_whatever_is_known_of_it(noise):
    assert not is_steady_tone(np.random.default_rng(0).normal(0, 1000, 160).astype(np.float32), noise)


def test_onsets_and_chords_are_no_tones():
    t = np.arange(160) / 8000
    onset = np.r_[np.zeros(80), 3000 * np.sin(2 * np.pi * 1000 * t[:80])]
    chord = sum(1000 * np.sin(2 * np.pi * f * t) for f in (200, 600, 1100, 1900))
    assert not is_steady_tone(onset.astype(np.float32))
    assert not is_steady_tone(chord.astype(np.float32))


def test_frames_without_shape_do_not_divide_by_zero():
    assert is_steady_tone(np.full(160, 3000.0))
    assert not is_steady_tone(np.zeros(160))
    assert is_steady_tone(3000 * np.cos(np.pi * np.arange(160)))
