"""Sessions of libsrtp, which encrypt and decrypt (RFC 3711, RFC 6188, RFC 7714). By pylibsrtp, where it is installed.

pylibsrtp has no name for AES_256_CM, but the library in it has the cipher: a policy of AES_CM_128 is given its number and
length. And its ``unprotect`` copies each packet twice, where libsrtp decrypts in place. Both goes past what pylibsrtp
promises: it is only done where known packets come out right (decisions 0004 and 0007).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

from vcond.media.rtp.together import Opener
from vcond_siprec.keys import SUITES, Crypto

PROFILES: Final = {
    "AES_CM_128_HMAC_SHA1_80": "SRTP_PROFILE_AES128_CM_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32": "SRTP_PROFILE_AES128_CM_SHA1_32",
    "AES_256_CM_HMAC_SHA1_80": "SRTP_PROFILE_AES128_CM_SHA1_80",
    "AES_256_CM_HMAC_SHA1_32": "SRTP_PROFILE_AES128_CM_SHA1_32",
    "AEAD_AES_128_GCM": "SRTP_PROFILE_AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM": "SRTP_PROFILE_AEAD_AES_256_GCM",
}
"""What pylibsrtp calls a suite; of AES_256 the one that differs from it in nothing but the cipher."""
WIDE: Final = {"AES_256_CM_HMAC_SHA1_80": 10, "AES_256_CM_HMAC_SHA1_32": 4}
"""Suites for which the cipher is changed, and the bytes of an RTP packet's tag."""
AES_128: Final = [1, 30]
AES_256: Final = [5, 46]
"""Number of a cipher in libsrtp, and bytes of its key and salt (cipher_types.h, srtp.h)."""
SHA1: Final = [3, 20]
"""The same of the authentication; then come the bytes of the tag, and what is done."""
BOTH: Final = 3
"""Encryption and authentication."""

_KEY: Final = bytes(range(46))
_RTP: Final = (
    b"\x80" + bytes(27),
    bytes.fromhex("800000000000000000000000cb4a3d180af445a60c30897ebdf400e4f51079412b63947ce29f"),
)
_RTCP: Final = (
    b"\x80\xc9\0\6" + bytes(24),
    bytes.fromhex("80c90006000000003ba04f7277cd51efd65e2d1164a27d30061a4449800000012e5b5dce4519d4289095"),
)
"""A packet in clear, and what that key makes of it with AES_256 and a tag of ten bytes."""


@cache
def available() -> bool:
    """Whether pylibsrtp is installed."""
    return find_spec("pylibsrtp") is not None


@cache
def suites() -> frozenset[str]:
    """Those that can be used here. Blocks the first time: it imports what is needed, and tries it."""
    return frozenset(suite for suite in PROFILES if available() and (suite not in WIDE or _tried(suite)))


def lacking() -> str:
    """The suites that pylibsrtp should give, and does not, as text; empty when there are none."""
    return ", ".join(sorted(PROFILES.keys() - suites())) if available() else ""


def session(crypto: Crypto, *, inbound: bool) -> Any:
    """A session of pylibsrtp for all packets of one key. Raises ValueError when its length is not the suite's.

    For the suites of ``WIDE`` that are not of ``suites()`` it may raise whatever pylibsrtp has there now.
    """
    from pylibsrtp import Policy, Session

    if len(crypto.key) != SUITES[crypto.suite]:
        raise ValueError(f"a key of {len(crypto.key)} bytes for {crypto.suite}")
    policy = Policy(
        key=crypto.key,
        ssrc_type=Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=getattr(Policy, PROFILES[crypto.suite]),
    )
    if crypto.suite in WIDE:
        _widen(policy, WIDE[crypto.suite])
    return Session(policy)


def in_place(of: Any) -> Opener | None:
    """What decrypts RTP for an inbound session of pylibsrtp where it lies, without its copies; None where that cannot be had."""
    return _opener(of) if _can_open() else None


def _opener(of: Any) -> Opener:
    """As pylibsrtp's ``Session.unprotect``, but with one length for all packets, and no buffer of its own."""
    from pylibsrtp._binding import ffi, lib

    unprotect, context, length = lib.srtp_unprotect, of._srtp, ffi.new("int *")  # noqa: SLF001 - see the module's text

    def opened(buffer: memoryview, sizes: Sequence[int], slot: int) -> list[int]:
        if max(sizes) > slot or len(sizes) * slot > len(buffer):
            raise ValueError("datagrams that reach over the end of their buffer")
        at, inner = ffi.from_buffer(buffer, require_writable=True), context[0]
        left: list[int] = []
        for size in sizes:
            length[0] = size
            left.append(-1 if unprotect(inner, at, length) else length[0])
            at += slot
        return left

    return opened


@cache
def _can_open() -> bool:
    """Whether a packet comes out right in that way."""
    crypto, clear = Crypto("", "AES_CM_128_HMAC_SHA1_80", _KEY[:30]), _RTP[0]
    try:
        sealed = bytearray(session(crypto, inbound=False).protect(clear))
        left = _opener(session(crypto, inbound=True))(memoryview(sealed), [len(sealed)], len(sealed))
    except Exception:  # noqa: BLE001 - of names that are not public anything can come
        return False
    return left == [len(clear)] and sealed.startswith(clear)


def _widen(policy: Any, tag: int) -> None:
    """Have a policy of AES_CM_128 use AES_256, for RTP and RTCP. Raises ValueError where it does not look as expected.

    It is libsrtp's srtp_crypto_policy_t, six ints: cipher, its bytes, authentication, its bytes, those of the tag, what is
    done. What srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80 sets differs in the first two.
    """
    from pylibsrtp._binding import ffi

    own = policy._policy  # noqa: SLF001 - see the module's text
    for part, size in ((own.rtp, tag), (own.rtcp, 10)):
        expected = [*AES_128, *SHA1, size, BOTH]
        if ffi.sizeof(part) != len(expected) * ffi.sizeof("int"):
            raise ValueError("a policy of another size")
        numbers = ffi.cast("int *", ffi.addressof(part))
        if list(numbers[0 : len(expected)]) != expected:
            raise ValueError("a policy of another form")
        numbers[0 : len(AES_256)] = AES_256


def _tried(suite: str) -> bool:
    """Whether a suite of ``WIDE`` does here what its RFC says."""
    crypto = Crypto("", suite, _KEY)
    (clear, sealed), (report, sealed_report) = _RTP, _RTCP
    try:
        theirs, ours = session(crypto, inbound=True), session(crypto, inbound=False)
        made = (
            theirs.unprotect(sealed[: len(clear) + WIDE[suite]]),
            theirs.unprotect_rtcp(sealed_report),
            ours.protect_rtcp(report),
        )
    except Exception:  # noqa: BLE001 - of names that are not public anything can come
        return False
    return made == (clear, report, sealed_report)
