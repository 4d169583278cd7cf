"""Codecs that are decoded here: what comes out is what was said."""

import av
import numpy as np
import pytest

from vcond.base.errors import BadMediaError
from vcond.sdk import decoding
from vcond.sdk.decoding import decoder

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


@pytest.mark.parametrize(("name", "library", "rate"), [("opus", "libopus", 48_000), ("g722", "g722", 16_000)])
def test_a_tone_is_the_same_tone(name, library, rate):
    made = decoder(name)
    assert made.rate == rate
    pcm = np.frombuffer(b"".join(made.decode(packet) for packet in encoded(library, rate, 1.0)), "<i2")
    assert len(pcm) == pytest.approx(rate, rel=0.05)
    spectrum = np.abs(np.fft.rfft(pcm.astype(float)))
    assert np.fft.rfftfreq(len(pcm), 1 / rate)[np.argmax(spectrum)] == pytest.approx(HERTZ, abs=5)
    assert np.abs(pcm).max() == pytest.approx(8000, rel=0.2)


def test_g729_is_160_samples_in_20_ms():
    assert len(decoder("g729").decode(bytes(20))) == 320


def test_what_is_no_packet_is_bad_media():
    with pytest.raises(BadMediaError):
        decoder("g729").decode(b"xxx")


@pytest.mark.parametrize("name", ["opus", "g722", "g729"])
def test_an_empty_packet_is_nothing_and_ends_nothing(name):
    made = decoder(name)
    assert made.decode(b"") == b""
    packet = encoded("libopus", 48_000, 0.02)[0] if name == "opus" else bytes(160 if name == "g722" else 20)
    assert made.decode(packet)


def test_without_the_library_and_for_other_codecs_there_is_no_decoder(monkeypatch):
    assert decoder("speex") is None
    monkeypatch.setattr(decoding, "available", lambda: False)
    assert decoder("opus") is None


async def test_a_decoder_that_cannot_be_loaded_keeps_no_adapter_from_beginning(monkeypatch):
    def broken(_name: str) -> None:
        raise ImportError

    monkeypatch.setattr(decoding, "import_module", broken)
    await decoding.load()
