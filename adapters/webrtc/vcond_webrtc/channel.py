"""Packets of one publisher's track into tracks of the call. PyAV decodes what vcond's own codecs do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from vcond.adapter import BadMediaError, Codec, Desk, Instant, LiveCall, RtpClock, Track
from vcond.media.codecs import Pcm, encode
from vcond_webrtc.sound import FACTOR, Thirds, mono

OPUS_RATE: Final = 48_000
"""Samples, and ticks of the timestamp, a second (RFC 7587 section 4.1)."""
STAMPS: Final = (1 << 32) - 1


class Packet(NamedTuple):
    """One RTP packet that belongs to a negotiated codec."""

    codec: str
    """Its name in lower case: ``opus``."""
    seq: int
    stamp: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Kind:
    """How a codec is taken: by vcond itself, or decoded here by the library's codec of the name ``library``."""

    codec: Codec
    rate: int
    ticks: int
    library: str = ""


KINDS: Final = {
    "opus": Kind(Codec.L16, OPUS_RATE, OPUS_RATE, "libopus"),
    "pcmu": Kind(Codec.PCMU, 8_000, 8_000),
    "pcma": Kind(Codec.PCMA, 8_000, 8_000),
    "g722": Kind(Codec.L16, 16_000, 8_000, "g722"),  # its clock says 8,000: RFC 3551 section 4.5.2
}


class Decoder:
    """A stream of one codec to samples. Packets that are missing are just not there: nothing is made up."""

    def __init__(self, kind: Kind) -> None:
        import av

        self._error: type[Exception] = av.FFmpegError
        self._packet = av.Packet
        create: Any = av.CodecContext.create
        self._context = create(kind.library, "r")
        self._context.sample_rate = kind.rate
        self._context.layout = "stereo" if kind.library == "libopus" else "mono"

    def decode(self, payload: bytes) -> Pcm:
        """The samples of one packet, shape (n,). Raises BadMediaError."""
        if not payload:
            return np.zeros(0, np.int16)
        try:
            frames = self._context.decode(self._packet(payload))
        except self._error as why:
            raise BadMediaError(f"a packet that cannot be decoded ({type(why).__name__})") from None
        parts = [_samples(frame) for frame in frames]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _samples(frame: Any) -> Pcm:
    channels = frame.layout.nb_channels
    return mono(np.frombuffer(frame.planes[0], np.int16, frame.samples * channels), channels)


class Channel:
    """One track of a publisher: one track of the call, and another one each time the codec changes."""

    def __init__(self, desk: Desk, call: LiveCall, party: int, rate: int) -> None:
        self._desk = desk
        self._call = call
        self._party = party
        self._rate = rate
        self._codec = ""
        self._track: Track | None = None
        self._decoder: Decoder | None = None
        self._thirds: Thirds | None = None
        self._next = -1

    def write(self, packet: Packet, arrived: Instant) -> None:
        """Take one packet as it came, also late and doubled ones: the track knows their places."""
        track = self._track
        if track is None or packet.codec != self._codec:
            track = self._open(packet.codec, arrived)
        track.write(self._payload(packet), arrived=arrived, stamp=packet.stamp, seq=packet.seq)

    def close(self, at: Instant) -> None:
        """The publisher is over."""
        if self._track is not None:
            self._track.close(at=at)

    def _open(self, codec: str, at: Instant) -> Track:
        self.close(at)
        kind = KINDS[codec]
        self._codec = codec
        self._decoder = Decoder(kind) if kind.library else None
        self._thirds = Thirds() if kind.rate == FACTOR * self._rate else None
        rate = self._rate if self._thirds else kind.rate
        clock = RtpClock(kind.ticks)
        self._track = self._call.track(self._party, at=at, codec=kind.codec, rate=rate, clock=clock)
        return self._track

    def _payload(self, packet: Packet) -> bytes:
        """What the track takes; nothing for what cannot be decoded, which then only has its number."""
        if self._decoder is None:
            return packet.payload
        try:
            pcm = self._decoder.decode(packet.payload)
        except BadMediaError:
            self._desk.dropped("frame", "bad-media")
            return b""
        if self._thirds is not None:
            if packet.stamp != self._next:
                self._thirds.reset()
            self._next = packet.stamp + len(pcm) & STAMPS
            pcm = self._thirds.take(pcm)
        return encode(Codec.L16, pcm)
