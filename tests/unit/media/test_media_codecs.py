from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.errors import BadMediaError
from vcond.media.codecs import MAX_PAYLOAD, Codec, decode, encode

ALL_CODES = bytes(range(256))
ALL_SAMPLES = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)


@pytest.mark.parametrize(
    ("codec", "code", "sample"),
    [
        # ITU-T G.711 tables 1 and 2: the ends of the scale and both zeros, scaled to 16 bits
        (Codec.PCMU, 0xFF, 0),
        (Codec.PCMU, 0x7F, 0),
        (Codec.PCMU, 0x80, 32124),
        (Codec.PCMU, 0x00, -32124),
        (Codec.PCMU, 0xFE, 8),
        (Codec.PCMU, 0xEF, 132),
        (Codec.PCMA, 0xD5, 8),
        (Codec.PCMA, 0x55, -8),
        (Codec.PCMA, 0xAA, 32256),
        (Codec.PCMA, 0x2A, -32256),
    ],
)
def test_known_values_of_g711(codec, code, sample):
    assert decode(codec, bytes([code])).tolist() == [sample]


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA])
def test_each_code_survives_decoding_and_encoding(codec):
    again = encode(codec, decode(codec, ALL_CODES))
    differ = [(a, b) for a, b in zip(ALL_CODES, again, strict=True) if a != b]
    # mu-law has two zeros; silence is written as 0xff
    assert differ == ([(0x7F, 0xFF)] if codec is Codec.PCMU else [])


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA])
def test_every_sample_takes_the_nearest_code(codec):
    values = np.unique(decode(codec, ALL_CODES)).astype(np.int64)
    samples = ALL_SAMPLES.astype(np.int64)
    i = np.clip(np.searchsorted(values, samples), 1, len(values) - 1)
    least = np.minimum(np.abs(samples - values[i - 1]), np.abs(values[i] - samples))
    error = np.abs(decode(codec, encode(codec, ALL_SAMPLES)).astype(np.int64) - samples)
    assert (error == least).all()


@pytest.mark.parametrize(("codec", "payload"), [(Codec.L16, b"\x34\x12\xff\xff"), (Codec.L16BE, b"\x12\x34\xff\xff")])
def test_linear_samples_in_both_byte_orders(codec, payload):
    pcm = decode(codec, payload)
    assert pcm.tolist() == [0x1234, -1]
    assert pcm.dtype == np.int16
    assert pcm.dtype.isnative
    assert encode(codec, pcm) == payload


@pytest.mark.parametrize("codec", list(Codec))
def test_nothing_decodes_to_nothing(codec):
    assert decode(codec, b"").shape == (0,)
    assert encode(codec, np.zeros(0, np.int16)) == b""


@pytest.mark.parametrize("codec", [Codec.L16, Codec.L16BE])
def test_half_a_sample_is_no_audio(codec):
    with pytest.raises(BadMediaError, match="half a sample"):
        decode(codec, b"\x01\x02\x03")


@pytest.mark.parametrize("codec", list(Codec))
def test_a_frame_beyond_all_measure_is_refused(codec):
    with pytest.raises(BadMediaError, match="the limit is"):
        decode(codec, bytes(MAX_PAYLOAD + 2))


@given(st.sampled_from([Codec.L16, Codec.L16BE]), st.lists(st.integers(-32768, 32767)))
def test_linear_codecs_lose_nothing(codec, samples):
    pcm = np.array(samples, np.int16)
    assert decode(codec, encode(codec, pcm)).tolist() == samples


@given(st.sampled_from(list(Codec)), st.binary(max_size=400))
def test_any_bytes_are_audio_or_bad_media(codec, payload):
    try:
        pcm = decode(codec, payload)
    except BadMediaError:
        assert len(payload) % 2
        assert codec in {Codec.L16, Codec.L16BE}
    else:
        assert len(pcm) == len(payload) // (1 if codec in {Codec.PCMU, Codec.PCMA} else 2)


def test_a_slice_that_is_no_block_of_memory_encodes_too():
    assert encode(Codec.PCMU, np.zeros(320, np.int16)[::2]) == b"\xff" * 160
