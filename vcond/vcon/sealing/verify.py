"""The signed form (core-04 section 5.2): JWS in general JSON serialization, opened.

The framing is ours, because nobody else's does all of it: the general form also for one signature, ``alg`` where each
reader looks for it, payloads of many megabytes in time. Keys and signatures themselves are jwcrypto's.

What is signed is bytes: ``open_signed`` returns the very bytes, and re-serialising a document loses its signature.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwcrypto.common import JWException
from jwcrypto.jwa import JWA
from jwcrypto.jwk import JWK

from vcond.base.errors import ProtocolError
from vcond.base.time import Instant
from vcond.vcon.model import Document
from vcond.vcon.sealing.keys import ALGORITHMS, LONGEST_CHAIN, Trust, trusted
from vcond.vcon.serialize import read, unpacked

DEEPEST: Final = 8
"""Signatures around signatures (long archives, section 5.2.5) that are unwrapped."""
MOST_SIGNATURES: Final = 8
LARGEST_HEADER: Final = 128 * 1024
"""Bytes of a protected header."""


class SealBrokenError(ProtocolError):
    """A sealed vCon that is not what it claims. ``reason`` is a stable token, listed in docs/vcon.md."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Opened:
    """What was inside a seal that holds."""

    document: Document
    """The unsigned vCon."""
    payload: bytes
    """Its very bytes, gunzipped."""
    chain: tuple[x509.Certificate, ...]
    """Of the outermost signature, leaf first."""
    algorithm: str
    layers: int = 1
    """Signatures around it; only the outermost was verified."""


def open_signed(
    document: Document, trust: Trust, now: Instant, *, chain: Sequence[x509.Certificate] | None = None
) -> Opened:
    """Verify a signed vCon and give what is in it. One signature that holds is enough; nothing of it is changed.

    ``chain``: the certificates that an ``x5u`` names, fetched by the caller (this room does no I/O).
    Raises SealBrokenError with the reason of the last signature that was tried.
    """
    signatures = document.get("signatures")
    payload = document.get("payload")
    if not isinstance(payload, str) or not isinstance(signatures, list):
        raise SealBrokenError("form", "not a signed vCon")
    if not 0 < len(signatures) <= MOST_SIGNATURES:
        raise SealBrokenError("form", f"a signed vCon has 1 to {MOST_SIGNATURES} signatures")
    broken: SealBrokenError | None = None
    for item in signatures:
        try:
            certificates, algorithm, header = _verified(item, payload, trust, now, chain)
        except SealBrokenError as why:
            broken = why
            continue
        return _inner(payload, certificates, algorithm, header)
    assert broken is not None
    raise broken


def _verified(
    item: object, payload: str, trust: Trust, now: Instant, given: Sequence[x509.Certificate] | None
) -> tuple[tuple[x509.Certificate, ...], str, dict[str, Any]]:
    """The chain, algorithm and joined header of a signature that holds."""
    if not isinstance(item, dict) or not all(isinstance(item.get(name), str) for name in ("protected", "signature")):
        raise SealBrokenError("form", "incomplete signature")
    header, algorithm = _headers(item)
    certificates = tuple(given) if given and "x5c" not in header else _chain(header.get("x5c"))
    why = trusted(certificates, trust, now)
    if why:
        raise SealBrokenError(why, f"the certificate chain is {why}")
    try:
        spoken = f"{item['protected']}.{payload}".encode("ascii")
        public = certificates[0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        JWA.signing_alg(algorithm).verify(JWK.from_pem(public), spoken, decoded(item["signature"]))
    except (InvalidSignature, JWException, ValueError, TypeError, KeyError):
        raise SealBrokenError("signature", "the signature is not valid") from None
    return certificates, algorithm, header


def _headers(item: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Both headers as one, and the algorithm.

    RFC 7515 allows a name in one of them only; the draft's own example has alg and x5c in both. Equal is accepted.
    """
    text = item["protected"]
    if len(text) > LARGEST_HEADER * 4 // 3:
        raise SealBrokenError("header", "protected header too large")
    protected = _object(decoded(text)) if text else {}
    plain = item.get("header", {})
    if not isinstance(plain, dict):
        raise SealBrokenError("header", "header is not an object")
    if any(plain[name] != protected[name] for name in protected.keys() & plain.keys()):
        raise SealBrokenError("header", "the headers contradict one another")
    header = {**plain, **protected}
    if {"crit", "b64"} & header.keys():
        raise SealBrokenError("header", "unknown critical header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise SealBrokenError("algorithm", f"the algorithm must be one of {', '.join(ALGORITHMS)}")
    return header, algorithm


def _chain(value: object) -> tuple[x509.Certificate, ...]:
    """The certificates of ``x5c``."""
    if not isinstance(value, list) or not 0 < len(value) <= LONGEST_CHAIN:
        raise SealBrokenError("certificate", f"no x5c of 1 to {LONGEST_CHAIN} certificates")
    found = []
    for text in value:
        try:
            found.append(x509.load_der_x509_certificate(base64.b64decode(text, validate=True)))
            found[-1].public_key()
        except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm):
            raise SealBrokenError("certificate", "x5c holds no certificate") from None
    return tuple(found)


def _inner(payload: str, chain: tuple[x509.Certificate, ...], algorithm: str, header: dict[str, Any]) -> Opened:
    """The unsigned vCon in a payload that is believed, through signatures around signatures."""
    body = decoded(payload)
    document = _document(body)
    layers = 1
    while "payload" in document and "signatures" in document:
        if layers == DEEPEST or not isinstance(document["payload"], str):
            raise SealBrokenError("payload", "the payload is not a vCon")
        body = decoded(document["payload"])
        document = _document(body)
        layers += 1
    if "uuid" in header and header["uuid"] != document.get("uuid"):
        raise SealBrokenError("uuid", "the uuid of the header differs from that of the vCon")
    return Opened(document, unpacked(body), chain, algorithm, layers)


def _document(body: bytes) -> Document:
    try:
        return read(body)
    except ProtocolError:
        raise SealBrokenError("payload", "the payload is not a vCon") from None


def decoded(text: str) -> bytes:
    """base64url, padded or not, and nothing else. Raises SealBrokenError."""
    bare = text.rstrip("=")
    try:
        raw = bare.encode("ascii")
        if b"+" in raw or b"/" in raw:
            raise ValueError("ordinary base64")  # noqa: TRY301 - one place says what is wrong
        return binascii.a2b_base64(raw.translate(_ORDINARY) + b"=" * (-len(raw) % 4), strict_mode=True)
    except ValueError:
        raise SealBrokenError("base64url", "not base64url") from None


_ORDINARY: Final = bytes.maketrans(b"-_", b"+/")


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise SealBrokenError("header", "header is not an object")
    return value
