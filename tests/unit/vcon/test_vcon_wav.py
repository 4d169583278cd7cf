from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from vcond.base.errors import BadMediaError
from vcond.vcon.building.audio_forms import TooLargeError, flac, opus
from vcond.vcon.building.riff import Form, wav_format, wav_header, wav_size
from vcond.vcon.building.wav import CHUNK, compand, expand, pieces, read_wav, wav

EVERY = np.arange(65536, dtype=np.uint16).view(np.int16)


class Whole:
    """A channel that is all in memory."""

    def __init__(self, pcm):
        self.pcm = pcm
        self.frames = len(pcm)

    def read(self, start, stop):
        return self.pcm[start:stop]


def g191_ulaw(sample: int) -> int:
    """ulaw_compress of ITU-T G.191, in its own steps."""
    size = min(((~sample >> 2) if sample < 0 else (sample >> 2)) + 33, 0x1FFF)
    segment, rest = 1, size >> 6
    while rest:
        segment, rest = segment + 1, rest >> 1
    code = (8 - segment) << 4 | 0xF - (size >> segment & 0xF)
    return code | 0x80 if sample >= 0 else code


def g191_alaw(sample: int) -> int:
    """alaw_compress of ITU-T G.191, in its own steps."""
    size = (~sample if sample < 0 else sample) >> 4
    if size > 15:
        exponent = 1
        while size > 31:
            size, exponent = size >> 1, exponent + 1
        size = size - 16 + (exponent << 4)
    return (size | 0x80 if sample >= 0 else size) ^ 0x55


@pytest.mark.parametrize(("form", "reference"), [(Form.MULAW, g191_ulaw), (Form.ALAW, g191_alaw)])
def test_g711_is_that_of_the_reference_bit_for_bit(form, reference):
    assert compand(form, EVERY) == bytes(reference(int(sample)) for sample in EVERY)


@pytest.mark.parametrize("form", [Form.MULAW, Form.ALAW])
def test_what_was_g711_comes_back_unchanged(form):
    samples = expand(form, bytes(range(256)))
    assert (expand(form, compand(form, samples)) == samples).all()


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [0, 1, 8001, CHUNK + 1])
def test_others_read_what_we_write(form, channels, frames):
    mixes = [Whole(np.resize(EVERY[::7] + column, frames).astype(np.int16)) for column in range(channels)]
    data = b"".join(wav(form, mixes, 8000))
    assert len(data) == wav_size(form, channels, frames)
    theirs, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    mine_rate, mine = read_wav(data)
    assert (rate, mine_rate) == (8000, 8000)
    assert theirs.shape == mine.shape == (frames, channels)
    assert (theirs == mine).all()
    for column, mix in enumerate(mixes):
        assert (mine[:, column] == expand(form, compand(form, mix.pcm))).all()


def test_a_companded_file_has_the_fact_chunk():
    header = wav_header(Form.MULAW, 2, 8000, 1234)
    at = header.index(b"fact")
    assert struct.unpack_from("<II", header, at + 4) == (4, 1234)
    assert b"fact" not in wav_header(Form.PCM16, 2, 8000, 1234)


def test_a_file_beyond_4_gigabytes_is_refused_before_a_sample_is_read():
    with pytest.raises(BadMediaError):
        wav_header(Form.MULAW, 2, 8000, 1 << 31)
    assert len(wav_header(Form.MULAW, 1, 8000, (1 << 32) - 100)) == 58


def test_pieces_cover_everything_once():
    assert list(pieces(10, 4)) == [(0, 4), (4, 8), (8, 10)]
    assert list(pieces(0)) == []


def test_broken_files_are_the_peers_fault():
    good = b"".join(wav(Form.MULAW, [Whole(np.zeros(8, np.int16))], 8000))
    for data in (b"", b"RIFF", b"OggS" * 9, good[:20], good[:40], good.replace(b"\7\0\1\0", b"\x31\0\1\0")):
        with pytest.raises(BadMediaError):
            read_wav(data)
    for cut in range(len(good)):
        try:
            read_wav(good[:cut])
        except BadMediaError:
            continue
        assert cut >= 58


def test_a_format_with_nothing_in_it_is_refused():
    header = wav_header(Form.MULAW, 1, 8000, 0)
    assert wav_format(header) == (Form.MULAW, 1, 8000)
    with pytest.raises(BadMediaError):
        wav_format(header.replace(b"\7\0\1\0", b"\7\0\0\0"))


def test_what_is_compressed_needs_no_memory_that_is_written_and_then_executed(monkeypatch):
    def callbacks(self, file):
        raise AssertionError("MemoryDenyWriteExecute= of the unit lets no callback be made")

    monkeypatch.setattr(soundfile.SoundFile, "_init_virtual_io", callbacks)
    mixes = [Whole(EVERY), Whole(EVERY[::-1])]
    made = flac(mixes, 8000), b"".join(opus(mixes, 8000, 32))
    monkeypatch.undo()
    for data in made:
        told = soundfile.info(io.BytesIO(data))
        assert (told.channels, told.samplerate, told.duration) == (2, 8000, pytest.approx(8.192))
    with pytest.raises(TooLargeError):
        flac(mixes, 8000, most=1000)
