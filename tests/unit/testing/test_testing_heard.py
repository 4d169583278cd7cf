"""The measure of the end-to-end tests: a late phone does not change it, what is missing or somebody else's does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vcond.media.codecs import Codec, decode, encode
from vcond.testing.sounds import RATE, voice

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "peers" / "sounds"))
from heard import FRAME, likeness

SAID = voice(1, 2.5)
SILENCE = np.zeros(FRAME, np.int16)


def test_packets_that_are_late_by_20_ms_each_do_not_change_it():
    heard = [SILENCE] * 30
    for number, packet in enumerate(np.split(decode(Codec.PCMU, encode(Codec.PCMU, SAID)), len(SAID) // FRAME)):
        heard += [packet] if number % 3 else [SILENCE, packet]
    assert likeness(SAID, np.concatenate([*heard, *[SILENCE] * 30])) > 0.98


@pytest.mark.parametrize("rest", ["silent", "another", "moved"])
def test_what_is_missing_lowers_it(rest):
    heard, (start, stop) = SAID.copy(), (8 * FRAME, 28 * FRAME)
    if rest == "moved":
        heard = np.delete(heard, slice(start, stop))
    else:
        heard[start:stop] = voice(2, 2.5)[start:stop] if rest == "another" else 0
    assert likeness(SAID, heard) < 0.93


@pytest.mark.parametrize("rest", ["silent", "moved"])
def test_frames_that_a_pbx_dropped_are_spared_to_who_asks_and_no_more(rest):
    def cut(frames):
        start, stop = 30 * FRAME, (30 + frames) * FRAME
        gone = np.delete(SAID, slice(start, stop))
        return gone if rest == "moved" else np.insert(gone, start, np.zeros(stop - start, np.int16))

    assert likeness(SAID[:RATE], cut(4)[:RATE]) < 0.95 < likeness(SAID[:RATE], cut(4)[:RATE], 0.2)
    assert likeness(SAID, cut(30), 0.2) < 0.95
    assert likeness(SAID, voice(2, 2.5), 0.2) < 0.2


def test_somebody_else_is_not_alike():
    assert likeness(SAID, voice(2, 2.5)) < 0.2
    assert likeness(SAID, np.zeros(RATE, np.int16)) == 0
