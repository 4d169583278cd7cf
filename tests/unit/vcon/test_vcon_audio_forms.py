from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile

from vcond.call import events as ev
from vcond.call.state import fold
from vcond.vcon.building import audio_forms, opus_pieces
from vcond.vcon.building.audio_forms import (
    FLAC,
    OPUS,
    TooLargeError,
    base64_size,
    base64url,
    content_hash,
    exact,
    flac,
    opus,
)
from vcond.vcon.building.riff import Form


class Whole:
    def __init__(self, pcm):
        self.pcm = pcm
        self.frames = len(pcm)

    def read(self, start, stop):
        return self.pcm[start:stop]


def talking(seconds: int, on: int, rate: int = 8000) -> np.ndarray:
    """Bursts of speech-like noise: two seconds on, two off, beginning with ``on``."""
    noise = np.random.default_rng(on).standard_normal(seconds * rate)
    spectrum = np.fft.rfft(noise) * np.exp(-(((np.fft.rfftfreq(len(noise), 1 / rate) - 500) / 700) ** 2))
    voice = np.fft.irfft(spectrum, len(noise))
    mask = np.arange(len(noise)) // (2 * rate) % 2 == on
    return (voice / voice.std() * 3000 * mask).clip(-32000, 32000).astype(np.int16)


@pytest.fixture(scope="module")
def two() -> list[Whole]:
    return [Whole(talking(12, 0)), Whole(talking(12, 1))]


@pytest.mark.parametrize("sizes", [[0], [1], [2], [3], [1, 1, 1], [5, 7, 3], [300, 1], []])
def test_pieces_make_the_same_base64_as_the_whole(sizes):
    data = bytes(range(256)) * 4
    parts, at = [], 0
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    plain = base64.urlsafe_b64encode(data[:at]).rstrip(b"=").decode()
    assert base64url(parts) == plain
    assert len(plain) == base64_size(at)


def test_flac_is_exact_and_repeatable(two):
    data = flac(two, 8000)
    back, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate == 8000
    assert (back == np.stack([mix.pcm for mix in two], axis=1)).all()
    assert data == flac(two, 8000)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_opus_is_aligned_within_10_ms(rate):
    pcm = talking(3, 0, rate)
    back, heard = soundfile.read(io.BytesIO(b"".join(opus([Whole(pcm)], rate, 24))), dtype="int16")
    assert abs(len(back) / heard - len(pcm) / rate) < 0.01
    original = np.interp(np.arange(len(back)) / heard, np.arange(len(pcm)) / rate, pcm)
    part = original[heard // 2 : heard]
    reach = heard // 50
    lags = [float(np.dot(back[heard // 2 + lag : heard + lag].astype(float), part)) for lag in range(-reach, reach)]
    assert abs(int(np.argmax(lags)) - reach) / heard <= 0.010


@pytest.mark.parametrize("kbps", [24, 16])
def test_opus_keeps_two_channels_apart(two, kbps):
    """The reason why two channels in one file are not compressed further."""
    back, _ = soundfile.read(io.BytesIO(b"".join(opus(two, 8000, kbps))), dtype="int16")
    for column in (0, 1):
        alone = np.arange(len(back)) // 8000 % 4 == 1 + 2 * column  # the second second of each burst
        own, other = back[alone, column].astype(float).std(), back[alone, 1 - column].astype(float).std()
        assert other < own / 100


def test_a_wrong_page_checksum_would_be_noticed(two):
    page = bytearray(b"".join(opus(two, 8000, 24)))
    page[14] ^= 1
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(io.BytesIO(bytes(page)))


def test_a_compressed_file_stops_when_it_is_too_large(two):
    for make in (lambda most: flac(two, 8000, most), lambda most: b"".join(opus(two, 8000, 24, most))):
        size = len(make(None))
        assert len(make(size)) == size
        with pytest.raises(TooLargeError):
            make(size - 1)


def test_the_size_of_a_wav_is_known_before_and_others_are_guessed_low(two):
    for recipe in (audio_forms.WAV_MULAW, audio_forms.WAV_ALAW, audio_forms.WAV_PCM):
        assert recipe.least(2, 8000, two[0].frames) == len(b"".join(recipe.write(two, 8000)))
    for recipe in (FLAC, *OPUS.values()):
        assert recipe.least(2, 8000, two[0].frames) <= 1.2 * len(b"".join(recipe.write(two, 8000)))


@pytest.mark.parametrize(
    ("codecs", "rate", "form"),
    [
        (["PCMU", "PCMU"], 8000, Form.MULAW),
        (["PCMA", "PCMA"], 8000, Form.ALAW),
        (["PCMA", "PCMU"], 8000, Form.MULAW),
        (["L16", "L16"], 8000, Form.MULAW),
        (["L16"], 16000, Form.PCM16),
        ([], 8000, Form.MULAW),
    ],
)
def test_the_exact_form_follows_what_came(scenarios, codecs, rate, form):
    script = scenarios.two()
    script.events = [event for event in script.events if not isinstance(event, ev.TrackOpened)]
    script.rate = rate
    for codec in codecs:
        script.codec = codec
        script.track(0, 0.5)
    assert exact(fold(script.events).tracks, rate).form is form


def test_the_vector_of_the_draft_for_content_hashes():
    empty = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg_SpIdNs6c5H0NE8XYXysP-DGNKHfuwvY7kxvUdBeoGlODJ6-SfaPg"
    assert content_hash([]) == content_hash([b"", b""]) == empty
    assert content_hash([b"a", b"b"]) == content_hash([b"ab"]) != empty


@pytest.mark.parametrize("kbps", OPUS)
def test_no_opus_file_is_below_its_floor(kbps):
    floor = OPUS[kbps].floor(8000, 240_000)
    assert floor < len(b"".join(OPUS[kbps].write([Whole(np.zeros(240_000, np.int16))], 8000))) < 5 * floor


@pytest.mark.parametrize("recipe", [audio_forms.OPUS[8], FLAC], ids=["opus", "flac"])
def test_the_size_of_a_long_file_is_told_by_parts_of_the_call(recipe, monkeypatch):
    """Opus spends little on silence: by its bit rate alone calls of 46 to 69 minutes would have been left at the edge."""
    monkeypatch.setattr(opus_pieces, "SECONDS", 4)
    monkeypatch.setattr(opus_pieces, "PACKETS", 200)
    turn = np.concatenate([talking(2, 0)[:6400], np.zeros(25_600, np.int16)])  # four seconds, a fifth is speech
    pcm = np.tile(turn, 15 if recipe.kbps else 75)
    party = Whole(pcm)
    real = len(b"".join(recipe.write([party], 8000)))
    assert recipe.expected([party], 8000) == pytest.approx(real, rel=0.1)
    assert recipe.form is None
    assert not real * 0.67 < recipe.least(1, 8000, len(pcm)) < real * 1.5


def test_wide_speech_may_have_more_bits_and_only_a_file_a_party_has_fewer_than_16():
    names = {(rate, apart): [one.name for one in audio_forms.smaller(rate, apart=apart)]
             for rate in (8000, 16000) for apart in (False, True)}  # fmt: skip
    assert names[8000, False] == ["flac", "opus-16"]
    assert names[16000, False] == ["flac", "opus-24", "opus-16"]
    assert names[8000, True] == ["flac", "opus-16", "opus-12", "opus-8"]
    assert names[16000, True] == ["flac", "opus-24", "opus-16", "opus-12", "opus-8"]
