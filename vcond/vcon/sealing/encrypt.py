"""The encrypted form (core-04 section 5.3): JWE in general JSON serialization around a signed vCon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from jwcrypto.common import JWException
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

from vcond.base.errors import ConfigError, ProtocolError
from vcond.vcon.model import Document
from vcond.vcon.sealing.verify import SealBrokenError, decoded
from vcond.vcon.serialize import pack, read, serialize

KEYS: Final = ("RSA-OAEP", "RSA-OAEP-256")
"""How the content key may be wrapped; the first is what we do."""
CONTENT: Final = ("A256CBC-HS512", "A256GCM")
"""How the content may be encrypted; the first is what we do."""
MOST_RECIPIENTS: Final = 64
_PLAIN, _PACKED = "application/vcon", "application/vcon+gzip"


def encrypt(document: Document, recipients: Sequence[JWK], *, packed: bool = False) -> Document:
    """A signed vCon that only the recipients can read. ``packed``: with gzip inside.

    Raises ConfigError without a recipient or for an unsigned document, which section 5.3 forbids to encrypt.
    """
    if not ("payload" in document and "signatures" in document):
        raise ConfigError("a vCon must be signed before it is encrypted")
    if not 0 < len(recipients) <= MOST_RECIPIENTS:
        raise ConfigError(f"an encrypted vCon has 1 to {MOST_RECIPIENTS} recipients")
    shared = {"cty": _PACKED if packed else _PLAIN}
    uuid = _claimed(document)
    if uuid:
        shared["uuid"] = uuid
    envelope = JWE(
        pack(document) if packed else serialize(document),
        protected=_json({"enc": CONTENT[0]}),
        unprotected=_json(shared),
        algs=[KEYS[0], CONTENT[0]],
    )
    try:
        for key in recipients:
            envelope.add_recipient(key, header=_json({"alg": KEYS[0]}))
    except (JWException, ValueError, TypeError):
        raise ConfigError("a recipient's key cannot be used for RSA-OAEP") from None
    made = msgspec.json.decode(envelope.serialize())
    if (
        "recipients" not in made
    ):  # jwcrypto writes one recipient in the flattened form; the vCon form is the general one
        made["recipients"] = [{name: made.pop(name) for name in ("header", "encrypted_key") if name in made}]
    order = ("protected", "unprotected", "recipients", "iv", "ciphertext", "tag")
    return {name: made[name] for name in order}


def decrypt(document: Document, key: JWK) -> Document:
    """The signed vCon in an encrypted one; open it with ``verify.open_signed`` before believing a word.

    Raises SealBrokenError when it is no encrypted vCon, is not for this key, was changed, or names another uuid or
    form than what is inside (those names are outside of what encryption protects).
    """
    recipients = document.get("recipients")
    if not isinstance(recipients, list) or not 0 < len(recipients) <= MOST_RECIPIENTS:
        raise SealBrokenError("form", "not an encrypted vCon")
    shared = document.get("unprotected", {})
    if not isinstance(shared, dict):
        raise SealBrokenError("header", "header is not an object")
    try:
        envelope = JWE(algs=[*KEYS, *CONTENT])
        envelope.deserialize(serialize(_checked(document)).decode(), key)
    except (JWException, ValueError, TypeError, KeyError, AttributeError, IndexError):
        raise SealBrokenError("decryption", "encrypted for another key, or changed") from None
    plain: bytes = envelope.payload
    inner = _signed(plain)
    if "uuid" in shared and shared["uuid"] != _claimed(inner):
        raise SealBrokenError("uuid", "the uuid of the envelope differs from that of the vCon")
    if (
        "cty" in shared
        and shared["cty"] != (_PACKED if plain.startswith(b"\x1f\x8b") else _PLAIN)
        and shared["cty"] != _OLD
    ):
        raise SealBrokenError("header", "the envelope names another form than its content has")
    return inner


_OLD: Final = "application/vcon+json"
"""What the draft's own example says."""


def _checked(document: Document) -> Document:
    """The parts that RFC 7516 knows, without a compression that could blow up."""
    protected = document.get("protected", "")
    header: Any = {}
    if isinstance(protected, str) and protected:
        try:
            header = msgspec.json.decode(decoded(protected))
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise SealBrokenError("header", "header is not an object") from None
    if not isinstance(header, dict) or "zip" in header or "crit" in header:
        raise SealBrokenError("header", "unknown critical header")
    known = ("protected", "unprotected", "recipients", "iv", "ciphertext", "tag", "aad")
    return {name: document[name] for name in known if name in document}


def _signed(plain: bytes) -> Document:
    try:
        inner = read(plain)
    except SealBrokenError:
        raise
    except ProtocolError:
        raise SealBrokenError("payload", "the content is not a vCon") from None
    if not ("payload" in inner and "signatures" in inner):
        raise SealBrokenError("payload", "the content is not signed")
    return inner


def _claimed(document: Document) -> str:
    """The uuid that the first signature's header names."""
    signatures = document.get("signatures")
    first = signatures[0] if isinstance(signatures, list) and signatures else None
    header = first.get("header") if isinstance(first, dict) else None
    uuid = header.get("uuid") if isinstance(header, dict) else None
    return uuid if isinstance(uuid, str) else ""


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
