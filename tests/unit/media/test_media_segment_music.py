"""Music on hold does not become speech, and nobody is lost for it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soxr

from vcond.media.codecs import Codec, decode, encode
from vcond.media.detect.music import Music
from vcond.media.detect.segmenter import Begun, Dropped, Ended, Segmenter, at_8k
from vcond.testing.needs import needs

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "peers" / "sounds"))

import prompts

RATE = 8000


def telephone(pcm):
    """Through G.711, with the hiss of a line."""
    noisy = (pcm + np.random.default_rng(0).normal(0, 12, len(pcm))).clip(-32768, 32767).astype(np.int16)
    parts = [noisy[at : at + 400_000] for at in range(0, len(noisy), 400_000)]
    return np.concatenate([decode(Codec.PCMU, encode(Codec.PCMU, part)) for part in parts])


def tune(seconds, *, since=0.0, rate=RATE):
    """Music on hold that people play: a guitar."""
    pcm = prompts.read(prompts.MUSIC / "manolo_camp-morning_coffee.wav")[round(since * RATE) :][: round(seconds * RATE)]
    return soxr.resample(pcm.astype(float), RATE, rate)


@pytest.fixture(scope="module")
def people():
    needs(not prompts.available(), prompts.available())
    return [prompt.pcm for prompt in prompts.sentences()]


def events(pcm, *, rate=RATE):
    segmenter, out = Segmenter(rate), []
    for at in range(0, len(pcm), rate // 10):
        out += segmenter.feed(at, pcm[at : at + rate // 10])
    return out + segmenter.close()


def utterances(pcm, *, rate=RATE):
    return [(event.start, event.stop) for event in events(pcm, rate=rate) if isinstance(event, Ended)]


def share(pcm):
    return sum(stop - start for start, stop in utterances(pcm)) / len(pcm)


def covered(found, start, stop):
    """How much of a stretch is in utterances."""
    return sum(max(0, min(b, stop) - max(a, start)) for a, b in found) / (stop - start)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 48_000])
def test_a_tune_is_hardly_an_utterance_at_any_rate(people, rate):
    hiss = np.random.default_rng(0).normal(0, 12, 20 * rate)
    found = utterances((tune(20, rate=rate) + hiss).astype(np.int16), rate=rate)
    assert covered(found, 0, 20 * rate) < 0.2


def test_what_began_with_a_tune_is_taken_back_and_nothing_more_begins(people):
    begun, dropped = events(telephone(tune(20)))
    assert isinstance(begun, Begun)
    assert dropped == Dropped(begun.start)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 5))])
@pytest.mark.parametrize("noise", [0, 100, 400])
def test_people_are_never_taken_for_music(people, noise, part):
    """A fifth of fifteen minutes of a human voice, clean and in noise."""
    said = np.concatenate([np.r_[pcm, np.zeros(3200, np.int16)] for pcm in people[part::5]]).astype(float)
    found = events(telephone(said + np.random.default_rng(1).normal(0, noise, len(said))))
    assert not any(isinstance(event, Dropped) for event in found)
    cover = sum(event.stop - event.start for event in found if isinstance(event, Ended)) / len(said)
    assert cover > 0.99


def test_most_of_the_music_on_hold_of_a_pbx_is_no_speech(people):
    pieces = sorted(prompts.MUSIC.glob("*.wav"))
    assert len(pieces) == 5
    shares = [share(telephone(prompts.read(file)[: 90 * RATE].astype(float))) for file in pieces]
    assert np.mean(shares) < 0.25, shares
    assert sorted(shares)[2] < 0.2, shares


def test_who_speaks_before_and_after_the_music_is_heard_from_begin_to_end(people):
    before, after = people[10][: 4 * RATE], people[20][: 4 * RATE]
    pcm = np.r_[np.zeros(RATE), before, tune(12), after, np.zeros(2 * RATE)]
    found = utterances(telephone(pcm))
    first, last = RATE, RATE + len(before) + 12 * RATE
    assert covered(found, first, first + len(before)) > 0.95
    assert covered(found, last, last + len(after)) > 0.95
    assert covered(found, first + len(before) + 3 * RATE, last - RATE) < 0.05


def test_a_short_answer_in_a_pause_of_the_music_is_heard(people):
    answer = min((pcm for pcm in people if len(pcm) > 0.8 * RATE), key=len)
    pcm = np.r_[tune(10), np.zeros(RATE), answer, np.zeros(RATE), tune(5, since=20)]
    at = 11 * RATE
    assert covered(utterances(telephone(pcm)), at, at + len(answer)) > 0.85


def test_who_speaks_over_quiet_music_is_heard(people):
    said = np.concatenate([np.r_[pcm, np.zeros(3200, np.int16)] for pcm in people[:40]])[: 60 * RATE]
    mixed = said + 0.15 * tune(len(said) / RATE)
    assert covered(utterances(telephone(mixed)), 0, len(said)) > 0.98


def test_a_long_silence_forgets_the_music(people):
    music, quiet, loud = Music(), np.zeros(160, np.float32), tune(4).astype(np.float32)
    changes = [music.take(loud[at : at + 160], at, voiced=True) for at in range(0, len(loud), 160)]
    assert sum(changes) == 1
    assert music.on
    changes = [music.take(quiet, len(loud) + at, voiced=False) for at in range(0, 160 * 160, 160)]
    assert sum(changes) == 1
    assert not music.on
    assert not music.known


@pytest.mark.parametrize(("rate", "n"), [(8000, 160), (11_025, 220), (22_050, 441), (44_100, 882), (48_000, 960)])
def test_frames_at_8_khz_keep_what_is_slow_and_lose_what_is_fast(rate, n):
    t = np.arange(n * 10) / rate
    for hertz, least, most in ((300, 0.95, 1.01), (rate / 2 - 200, 0, 0.35 if rate > 16_000 else 1.01)):
        wave = (1000 * np.sin(2 * np.pi * hertz * t)).astype(np.float32).reshape(10, n)
        narrow = at_8k(wave)
        assert narrow.shape == (10, 160)
        assert least <= np.sqrt(np.mean(narrow**2)) / np.sqrt(np.mean(wave**2)) <= most
