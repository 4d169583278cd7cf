from __future__ import annotations

import json
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.base.errors import BadMediaError
from vcond.media.codecs import Codec, decode, encode
from vcond.media.detect.segmenter import Begun, Ended, Segmenter

RATE = 8000


def utterances(pcm, *, rate=RATE, chunk=800, start=0, **options):
    segmenter, events = Segmenter(rate, **options), []
    for i in range(0, len(pcm), chunk):
        events += segmenter.feed(start + i, pcm[i : i + chunk])
    return paired(events + segmenter.close())


def paired(events):
    """The utterances; each begins before it ends and none before the last one ended."""
    assert len(events) % 2 == 0
    for begun, ended in zip(events[::2], events[1::2], strict=True):
        assert isinstance(begun, Begun)
        assert isinstance(ended, Ended)
        assert begun.start == ended.start < ended.stop
    out = [tuple(ended) for ended in events[1::2]]
    for (_, stop), (start, _) in pairwise(out):
        assert start >= stop
    return out


def voice(seconds, *, rate=RATE, level=4000, seed=0):
    """Something like vowels: pulses whose pitch moves, through two resonances that are others in each syllable."""
    rng, n = np.random.default_rng(seed), int(seconds * rate)
    pitch = 120 + 25 * np.sin(2 * np.pi * 2.3 * np.arange(n) / rate) + rng.normal(0, 2, n)
    pulses = np.diff(np.floor(np.cumsum(pitch) / rate), prepend=0) + rng.normal(0, 0.005, n)
    out, at = np.zeros(n + rate), 0
    while at < n:
        size = int(rng.uniform(0.06, 0.11) * rate)
        part = pulses[at : min(at + size, n)]
        for formant, width in ((rng.uniform(300, 800), 90), (rng.uniform(900, 2500), 120)):
            r = np.exp(-np.pi * width / rate)
            k = np.arange(rate // 20)
            part = np.convolve(part, r**k * np.cos(2 * np.pi * formant * k / rate))
        part = part / max(np.abs(part).max(), 1e-9)
        out[at : at + len(part)] += part
        at += size
    out = out[:n]
    return (out / np.abs(out).max() * level * 3).clip(-32768, 32767).astype(np.int16)


def noise(seconds, level, *, rate=RATE, seed=0):
    return np.random.default_rng(seed).normal(0, level, int(seconds * rate)).astype(np.int16)


def ms(utterance):
    return tuple(round(position * 1000 / RATE) for position in utterance)


@pytest.fixture(scope="module")
def demo():
    """(truth as [(start, end)] per word, samples) of both parties of the demo call."""
    folder = files("vcond.demo")
    call = json.loads((folder / "call.json").read_text())
    tracks = [decode(Codec.PCMU, (folder / f"{party['role']}.ulaw").read_bytes()) for party in call["parties"]]
    return [([turn for turn in call["turns"] if turn["party"] == i], pcm) for i, pcm in enumerate(tracks)]


@pytest.mark.parametrize("rate", [-1, 0, 7999, 48_001, 192_000])
def test_a_rate_that_no_telephone_has_is_refused(rate):
    with pytest.raises(BadMediaError, match="only from 8000 to 48000"):
        Segmenter(rate)


@pytest.mark.parametrize("rate", [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
def test_a_voice_between_pauses_is_one_utterance(rate):
    pcm = np.r_[noise(1, 20, rate=rate), voice(2, rate=rate), noise(2, 20, rate=rate)]
    (found,) = utterances(pcm, rate=rate)
    assert 0.75 * rate <= found[0] <= 0.85 * rate, "200 ms before it begins"
    assert 3.4 * rate <= found[1] <= 3.7 * rate, "500 ms after it ended"


def test_a_begin_is_told_while_it_is_spoken_and_an_end_after_the_hangover():
    segmenter, told = Segmenter(RATE), {}
    pcm = np.r_[noise(1, 20), voice(1), noise(2, 20)]
    for i in range(0, len(pcm), 160):
        for event in segmenter.feed(i, pcm[i : i + 160]):
            told[type(event)] = (i + 160) / RATE
    assert 1.04 <= told[Begun] <= 1.2
    assert 2.5 <= told[Ended] <= 2.7


def test_a_click_is_no_speech():
    pcm = noise(3, 20)
    pcm[8000:8100] = 20_000
    assert utterances(pcm) == []


def test_a_pause_shorter_than_the_hangover_parts_nothing():
    pcm = np.r_[noise(1, 20), voice(1), noise(0.3, 20), voice(1), noise(1, 20), voice(1), noise(1, 20)]
    assert len(utterances(pcm)) == 2
    assert len(utterances(pcm, hangover_ms=200)) == 3


def test_the_pre_roll_ends_at_the_first_sample_and_at_the_utterance_before():
    assert utterances(voice(1))[0][0] == 0
    pcm = np.r_[noise(1, 20), voice(1), noise(0.62, 20), voice(1), noise(1, 20)]
    first, second = utterances(pcm)
    assert second[0] >= first[1]


def test_speech_until_the_end_ends_there():
    assert utterances(np.r_[noise(1, 20), voice(1.01)])[0][1] == round(2.01 * RATE)


def test_a_gap_ends_an_utterance_where_the_audio_ended():
    segmenter, speech = Segmenter(RATE), voice(1.01)
    events = segmenter.feed(8000, speech)
    assert events == [Begun(8000)]
    assert segmenter.feed(80_000, speech) == [Ended(8000, 8000 + len(speech)), Begun(80_000)]
    assert segmenter.close() == [Ended(80_000, 80_000 + len(speech))]
    assert segmenter.close() == []


def test_what_was_fed_before_is_skipped():
    pcm = np.r_[noise(1, 20), voice(2), noise(2, 20)]
    segmenter, events = Segmenter(RATE), []
    for i in range(0, len(pcm), 800):
        begin = max(0, i - 400)
        events += segmenter.feed(begin, pcm[begin : i + 800])
    segmenter.feed(0, pcm)
    assert paired(events + segmenter.close()) == utterances(pcm)


def test_one_that_is_too_long_is_cut_where_it_was_quietest():
    pcm = np.r_[noise(1, 20), voice(40), noise(1, 20)]
    for second in (14.2, 27.5):
        at = int((second + 1) * RATE)
        pcm[at : at + 400] //= 40
    found = utterances(pcm)
    assert len(found) == 3
    assert [a for a, _ in found[1:]] == [b for _, b in found[:-1]], "the next begins where the last one ended"
    assert all(stop - start <= 15 * RATE for start, stop in found)
    assert found[0][1] == pytest.approx(15.2 * RATE, abs=400)
    assert found[1][1] == pytest.approx(28.5 * RATE, abs=400)


def test_silence_after_the_cut_begins_nothing():
    pcm = np.r_[voice(4.7), noise(3, 20)]
    assert len(utterances(pcm, longest_seconds=5)) == 1


@pytest.mark.parametrize("level", [0, 5, 10, 40, 100, 300, 1000])
def test_noise_is_no_speech(level):
    assert utterances(noise(20, level)) == []
    comfort = decode(Codec.PCMA, encode(Codec.PCMA, noise(20, level, seed=1)))
    assert utterances(comfort) == []


@pytest.mark.parametrize("value", [0, 8, -8, 3000])
def test_a_constant_is_no_speech(value):
    assert utterances(np.full(RATE * 5, value, np.int16)) == []


TONES = {
    "dial tone": ((350, 440), 1, 0),
    "ringback us": ((440, 480), 2, 4),
    "ringback europe": ((425,), 1, 4),
    "ringback uk": ((400, 450), 0.4, 0.2),
    "busy us": ((480, 620), 0.5, 0.5),
    "busy europe": ((425,), 0.5, 0.5),
    "reorder": ((480, 620), 0.25, 0.25),
    "fax": ((1100,), 0.5, 3),
    "digits": ((770, 1336), 0.05, 0.05),
    "slow digits": ((941, 1633), 0.25, 0.1),
}


@pytest.mark.parametrize("name", TONES)
@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA])
@pytest.mark.parametrize(("level", "hiss"), [(800, 5), (6000, 20), (20_000, 0)])
def test_tones_are_no_speech(name, codec, level, hiss):
    frequencies, on, off = TONES[name]
    t = np.arange(12 * RATE) / RATE
    pcm = sum(level / len(frequencies) * np.sin(2 * np.pi * f * t) for f in frequencies) * (t % (on + off) < on)
    pcm = decode(codec, encode(codec, (pcm + noise(12, hiss)).astype(np.int16)))
    assert utterances(pcm) == []


def test_a_voice_after_ringback_is_heard_from_its_begin():
    t = np.arange(2 * RATE) / RATE
    ring = (3000 * np.sin(2 * np.pi * 425 * t)).astype(np.int16)
    (found,) = utterances(np.r_[noise(1, 10), ring, noise(0.4, 10), voice(1), noise(1, 10)])
    assert 3.15 * RATE <= found[0] <= 3.25 * RATE


def test_a_voice_right_after_a_tone_takes_half_a_second_of_it_at_most():
    t = np.arange(3 * RATE) / RATE
    ring = (8000 * np.sin(2 * np.pi * 425 * t)).astype(np.int16)
    (found,) = utterances(np.r_[noise(1, 10), ring, voice(1), noise(1, 10)])
    assert 3.2 * RATE <= found[0] <= 3.9 * RATE


@pytest.mark.parametrize("hiss", [0, 30, 200])
def test_people_are_heard(demo, hiss):
    for turns, pcm in demo:
        got = np.zeros(len(pcm), bool)
        noisy = (pcm + noise(len(pcm) / RATE, hiss)).clip(-32768, 32767).astype(np.int16)
        for start, stop in utterances(noisy):
            got[start:stop] = True
        words = [word for turn in turns for word in turn["words"]]
        cover = [got[int(w["start"] * RATE) : int(w["end"] * RATE)].mean() for w in words]
        assert np.mean(cover) > 0.995
        assert min(cover) > 0.5
        spoken = np.zeros(len(pcm), bool)
        for turn in turns:
            spoken[max(0, int((turn["start"] - 0.3) * RATE)) : int((turn["end"] + 0.6) * RATE)] = True
        assert (got & spoken).sum() / got.sum() > 0.97


@settings(deadline=None, max_examples=25)
@given(
    cuts=st.lists(st.one_of(st.integers(0, 400), st.integers(0, 20_000)), min_size=1, max_size=200),
    rate=st.sampled_from([8000, 16_000]),
)
def test_however_the_audio_is_cut_the_utterances_are_the_same(cuts, rate):
    pcm = np.r_[
        noise(0.5, 20, rate=rate), voice(1.3, rate=rate), noise(1.1, 20, rate=rate), voice(4, rate=rate, seed=1)
    ]
    options = {"rate": rate, "longest_seconds": 3}
    whole = utterances(pcm, chunk=len(pcm), **options)
    assert len(whole) >= 3
    segmenter, events, at = Segmenter(rate, longest_seconds=3), [], 0
    for cut in [*cuts, len(pcm)]:
        events += segmenter.feed(at, pcm[at : at + cut])
        at = min(at + cut, len(pcm))
    assert paired(events + segmenter.close()) == whole


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 2000)), max_size=30), st.integers(0, 3))
def test_any_positions_give_utterances_in_order(pieces, aggressiveness):
    speech, segmenter, events = voice(0.25), Segmenter(RATE, aggressiveness=aggressiveness), []
    for start, count in pieces:
        events += segmenter.feed(start, speech[:count])
    paired(events + segmenter.close())
