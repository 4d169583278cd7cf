"""Datagrams of anybody: RTP, its reports and its keys, changed anywhere, and what codecs make of such payloads."""

from __future__ import annotations

from contextlib import suppress

import pytest
import rtp_kit as kit

from vcond.base.errors import BadMediaError
from vcond.media.codecs import Codec, decode
from vcond.media.rtp import rtcp
from vcond.media.rtp.dtmf import Keys
from vcond.media.rtp.packets import Kind, kind_of, parse
from vcond.testing.changed import spoiled

DATAGRAMS = [
    kit.rtp(5, 800),
    kit.rtp(65_535, 2**32 - 160, pt=8, marker=True),
    kit.rtp(7, 960, kit.loud(3), pt=96),
    kit.rtp(8, 0, kit.event(5, 800, end=True), pt=101),
    kit.rtp(9, 0, kit.event(16, 65_535), pt=101),
    kit.rtp(10, 0, b"\0\0\0\4" + b"\xbe\xde\0\1\x10\xff\0\0" + kit.ULAW, first=0x90),
    kit.rtp(11, 0, kit.ULAW + b"\4\4\4\4", first=0xA3),
    kit.rtp(12, 0, b"\1", pt=13),
    kit.sender_report(7, 1_764_500_000 * 10**9, 800) + kit.bye(7, 8),
    rtcp.report(1, b"vcond", rtcp.Block(7, 3, 900, 70_000, 12, 5, 6), bye=True),
]
PIECES = [b"\0", b"\xff" * 4, b"\x80\xc8\0\6", b"\x81\xcb\0\1", b"\xbe\xde", b"\xff\xff", b"\0\0\0\0", kit.ULAW]
HERE = [kit.HERE, kit.THERE]
FEW = 500
"""Datagrams of one receiver."""


@pytest.mark.fuzz
def test_datagrams_are_packets_reports_keys_or_nothing(fuzz):
    keys = Keys(8000)
    for number, chance in enumerate(fuzz.rounds(20_000)):
        data = spoiled(chance.choice(DATAGRAMS), chance, PIECES)
        kind = kind_of(data)
        if kind is Kind.RTCP:
            rtcp.read(data)
        packet = parse(data)
        if packet is None:
            continue
        assert len(packet.payload) <= len(data) - 12
        keys.take(packet.payload, packet.stamp, number)
        with suppress(BadMediaError):
            decode(Codec.L16BE if packet.pt > 95 else Codec.PCMU, packet.payload)


@pytest.mark.fuzz
def test_a_receiver_takes_spoiled_datagrams_and_loses_none_in_its_books(fuzz):
    receiver, owner = kit.make()
    at = 0
    for number, chance in enumerate(fuzz.rounds(10_000)):
        data = spoiled(chance.choice(DATAGRAMS), chance, PIECES)
        at += chance.choice((0, 1, 20, 20, 120)) * kit.MS
        receiver.feed(data, chance.choice(HERE), at)
        if not number % 50:
            receiver.tick(at)
        if number % FEW == FEW - 1:
            receiver.close(at)
            assert all(writer.closed is not None for writer in owner.writers)
            receiver, owner = kit.make()
