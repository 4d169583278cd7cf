from __future__ import annotations

import ctypes
import random
import struct

import av
import numpy as np
import pytest
import soxr

from vcond.media.codecs import Codec, encode
from vcond.sdk.contract import BadMediaError, ConfigError, Dtmf
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond.testing.time import ManualClock
from vcond_webrtc import opus as opus_module
from vcond_webrtc.channel import COMFORT_NOISE, Channel, Packet
from vcond_webrtc.opus import OpusDecoder

FRAME_NS = 20_000_000


def encoded(pcm: np.ndarray, library: str, rate: int, *, bits: int, **options: str) -> list[bytes]:
    """Shape (n,), or (n, 2) for stereo, as packets of 20 ms."""
    encoder = av.CodecContext.create(library, "w")
    layout, size = "mono" if pcm.ndim == 1 else "stereo", rate // 50
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = rate, layout, "s16", bits
    encoder.options = options
    packets = []
    for at in range(0, len(pcm) // size * size, size):
        frame = av.AudioFrame(format="s16", layout=layout, samples=size)
        frame.planes[0].update(pcm[at : at + size].tobytes())
        frame.sample_rate, frame.pts = rate, at
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


def opus(pcm: np.ndarray, *, bits: int = 48_000, **options: str) -> list[bytes]:
    """48 kHz as Opus packets of 20 ms."""
    return encoded(pcm, "libopus", 48_000, bits=bits, **options)


def correct(pcm: np.ndarray) -> list[bytes]:
    """With forward error correction for a line that loses a fifth."""
    return opus(pcm, bits=32_000, application="voip", fec="1", packet_loss="20")


def pausing(pcm: np.ndarray) -> list[bytes]:
    """As WebRTC encodes with DTX, which PyAV's encoder does not do."""
    library, failed, room = opus_module.library(), ctypes.c_int(), ctypes.create_string_buffer(1500)
    library.opus_encoder_create.restype = ctypes.c_void_p
    encoder = ctypes.c_void_p(library.opus_encoder_create(48_000, 1, 2048, ctypes.byref(failed)))  # for voice
    for setting, value in ((4002, 24_000), (4016, 1)):  # OPUS_SET_BITRATE, OPUS_SET_DTX
        assert library.opus_encoder_ctl(encoder, setting, ctypes.c_int32(value)) == 0
    packets = []
    for at in range(0, len(pcm) // 960 * 960, 960):
        frame = np.ascontiguousarray(pcm[at : at + 960])
        size = library.opus_encode(encoder, ctypes.c_void_p(frame.ctypes.data), 960, room, len(room))
        packets.append(room.raw[:size])
    library.opus_encoder_destroy(encoder)
    return packets


class Bench:
    """A channel of a call, and packets that come 20 ms after one another."""

    def __init__(self, rate: int = 16_000) -> None:
        self.host = MemoryHost("webrtc", clock=ManualClock())
        self.call = self.host.call("c", at=self.host.clock.now())
        party = self.call.party("p", at=self.host.clock.now())
        self.channel = Channel(self.host, self.call, party, rate)

    def send(self, codec: str, payloads: list[bytes], ticks: int, *, first: int = 0, lost=(), swapped=()) -> None:
        order = list(range(len(payloads)))
        for at in swapped:
            order[at], order[at + 1] = order[at + 1], order[at]
        for number in order:
            now = self.host.clock.advance(FRAME_NS)
            if number not in lost:
                stamp = (first + number * ticks) & 0xFFFFFFFF
                packet = Packet(codec, (first + number) & 0xFFFF, stamp, payloads[number])
                self.channel.write(packet, now)
            self.host.tick()

    def finish(self):
        self.channel.close(self.host.clock.now())
        self.call.end(at=self.host.clock.now())
        assert not self.host.faults
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
        assert find(said[4800:96_000], bench.host.audio(bench.call, 0))[0] >= 0.95


@pytest.mark.parametrize("first", [0, (1 << 32) - 30 * 960, (1 << 16) - 50])
def test_each_lost_packet_is_20_ms_that_are_lost_and_nothing_moves(first):
    random.seed(1)
    lost = set(random.sample(range(5, 245), 12))
    said = voice(2, 5.0, 48_000)
    bench = Bench(48_000)
    bench.send("opus", opus(said), 960, first=first, lost=lost)
    bench.finish()
    assert bench.seconds(0, "lost") == pytest.approx(0.02 * len(lost), abs=0.001)
    assert find(said[4800:220_000], bench.host.audio(bench.call, 0))[0] >= 0.9


def test_packets_out_of_order_find_their_places():
    said = voice(3, 3.0)
    payloads = [encode(Codec.PCMU, said[at : at + 160]) for at in range(0, len(said), 160)]
    bench = Bench()
    bench.send("pcmu", payloads, 160, swapped=(10, 50, 90))
    (track,) = bench.finish()
    assert (track.codec, track.rate) == ("PCMU", 8_000)
    assert bench.seconds(0, "lost") == 0
    assert find(said[800:], bench.host.audio(bench.call, 0))[0] >= 0.99


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
    assert bench.host.drops == {("frame", "bad-media"): 1}
    assert bench.seconds(0, "received") >= 1.9


def test_both_channels_of_stereo_are_kept_in_one():
    left, right = voice(6, 3.0, 48_000), voice(7, 3.0, 48_000)
    bench = Bench(48_000)
    bench.send("opus", opus(np.stack([left, right], axis=1), bits=96_000), 960)
    bench.finish()
    both = (left[4800:96_000].astype(np.int32) + right[4800:96_000]) // 2
    assert find(both.astype(np.int16), bench.host.audio(bench.call, 0))[0] >= 0.95


@pytest.mark.parametrize(
    ("codec", "library", "rate", "bits"),
    [("pcmu", "pcm_mulaw", 8_000, 64_000), ("pcma", "pcm_alaw", 8_000, 64_000), ("g722", "g722", 16_000, 64_000)],
)
def test_each_codec_of_telephones_is_heard_as_it_was_said_and_its_loss_is_told(codec, library, rate, bits):
    said = voice(8, 3.0, rate)
    bench = Bench()
    bench.send(codec, encoded(said, library, rate, bits=bits), 160, lost={40, 80, 81})
    (track,) = bench.finish()
    assert track.rate == rate
    assert bench.seconds(0, "lost") == pytest.approx(0.06, abs=0.002)
    assert find(said[rate // 10 : rate * 2], bench.host.audio(bench.call, 0))[0] >= 0.9


def test_a_pause_by_dtx_is_silence_and_a_lost_packet_is_lost():
    said = np.concatenate([voice(9, 2.0, 48_000), np.zeros(3 * 48_000, np.int16), voice(10, 2.0, 48_000)])
    packets = pausing(said)
    sent = [number for number, packet in enumerate(packets) if len(packet) > 2]  # RFC 7587 section 3.1.3
    quiet = len([number for number in range(120, 240) if number not in sent])
    assert quiet >= 90, "the encoder pauses"
    bench = Bench()
    for seq, number in enumerate(sent):
        bench.host.clock.advance(FRAME_NS * (number - (sent[seq - 1] if seq else -1)))
        if number not in {50, 300}:
            bench.channel.write(Packet("opus", seq, number * 960, packets[number]), bench.host.clock.now())
        bench.host.tick()
    bench.finish()
    assert bench.seconds(0, "lost") == pytest.approx(0.04, abs=0.002)
    assert bench.seconds(0, "silent") >= 0.02 * (quiet - 10)
    assert bench.seconds(0, "received") >= 3.9


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("first", [0, (1 << 16) - 51])
def test_a_lost_packet_is_taken_from_the_next_one_when_that_holds_it(rate, first):
    said = voice(11, 5.0, 48_000)
    lost = set(range(20, 240, 10))
    plain, mended = Bench(rate), Bench(rate)
    plain.send("opus", opus(said, bits=32_000, application="voip"), 960, first=first, lost=lost)
    copied = correct(said)
    mended.send("opus", copied, 960, first=first, lost=lost)
    plain.finish()
    mended.finish()
    assert plain.seconds(0, "lost") == pytest.approx(0.02 * len(lost), abs=0.001), "nothing is made up"
    there = opus_module.library().opus_packet_has_lbrr
    gone = [number for number in lost if not there(copied[number + 1], len(copied[number + 1]))]
    assert len(gone) < len(lost) / 2, "an encoder leaves out what is quiet"
    assert mended.seconds(0, "lost") == pytest.approx(0.02 * len(gone), abs=0.001)
    words = said if rate == 48_000 else soxr.resample(said, 48_000, rate)
    quality = [find(words[rate // 10 : rate * 4], one.host.audio(one.call, 0))[0] for one in (plain, mended)]
    assert quality[1] > quality[0]


@pytest.mark.parametrize("jump", [20_000, 50_000])
def test_copies_are_taken_also_after_the_publisher_numbered_anew(jump):
    packets = correct(voice(11, 5.0, 48_000))
    steady, anew = Bench(), Bench()
    for bench, by in ((steady, 0), (anew, jump)):
        for number, payload in enumerate(packets):
            now = bench.host.clock.advance(FRAME_NS)
            seq = (number + (by if number >= 100 else 0)) & 0xFFFF
            if number % 10 != 5:
                bench.channel.write(Packet("opus", seq, number * 960, payload), now)
            bench.host.tick()
        bench.finish()
    assert anew.seconds(0, "lost") == pytest.approx(steady.seconds(0, "lost"), abs=0.001)


def test_whatever_comes_is_decoded_or_bad_and_fits():
    chance = random.Random(7)
    good = correct(voice(11, 1.0, 48_000)) + pausing(voice(3, 1.0, 48_000))
    for rate in (8_000, 16_000, 48_000):
        decoder, bad = OpusDecoder(rate), 0
        for number in range(2_000):
            packet = bytearray(chance.choice(good))
            if number % 3 == 0:
                packet = bytearray(chance.randbytes(chance.randrange(1, 1_500)))
            elif number % 3 == 1:
                packet[chance.randrange(len(packet))] = chance.randrange(256)
            else:
                packet = packet[: chance.randrange(1, len(packet) + 1)]
            length = chance.choice([0, rate // 400, rate // 50, rate * 6 // 100, rate * 12 // 100])
            assert len(decoder.recover(bytes(packet), length)) in {0, length}
            try:
                assert 0 < len(decoder.decode(bytes(packet))) <= rate * 0.12
            except BadMediaError:
                bad += 1
        assert bad > 100


def test_of_two_lost_packets_the_second_is_taken_and_the_first_is_lost():
    bench = Bench()
    bench.send("opus", correct(voice(11, 3.0, 48_000)), 960, lost={60, 61})
    bench.finish()
    assert bench.seconds(0, "lost") == pytest.approx(0.02, abs=0.001)


def test_what_is_lost_at_the_end_of_a_pause_is_lost():
    packets = correct(voice(11, 3.0, 48_000))
    bench = Bench()
    for number, payload in enumerate(packets):
        later = 25 if number > 60 else 0
        now = bench.host.clock.advance(FRAME_NS * (1 + 25 * (number == 61)))
        if number != 60:
            bench.channel.write(Packet("opus", number, (number + later) * 960, payload), now)
        bench.host.tick()
    bench.finish()
    assert bench.seconds(0, "lost") == pytest.approx(0.02, abs=0.001)
    assert bench.seconds(0, "silent") == pytest.approx(0.5, abs=0.01)


def test_nothing_is_taken_of_a_packet_that_was_longer_than_its_copy():
    packets = correct(voice(11, 2.0, 48_000))
    number = next(i for i in range(50, 90) if opus_module.library().opus_packet_has_lbrr(packets[i], len(packets[i])))
    decoder = OpusDecoder(16_000)
    assert len(decoder.recover(packets[number], 960)) == 0
    assert len(decoder.recover(packets[number], 320)) == 320


def test_one_that_comes_after_its_copy_changes_nothing():
    packets = correct(voice(11, 3.0, 48_000))
    never, late = Bench(), Bench()
    for bench in (never, late):
        for number, payload in enumerate(packets):
            now = bench.host.clock.advance(FRAME_NS)
            if number != 60:
                bench.channel.write(Packet("opus", number, number * 960, payload), now)
            if number == 61 and bench is late:
                bench.channel.write(Packet("opus", 60, 60 * 960, packets[60]), now)
            bench.host.tick()
        bench.finish()
        assert bench.seconds(0, "lost") == 0
    assert np.array_equal(*(bench.host.audio(bench.call, 0) for bench in (never, late)))


def test_comfort_noise_is_silence_of_the_line_it_came_on():
    said = voice(12, 1.0)
    payloads = [encode(Codec.PCMU, said[at : at + 160]) for at in range(0, len(said), 160)]
    bench = Bench()
    bench.channel.write(Packet(COMFORT_NOISE, 9, 0, b"\x40"), bench.host.clock.now())
    assert not bench.call.state.tracks, "noise alone is no audio"
    bench.send("pcmu", payloads, 160)
    for number in range(5):  # RFC 3389 section 4: at the sender's leisure
        now = bench.host.clock.advance(FRAME_NS * 10)
        bench.channel.write(Packet(COMFORT_NOISE, 50 + number, 160 * (50 + 10 * number), b"\x40"), now)
        bench.host.tick()
    for number, payload in enumerate(payloads):
        now = bench.host.clock.advance(FRAME_NS)
        bench.channel.write(Packet("pcmu", 55 + number, 160 * (100 + number), payload), now)
        bench.host.tick()
    (track,) = bench.finish()
    assert bench.seconds(0, "lost") == 0
    assert bench.seconds(0, "silent") == pytest.approx(1.0, abs=0.05)
    assert bench.seconds(0, "received") == pytest.approx(2.0, abs=0.05)
    assert track.codec == "PCMU"


def test_a_key_is_told_once_and_its_packets_are_no_loss():
    packets = correct(voice(11, 3.0, 48_000))
    bench = Bench()
    bench.send("opus", packets[:50], 960)
    seq, began = 50, bench.host.clock.now()
    for duration, flags in ((960, 0), (1920, 0), (2880, 0x80), (2880, 0x80), (2880, 0x80)):  # RFC 4733 section 2.5.1.4
        payload = struct.pack("!BBH", 5, flags | 10, duration)
        bench.channel.write(Packet("telephone-event/48000", seq, 50 * 960, payload), bench.host.clock.advance(FRAME_NS))
        seq += 1
    # the end of the second one is lost: it is up as soon as sound comes again
    lost_end = Packet("telephone-event/48000", seq, 60 * 960, struct.pack("!BBH", 11, 10, 960))
    bench.channel.write(lost_end, bench.host.clock.advance(5 * FRAME_NS))
    for number, payload in enumerate(packets[70:]):
        now = bench.host.clock.advance(FRAME_NS if number else 10 * FRAME_NS)
        bench.channel.write(Packet("opus", seq + 1 + number, (70 + number) * 960, payload), now)
        bench.host.tick()
    bench.finish()
    keys = [event for event in bench.call.events if isinstance(event, Dtmf)]
    assert [(key.button, key.ms, key.party) for key in keys] == [("5", 60, 0), ("#", 20, 0)]
    assert keys[0].at == began
    assert bench.seconds(0, "lost") == 0
    assert bench.seconds(0, "silent") == pytest.approx(0.4, abs=0.03)


def test_the_number_of_a_key_is_not_that_of_a_lost_packet():
    packets = correct(voice(11, 3.0, 48_000))
    once, thrice = Bench(), Bench()
    for bench, keys in ((once, 1), (thrice, 3)):
        bench.send("opus", packets[:60], 960)
        for number in range(keys):
            key = Packet("telephone-event/48000", 60 + number, 60 * 960, struct.pack("!BBH", 5, 0x80, 960))
            bench.channel.write(key, bench.host.clock.advance(FRAME_NS * 3 // keys))
        for number, payload in enumerate(packets[63:]):
            now = bench.host.clock.advance(FRAME_NS)
            bench.channel.write(Packet("opus", 60 + keys + number, (63 + number) * 960, payload), now)
        bench.finish()
    assert np.array_equal(*(bench.host.audio(bench.call, 0) for bench in (once, thrice)))


def test_a_key_that_is_down_when_the_publisher_goes_is_told():
    bench = Bench()
    bench.channel.write(
        Packet("telephone-event/8000", 1, 0, struct.pack("!BBH", 9, 0, 400)), bench.host.clock.advance(FRAME_NS)
    )
    bench.channel.close(bench.host.clock.now())
    assert [event.button for event in bench.call.events if isinstance(event, Dtmf)] == ["9"]
    assert not bench.call.state.tracks


def test_the_library_is_beside_pyav_or_it_is_said_what_to_install(monkeypatch):
    assert opus_module.library() is opus_module.library()
    with pytest.raises(BadMediaError, match="cannot decode"):
        OpusDecoder(16_000).decode(b"\xff" * 40)
    assert len(OpusDecoder(16_000).recover(b"\xff" * 40, 320)) == 0
    monkeypatch.setattr(opus_module, "SYSTEM", "libopus-of-nobody.so")
    monkeypatch.setattr("av.__file__", "/nowhere/av/__init__.py")
    with pytest.raises(ConfigError, match="apt-get install libopus0"):
        opus_module.library.__wrapped__()
