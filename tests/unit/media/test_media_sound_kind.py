import numpy as np
import pytest

from vcond.media.codecs import Codec, decode
from vcond.media.detect.sound_kind import sound_kind

RATE = 8000
RNG = np.random.default_rng(7)


def noise(level: float, seconds: float = 10.0):
    return (RNG.standard_normal(round(seconds * RATE)) * level).astype(np.int16)


def voice(seconds: float = 10.0):
    """Tones that come and go like syllables."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (9000 * np.sin(2 * np.pi * 180 * t) * (np.sin(2 * np.pi * 2 * t) > 0)).astype(np.int16)


@pytest.mark.parametrize(
    ("pcm", "kind"),
    [
        (np.zeros(RATE * 10, np.int16), "silence"),
        (np.zeros(0, np.int16), "silence"),
        (noise(30), "comfort-noise"),
        (voice(), "sound"),
        (np.concatenate([noise(30), voice(1)]), "sound"),
        (np.concatenate([np.zeros(70 * RATE, np.int16), voice(1)]), "sound"),
        (noise(9000), "noise"),
        (noise(9000, 1.0), "sound"),
    ],
    ids=["digital", "nothing", "comfort", "voice", "late voice", "very late voice", "noise", "too short to say"],
)
def test_what_a_track_sounds_like(pcm, kind):
    assert sound_kind(pcm, RATE) == kind


def test_bytes_of_another_codec_are_noise():
    """Linear samples whose bytes are exchanged, and what is compressed otherwise, taken for PCMU."""
    speech = (voice() + noise(200)).astype("<i2")
    assert sound_kind(speech.byteswap(), RATE) == "noise"
    assert sound_kind(decode(Codec.PCMU, RNG.bytes(10 * RATE)), RATE) == "noise"
