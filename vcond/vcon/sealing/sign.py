"""Signing (core-04 section 5.2): the general JWS around the very bytes of a vCon, in memory that does not grow with it.

Two passes over the bytes: the first encodes and hashes them piece by piece, in a processor's cache; the second encodes
again where the text is written. Encoding is so cheap beside hashing, and beside touching fresh memory, that twice is
less than once and kept.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pybase64
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from vcond.base.errors import ProtocolError
from vcond.base.time import Instant
from vcond.vcon.building.audio_forms import base64_size
from vcond.vcon.model import Document
from vcond.vcon.sealing.keys import Signer, Trust, check, x5c
from vcond.vcon.sealing.verify import DEEPEST, SealBrokenError, decoded, open_signed
from vcond.vcon.serialize import read, serialize, unpacked

_PIECE: Final = 3 << 16
"""Bytes encoded at once: a multiple of three, so that only the last piece is padded."""
_BEFORE: Final = b'{"payload":"'
_COORDINATE: Final = 32
"""Bytes of r and of s on P-256 (RFC 7518 section 3.4)."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed vCon as JSON text that is made while it is written."""

    body: bytes
    """What was signed."""
    behind: bytes
    """The JSON behind the payload."""

    def __len__(self) -> int:
        """Bytes of the text."""
        return len(_BEFORE) + base64_size(len(self.body)) + len(self.behind)

    def __iter__(self) -> Iterator[bytes]:
        """The text in pieces."""
        yield _BEFORE
        yield from _encoded(self.body)
        yield self.behind

    def __bytes__(self) -> bytes:
        """The text as a whole."""
        return b"".join(self)


class _Peek(msgspec.Struct):
    """What of a vCon has to be read to sign it."""

    uuid: Any = None
    payload: Any = None
    signatures: msgspec.Raw = msgspec.Raw()


def signed(body: bytes, signer: Signer, now: Instant) -> Signed:
    """Bytes of an unsigned vCon, or of a signed one that is to be kept longer, as the text of a signed vCon.

    Raises ConfigError when the signer cannot sign (now), and ProtocolError when the bytes are no vCon.
    """
    check(signer, now)
    uuid = _uuid(body, DEEPEST)
    protected = _text(msgspec.json.encode({"alg": signer.algorithm}))
    digest = hashlib.sha256(protected + b".")
    for piece in _encoded(body):
        digest.update(piece)
    header: dict[str, Any] = {"alg": signer.algorithm} if signer.alg_twice else {}
    header |= {"x5u": signer.x5u} if signer.x5u else {"x5c": x5c(signer.chain)}
    if uuid:
        header["uuid"] = uuid
    signature = _text(_signature(signer, digest.digest()))
    part = {"protected": protected.decode(), "header": header, "signature": signature.decode()}
    return Signed(body, b'","signatures":' + msgspec.json.encode([part]) + b"}")


def sign(body: bytes, signer: Signer, now: Instant) -> Document:
    """As ``signed``, as a document in memory."""
    return read(bytes(signed(body, signer, now)))


def sign_again(document: Document, signer: Signer, trust: Trust, now: Instant) -> Document:
    """A signed vCon wrapped in a new signature before its certificates end. Raises as ``open_signed`` and ``sign``."""
    open_signed(document, trust, now)
    return sign(serialize(document), signer, now)


def _signature(signer: Signer, digest: bytes) -> bytes:
    """The signature over a SHA-256 (RFC 7518 sections 3.3 to 3.5)."""
    key = signer.key.get_op_key("sign")
    hashed = Prehashed(SHA256())
    if isinstance(key, RSAPrivateKey):
        if signer.algorithm == "PS256":
            return key.sign(digest, padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size), hashed)
        return key.sign(digest, padding.PKCS1v15(), hashed)
    numbers = decode_dss_signature(key.sign(digest, ec.ECDSA(hashed)))
    return b"".join(number.to_bytes(_COORDINATE) for number in numbers)


def _uuid(body: bytes, depth: int) -> str:
    """The uuid of a vCon, through its signatures; empty when it has none."""
    try:
        peek = msgspec.json.decode(unpacked(body), type=_Peek)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise ProtocolError("vCon is not a JSON object") from None
    if peek.payload is not None and bytes(peek.signatures):
        if not depth or not isinstance(peek.payload, str):
            raise SealBrokenError("payload", "the payload is not a vCon")
        return _uuid(decoded(peek.payload), depth - 1)
    return peek.uuid if isinstance(peek.uuid, str) else ""


def _encoded(body: bytes) -> Iterator[bytes]:
    """Unpadded base64url of bytes, in pieces."""
    view = memoryview(body)
    for at in range(0, len(body), _PIECE):
        piece = pybase64.b64encode(view[at : at + _PIECE], b"-_")
        yield piece if at + _PIECE <= len(body) else piece.rstrip(b"=")


def _text(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
