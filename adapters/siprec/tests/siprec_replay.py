"""Captured and written messages played to the recorder, without a SIP server, on a clock moved by hand."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from siprec_kit import DATA, message

from vcond.base.time import MILLI, SECOND
from vcond.media.codecs import Codec, encode
from vcond.media.rtp.ports import RtpPorts
from vcond.sdk.contract import Instant
from vcond.sip.application import Answer, DialogId, End, Flow
from vcond.sip.messages import Headers, Request
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock
from vcond_siprec.config import SiprecConfig
from vcond_siprec.media import MediaPorts
from vcond_siprec.recorder import Recorder
from vcond_siprec.recordings import Recordings

FRAME = 160
STEP = 25
"""Frames between two looks of the adapter at the time."""


FLOW = Flow("udp", ("192.0.2.40", 5060), ("192.0.2.5", 5060))


@dataclass
class Dialog:
    id: DialogId
    flow: Flow = FLOW


class Replay:
    def __init__(self, host: MemoryHost, clock: ManualClock, recorder: Recorder, recordings: Recordings) -> None:
        self.host, self.clock, self.recorder, self.recordings = host, clock, recorder, recordings
        self.sent: dict[int, int] = {}
        """By line: frames that were spoken on it."""

    @staticmethod
    def dialog(name: str) -> Dialog:
        return Dialog(DialogId(call_id(name), "ours", "theirs"))

    @staticmethod
    def request(name: str, method: str) -> Request:
        headers, kind, body = message(name)
        told = [(key, value) for key, value in headers if key not in {"call-id", "content-type"}]
        told += [("call-id", call_id(name)), ("content-type", kind)]
        return Request(method, "sip:srs@192.0.2.5", Headers(told), body)

    async def invite(self, name: str, *, dialog: str = "") -> Answer:
        return await self.recorder.on_invite(self.dialog(dialog or name), self.request(name, "INVITE"))

    async def reinvite(self, name: str, *, dialog: str = "") -> Answer:
        return await self.recorder.on_reinvite(self.dialog(dialog or name), self.request(name, "INVITE"))

    async def update(self, name: str, *, dialog: str = "") -> Answer:
        return await self.recorder.on_update(self.dialog(dialog or name), self.request(name, "UPDATE"))

    def bye(self, name: str) -> None:
        self.recorder.on_end(self.dialog(name), End.BYE, None)

    def lines(self, name: str):
        return self.recorder.calls[self.dialog(name).id].session.lines

    def speak(self, name: str, *pcms, deaf=()) -> None:
        """On each line a frame every 20 ms, each line its own; ``deaf``: lines on which nothing comes."""
        lines = self.lines(name)
        for number in range(min(map(len, pcms)) // FRAME):
            at = self.clock.advance(20 * MILLI)
            for place, (line, pcm) in enumerate(zip(lines, pcms, strict=True)):
                sent = self.sent.get(id(line), 0)
                self.sent[id(line)] = sent + 1
                if place in deaf:
                    continue
                payload = encode(Codec.PCMU, pcm[number * FRAME : (number + 1) * FRAME])
                head = struct.pack("!BBHII", 0x80, 0, sent % 2**16, sent * FRAME % 2**32, 70 + place)
                line.socket.receiver.feed(head + payload, ("192.0.2.40", 30_000 + 2 * place), at)
            if number % STEP == 0:
                self.tick()

    def play(self, name: str, pcap: str) -> None:
        """Captured audio, as it came: the destinations are the lines, in their order."""
        begun = self.clock.now()
        packets = list(captured(pcap))
        ports = sorted({port for _, port, _ in packets})
        for passed, port, datagram in packets:
            at = Instant(begun + passed)
            self.clock.advance(max(0, at - self.clock.now()))
            line = self.lines(name)[ports.index(port)]
            line.socket.receiver.feed(datagram, ("127.0.0.1", 40_000 + port), at)
        self.tick()

    def tick(self) -> None:
        self.recorder.tick(self.clock.now())
        self.recordings.tick(self.clock.now())
        self.host.tick()

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(round(seconds * SECOND))
        self.tick()


def call_id(name: str) -> str:
    return next((value for key, value in message(name).headers if key == "call-id"), name)


def captured(name: str) -> Iterator[tuple[int, int, bytes]]:
    """Nanoseconds since the first, destination port and content of each UDP datagram (raw IPv4, link type 101)."""
    raw = gzip.decompress((DATA / "rtp" / f"{name}.pcap.gz").read_bytes())
    place, first = 24, None
    while place < len(raw):
        seconds, micros, size, _ = struct.unpack("<IIII", raw[place : place + 16])
        packet = raw[place + 16 : place + 16 + size]
        place += 16 + size
        at = seconds * SECOND + micros * 1000
        first = at if first is None else first
        head = 4 * (packet[0] & 15)
        yield at - first, struct.unpack("!H", packet[head + 2 : head + 4])[0], packet[head + 8 :]


@asynccontextmanager
async def replaying(**config):
    clock = ManualClock()
    host = MemoryHost("siprec", clock=clock)
    settings = SiprecConfig(listen=["udp:127.0.0.1:5060"], ports=(0, 0), **config)
    async with RtpPorts(clock, ports=(0, 0)) as ports:
        media = MediaPorts(host, ports)
        await media.open()
        recordings = Recordings(host, settings.join, settings.join_wait)
        yield Replay(host, clock, Recorder(host, settings, media, recordings), recordings)
        media.close()
    assert not host.faults
