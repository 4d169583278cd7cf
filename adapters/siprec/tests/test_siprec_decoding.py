"""Codecs that are decoded here: what comes out is what was said."""

import av
import numpy as np
import pytest

from vcond.base.errors import BadMediaError
from vcond.media.rtp.formats import Format
from vcond_siprec import decoding
from vcond_siprec.decoding import decoder

HERTZ = 500


def encoded(library: str, rate: int, seconds: float) -> list[bytes]:
    """Packets of 20 ms of a tone."""
    codec = av.CodecContext.create(library, "w")
    codec.sample_rate, codec.layout, codec.format = rate, "mono", "s16"
    size = rate // 50
    packets = []
    for number in range(round(seconds * 50)):
        samples = np.arange(number * size, (number + 1) * size)
        frame = av.AudioFrame(format="s16", layout="mono", samples=size)
        frame.planes[0].update((8000 * np.sin(2 * np.pi * HERTZ * samples / rate)).astype(np.int16).tobytes())
        frame.sample_rate, frame.pts = rate, number * size
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


@pytest.mark.parametrize(
    ("name", "library", "ticks", "rate"), [("opus", "libopus", 48_000, 48_000), ("g722", "g722", 8_000, 16_000)]
)
def test_a_tone_is_the_same_tone(name, library, ticks, rate):
    made = decoder(Format(name, ticks, 2 if name == "opus" else 1))
    assert made.rate == rate
    pcm = np.frombuffer(b"".join(made.decode(packet) for packet in encoded(library, rate, 1.0)), "<i2")
    assert len(pcm) == pytest.approx(rate, rel=0.05)
    spectrum = np.abs(np.fft.rfft(pcm.astype(float)))
    assert np.fft.rfftfreq(len(pcm), 1 / rate)[np.argmax(spectrum)] == pytest.approx(HERTZ, abs=5)
    assert np.abs(pcm).max() == pytest.approx(8000, rel=0.2)


def test_g729_is_160_samples_in_20_ms():
    assert len(decoder(Format("g729", 8000)).decode(bytes(20))) == 320


def test_what_is_no_packet_is_bad_media():
    with pytest.raises(BadMediaError):
        decoder(Format("g729", 8000)).decode(b"xxx")


def test_without_the_library_and_for_other_codecs_there_is_no_decoder(monkeypatch):
    assert decoder(Format("speex", 8000)) is None
    monkeypatch.setattr(decoding, "available", lambda: False)
    assert decoder(Format("opus", 48_000, 2)) is None
