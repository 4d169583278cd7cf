"""Rules of file content (core-04 section 2.4): a body with its encoding, or a URL with its hash, never both."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

import msgspec

from vcond.base.errors import BadMediaError
from vcond.vcon.building.riff import wav_format
from vcond.vcon.model import CONTENT_HASH, ENCODINGS, MEDIATYPE
from vcond.vcon.validation.findings import Notes

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_PIECE: Final = 1 << 20
_BOUNDARY: Final = re.compile(r"multipart/mixed\s*;\s*boundary=[\x21-\x7e ]{1,200}")
_JSON_LOOK: Final = 1 << 16
"""Characters of a String body that are tried as JSON."""


def content(item: dict[str, Any], path: str, notes: Notes) -> bool:
    """All rules of content; whether there is any."""
    notes.string(item, "filename", path)
    media = notes.string(item, "mediatype", path)
    if media is not None:
        _mediatype(media, path, notes)
    inline, outside = "body" in item and item["body"] != "", "url" in item
    if inline and outside:
        notes.error(path, "body-and-url", "content is inline or external, not both")
    if inline:
        _inline(item, path, notes)
    elif "encoding" in item:
        notes.string(item, "encoding", path)
    hashed_url(item, path, notes)
    if inline and "mediatype" not in item:
        return True
    return inline or outside


def _mediatype(text: str, path: str, notes: Notes) -> None:
    if MEDIATYPE.fullmatch(text) or _BOUNDARY.fullmatch(text):
        return
    if MEDIATYPE.fullmatch(text.split(";", 1)[0].strip()):
        notes.warning(f"{path}.mediatype", "mediatype-parameters", "no parameters but boundary should be written")
    else:
        notes.error(f"{path}.mediatype", "mediatype", "must be type/subtype")


def _inline(item: dict[str, Any], path: str, notes: Notes) -> None:
    if "encoding" not in item:
        notes.error(f"{path}.encoding", "encoding-missing", "encoding must be present beside body")
        return
    encoding, body = item["encoding"], item["body"]
    if not isinstance(encoding, str) or encoding not in ENCODINGS:
        notes.error(f"{path}.encoding", "encoding", "must be base64url, json or none")
    elif encoding == "json":
        if isinstance(body, str) and _is_json(body):
            notes.warning(f"{path}.body", "json-string", "is a String that holds JSON; should be the value itself")
    elif not isinstance(body, str):
        notes.error(f"{path}.body", "body-type", f"must be a String under encoding {encoding}")
    elif encoding == "base64url":
        base64url(body, f"{path}.body", notes)


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in {"{", "["}:
        return False
    if len(text) > _JSON_LOOK:
        return True
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return False
    return True


def base64url(text: str, path: str, notes: Notes) -> bool:
    """Unpadded base64url; padding is a warning. Whether it can be decoded."""
    bare = text
    if text.endswith("="):
        bare = text[:-2].rstrip("=") + text[-2:].rstrip("=")
        notes.warning(path, "base64-padded", "base64url is written without padding")
    good = len(bare) % 4 != 1 and all(_clean(bare, at) for at in range(0, len(bare), _PIECE))
    if not good:
        notes.error(path, "base64url", "is no base64url")
    return good


def _clean(text: str, at: int) -> bool:
    piece = text[at : at + _PIECE]
    return piece.isascii() and not piece.encode("ascii").translate(None, _ALPHABET)


def hashed_url(item: dict[str, Any], path: str, notes: Notes) -> None:
    """``url`` with ``content_hash``, where present."""
    url = notes.string(item, "url", path)
    if url is not None and not url.lower().startswith("https://"):
        notes.error(f"{path}.url", "https", "must be https")
    if "url" in item and "content_hash" not in item:
        notes.error(f"{path}.content_hash", "hash-missing", "content_hash must be present beside url")
    if "content_hash" not in item:
        return
    value = item["content_hash"]
    hashes = value if isinstance(value, list) else [value]
    if not hashes:
        notes.error(f"{path}.content_hash", "hash", "must not be empty")
    for text in hashes:
        _hash(text, f"{path}.content_hash", notes)


def _hash(text: object, path: str, notes: Notes) -> None:
    if not isinstance(text, str) or not CONTENT_HASH.fullmatch(text):
        notes.error(path, "hash", "must be an algorithm, a hyphen and a digest in base64url")
    elif text.startswith("sha512-") and len(text) != len("sha512-") + 86:
        notes.error(path, "hash", "a SHA-512 digest has 64 bytes")


def beginning(item: dict[str, Any], size: int = 1024) -> bytes:
    """The first bytes of an inline base64url body; empty when there are none."""
    body = item.get("body")
    if item.get("encoding") != "base64url" or not isinstance(body, str):
        return b""
    text = body[: -(-size // 3) * 4].rstrip("=")
    try:
        return base64.urlsafe_b64decode(text[: len(text) - (len(text) % 4 == 1)] + "==")
    except (binascii.Error, ValueError):
        return b""


def channels(item: dict[str, Any]) -> int:
    """How many channels an inline WAV, FLAC or Ogg/Opus recording has; 0 when that cannot be seen."""
    head = beginning(item)
    if head.startswith(b"RIFF"):
        try:
            return wav_format(head)[1]
        except BadMediaError:
            return 0
    if head.startswith(b"fLaC") and len(head) >= 21 and head[4] & 0x7F == 0:
        return (head[20] >> 1 & 7) + 1
    if head.startswith(b"OggS") and head[28:36] == b"OpusHead" and len(head) > 37:
        return head[37]
    return 0
