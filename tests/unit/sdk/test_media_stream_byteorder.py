from __future__ import annotations

import numpy as np
import pytest

from vcond.media.codecs import Codec, decode, encode
from vcond.sdk.contract import MILLI, Instant
from vcond.sdk.media_stream.byteorder import PATIENCE, OrderedTrack
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
    agrees = "as expected" if true == declared else f"though {declared} was expected"
    assert said == [f"{true} endian, measured, {agrees}"]


@pytest.mark.parametrize(
    "pcm", [np.zeros(24_000, np.int16), np.random.default_rng(1).integers(-30_000, 30_000, 24_000).astype(np.int16)]
)
def test_silence_and_noise_say_nothing_and_are_taken_as_declared(pcm):
    for kind, declared in (("<i2", "little"), (">i2", "big")):
        track, said = play(pcm, kind, declared)
        assert np.array_equal(track.pcm, pcm)
        assert said == []


SECOND_OF_IT = np.arange(24_000) / 8000
LOUD = 30_000 * np.sin(2 * np.pi * 400 * SECOND_OF_IT), 10_000 * np.sin(2 * np.pi * 2000 * SECOND_OF_IT)


@pytest.mark.parametrize("pcm", LOUD, ids=["400 Hz", "2 kHz"])
@pytest.mark.parametrize("law", [Codec.PCMA, Codec.PCMU, None])
@pytest.mark.parametrize("order", ["little", "big"])
def test_a_loud_tone_of_a_telephone_line_turns_no_samples_round(pcm, law, order):
    """Its lower bytes hold next to nothing: the wrong way round it looks smoother."""
    tone = pcm.astype(np.int16)
    tone = tone if law is None else decode(law, encode(law, tone))
    track, said = play(tone, "<i2" if order == "little" else ">i2", order)
    assert np.array_equal(track.pcm, tone)
    assert said in ([], [f"{order} endian, measured, as expected"])


def test_what_waits_waits_no_longer_than_it_may_when_no_more_comes():
    track, timers = Track(), []
    ordered = OrderedTrack(track, "little", 8000, lambda _: None, lambda after, call: timers.append((after, call)))
    for n in range(10):
        ordered.write(PHONE[160 * n : 160 * n + 160].tobytes(), arrived=Instant(n))
    assert [after for after, _ in timers] == [PATIENCE]
    assert track.written == []
    timers[0][1]()
    assert [arrived for _, arrived in track.written] == [*range(10)]


def test_a_moment_that_was_for_what_is_handed_on_hurries_nothing():
    track, timers = Track(), []
    ordered = OrderedTrack(track, "little", 8000, lambda _: None, lambda _, call: timers.append(call))
    noise = np.random.default_rng(1).integers(-30_000, 30_000, 8160).astype("<i2").tobytes()
    for at in range(0, len(noise), 320):
        ordered.write(noise[at : at + 320], arrived=Instant(at))
    assert (len(track.written), len(timers)) == (50, 2)
    timers[0]()
    assert len(track.written) == 50
    timers[1]()
    assert len(track.written) == 51


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
