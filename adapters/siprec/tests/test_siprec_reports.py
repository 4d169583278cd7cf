"""What clients are told of the audio that they send: to their port for RTCP, in their line's encryption."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import closing

import pytest
from aiortc.rtp import RtcpByePacket, RtcpPacket
from siprec_client import ALICE, Leg, drive, metadata, serving
from srtp_by_hand import ByHand

from vcond_siprec import sdp
from vcond_siprec.keys import Crypto
from vcond_siprec.libsrtp import WIDE, session

BURST = 25
SOME = 7
"""Seconds in which a report is due: the first after 3.1 at most, others after 6.2."""


def listening(leg: Leg) -> socket.socket:
    """Where the leg says that reports are taken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    leg.more = f"a=rtcp:{sock.getsockname()[1]}\r\n"
    return sock


def received(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(2048))
        except BlockingIOError:
            return found


def opener(answer: bytes):
    """What decrypts what the server sends, with the key of its answer."""
    (crypto, *_) = Crypto.all_of(answer.decode().splitlines())
    tag = WIDE.get(crypto.suite, 0)
    return (ByHand(crypto.key, tag) if tag else session(crypto, inbound=True)).unprotect_rtcp


@pytest.mark.parametrize("suite", ["", "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_32", "AEAD_AES_256_GCM"])
def test_a_client_is_told_what_comes_and_at_the_end_goodbye(suite):
    async def main():
        async with serving() as (_, client):
            leg = Leg("1", suite=suite, burst=BURST)
            with closing(listening(leg)) as reports:
                one = client(leg)
                reply = await one.invite(metadata(ALICE))
                opened = opener(reply.body) if suite else bytes
                await asyncio.sleep(SOME)
                await one.invite()  # the same keys: what counts reports goes on
                await asyncio.sleep(SOME)
                said = [RtcpPacket.parse(opened(datagram)) for datagram in received(reports)]
                assert 2 <= len(said) <= 8
                assert {block.ssrc for first, *_ in said for block in first.reports} == {leg.ssrc}
                assert said[-1][0].reports[0].highest_sequence > said[0][0].reports[0].highest_sequence
                await one.bye()
                (last,) = [RtcpPacket.parse(opened(datagram)) for datagram in received(reports)]
                assert isinstance(last[-1], RtcpByePacket)

    drive(main())


def test_reports_are_encrypted_with_the_key_that_was_agreed_on_last():
    async def main():
        async with serving() as (_, client):
            leg = Leg("1", suite="AES_CM_128_HMAC_SHA1_80", burst=BURST)
            with closing(listening(leg)) as reports:
                one = client(leg)
                await one.invite(metadata(ALICE))
                leg.suite = "AEAD_AES_128_GCM"
                leg.encrypt()
                reply = await one.invite()
                await asyncio.sleep(SOME)
                opened = opener(reply.body)
                assert [RtcpPacket.parse(opened(datagram)) for datagram in received(reports)]

    drive(main())


def test_nothing_is_said_unless_it_is_wanted_and_to_nobody_who_sends_nothing():
    async def main():
        for config in ({"reports": False}, {}):
            async with serving(**config) as (_, client):
                leg = Leg("1", burst=BURST)
                leg.deaf = bool(not config)
                with closing(listening(leg)) as reports:
                    one = client(leg)
                    await one.invite(metadata(ALICE))
                    await asyncio.sleep(2 * SOME)
                    await one.bye()
                    assert received(reports) == []

    drive(main())


@pytest.mark.parametrize(
    ("more", "port"),
    [("", 4001), ("a=rtcp:5005 IN IP4 192.0.2.9", 5005), ("a=rtcp-mux", 0), ("a=rtcp:5005\r\na=rtcp-mux", 0),
     ("a=rtcp:99999", 4001), ("a=rtcp:123456", 4001), ("a=rtcp:none", 4001)],
)  # fmt: skip
def test_where_a_client_takes_reports(more, port):
    text = f"v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n{more}\r\n"
    (line,) = sdp.read(text.encode()).lines
    assert line.reports == port
    (last,) = sdp.read(re.sub("4000", "65535", text).encode()).lines
    assert 0 <= last.reports <= 65_535
