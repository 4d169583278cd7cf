"""What the tests of the RTP receiver share: packets as peers send them, and an owner at the host in memory."""

from __future__ import annotations

import struct

import numpy as np

from vcond.media.codecs import Codec, encode
from vcond.media.rtp.formats import EVENTS, STATIC, Format
from vcond.media.rtp.receiver import RtpReceiver
from vcond.sdk.contract import Instant, RtpClock, SpanKind
from vcond.testing.host import MemoryHost
from vcond.testing.time import NOON, ManualClock

MS = 1_000_000
FRAME = 160
ULAW = b"\xff" * FRAME
HERE = ("192.0.2.1", 4000)
THERE = ("192.0.2.2", 4000)
L16 = Format("l16", 8000)
WIDE = Format("l16", 16000)
FORMATS = {**STATIC, 96: L16, 98: WIDE, 97: Format("opus", 48000, 2), 101: Format(EVENTS, 8000)}


def rtp(seq=0, stamp=0, payload=b"\xff" * FRAME, *, pt=0, ssrc=7, marker=False, first=0x80) -> bytes:
    head = struct.pack("!BBHII", first, marker << 7 | pt, seq % 2**16, stamp % 2**32, ssrc)
    return head + payload


def loud(index: int, samples: int = FRAME) -> bytes:
    """A frame of L16 that can be told from its neighbours, and that is no silence."""
    return encode(Codec.L16BE, np.full(samples, 1000 + index % 30_000, np.int16))


def event(button: int, duration: int, *, end=False) -> bytes:
    return struct.pack("!BBH", button, end << 7 | 10, duration)


def sender_report(ssrc: int, wall_ns: int, stamp: int) -> bytes:
    seconds, rest = divmod(wall_ns, 10**9)
    ntp = ((seconds + 2_208_988_800) % 2**32, (rest << 32) // 10**9)
    return struct.pack("!BBHIIIIII", 0x80, 200, 6, ssrc, *ntp, stamp % 2**32, 0, 0)


def bye(*ssrcs: int) -> bytes:
    return struct.pack(f"!BBH{len(ssrcs)}I", 0x80 | len(ssrcs), 203, len(ssrcs), *ssrcs)


class Written:
    """A writer that only notes what comes."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, int, int, int]] = []
        self.closed: int | None = None

    def write(self, payload, *, arrived, stamp=None, seq=None) -> None:
        assert self.closed is None
        self.frames.append((payload, arrived, stamp, seq))

    def close(self, *, at) -> None:
        assert self.closed is None
        self.closed = at

    @property
    def sound(self) -> bytes:
        return b"".join(frame[0] for frame in self.frames)

    @property
    def numbers(self) -> list[int]:
        return [frame[3] for frame in self.frames]


class Notes:
    """An owner that only notes what it is told."""

    def __init__(self, wanted=lambda stream: True) -> None:
        self.wanted = wanted
        self.streams = []
        self.writers: list[Written] = []
        self.keys = []
        self.silences: list[tuple[int, int]] = []
        self.byes = []

    def stream(self, stream):
        self.streams.append(stream)
        if not self.wanted(stream):
            return None
        self.writers.append(Written())
        return self.writers[-1]

    def pressed(self, key) -> None:
        self.keys.append(key)

    def silent(self, since, until) -> None:
        self.silences.append((since, until))

    def over(self, stream, at) -> None:
        self.byes.append((stream, at))


def make(owner=None, **options) -> tuple[RtpReceiver[int], Notes]:
    owner = owner or Notes()
    return RtpReceiver(FORMATS, owner, **options), owner


def stream(first: int, count: int, *, at=0, source=HERE, ssrc=7, pt=0, base=0, payload=ULAW):
    """Packets of 20 ms as they are handed to ``feed_all``."""
    return [
        (rtp(base + i, i * FRAME, payload, pt=pt, ssrc=ssrc), source, at + (i - first + 1) * 20 * MS)
        for i in range(first, first + count)
    ]


def writer_is_whole(writer, packets: int) -> bool:
    return len(writer.sound) == packets * FRAME


class Party:
    """An owner with tracks of a real call."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.host = MemoryHost(clock=self.clock)
        self.call = self.host.call("call", at=NOON)
        self.party = self.call.party("party", at=NOON)
        self.keys = []
        self.track = None
        self.receiver = RtpReceiver(FORMATS, self)

    def stream(self, stream):
        of = stream.format
        self.track = self.call.track(self.party, at=stream.at, codec=of.codec, rate=of.rate, clock=RtpClock(of.rate))
        return self.track

    def pressed(self, key) -> None:
        self.keys.append(key)

    def silent(self, since, until) -> None:
        self.track.absent(since, until, SpanKind.SILENT)

    def over(self, stream, at) -> None:
        pass

    def play(self, arrivals: list[tuple[int, bytes, tuple]], end: int) -> None:
        """Datagrams by their ns since noon, taken ten times a second as the socket does; then the end.

        The core's tick falls between two turns: tracks hear of time before they get what had come by then.
        """
        waiting = sorted(arrivals, key=lambda arrival: arrival[0])
        turn = first = 0
        while turn < end:
            self._wait(min(turn + 30 * MS, end))
            if turn % (500 * MS) == 0:
                self.host.tick()
            turn = min(turn + 100 * MS, end)
            self._wait(turn)
            due = first
            while due < len(waiting) and waiting[due][0] <= turn:
                due += 1
            self.receiver.feed_all([(data, source, Instant(NOON + at)) for at, data, source in waiting[first:due]])
            first = due
            self.receiver.tick(self.clock.now())
        self.receiver.close(self.clock.now())

    def _wait(self, until: int) -> None:
        self.clock.advance(max(0, NOON + until - self.clock.now()))

    def sounds(self) -> dict[int, list[int]]:
        """Where the loud frames lie: for each index the places of its first samples, in samples of 8 kHz."""
        out: dict[int, list[int]] = {}
        for index, sound in self.call.sounds.items():
            pcm = sound.read(sound.length)
            edges = np.flatnonzero(np.diff(pcm, prepend=np.int16(0)))
            for at in edges[pcm[edges] >= 1000].tolist():
                place = at * 8000 // self.call.state.tracks[index].rate
                out.setdefault(int(pcm[at]) - 1000, []).append(place)
        return out

    def kinds(self) -> dict[str, int]:
        """Samples of all tracks by kind, in samples of 8 kHz."""
        out: dict[str, int] = {}
        for track in self.call.state.tracks:
            for start, stop, kind in track.spans:
                out[kind.value] = out.get(kind.value, 0) + (stop - start) * 8000 // track.rate
        return out
