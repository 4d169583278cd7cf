"""RTP through the receiver into the core's own track: what the journal holds and says."""

from __future__ import annotations

import struct

import numpy as np

from vcond.call import events as ev
from vcond.media.rtp.formats import EVENTS, STATIC, Format
from vcond.media.rtp.receiver import RtpReceiver
from vcond.sdk.contract import Cause, Dtmf, RtpClock, SpanKind

HERE = ("192.0.2.1", 4000)
SEQ = 65_500
STAMP = 2**32 - 3_000


class Leg:
    """One party."""

    def __init__(self, call, party: int) -> None:
        self.call, self.party = call, party

    def stream(self, stream):
        of = stream.format
        self.track = self.call.track(self.party, at=stream.at, codec=of.codec, rate=of.rate, clock=RtpClock(of.rate))
        return self.track

    def pressed(self, key) -> None:
        self.call.emit(Dtmf(at=key.at, party=self.party, button=key.button, ms=key.ms))

    def silent(self, since, until) -> None:
        self.track.absent(since, until, SpanKind.SILENT)

    def over(self, stream, at) -> None:
        pass


def rtp(seq: int, stamp: int, payload: bytes, pt: int = 96) -> bytes:
    return struct.pack("!BBHII", 0x80, pt, (SEQ + seq) % 2**16, (STAMP + stamp) % 2**32, 7) + payload


def sound(index: int) -> bytes:
    return np.full(160, 1000 + index, ">i2").tobytes()


async def test_sound_loss_a_key_and_comfort_noise_as_the_journal_tells_them(house):
    call = house.host.call("k", at=house.now(0))
    leg = Leg(call, call.party("a", at=house.at(0)))
    call.emit(ev.Answered(at=house.at(0)))
    receiver = RtpReceiver({**STATIC, 96: Format("l16", 8000), 101: Format(EVENTS, 8000)}, leg)
    # Milliseconds: 2 s of sound without packets 50 to 54 and with 70 late, a key of 200 ms, sound to 4 s, comfort noise
    sent = [(i * 20 + (120 if i == 70 else 20), rtp(i, i * 160, sound(i))) for i in range(100) if not 50 <= i < 55]
    for i in range(12):
        key = struct.pack("!BBH", 7, (i >= 9) << 7, min(i + 1, 10) * 160)
        sent.append((2020 + min(i, 9) * 20, rtp(100 + i, 16_000, key, pt=101)))
    sent += [(2220 + i * 20, rtp(112 + i, 17_600 + i * 160, sound(100 + i))) for i in range(90)]
    sent.append((4020, rtp(202, 32_000, b"\x40", pt=13)))
    sent.sort(key=lambda item: item[0])
    for turn in range(1, 121):
        now = turn / 10
        due = [(data, HERE, house.at(when / 1000)) for when, data in sent if turn * 100 - 100 < when <= turn * 100]
        house.now(now)
        receiver.feed_all(due)
        receiver.tick(house.clock.now())
        if turn % 5 == 0:
            house.registry.tick(house.clock.now())
    receiver.close(house.clock.now())
    call.end(at=house.clock.now(), cause=Cause(q850=16))
    ((ended, journal),) = house.finished
    await journal.flush()

    pcm = journal.read("0.pcm", 0, 32_000).reshape(-1, 160)
    spoken = np.zeros((200, 1), np.int16)
    spoken[:100, 0] = 1000 + np.arange(100)
    spoken[50:55] = 0
    spoken[110:200, 0] = 1100 + np.arange(90)
    assert (pcm == spoken).all()
    kinds = {}
    for start, stop, kind in ended.state.tracks[0].spans:
        kinds[kind.value] = kinds.get(kind.value, 0) + stop - start
    assert kinds == {"received": 185 * 160, "lost": 5 * 160, "silent": 8 * 8000 + 10 * 160}
    digits = [event for event in journal.events if isinstance(event, ev.Dtmf)]
    assert [(digit.button, digit.at, digit.ms) for digit in digits] == [("7", house.at(2), 200)]
    assert ended.state.tracks[0].samples == 12 * 8000
