from __future__ import annotations

import numpy as np
import pytest

from vcond.media.codecs import Codec, decode, encode
from vcond.sdk.contract import MILLI, Instant
from vcond.sdk.media_stream.byteorder import OrderedTrack
from vcond.testing.sounds import voice


class Track:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.written: list[tuple[bytes, int]] = []
        self.closed = None

    def write(self, payload, *, arrived, stamp=None, seq=None) -> None:
        self.written.append((payload, arrived))

    def close(self, *, at) -> None:
        self.closed = (at, len(self.written))

    @property
    def pcm(self):
        return np.frombuffer(b"".join(payload for payload, _ in self.written), "<i2")


def play(pcm, kind, declared="little"):
    """What comes out, and what is told, of ``pcm`` sent with the bytes as ``kind`` says, in frames of 20 ms."""
    track, said = Track(), []
    ordered = OrderedTrack(track, declared, 8000, said.append)
    wire = pcm.astype(kind).tobytes()
    for n, at in enumerate(range(0, len(wire), 320)):
        ordered.write(wire[at : at + 320], arrived=Instant(20 * MILLI * n))
    ordered.close(at=Instant(0))
    return track, said


PHONE = decode(Codec.PCMU, encode(Codec.PCMU, voice(1, 3.0)))
"""As it comes of a telephone line."""


@pytest.mark.parametrize(
    "pcm", [voice(1, 3.0), PHONE, PHONE // 64, PHONE[:480]], ids=["speech", "phone", "quiet", "short"]
)
@pytest.mark.parametrize("declared", ["little", "big"])
@pytest.mark.parametrize("kind", ["<i2", ">i2"])
def test_whichever_byte_comes_first_and_whatever_was_declared_the_samples_are_right(pcm, declared, kind):
    track, said = play(pcm, kind, declared)
    assert np.array_equal(track.pcm, pcm)
    true = "little" if kind == "<i2" else "big"
    agrees = "as declared" if true == declared else f"though {declared} was declared"
    assert said == [f"{true} endian, measured, {agrees}"]


@pytest.mark.parametrize(
    "pcm", [np.zeros(24_000, np.int16), np.random.default_rng(1).integers(-30_000, 30_000, 24_000).astype(np.int16)]
)
def test_silence_and_noise_say_nothing_and_are_taken_as_declared(pcm):
    for kind, declared in (("<i2", "little"), (">i2", "big")):
        track, said = play(pcm, kind, declared)
        assert np.array_equal(track.pcm, pcm)
        assert said == []


def test_digital_silence_waits_for_nothing_and_a_second_of_sound_is_all_that_waits():
    track = Track()
    ordered = OrderedTrack(track, "little", 8000, lambda _: None)
    ordered.write(bytes(320), arrived=Instant(1))
    assert track.written == [(bytes(320), 1)]
    for n in range(49):
        ordered.write(PHONE[160 * n : 160 * n + 160].tobytes(), arrived=Instant(n))
    assert len(track.written) == 1
    ordered.write(PHONE[:160].tobytes(), arrived=Instant(50))
    assert [arrived for _, arrived in track.written[1:]] == [*range(49), 50]


def test_what_waits_when_the_track_is_closed_is_in_it():
    track, _ = play(PHONE[:1600], "<i2")
    assert track.closed == (0, 10)
