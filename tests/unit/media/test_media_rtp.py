"""RTP packets and payload types: bytes to values."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.errors import ProtocolError
from vcond.media.codecs import Codec
from vcond.media.rtp.formats import STATIC, Format
from vcond.media.rtp.packets import MAX_DATAGRAM, Kind, Packet, kind_of, parse


def header(first=0x80, second=0, seq=7, stamp=1000, ssrc=0xABCD) -> bytes:
    return struct.pack("!BBHII", first, second, seq, stamp, ssrc)


def test_a_plain_packet():
    assert parse(header(second=0x80 | 8) + b"abc") == Packet(8, True, 7, 1000, 0xABCD, b"abc")
    assert parse(header()) == Packet(0, False, 7, 1000, 0xABCD, b"")


def test_sources_extension_and_padding_are_left_out():
    sources = b"\0\0\0\1\0\0\0\2"
    extension = b"\xbe\xde\0\1" + b"\x10\xff\0\0"
    assert parse(header(0x80 | 0x20 | 0x10 | 2) + sources + extension + b"abc" + b"\0\0\3").payload == b"abc"


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        header()[:11],
        header(first=0x40) + b"abc",  # version 1
        header(first=0x80 | 2) + b"\0\0\0\1",  # two sources are said to be there
        header(first=0x80 | 0x10) + b"\xbe\xde",  # half an extension
        header(first=0x80 | 0x10) + b"\xbe\xde\0\2abcd",  # longer than the packet
        header(first=0x80 | 0x20) + b"abc\0",  # no padding, though it is said to be there
        header(first=0x80 | 0x20) + b"abc\xff",  # more than there is
        header(first=0x80 | 0x20),  # the last byte is the header's
        header() + bytes(MAX_DATAGRAM),
    ],
)
def test_what_is_no_packet(datagram):
    assert parse(datagram) is None


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (0x80, 0, Kind.RTP), (0x80, 111, Kind.RTP), (0xBF, 0xFF, Kind.RTP), (0x80, 200, Kind.RTCP),
        (0x81, 203, Kind.RTCP), (0x80, 192, Kind.RTCP), (0x80, 223, Kind.RTCP), (0x80, 0x80 | 96, Kind.RTP),
        (0, 1, Kind.STUN), (3, 0, Kind.STUN), (16, 0, Kind.OTHER), (22, 254, Kind.OTHER), (64, 0, Kind.OTHER),
        (255, 0, Kind.OTHER),
    ],
)  # fmt: skip
def test_kinds_of_datagrams(first, second, kind):
    assert kind_of(bytes([first, second, 0, 0])) is kind


def test_a_byte_is_of_no_kind():
    assert kind_of(b"") is Kind.OTHER
    assert kind_of(b"\x80") is Kind.OTHER


@given(st.binary(max_size=100))
def test_nothing_raises(noise):
    for datagram in (noise, b"\x80" + noise, b"\xbf\x00" + noise):
        kind_of(datagram)
        packet = parse(datagram)
        assert packet is None or len(packet.payload) <= len(datagram) - 12


def test_formats():
    assert Format.of("opus/48000/2") == Format("opus", 48000, 2)
    assert Format.of(" PCMU/8000 ") == STATIC[0]
    assert STATIC[8].codec is Codec.PCMA
    assert Format.of("L16/16000").codec is Codec.L16BE
    assert Format.of("L16/16000").octets == 2
    assert STATIC[0].octets == 1
    for decoded in ("opus/48000/2", "G722/8000", "L16/44100/2", "PCMU/8000/2"):
        assert Format.of(decoded).codec is None
        assert Format.of(decoded).octets == 0
    assert not Format.of("telephone-event/8000").is_audio
    assert not STATIC[13].is_audio


@pytest.mark.parametrize(
    "text", ["", "opus", "opus/x", "opus/0", "/8000", "opus/48000/0", "a/-1", "a/9999999999", "x" * 65 + "/8"]
)
def test_what_is_no_rtpmap(text):
    with pytest.raises(ProtocolError):
        Format.of(text)


@pytest.mark.fuzz
def test_much_more_noise_raises_nothing(fuzz):
    fuzz.examples(4000, test_nothing_raises)
