"""Shape of the signed and the encrypted form (core-04 sections 5.2, 5.3). Whether a signature is true, ``vcond.vcon.sealing`` says."""

from __future__ import annotations

from typing import Any

import msgspec

from vcond.vcon.model import Document
from vcond.vcon.validation.content import base64url, beginning
from vcond.vcon.validation.findings import Notes


def signed(document: Document, notes: Notes) -> None:
    """JWS general JSON serialization (RFC 7515 section 7.2.1)."""
    _text(document, "payload", "$", notes)
    signatures = notes.objects(document, "signatures", "$")
    if isinstance(document["signatures"], list) and not signatures:
        notes.error("$.signatures", "empty", "a signed vCon has a signature")
    for index, item in signatures:
        path = f"$.signatures[{index}]"
        for name in ("protected", "signature"):
            if notes.required(item, name, path):
                _text(item, name, path, notes)
        if not notes.required(item, "header", path):
            continue
        header = item["header"]
        if not isinstance(header, dict):
            notes.error(f"{path}.header", "type", "header must be an object")
            continue
        if "x5c" not in header and "x5u" not in header:
            notes.error(f"{path}.header", "certificate", "x5c or x5u must be in the unprotected header")
        if "uuid" not in header:
            notes.warning(f"{path}.header.uuid", "missing-should", "uuid should be in the unprotected header")
        protected = _header(item.get("protected"))
        if "alg" not in header and "alg" not in protected:
            notes.error(path, "alg", "alg must be in the header")
        elif "alg" in header and "alg" in protected and header["alg"] != protected["alg"]:
            notes.error(path, "alg", "alg differs between the headers")


def encrypted(document: Document, notes: Notes) -> None:
    """JWE general JSON serialization (RFC 7516 section 7.2.1)."""
    for name in ("protected", "iv", "ciphertext", "tag"):
        if notes.required(document, name, "$"):
            _text(document, name, "$", notes)
    shared = document.get("unprotected", {})
    if not isinstance(shared, dict):
        notes.error("$.unprotected", "type", "unprotected must be an object")
        shared = {}
    for name in ("cty", "uuid"):
        if name not in shared:
            notes.warning(f"$.unprotected.{name}", "missing-should", f"{name} should be present")
    protected = _header(document.get("protected"))
    if "enc" not in protected and "enc" not in shared:
        notes.error("$.protected", "enc", "enc must be in a header")
    recipients = notes.objects(document, "recipients", "$")
    if isinstance(document["recipients"], list) and not recipients:
        notes.error("$.recipients", "empty", "an encrypted vCon has a recipient")
    for index, item in recipients:
        path = f"$.recipients[{index}]"
        if notes.required(item, "encrypted_key", path):
            _text(item, "encrypted_key", path, notes)
        header = item.get("header", {})
        if not isinstance(header, dict) or ("alg" not in header and "alg" not in protected and "alg" not in shared):
            notes.error(f"{path}.header", "alg", "alg must be in the header of the recipient")


def _text(item: dict[str, Any], name: str, path: str, notes: Notes) -> None:
    text = notes.string(item, name, path, filled=True)
    if text is not None:
        base64url(text, f"{path}.{name}", notes)


def _header(text: object) -> dict[str, Any]:
    """A protected header; empty when it is none."""
    if not isinstance(text, str) or len(text) > 65536:
        return {}
    try:
        value = msgspec.json.decode(beginning({"encoding": "base64url", "body": text}, 65536))
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
