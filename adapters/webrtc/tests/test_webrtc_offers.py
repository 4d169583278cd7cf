"""Any lawful offer that sends audio is taken, whatever else is in it, and answered in its own order with one fingerprint."""

from __future__ import annotations

import asyncio
import re

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from vcond.sdk.contract import ProtocolError, RefusedError
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.offers import read
from vcond_webrtc.peer import Peer

SHA = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
HEAD = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
H264_HIGH = [
    "m=video 9 UDP/TLS/RTP/SAVPF 106",
    "a=rtpmap:106 H264/90000",
    "a=fmtp:106 profile-level-id=640c1f;packetization-mode=1",
]
AV1 = ["m=video 9 UDP/TLS/RTP/SAVPF 45 46", "a=rtpmap:45 AV1/90000", "a=rtpmap:46 rtx/90000", "a=fmtp:46 apt=45"]
ODD_VIDEO = [
    "m=video 9 UDP/TLS/RTP/SAVPF 200 72",
    "a=fmtp:99 x",
    "a=ssrc:1",
    "a=extmap:what",
    "a=rtcp:9 IN IP4 host.example",
]
BARE_VIDEO = ["m=video 9/2 UDP/TLS/RTP/SAVPF 26"]
DATA = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000"]
MESSAGES = ["m=message 9 TCP/MSRP *", "a=accept-types:text/plain"]
UNKNOWN = ["m=x-new.thing 9 FOO/2.0 bar", "a=quux"]
OTHER_AUDIO = ["m=audio 9 UDP/TLS/RTP/SAVPF 97", "a=rtpmap:97 L24/48000/2", "a=sendonly"]
MUTE_AUDIO = ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", "a=recvonly"]
NOT_WANTED = [H264_HIGH, AV1, ODD_VIDEO, BARE_VIDEO, DATA, MESSAGES, UNKNOWN, OTHER_AUDIO, MUTE_AUDIO]
AUDIO = ["m=audio 9 UDP/TLS/RTP/SAVPF 111 63", "a=rtpmap:111 opus/48000/2", "a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111", "a=sendonly"]  # fmt: skip
TRANSPORT = [
    "c=IN IP4 0.0.0.0",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuvwx",
    SHA,
    "a=setup:actpass",
    "a=rtcp-mux",
]


def offered(*sections: list[str], bundle: bool = True, mids: bool = True) -> str:
    lines = list(HEAD)
    if bundle:
        lines.append("a=group:BUNDLE " + " ".join(map(str, range(len(sections)))))
    for number, section in enumerate(sections):
        lines += [*section, *TRANSPORT, *([f"a=mid:{number}"] if mids else [])]
    return "".join(f"{line}\r\n" for line in lines)


async def answered(offer: str) -> str:
    peer = Peer(WebRtcConfig(), lambda *_: None)
    try:
        return await peer.answer(offer, lambda _: None)
    finally:
        await peer.close()


def parts(text: str) -> list[list[str]]:
    return [part.splitlines() for part in re.split(r"^(?=m=)", text, flags=re.MULTILINE)]


@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
@pytest.mark.parametrize("bundle", [True, False], ids=["bundled", "apart"])
@pytest.mark.parametrize("other", NOT_WANTED, ids=lambda other: other[0].split()[0] + other[0].split()[-1])
async def test_a_section_that_is_not_wanted_decides_about_none_that_is(other, bundle, first):
    offer = offered(*((other, AUDIO) if first else (AUDIO, other)), bundle=bundle)
    common, *sections = parts(await answered(offer))
    spare, audio = sections if first else sections[::-1]
    assert [part[0].split()[0] for part in sections] == [part[0].split()[0] for part in parts(offer)[1:]]
    assert "a=recvonly" in audio
    assert re.fullmatch("m=audio [1-9][0-9]* UDP/TLS/RTP/SAVPF 111", audio[0])
    shares = bundle and "RTP" in other[0]
    assert ("a=inactive" in spare) == shares
    assert spare[0].split()[1] == ("9" if shares else "0")
    assert spare[0].split()[2] == other[0].split()[2]
    groups = [line for line in common if line.startswith("a=group")]
    told = [line for part in sections if int(part[0].split()[1]) for line in part if line.startswith("a=mid:")]
    assert groups == ([f"a=group:BUNDLE {' '.join(line[6:] for line in told)}"] if bundle else [])
    for part in sections:
        prints = [line for line in part if line.startswith("a=fingerprint:")]
        assert len(prints) == (part[0].split()[1] != "0")
        assert all(line.startswith("a=fingerprint:sha-256 ") for line in prints)
    if shares:
        assert {line for line in spare if "ice-" in line} == {line for line in audio if "ice-" in line}


async def test_an_offer_without_bundle_and_names_is_answered_without():
    answer = await answered(offered(AUDIO, bundle=False, mids=False))
    assert "BUNDLE" not in answer
    assert "a=mid" not in answer
    assert "a=recvonly" in answer


