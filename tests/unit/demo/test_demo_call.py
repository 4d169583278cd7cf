from __future__ import annotations

import ctypes.util
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vcond.demo.call import FRAME, RATE, SILENCE, Recording, demo_call
from vcond.media.codecs import Codec, decode
from vcond.testing.needs import needs

TOOL = Path(__file__).parents[3] / "tools" / "make_demo_call.py"


@pytest.fixture(scope="module")
def call() -> Recording:
    return demo_call()


def pcm(call: Recording, party: int) -> np.ndarray:
    return decode(Codec.PCMU, call.tracks[party]).astype(np.float64) / 32768


def spoken(call: Recording, party: int) -> np.ndarray:
    mask = np.zeros(len(call.tracks[party]), bool)
    for turn in call.turns:
        if turn.party == party:
            mask[round((turn.start - 0.041) * RATE) : round((turn.end + 0.041) * RATE)] = True
    return mask


def test_tracks_are_equally_long_whole_frames_and_about_forty_seconds(call: Recording) -> None:
    assert len(call.tracks[0]) == len(call.tracks[1]) == call.frames * FRAME
    assert 38 <= call.seconds <= 48


def test_caller_comes_first(call: Recording) -> None:
    assert [person.role for person in call.parties] == ["caller", "agent"]


@pytest.mark.parametrize("party", [0, 1])
def test_every_turn_is_at_telephone_level_and_not_clipped(call: Recording, party: int) -> None:
    audio = pcm(call, party)
    for turn in call.turns:
        if turn.party == party:
            part = audio[round(turn.start * RATE) : round(turn.end * RATE)]
            assert -22 < 20 * np.log10(np.sqrt(np.mean(part**2))) < -18, turn.text
    assert np.abs(audio).max() < 0.97


@pytest.mark.parametrize("party", [0, 1])
def test_outside_turns_there_is_mu_law_silence_only(call: Recording, party: int) -> None:
    outside = np.frombuffer(call.tracks[party], np.uint8)[~spoken(call, party)]
    assert len(outside) > RATE
    assert (outside == SILENCE[0]).all()


@pytest.mark.parametrize("party", [0, 1])
def test_audio_is_band_limited(call: Recording, party: int) -> None:
    power = np.abs(np.fft.rfft(pcm(call, party))) ** 2
    hertz = np.fft.rfftfreq(len(call.tracks[party]), 1 / RATE)
    assert power[(hertz < 150) | (hertz > 3700)].sum() < 0.01 * power.sum()


def test_words_make_up_their_turn_in_order(call: Recording) -> None:
    for turn in call.turns:
        assert " ".join(word.text for word in turn.words) == turn.text
        times = [time for word in turn.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert (times[0], times[-1]) == (turn.start, turn.end)


def test_turns_of_a_party_do_not_touch_and_one_overlap_is_the_most(call: Recording) -> None:
    for party in (0, 1):
        mine = [turn for turn in call.turns if turn.party == party]
        assert all(a.end + 0.5 < b.start for a, b in itertools.pairwise(mine))
    overlaps = [b for a, b in itertools.pairwise(call.turns) if b.start < a.end]
    assert len(overlaps) <= 1


def test_there_is_a_hold_in_which_nobody_speaks_and_a_digit(call: Recording) -> None:
    hold, unhold, digit = call.cues
    assert (hold.kind, unhold.kind, digit.kind) == ("hold", "unhold", "digit")
    assert 3 <= unhold.at - hold.at <= 6
    assert all(turn.end <= hold.at or turn.start >= unhold.at for turn in call.turns)
    assert (digit.button, digit.party) == ("1", 0)
    assert digit.ms >= 40


def test_the_tool_makes_the_same_call_anew(call: Recording, tmp_path: Path) -> None:
    needs(ctypes.util.find_library("flite"), "flite is missing: apt-get install libflite1")
    env = os.environ | {"PYTHONPATH": str(TOOL.parents[1])}
    subprocess.run([sys.executable, TOOL, tmp_path], check=True, capture_output=True, env=env)
    committed = Path(sys.modules[Recording.__module__].__file__).parent
    assert (tmp_path / "call.json").read_bytes() == (committed / "call.json").read_bytes()
    for person, track in zip(call.parties, call.tracks, strict=True):
        new = decode(Codec.PCMU, (tmp_path / f"{person.role}.ulaw").read_bytes()).astype(np.float64)
        old = decode(Codec.PCMU, track).astype(np.float64)
        assert np.corrcoef(new, old)[0, 1] > 0.9999  # equal bytes on one machine; float rounding may differ on another
