"""RTP packets: bytes to values (RFC 3550 section 5.1). No state, no sockets; nothing raises for what a peer sent."""

from __future__ import annotations

from enum import Enum
from struct import Struct
from typing import Any, Final, NamedTuple

MAX_DATAGRAM: Final = 2048
"""Bytes that are read of a datagram. One that fills them may have been cut, and is none."""
HEADER: Final = 12
"""Bytes of the fixed header."""
PLAIN: Final = 0x80
"""First byte of a packet without padding, extension and contributing sources, as almost all are."""
PADDING: Final = 0x20
EXTENSION: Final = 0x10
SOURCES: Final = 0x0F
MARKER: Final = 0x80
TYPE: Final = 0x7F

Address = tuple[Any, ...]
"""Host, port, and for IPv6 flow and scope: as sockets say it."""

unpack: Final = Struct("!BBHII").unpack_from
"""First byte, marker and payload type, sequence number, timestamp, SSRC."""
_extension: Final = Struct("!HH").unpack_from


class Kind(Enum):
    """What a datagram on a port for media can be (RFC 7983 section 7, RFC 5761 section 4)."""

    RTP = "rtp"
    RTCP = "rtcp"
    STUN = "stun"
    OTHER = "other"
    """DTLS, ZRTP, TURN channels, noise."""


class Packet(NamedTuple):
    """One RTP packet. Its padding, extension and contributing sources are checked and left out."""

    pt: int
    marker: bool
    seq: int
    stamp: int
    ssrc: int
    payload: bytes


def kind_of(datagram: bytes) -> Kind:
    """What a datagram is, by its first two bytes."""
    if len(datagram) < 2:
        return Kind.OTHER
    first, second = datagram[0], datagram[1]
    if 128 <= first <= 191:
        return Kind.RTCP if 192 <= second <= 223 else Kind.RTP
    return Kind.STUN if first <= 3 else Kind.OTHER


def parse(datagram: bytes) -> Packet | None:
    """The packet in a datagram; None when there is none: too short, too long, another version, lengths that lie."""
    size = len(datagram)
    if not HEADER <= size < MAX_DATAGRAM:
        return None
    first, second, seq, stamp, ssrc = unpack(datagram)
    if first >> 6 != 2:
        return None
    start, stop = HEADER, size
    if first != PLAIN:
        start += 4 * (first & SOURCES)
        if first & EXTENSION:
            if start + 4 > size:
                return None
            start += 4 + 4 * _extension(datagram, start)[1]
        if first & PADDING:
            stop -= datagram[-1]
            if stop == size:  # the count counts itself
                return None
        if start > stop:
            return None
    return Packet(second & TYPE, second >= MARKER, seq, stamp, ssrc, datagram[start:stop])
