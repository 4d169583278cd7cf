"""Recordings of any length: read and written in pieces, so that memory does not grow with them, and exact at every seam."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from redaction_kit import RATE, Coded, Knows, recording, unpadded, vcon, voice, words, wtf

from vcond.base.errors import BadMediaError
from vcond.redaction import sound, sources
from vcond.redaction.redact import redact
from vcond.redaction.sound import decoded, encoded, keep_only, take_out
from vcond.redaction.sources import Encoded, LibrarySource
from vcond.vcon.building.audio_forms import FLAC, OPUS, base64url
from vcond.vcon.building.riff import Form, wav_header
from vcond.vcon.building.wav import read_wav

SPOKEN = "my card is four five three two ok"


def call(minutes: float, *, channels: int = 1) -> dict[str, Any]:
    """Somebody says a secret every half minute."""
    each = [np.tile(voice(30, seed), round(minutes * 2)) for seed in range(channels)]
    item = recording(each)
    turns = [(0, words(2.0 + 30 * at, SPOKEN)) for at in range(round(minutes * 2))]
    return vcon(dialog=[item], analysis=[wtf(*turns)])


def peak(document: dict[str, Any]) -> int:
    """Bytes that its redaction takes at most, besides the document that comes out."""
    finder = Knows({"card": "four five three two"})
    tracemalloc.start()
    try:
        made = redact(document, [finder])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    (item,) = made.document["dialog"]
    assert made.kinds["card"] > 0
    return most - len(item["body"])


@pytest.mark.parametrize(("channels", "short", "long"), [(1, 20, 80), (2, 10, 40)])
def test_memory_does_not_grow_with_the_recording(channels: int, short: float, long: float):
    small, large = (peak(call(minutes, channels=channels)) for minutes in (short, long))
    assert large < 1.3 * small + (4 << 20), "what is known of each turn grows, and is small"
    assert large < 60 << 20


def test_nor_with_one_that_is_compressed(monkeypatch):
    monkeypatch.setattr(sources, "_SKIPPED", 1)
    monkeypatch.setattr(sound, "_AT_ONCE", 250)

    def taken(seconds: float) -> int:
        item = recording([voice(1, 1)])
        item["body"] = base64url(OPUS[8].write([Coded(np.tile(voice(1, 1), round(seconds)))], RATE))
        tracemalloc.start()
        try:
            with decoded(item) as made:
                take_out(made, [(1.0, 2.0)], tone=False)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert taken(120) < 1.3 * taken(30) + (1 << 19)


@pytest.mark.parametrize("form", [Form.MULAW, Form.ALAW, Form.PCM16])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_any_stretch_of_a_wav_is_what_the_whole_has_there(form: Form, channels: int):
    item = recording([voice(1.01, seed) for seed in range(channels)], form)
    expected = read_wav(unpadded(item["body"]))[1]
    made = decoded(item)
    rng = np.random.default_rng(1)
    for start, stop in np.sort(rng.integers(0, made.frames + 1, (50, 2))):
        assert np.array_equal(made.unchanged(int(start), int(stop)), expected[start:stop])


@pytest.mark.parametrize("recipe", [FLAC, OPUS[8]])
def test_what_overlaps_what_was_read_last_is_as_if_all_had_been_decoded_at_once(recipe, monkeypatch):
    monkeypatch.setattr(sources, "_SKIPPED", 1)
    body = base64url(recipe.write([Coded(voice(25, 1))], RATE))
    expected = LibrarySource(Encoded(body)).read(0, 25 * RATE)
    source = LibrarySource(Encoded(body))
    for _ in range(2):  # once more from the beginning
        for start in range(0, 24 * RATE, 6_000):
            assert np.array_equal(source.read(start, start + 7_000), expected[start : start + 7_000])
    assert np.array_equal(source.read(100, 200), expected[100:200])
    assert len(source.read(20 * RATE, 21 * RATE)) == RATE
    source.close()
    with pytest.raises(BadMediaError):
        source.read(0, 1)


@pytest.mark.parametrize("tone", [True, False])
def test_what_goes_over_a_seam_goes_on_both_sides(tone: bool, monkeypatch):
    item = recording([voice(20, 1), voice(20, 2)])

    def made(steps: int) -> dict[str, Any]:
        monkeypatch.setattr(sound, "_AT_ONCE", steps)
        opened = decoded(item)
        keep_only(opened, 0, [(0.0, 3.013), (4.0, 19.0), (2.0, 3.5)])
        keep_only(opened, 1, [(1.0, 12.0)])
        heard = take_out(opened, [(5.001, 7.5), (7.2, 9.0), (18.0, 30.0), (-1.0, -0.5)], tone=tone)
        assert [round(one, 1) for one in heard] == [1.1, 7.1]
        return encoded(opened)

    once = made(4096)
    for steps in (1, 7, 50):
        assert made(steps) == once
    samples = read_wav(unpadded(once["body"]))[1]
    assert not samples[round(3.6 * RATE) : 4 * RATE - 1, 0].any()
    assert samples[round(3.6 * RATE) : 4 * RATE - 1, 1].any()
    assert samples[round(5.1 * RATE) : round(8.9 * RATE)].any() == tone


@pytest.mark.parametrize("body", ["A", "AAAAA", "AAA===", "A" * 40 + "!" + "A" * 39, "é" * 8, "AAAAAA==AAAAAAAA"])
def test_what_is_no_base64_anywhere_is_no_recording(body: str, monkeypatch):
    monkeypatch.setattr(sources, "_PIECE", 6)
    with pytest.raises(BadMediaError):
        decoded({"encoding": "base64url", "body": body})


@pytest.mark.parametrize(("channels", "rate"), [(1, 2**32 - 1), (2000, 8000)])
def test_what_has_no_rate_of_sound_or_too_many_channels_is_no_recording(channels: int, rate: int):
    header = wav_header(Form.PCM16, channels, 8000, 1)
    body = base64url([header[:24] + rate.to_bytes(4, "little") + header[28:] + b"\0" * 2 * channels])
    with pytest.raises(BadMediaError, match="no rate"):
        decoded({"encoding": "base64url", "body": body})


def test_where_nothing_is_kept_not_a_sample_is():
    class Short:
        rate, channels, frames = 44_100, 1, 15  # 15 / 44100 * 44100 is below 15

        def read(self, start: int, stop: int) -> np.ndarray:
            return np.full((stop - start, 1), 1000, np.int16)

        def close(self) -> None: ...

    made = sound.Recording(Short())
    keep_only(made, 0, [])
    assert made.silent == [[(0, 15)]]
    assert sound.silent(made)


def test_a_file_that_ends_too_early_is_left_out_whole():
    body = base64url(FLAC.write([Coded(voice(20, 1))], RATE))
    document = call(0.5)
    document["dialog"][0] |= {"body": body[: len(body) // 2], "mediatype": "audio/flac"}
    made = redact(document, [Knows({"card": "four five three two"})])
    assert made.left_out == ["$.dialog[0].body"]
    assert "body" not in made.document["dialog"][0]
