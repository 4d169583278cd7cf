"""SRTP in counter mode with HMAC-SHA1 (RFC 3711, RFC 6188), written out beside libsrtp: what a client's packets are."""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.hmac import HMAC

SALT = 14
HEADER = 12
"""Bytes of an RTP header without anything more; RTCP is clear up to its SSRC, 8 bytes."""
ENCRYPTED = 1 << 31


def stream(key: bytes, begin: int, data: bytes) -> bytes:
    """What the counter, from ``begin`` on, makes of data; of zeros the key stream itself (RFC 3711 section 4.1.1)."""
    return Cipher(AES(key), CTR((begin << 16).to_bytes(16))).encryptor().update(data)


def derived(master: bytes, label: int, size: int) -> bytes:
    """A session key of a master key with its salt; the key derivation rate is 0 (RFC 3711 section 4.3.1)."""
    key, salt = master[:-SALT], int.from_bytes(master[-SALT:])
    return stream(key, salt ^ label << 48, bytes(size))


def tag(key: bytes, said: bytes, size: int) -> bytes:
    mac = HMAC(key, SHA1())
    mac.update(said)
    return mac.finalize()[:size]


class ByHand:
    """Packets of one key; RTP only in the order of its numbers, as it is sent."""

    def __init__(self, master: bytes, size: int) -> None:
        """``size``: bytes of an RTP packet's tag. RTCP's has ten whatever the suite (RFC 4568 section 6.2)."""
        self.size = size
        self.rtp, self.rtcp = (
            (
                derived(master, first, len(master) - SALT),
                derived(master, first + 1, 20),
                int.from_bytes(derived(master, first + 2, SALT)),
            )
            for first in (0, 3)
        )
        self.turns, self.before, self.index = 0, 0, 0

    def protect(self, packet: bytes) -> bytes:
        cipher, auth, salt = self.rtp
        (seq,), ssrc = struct.unpack_from("!H", packet, 2), int.from_bytes(packet[8:12])
        self.turns += seq < self.before
        self.before = seq
        body = stream(cipher, salt ^ ssrc << 48 ^ self.turns << 16 ^ seq, packet[HEADER:])
        sealed = packet[:HEADER] + body
        return sealed + tag(auth, sealed + struct.pack("!I", self.turns), self.size)

    def protect_rtcp(self, packet: bytes) -> bytes:
        cipher, auth, salt = self.rtcp
        self.index += 1
        body = stream(cipher, salt ^ int.from_bytes(packet[4:8]) << 48 ^ self.index, packet[8:])
        sealed = packet[:8] + body + struct.pack("!I", self.index | ENCRYPTED)
        return sealed + tag(auth, sealed, 10)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        cipher, auth, salt = self.rtcp
        sealed, index = packet[:-10], int.from_bytes(packet[-14:-10])
        assert index & ENCRYPTED
        assert packet[-10:] == tag(auth, sealed, 10)
        return packet[:8] + stream(cipher, salt ^ int.from_bytes(packet[4:8]) << 48 ^ index ^ ENCRYPTED, packet[8:-14])
