"""Lines whose keys a handshake gives: a client made of aiortc's transport, which judges our part of it."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtp import RtcpByePacket, RtcpPacket
from siprec_client import ALICE, BOB, Leg, drive, heard, metadata, over, serving, speak, warnings

from vcond.testing.watch import captured_logs
from vcond_siprec import dtls, sdp
from vcond_siprec.saved import SESSION

CERTIFICATES = [RTCCertificate.generateCertificate() for _ in range(2)]


class Wire:
    """What the transport takes for ICE: the socket of a line."""

    role = "controlling"

    def __init__(self, leg: DtlsLeg) -> None:
        self.leg = leg

    async def _send(self, datagram: bytes) -> None:
        self.leg.socket.sendto(datagram, ("127.0.0.1", self.leg.to))

    async def _recv(self) -> bytes:
        while True:
            datagram = await asyncio.get_running_loop().sock_recv(self.leg.socket, 2048)
            if datagram[0] < 128:
                return datagram
            self.leg.reports.append(self.leg.transport._rx_srtp.unprotect_rtcp(datagram))


class Heard:
    """A wire on which somebody begins, and hears no answer."""

    role = "controlling"

    def __init__(self) -> None:
        self.first = asyncio.get_running_loop().create_future()

    async def _send(self, datagram: bytes) -> None:
        if not self.first.done():
            self.first.set_result(datagram)

    async def _recv(self) -> bytes:
        return await asyncio.Event().wait()


async def hello() -> bytes:
    """How a handshake begins."""
    wire = Heard()
    transport = RTCDtlsTransport(wire, [CERTIFICATES[1]])
    transport._set_role("client")
    begun = asyncio.ensure_future(transport.start(RTCDtlsParameters([RTCDtlsFingerprint("sha-256", "00")])))
    first = await wire.first
    begun.cancel()
    await asyncio.wait({begun})
    return first


class DtlsLeg(Leg):
    """A line whose phone begins a handshake once it knows where to."""

    def __init__(self, label: str, *, protocol: str = "UDP/TLS/RTP/SAVPF", mux: bool = True) -> None:
        super().__init__(label)
        self.socket.setblocking(False)
        self.protocol, self.mux, self.setup = protocol, mux, "actpass"
        self.certificate = self.told = CERTIFICATES[0]
        """What it has, and whose fingerprint it says."""
        self.algorithms = {"sha-256", "sha-512"}
        self.transport: RTCDtlsTransport | None = None
        self.reports: list[bytes] = []
        self.deaf = True
        self.association = "a" * 20

    def lines(self) -> str:
        prints = [one for one in self.told.getFingerprints() if one.algorithm in self.algorithms]
        return (
            super().lines().replace("RTP/AVP", self.protocol)
            + f"a=setup:{self.setup}\r\na=tls-id:{self.association}\r\n"
            + "".join(f"a=fingerprint:{one.algorithm.upper()} {one.value.lower()}\r\n" for one in prints)
            + ("a=rtcp-mux\r\n" if self.mux else "")
        )

    async def shake(self, line: sdp.Line) -> str:
        """Hands with the server that answered this line; what became of it."""
        self.transport = RTCDtlsTransport(Wire(self), [self.certificate])
        self.transport._set_role("client")
        await self.transport.start(RTCDtlsParameters([RTCDtlsFingerprint(*one) for one in line.fingerprints]))
        if self.transport.state == "connected":
            self.srtp, self.deaf = self.transport._tx_srtp, False
        return self.transport.state

    async def stop(self) -> None:
        if self.transport is not None:
            await self.transport.stop()
        await super().stop()


@pytest.mark.parametrize("protocol", sorted(sdp.DTLS))
def test_what_a_handshake_gave_the_keys_for_is_recorded_and_reported_beside_clear_text(protocol):
    async def main():
        async with serving() as (host, client):
            leg = DtlsLeg("1", protocol=protocol)
            one = client(leg, "2")
            reply = await one.invite(metadata(ALICE, BOB))
            secure, plain = sdp.read(reply.body).lines
            assert (secure.protocol, secure.setup, secure.cryptos, secure.mux) == (protocol, "passive", (), True)
            assert (plain.protocol, plain.fingerprints) == ("RTP/AVP", ())
            assert await leg.shake(secure) == "connected", "with the certificate that the answer names"
            await speak(one, 1, 2)
            again = sdp.read((await one.invite()).body).lines[0]
            assert again.fingerprints == secure.fingerprints
            await asyncio.sleep(7)
            await speak(one, 3, 4)
            await one.bye()
            call = await over(host)
            found = [heard(host, call, party, seed) for party, seed in ((0, 1), (1, 2), (0, 3), (1, 4))]
            assert min(found) > 0.95
            said = [RtcpPacket.parse(datagram) for datagram in leg.reports]
            assert {block.ssrc for first, *_ in said for block in first.reports} == {leg.ssrc}
            assert isinstance(said[-1][-1], RtcpByePacket)
            assert not host.drops
            assert not any(name.startswith(SESSION) for name in call.state.adapter_state), "no key is written down"

    drive(main())


def test_who_has_another_certificate_than_was_offered_is_not_heard_and_may_try_again():
    async def main():
        async with serving() as (host, client):
            leg = DtlsLeg("1")
            leg.told = CERTIFICATES[1]
            one = client(leg)
            reply = await one.invite(metadata(ALICE))
            (line,) = sdp.read(reply.body).lines
            assert await leg.shake(line) == "connected", "the server knows better only afterwards"
            await speak(one, 1)
            await leg.transport.stop()
            leg.certificate = CERTIFICATES[1]
            assert await leg.shake(line) == "connected"
            await speak(one, 2)
            await one.bye()
            call = await over(host)
            assert heard(host, call, 0, 1) < 0.2
            assert heard(host, call, 0, 2) > 0.95
            assert host.drops["handshake", "failed"] == 1
            assert host.drops["packet", "undecrypted"] >= 50

    with captured_logs() as logs:
        drive(main())
    assert sum("a handshake for encrypted audio failed" in log for log in logs) == 1


def test_a_stranger_who_comes_first_holds_no_client_up_that_comes_from_where_it_said():
    async def main():
        async with serving() as (host, client):
            leg = DtlsLeg("1")
            one = client(leg)
            (line,) = sdp.read((await one.invite(metadata(ALICE))).body).lines
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind(("127.0.0.2", 0))
                stranger.sendto(bytes([22, 254, 253]) + bytes(60), ("127.0.0.1", leg.to))
                await asyncio.sleep(0.5)
                began = asyncio.get_running_loop().time()
                assert await leg.shake(line) == "connected"
                assert asyncio.get_running_loop().time() - began < 10
                stranger.sendto(bytes([22, 254, 253]) + bytes(60), ("127.0.0.1", leg.to))
            await speak(one, 1)
            await one.bye()
            assert heard(host, await over(host), 0, 1) > 0.95

    drive(main())


def test_behind_nat_neither_noise_nor_a_stranger_who_begins_and_goes_on_no_more_keeps_a_client_out(monkeypatch):
    monkeypatch.setattr(
        dtls, "LIMIT", 1000.0
    )  # OpenSSL says things again in real time, which is slower than that of the loop

    async def main():
        async with serving() as (host, client):
            leg = DtlsLeg("1")
            one = client(leg)
            one.address = "192.0.2.77"
            (line,) = sdp.read((await one.invite(metadata(ALICE))).body).lines
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind(("127.0.0.2", 0))
                for datagram in (bytes([22, 254, 253]) + bytes(60), await hello()):
                    stranger.sendto(datagram, ("127.0.0.1", leg.to))
                    await asyncio.sleep(0.2)
                assert await leg.shake(line) == "connected"
                assert not host.drops, "nobody waited until the patience with the first was over"
                stranger.sendto(await hello(), ("127.0.0.1", leg.to))
            await speak(one, 1)
            leg.moved()  # as when a router forgets where it sent it
            await asyncio.sleep(1.5)
            await speak(one, 2)
            await one.bye()
            call = await over(host)
            assert min(heard(host, call, 0, seed) for seed in (1, 2)) > 0.95

    drive(main())


@pytest.mark.parametrize(("certificate", "association"), [(1, "a" * 20), (0, "b" * 20)])
def test_another_fingerprint_or_association_in_a_later_offer_is_another_handshake(certificate, association):
    async def main():
        async with serving() as (host, client):
            leg = DtlsLeg("1", mux=False)
            one = client(leg)
            await leg.shake(sdp.read((await one.invite(metadata(ALICE))).body).lines[0])
            await speak(one, 1)
            leg.certificate = leg.told = CERTIFICATES[certificate]
            leg.association = association
            reply = await one.invite()
            await leg.transport.stop()
            async with asyncio.timeout(60):
                assert await leg.shake(sdp.read(reply.body).lines[0]) == "connected"
            await speak(one, 2)
            await one.bye()
            call = await over(host)
            assert min(heard(host, call, 0, 1), heard(host, call, 0, 2)) > 0.95
            assert leg.reports == [], "a port for RTCP would need a handshake of its own"
            assert warnings(call) == []

    drive(main())


def test_what_cannot_be_agreed_on_is_refused_and_never_answered_in_clear(monkeypatch):
    async def main():
        async with serving() as (_, client):
            for change in ({"setup": "passive"}, {"setup": "holdconn"}, {"algorithms": {"sha-1"}}):
                leg = DtlsLeg("1")
                vars(leg).update(change)
                reply = await client(leg).invite(metadata(ALICE))
                assert (reply.status, reply.body) == (488, b"")
            monkeypatch.setattr(dtls, "available", lambda: False)
            assert (await client(DtlsLeg("1")).invite(metadata(ALICE))).status == 488
            reply = await client(DtlsLeg("1"), Leg("2")).invite(metadata(ALICE, BOB))
            assert (reply.status, reply.directions) == (200, ["inactive", "recvonly"])

    with captured_logs() as logs:
        drive(main())
    told = [log for log in logs if "DTLS" in log]
    assert len(told) == 2
    assert "WITH=webrtc" in told[0]


def test_fingerprints_of_the_session_are_those_of_lines_that_have_none():
    text = (
        "v=0\r\na=setup:actpass\r\na=fingerprint:sha-256 AB:cd\r\nc=IN IP4 127.0.0.1\r\n"
        "m=audio 4000 UDP/TLS/RTP/SAVP 0\r\nm=audio 4002 UDP/TLS/RTP/SAVP 0\r\na=fingerprint:SHA-512 01:02\r\n"
        "a=fingerprint:sha-256 0102\r\na=setup:active\r\n"
    )
    first, second = sdp.read(text.encode()).lines
    assert (first.fingerprints, first.setup) == ((("sha-256", "AB:CD"),), "actpass")
    assert (second.fingerprints, second.setup) == ((("sha-512", "01:02"),), "active")
    many = re.sub("(a=fingerprint:SHA-512 01:02\r\n)", r"\1" * 100, text)
    assert len(sdp.read(many.encode()).lines[1].fingerprints) == sdp.MOST_FINGERPRINTS
