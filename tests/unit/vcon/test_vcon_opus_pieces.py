"""The pieces of an Opus file: the same from wherever they come, one whole for a decoder, and never another call's."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from vcond.vcon.building import opus_pieces
from vcond.vcon.building.opus_pieces import InMemory, OpusFile, _encoded, _packets, ogg_checksum

RATE = 8000
SECONDS = 2
"""Of a piece here: what is so short takes a tenth of the time."""
PACKETS = 50 * SECONDS


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch):
    monkeypatch.setattr(opus_pieces, "SECONDS", SECONDS)
    monkeypatch.setattr(opus_pieces, "PACKETS", PACKETS)


class Whole:
    def __init__(self, pcm):
        self.pcm = pcm
        self.frames = len(pcm)

    def read(self, start, stop):
        return self.pcm[start:stop]


def sound(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """A voice that goes up and down, in some noise."""
    at = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (180 + 40 * np.sin(at * 3 + seed)) * at) * (1 + np.sin(at * 5 + seed)) * 4000
    return (tone + np.random.default_rng(seed).standard_normal(len(at)) * 100).astype(np.int16)


def two(seconds: float, rate: int = RATE) -> list[Whole]:
    return [Whole(sound(seconds, 1, rate)), Whole(sound(seconds, 2, rate))]


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)


@pytest.fixture(scope="module")
def long() -> list[Whole]:
    return two(3 * SECONDS + 0.5)


def test_the_file_is_the_same_from_any_pieces_that_were_kept(long):
    file = OpusFile(long, RATE, 16)
    everything = InMemory()
    whole = b"".join(file.write(everything))
    assert b"".join(file.write(InMemory())) == whole
    for some in ([], [1], [0, 3], [0, 1, 2, 3]):
        kept = InMemory()
        for number in some:
            file.piece(number, kept)
        asked = []

        def get(name, kept=kept, asked=asked):
            asked.append(name)
            return kept.get(name)

        assert b"".join(file.write(InMemory(get))) == whole
        assert len(asked) == 4


def test_a_piece_of_a_call_that_goes_on_is_the_one_of_the_call_that_ended(long):
    whole, so_far = InMemory(), InMemory()
    list(OpusFile(long, RATE, 16).write(whole))
    going_on = OpusFile([Whole(one.pcm[: 2 * SECONDS * RATE + 99]) for one in long], RATE, 16)
    for number in (0, 1):
        assert going_on.piece(number, so_far) == OpusFile(long, RATE, 16).piece(number, whole)
    assert so_far.asked < whole.asked


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 11025])
def test_a_decoder_hears_one_file_as_long_as_the_call_without_a_seam(rate):
    seconds = 2 * SECONDS + 1.2345
    file = OpusFile([Whole(sound(seconds, 1, rate))], rate, 24)
    back, heard = decoded(b"".join(file.write(InMemory())))
    assert abs(len(back) / heard - seconds) < 0.001
    at_once = _encoded(file.channels[0].read(0, file.frames).reshape(-1, 1), rate, file._target, 24)
    other, _ = decoded(at_once)
    size = min(len(back), len(other))
    original = np.interp(np.arange(size) / heard, np.arange(file.frames) / rate, file.channels[0].pcm)
    for seam in (SECONDS, 2 * SECONDS):
        part = slice(round((seam - 0.05) * heard), round((seam + 0.2) * heard))
        pieces, whole = (float(np.std(one[part, 0] - original[part])) for one in (back, other))
        assert pieces < 2.5 * whole  # without priming 3 to 30


@pytest.mark.parametrize("frames", [1, 159, SECONDS * RATE - 1, SECONDS * RATE, SECONDS * RATE + 1, 2 * SECONDS * RATE])
def test_it_is_as_long_as_the_call_to_the_sample(frames):
    file = OpusFile([Whole(sound(2 * SECONDS)[:frames])], RATE, 16)
    data = b"".join(file.write(InMemory()))
    packets, skipped = _packets(data)
    end = int.from_bytes(data[data.rindex(b"OggS") + 6 :][:8], "little")
    assert end - skipped == frames * 48000 // RATE
    assert (len(packets) - 2) * 960 >= end
    assert file.count == max(1, -(-frames // (SECONDS * RATE)))


def test_its_pages_are_numbered_checked_and_of_one_stream(long):
    data = b"".join(OpusFile(long, RATE, 16).write(InMemory()))
    at, number, flags, ticks = 0, 0, [], []
    while at < len(data):
        page = data[at : at + 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])]
        assert page[:5] == b"OggS\0"
        assert int.from_bytes(page[14:18], "little") == 1
        assert int.from_bytes(page[18:22], "little") == number
        assert int.from_bytes(page[22:26], "little") == ogg_checksum(page[:22] + bytes(4) + page[26:])
        flags.append(page[5])
        ticks.append(int.from_bytes(page[6:14], "little"))
        at, number = at + len(page), number + 1
    assert flags == [2, *[0] * (number - 2), 4]
    assert ticks == sorted(ticks)
    assert ticks[1 + SECONDS] == PACKETS * 960


@pytest.mark.parametrize("sample", [0, 5, SECONDS * RATE - 1, SECONDS * RATE, SECONDS * RATE - RATE // 5])
def test_a_piece_of_other_audio_has_another_name(long, sample):
    names = InMemory()
    list(OpusFile(long, RATE, 16).write(names))
    changed = long[0].pcm.copy()
    changed[sample] ^= 1
    others = InMemory()
    list(OpusFile([Whole(changed), long[1]], RATE, 16).write(others))
    assert 1 <= len(others.asked - names.asked) <= 2


def test_a_piece_of_another_place_form_or_end_has_another_name(long):
    still = [Whole(np.zeros(3 * SECONDS * RATE, np.int16))]
    names = InMemory()
    list(OpusFile(still, RATE, 16).write(names))
    assert len(names.asked) == 3
    for other in (OpusFile(still, RATE, 12), OpusFile(still, 16000, 16), OpusFile(still * 2, RATE, 16)):
        apart = InMemory()
        list(other.write(apart))
        assert not apart.asked & names.asked


def test_a_file_is_sampled_where_it_will_be_made(long):
    kept = InMemory()
    file = OpusFile(two(6 * SECONDS), RATE, 16)
    assert OpusFile(long, RATE, 16).sampled(kept) == 0
    assert not kept.asked
    size = file.sampled(kept)
    assert len(kept.asked) == 1
    assert size == pytest.approx(len(b"".join(file.write(kept))), rel=0.1)
    assert len(kept.asked) == 6
