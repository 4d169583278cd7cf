"""Packets of one publisher's track into tracks of the call. libopus and PyAV decode what vcond's own codecs do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from vcond.media.av_decoder import AvDecoder
from vcond.media.codecs import encode
from vcond.media.placement.reorder import MAX_DROPOUT, MAX_MISORDER
from vcond.media.rtp.dtmf import Keys, Pressed
from vcond.sdk.contract import AdapterHost, BadMediaError, Codec, Dtmf, Instant, LiveCall, RtpClock, Track
from vcond_webrtc.opus import OpusDecoder

OPUS_RATE: Final = 48_000
"""Samples, and ticks of the timestamp, a second (RFC 7587 section 4.1)."""
STAMPS: Final = (1 << 32) - 1
SEQS: Final = (1 << 16) - 1
COMFORT_NOISE: Final = "cn"
"""RFC 3389: silence, told by a packet that is no audio."""
KEYS: Final = "telephone-event/"
"""RFC 4733: keys pressed; the ticks a second of their durations follow."""


class Packet(NamedTuple):
    """One RTP packet that belongs to a negotiated codec."""

    codec: str
    """Its name in lower case: ``opus``; or ``COMFORT_NOISE``, or ``KEYS`` and the ticks."""
    seq: int
    stamp: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Kind:
    """How a codec is taken: by vcond itself, or decoded here by the library's codec of the name ``library``."""

    codec: Codec
    rate: int
    """Of its samples; of Opus, the most that there can be."""
    ticks: int
    library: str = ""


KINDS: Final = {
    "opus": Kind(Codec.L16, OPUS_RATE, OPUS_RATE, "libopus"),
    "pcmu": Kind(Codec.PCMU, 8_000, 8_000),
    "pcma": Kind(Codec.PCMA, 8_000, 8_000),
    "g722": Kind(Codec.L16, 16_000, 8_000, "g722"),  # its clock says 8,000: RFC 3551 section 4.5.2
}


class Channel:
    """One track of a publisher: one track of the call, and another one each time the codec changes.

    What is missing is just not there, and nothing is made up. But where a packet of Opus also holds the one before it,
    and that did not come, it is taken from there.
    """

    def __init__(self, host: AdapterHost, call: LiveCall, party: int, rate: int) -> None:
        """``rate``: samples a second that are kept of Opus."""
        self._host = host
        self._call = call
        self._party = party
        self._rate = rate
        self._codec = ""
        self._track: Track | None = None
        self._decoder: AvDecoder | OpusDecoder | None = None
        self._keys: Keys[Instant] | None = None
        self._seq = self._stamp = 0
        """Of the packet that is farthest on."""
        self._length = 0
        """Samples in it; 0 when the next one does not follow it."""
        self._recovered = -1
        """Sequence number of the packet that was taken from the one after it last."""

    def write(self, packet: Packet, arrived: Instant) -> None:
        """Take one packet as it came, also late and doubled ones: the track knows their places."""
        track = self._track
        if self._keys is not None:
            self._press(self._keys.tick(arrived))
        if packet.codec not in KINDS:
            self._length = 0  # the sound after it does not follow the sound before it
            if packet.codec.startswith(KEYS):
                self._key(packet, arrived)
            if track is not None:  # it has its number in the stream of packets, and no sound
                track.write(b"", arrived=arrived, seq=packet.seq)
            return
        if track is None or packet.codec != self._codec:
            track = self._open(packet.codec, arrived)
        if isinstance(self._decoder, OpusDecoder):
            self._opus(self._decoder, track, packet, arrived)
        else:
            track.write(self._payload(packet), arrived=arrived, stamp=packet.stamp, seq=packet.seq)

    def close(self, at: Instant) -> None:
        """The publisher is over."""
        if self._keys is not None:
            self._press(self._keys.flush())
        if self._track is not None:
            self._track.close(at=at)

    def _key(self, packet: Packet, arrived: Instant) -> None:
        if self._keys is None:
            self._keys = Keys(int(packet.codec.removeprefix(KEYS)))
        self._press(self._keys.take(packet.payload, packet.stamp, arrived))

    def _press(self, keys: Sequence[Pressed[Instant]]) -> None:
        for key in keys:
            self._call.emit(Dtmf(at=key.at, party=self._party, button=key.button, ms=key.ms))

    def _open(self, codec: str, at: Instant) -> Track:
        if self._track is not None:
            self._track.close(at=at)
        kind = KINDS[codec]
        self._codec, self._length, self._recovered = codec, 0, -1
        rate = self._rate if codec == "opus" else kind.rate
        if codec == "opus":
            self._decoder = OpusDecoder(rate)
        else:
            self._decoder = AvDecoder(kind.library, kind.rate) if kind.library else None
        clock = RtpClock(kind.ticks)
        self._track = self._call.track(self._party, at=at, codec=kind.codec, rate=rate, clock=clock)
        return self._track

    def _opus(self, decoder: OpusDecoder, track: Track, packet: Packet, arrived: Instant) -> None:
        ahead = (packet.seq - self._seq) & SEQS
        late = ahead > SEQS - MAX_MISORDER  # farther behind is a new numbering
        if packet.seq == self._recovered and late:
            return  # it came after all, later than its copy
        steady = (packet.stamp - self._stamp) & STAMPS == ahead * self._ticks(self._length)
        if self._length and 1 < ahead <= MAX_DROPOUT and steady:
            self._recover(decoder, track, packet, arrived)
        payload = self._payload(packet)
        if not (self._length and late):
            self._seq, self._stamp, self._length = packet.seq, packet.stamp, len(payload) // 2
        track.write(payload, arrived=arrived, stamp=packet.stamp, seq=packet.seq)

    def _recover(self, decoder: OpusDecoder, track: Track, packet: Packet, arrived: Instant) -> None:
        """Take the packet before this one from its copy in this one.

        Only in a steady flow: after a pause (DTX) it is not known when the missing packet was.
        """
        pcm = decoder.recover(packet.payload, self._length)
        if not len(pcm):
            return
        self._recovered = (packet.seq - 1) & SEQS
        stamp = (packet.stamp - self._ticks(len(pcm))) & STAMPS
        track.write(encode(Codec.L16, pcm), arrived=arrived, stamp=stamp, seq=self._recovered)

    def _ticks(self, samples: int) -> int:
        return samples * OPUS_RATE // self._rate

    def _payload(self, packet: Packet) -> bytes:
        """What the track takes; nothing for what cannot be decoded, which then only has its number."""
        if self._decoder is None:
            return packet.payload
        try:
            return encode(Codec.L16, self._decoder.decode(packet.payload))
        except BadMediaError:
            self._host.dropped("frame", "bad-media")
            return b""