async def test_a_group_of_nothing_or_of_strangers_is_none():
    for group in ("a=group:BUNDLE", "a=group:BUNDLE x y"):
        answer = await answered(offered(AUDIO, bundle=False).replace("t=0 0\r\n", f"t=0 0\r\n{group}\r\n"))
        assert "BUNDLE" not in answer


async def test_payload_types_of_the_registry_need_no_rtpmap():
    answer = await answered(offered(["m=audio 9 UDP/TLS/RTP/SAVPF 0 8 13", "a=sendonly"]))
    assert "m=audio" in answer
    assert "a=rtpmap:0 PCMU/8000\r\n" in answer


async def test_a_section_that_is_for_a_bundle_alone_has_the_transport_of_the_first():
    offer = offered(H264_HIGH, AUDIO)
    head, _, tail = offer.rpartition("m=audio 9")
    tail = "".join(line + "\r\n" for line in tail.splitlines() if line not in TRANSPORT) + "a=bundle-only\r\n"
    common, video, audio = parts(await answered(head + "m=audio 0" + tail))
    assert "a=group:BUNDLE 0 1" in common
    assert any(line.startswith("a=ice-ufrag:") for line in audio)
    assert {line for line in video if "ice-" in line} == {line for line in audio if "ice-" in line}


def test_what_is_offered_with_port_0_is_answered_so():
    offer = read(offered([H264_HIGH[0].replace(" 9 ", " 0 ")], AUDIO))
    assert offer.answer("v=0\r\na=group:BUNDLE 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n") == (
        "v=0\r\na=group:BUNDLE 1\r\nm=video 0 UDP/TLS/RTP/SAVPF 106\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n"
    )


def test_the_names_of_a_bundle_all_lead_to_what_is_taken():
    assert read(offered(H264_HIGH, AUDIO, DATA)).transports() == {"0": "1", "1": "1", "2": "1"}
    assert read(offered(H264_HIGH, AUDIO, bundle=False)).transports() == {"1": "1"}


@pytest.mark.parametrize(
    ("offer", "error", "text"),
    [
        (offered(H264_HIGH), RefusedError, "sends no audio"),
        (offered(DATA, MUTE_AUDIO), RefusedError, "sends no audio"),
        (offered(OTHER_AUDIO, H264_HIGH), RefusedError, "no codec"),
        (offered(["m=audio 0 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2"]), RefusedError, "sends no audio"),
        ("", ProtocolError, "not valid SDP"),
        ("v=0\r\n", ProtocolError, "not valid SDP"),
        ("v=0\r\nm=audio\r\n", ProtocolError, "not valid SDP"),
        ("v=0\r\nm=audio x RTP 1\r\n", ProtocolError, "not valid SDP"),
        (offered(*[AUDIO] * 33), ProtocolError, "not valid SDP"),
        (offered(AUDIO, AUDIO).replace("mid:1", "mid:0"), ProtocolError, "same name"),
    ],
)
def test_what_cannot_be_taken_is_refused(offer, error, text):
    with pytest.raises(error, match=text):
        read(offer)


@pytest.mark.parametrize("order", ["video first", "audio first"])
async def test_a_real_publisher_whose_video_nobody_knows_is_heard(order):
    packets = asyncio.Event()
    client, peer = RTCPeerConnection(), Peer(WebRtcConfig(), lambda *_: packets.set())
    try:
        for kind in ("video", "audio") if order == "video first" else ("audio", "video"):
            if kind == "audio":
                client.addTrack(AudioStreamTrack())
            else:
                client.addTransceiver("video", direction="sendonly")
        await client.setLocalDescription(await client.createOffer())
        offer = client.localDescription.sdp
        strange = offer.replace("VP8/90000", "AV1/90000").replace("H264/90000", "H266/90000")
        assert strange != offer
        answer = await peer.answer(strange, lambda _: None)
        back = answer.replace("AV1/90000", "VP8/90000").replace("H266/90000", "H264/90000")
        await client.setRemoteDescription(RTCSessionDescription(back, "answer"))
        await packets.wait()
    finally:
        await client.close()
        await peer.close()
    assert peer.tracks == 1


def test_formats_are_looked_up_and_not_searched_for_and_there_may_be_so_many():
    """An offer as large as may be: a search in all lines for each of many formats would keep every call waiting."""
    many = " ".join(map(str, range(256)))
    offer = offered(
        [f"m=audio 9 UDP/TLS/RTP/SAVPF {many}", "a=rtpmap:96 opus/48000/2", "a=rtpmap:96 x/1", "a=sendonly"]
    )
    (section,) = read(offer).sections
    assert section.sends == "0"
    assert section.rtpmap("96") == "opus/48000/2"
    with pytest.raises(ProtocolError, match="formats"):
        read(offer.replace(many, f"{many} 1"))
