from __future__ import annotations

import asyncio

from aiortc import RTCSessionDescription
from aiortc.rtp import RtpPacket

from vcond_webrtc.channel import Packet
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.peer import Peer, advertised

ANSWER = (
    "v=0\r\nm=audio 40000 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 10.0.0.5\r\n"
    "a=candidate:1 1 udp 2130706431 10.0.0.5 40000 typ host\r\n"
    "a=candidate:2 1 udp 1694498815 198.51.100.9 40001 typ srflx raddr 10.0.0.5 rport 40000\r\n"
)


def test_the_address_that_publishers_are_told_is_another_one_behind_a_nat():
    assert advertised(ANSWER, "") == ANSWER
    told = advertised(ANSWER, "203.0.113.7")
    assert "a=candidate:1 1 udp 2130706431 203.0.113.7 40000 typ host\r\n" in told
    assert "198.51.100.9 40001 typ srflx" in told
    assert "c=IN IP4 203.0.113.7\r\n" in told
    assert advertised(ANSWER, "2001:db8::1") == ANSWER, "nobody listens on IPv6"
    both = ANSWER.replace("10.0.0.5", "2001:db8::5").replace("IP4", "IP6")
    told = advertised(both, "2001:db8::1")
    assert "a=candidate:1 1 udp 2130706431 2001:db8::1 40000 typ host\r\n" in told
    assert "c=IN IP6 2001:db8::1\r\n" in told


async def test_packets_come_as_they_were_sent_and_media_is_taken_where_it_is_bound(publisher):
    packets, states = [], []
    enough = asyncio.Event()

    def take(track, packet) -> None:
        packets.append((track, packet))
        if len(packets) == 20:
            enough.set()

    client, peer = publisher("http://127.0.0.1:1", "", "audio/PCMU"), Peer(WebRtcConfig(), take)
    try:
        offer = await client.offer()
        # a client that would trickle: it is found by its checks
        bare = "".join(line for line in offer.splitlines(keepends=True) if "candidate" not in line)
        assert bare != offer
        answer = await peer.answer(bare, states.append)
        hosts = {line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate:")}
        assert hosts == {"127.0.0.1"}
        await client.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await enough.wait()
    finally:
        await client.close()
        await peer.close()
    assert peer.tracks == 1
    assert "connected" in states
    assert {(track, packet.codec, len(packet.payload)) for track, packet in packets} == {(0, "pcmu", 160)}
    first = packets[0][1]
    assert [(p.seq - first.seq) & 0xFFFF for _, p in packets[:20]] == list(range(20))
    assert [(p.stamp - first.stamp) & 0xFFFFFFFF for _, p in packets[:20]] == list(range(0, 3200, 160))


async def test_error_correction_is_asked_for_and_what_is_no_sound_is_taken_where_it_is_offered(publisher):
    noise, heard = asyncio.Event(), []

    def take(track, packet) -> None:
        heard.append(packet)
        if packet.codec == "cn":
            noise.set()

    client, peer = publisher("http://127.0.0.1:1", "", "audio/PCMU"), Peer(WebRtcConfig(), take)
    plain, fec = publisher("http://127.0.0.1:1", ""), Peer(WebRtcConfig(), take)
    try:
        answer = await fec.answer(await plain.offer(), lambda _: None)
        assert "useinbandfec=1" in answer
        assert "CN/8000" not in answer
        assert "telephone-event" not in answer
        more = "a=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/8000\r\na=rtpmap:111 telephone-event/1\r\n"
        offer = (
            (await client.offer()).replace("SAVPF 0", "SAVPF 0 13 110 111").replace("a=rtpmap:0 ", f"{more}a=rtpmap:0 ")
        )
        answer = await peer.answer(offer, lambda _: None)
        assert " UDP/TLS/RTP/SAVPF 0 13 110\r\n" in answer
        assert "a=rtpmap:13 CN/8000\r\n" in answer
        assert "a=rtpmap:110 telephone-event/8000\r\n" in answer
        client.watch()
        await client.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await client.connected.wait()
        (sender,) = client.connection.getSenders()
        own = sender._ssrc ^ 1  # the publisher counts packets of its own source from a number by chance
        key = RtpPacket(payload_type=110, sequence_number=6, timestamp=160, ssrc=own, payload=b"\1\0\0\0")
        packet = RtpPacket(payload_type=13, sequence_number=7, timestamp=160, ssrc=own, payload=b"\x40")
        while not noise.is_set():
            for one in (key, packet):
                await sender.transport._send_rtp(one.serialize())
            await asyncio.sleep(0.02)
    finally:
        for one in (client, plain, peer, fec):
            await one.close()
    assert Packet("telephone-event/8000", 6, 160, b"\1\0\0\0") in heard
    assert Packet("cn", 7, 160, b"\x40") in heard


async def test_video_is_answered_inactive(publisher):
    client, peer = publisher("http://127.0.0.1:1", ""), Peer(WebRtcConfig(), lambda *_: None)
    try:
        client.connection.addTransceiver("video", direction="sendonly")
        answer = await peer.answer(await client.offer(), lambda _: None)
        video = answer.partition("m=video")[2]
        assert "a=inactive" in video
        assert peer.tracks == 1
    finally:
        await client.close()
        await peer.close()
