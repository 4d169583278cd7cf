from __future__ import annotations

import random

import av
import numpy as np
import pytest

from vcond.media.codecs import Codec, encode
from vcond.testing.desk import MemoryDesk
from vcond.testing.sounds import find, voice
from vcond.testing.time import ManualClock
from vcond_webrtc.channel import Channel, Packet

FRAME_NS = 20_000_000


def opus(pcm: np.ndarray) -> list[bytes]:
    """48 kHz mono as Opus packets of 20 ms."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48_000, "mono", "s16", 48_000
    packets = []
    for at in range(0, len(pcm) // 960 * 960, 960):
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(pcm[at : at + 960].tobytes())
        frame.sample_rate, frame.pts = 48_000, at
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


class Bench:
    """A channel of a call, and packets that come 20 ms after one another."""

    def __init__(self, rate: int = 16_000) -> None:
        self.desk = MemoryDesk("webrtc", clock=ManualClock())
        self.call = self.desk.call("c", at=self.desk.clock.now())
        party = self.call.party("p", at=self.desk.clock.now())
        self.channel = Channel(self.desk, self.call, party, rate)

    def send(self, codec: str, payloads: list[bytes], ticks: int, *, first: int = 0, lost=(), swapped=()) -> None:
        order = list(range(len(payloads)))
        for at in swapped:
            order[at], order[at + 1] = order[at + 1], order[at]
        for number in order:
            now = self.desk.clock.advance(FRAME_NS)
            if number not in lost:
                stamp = (first + number * ticks) & 0xFFFFFFFF
                packet = Packet(codec, (first + number) & 0xFFFF, stamp, payloads[number])
                self.channel.write(packet, now)
            self.desk.tick()

    def finish(self):
        self.channel.close(self.desk.clock.now())
        self.call.end(at=self.desk.clock.now())
        assert not self.desk.faults
        return self.call.state.tracks

    def seconds(self, track: int, kind: str) -> float:
        rate = self.call.state.tracks[track].rate
        return sum(stop - start for start, stop, what in self.call.state.tracks[track].spans if what == kind) / rate


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_opus_is_kept_at_the_rate_that_is_asked_for(rate):
    said = voice(1, 3.0, 48_000)
    bench = Bench(rate)
    bench.send("opus", opus(said), 960)
    (track,) = bench.finish()
    assert (track.codec, track.rate) == ("L16", rate)
    if rate == 48_000:
        assert find(said[4800:96_000], bench.desk.audio(bench.call, 0))[0] >= 0.95


@pytest.mark.parametrize("first", [0, (1 << 32) - 30 * 960, (1 << 16) - 50])
def test_each_lost_packet_is_20_ms_that_are_lost_and_nothing_moves(first):
    random.seed(1)
    lost = set(random.sample(range(5, 245), 12))
    said = voice(2, 5.0, 48_000)
    bench = Bench(48_000)
    bench.send("opus", opus(said), 960, first=first, lost=lost)
    bench.finish()
    assert bench.seconds(0, "lost") == pytest.approx(0.02 * len(lost), abs=0.001)
    assert find(said[4800:220_000], bench.desk.audio(bench.call, 0))[0] >= 0.9


def test_packets_out_of_order_find_their_places():
    said = voice(3, 3.0)
    payloads = [encode(Codec.PCMU, said[at : at + 160]) for at in range(0, len(said), 160)]
    bench = Bench()
    bench.send("pcmu", payloads, 160, swapped=(10, 50, 90))
    (track,) = bench.finish()
    assert (track.codec, track.rate) == ("PCMU", 8_000)
    assert bench.seconds(0, "lost") == 0
    assert find(said[800:], bench.desk.audio(bench.call, 0))[0] >= 0.99


def test_another_codec_is_another_track_of_the_same_party():
    bench = Bench()
    bench.send("opus", opus(voice(4, 1.0, 48_000)), 960)
    bench.send("g722", [bytes(160)] * 50, 160)
    first, second = bench.finish()
    assert (first.rate, second.rate, second.codec) == (16_000, 16_000, "L16")
    assert first.party == second.party == 0
    assert bench.seconds(1, "received") + bench.seconds(1, "silent") == pytest.approx(1.0, abs=0.03)


def test_what_cannot_be_decoded_is_counted_and_only_takes_its_number():
    payloads = opus(voice(5, 2.0, 48_000))
    payloads[30] = b"\xff" * 40
    payloads[60] = b""
    bench = Bench()
    bench.send("opus", payloads, 960)
    bench.finish()
    assert bench.desk.drops == {("frame", "bad-media"): 1}
    assert bench.seconds(0, "received") >= 1.9
