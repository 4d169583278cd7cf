from __future__ import annotations

import asyncio
import socket

import pytest
from aioice import stun
from aiortc import RTCIceGatherer, RTCSessionDescription

from vcond.sdk.contract import ConfigError
from vcond_webrtc import WebRtcAdapter, WebRtcConfig
from vcond_webrtc.ports import ANY, LARGEST, bind, parse, use


def free(count: int) -> range:
    """So many ports in a row that nobody has. Not kept: the test binds them at once."""
    for first in range(20_000, 30_000, count):
        socks = []
        try:
            for port in range(first, first + count):
                socks.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                socks[-1].bind(("127.0.0.1", port))
        except OSError:
            continue
        else:
            return range(first, first + count)
        finally:
            for sock in socks:
                sock.close()
    raise AssertionError("no free ports")


def test_a_range_has_both_its_ends():
    assert parse("") == ANY
    assert parse("40000-40000") == range(40_000, 40_001)
    for wrong in ("0-10", "80-90", "50000-40000", "40000-70000"):
        with pytest.raises(ConfigError, match="must be a range of ports"):
            parse(wrong)
    with pytest.raises(ConfigError):
        WebRtcAdapter(WebRtcConfig(ports="9-1"))


def test_each_port_of_the_range_is_used_once_and_then_none():
    ports = free(4)
    socks = [bind("127.0.0.1", ports) for _ in ports]
    try:
        assert sorted(sock.getsockname()[1] for sock in socks) == list(ports)
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", ports)
        with pytest.raises(OSError, match="assign"):
            bind("192.0.2.1", ports)
    finally:
        for sock in socks:
            sock.close()


def hosts(answer: str) -> set[tuple[str, int]]:
    found = [line.split() for line in answer.splitlines() if line.startswith("a=candidate:")]
    return {(words[4], int(words[5])) for words in found if words[7] == "host"}


async def test_media_is_taken_in_the_range_and_nobody_is_let_in_when_it_is_full(serving):
    ports = free(2)
    async with serving(ports=f"{ports[0]}-{ports[-1]}") as (host, person):
        ann, ben, eve = person(), person(), person()
        told = set()
        for one in (ann, ben):
            one.watch()
            answer = await one.post(await one.offer(), call="c")
            assert answer.status == 201
            told |= hosts(await answer.text())
            one.location = answer.headers["Location"]
            await one.connection.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        assert told == {("127.0.0.1", port) for port in ports}
        await host.until(lambda: len(host.by_key("c").state.tracks) == 2)
        full = await eve.post(await eve.offer())
        assert full.status == 503
        assert full.headers["Retry-After"]
        assert host.drops == {("offer", "no-port"): 1}
        await ann.hang_up()
        while (await eve.post(eve.connection.localDescription.sdp)).status != 201:
            pass


class StunServer(asyncio.DatagramProtocol):
    """Says that everybody comes from 198.51.100.9 (RFC 8489)."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        request = stun.parse_message(data)
        answer = stun.Message(
            stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=request.transaction_id,
            attributes={"XOR-MAPPED-ADDRESS": ("198.51.100.9", addr[1])},
        )  # fmt: skip
        self.transport.sendto(bytes(answer), addr)


async def test_what_a_stun_server_sees_is_told_beside_what_is_bound(serving):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(StunServer, local_addr=("127.0.0.1", 0))
    server = f"stun:127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    try:
        async with serving(stun=server, addresses=("127.0.0.1", "127.0.0.3", "192.0.2.1")) as (_, person):
            ann = person()
            answer = await ann.post(await ann.offer())
            text = await answer.text()
            assert answer.headers["Link"] == f'<{server}>; rel="ice-server"'
    finally:
        transport.close()
    assert {host for host, _ in hosts(text)} == {"127.0.0.1", "127.0.0.3"}, "the third is not of this machine"
    mapped = {(line.split()[4], int(line.split()[5])) for line in text.splitlines() if " typ srflx" in line}
    assert mapped == {("198.51.100.9", port) for _, port in hosts(text)}


async def test_a_socket_makes_room_for_what_comes_and_no_more():
    gatherer = RTCIceGatherer(iceServers=[])
    use(gatherer, ["127.0.0.1"], ANY)
    await gatherer.gather()
    (protocol,) = gatherer._connection._protocols
    try:
        assert protocol.transport.max_size == LARGEST
        assert [candidate.ip for candidate in gatherer.getLocalCandidates()] == ["127.0.0.1"]
    finally:
        await gatherer._connection.close()
