"""Reading what others and earlier drafts wrote, 0.0.1 to 0.4.0, into today's model (core-04).

Every rename and every change of form is here, named after the draft that made it. What a draft did not ask for and
core-04 does is filled in only where it is known: see ``_attachment``.
"""

from __future__ import annotations

import binascii
import re
from typing import Any, Final

import msgspec

from vcond.base.errors import ProtocolError
from vcond.base.time import Instant, parse_rfc3339
from vcond.vcon.building.attributes import session
from vcond.vcon.building.extensions import used
from vcond.vcon.dates import date
from vcond.vcon.model import EXTENSIONS, MEMBERS, SYNTAX, Document
from vcond.vcon.validation.content import beginning
from vcond.vcon.validation.findings import listed

KNOWN: Final = frozenset({"0.0.1", "0.0.2", "0.3.0", "0.4.0"})

_TOP: Final = {"appended": "amended", "must_support": "critical"}
_DIALOG: Final = {
    "mimetype": "mediatype", "transfer-target": "transfer_target", "target-dialog": "target_dialog",
}  # fmt: skip
_ANALYSIS: Final = {"mimetype": "mediatype", "schema_version": "schema", "vendor_schema": "schema"}
_ATTACHMENT: Final = {"mimetype": "mediatype", "type": "purpose"}
_ONE: Final = ("transferee", "transferor", "transfer_target", "original", "target_dialog", "consultation")
_HASHES: Final = {"SHA-512": "sha512", "SHA-384": "sha384", "SHA-256": "sha256"}
_BEGINNINGS: Final = (
    (b"RIFF", "audio/x-wav"), (b"OggS", "audio/ogg"), (b"fLaC", "audio/flac"), (b"ID3", "audio/x-mp3"),
    (b"\xff\xfb", "audio/x-mp3"), (b"\xff\xf3", "audio/x-mp3"),
)  # fmt: skip
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


def upgrade(document: Document) -> Document:
    """The document in the words of core-04. A document of today comes back equal; the original is not changed.

    Raises ProtocolError for a sealed document (open it first), a syntax that is not known, and a critical extension
    that is not known (which must not be processed).
    """
    if "payload" in document or "ciphertext" in document:
        raise ProtocolError("signed or encrypted vCon: verify or decrypt it first")
    version = document.get("vcon", SYNTAX)
    if not isinstance(version, str) or version not in KNOWN:
        raise ProtocolError("vCon of an unknown syntax version")
    old = version != SYNTAX
    made = _renamed(_without_null(document), _TOP)
    critical = made.get("critical", [])
    if not isinstance(critical, list) or any(name not in list(EXTENSIONS) for name in critical):
        raise ProtocolError("vCon with an unknown critical extension")
    if "vcon" in made:
        made["vcon"] = SYNTAX
    _dates(made, ("created_at", "updated_at"))
    for name in ("redacted", "amended", "group"):
        if name in made and not made[name]:
            del made[name]
        elif isinstance(made.get(name), dict):
            made[name] = _content(_without_null(made[name]), old=old, body=False)
    for member in MEMBERS:
        if member in made:
            made[member] = [_without_null(item) if isinstance(item, dict) else {} for item in listed(made, member)]
    made |= {"dialog": [_dialog(item, old=old) for item in made["dialog"]]} if "dialog" in made else {}
    made |= {"analysis": [_analysis(item, old=old) for item in made["analysis"]]} if "analysis" in made else {}
    _created(made)
    if "attachments" in made:
        made["attachments"] = [_attachment(item, made, old=old) for item in made["attachments"]]
    _extended(made)
    return made


def _without_null(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None or name == "body"}


def _renamed(item: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """With today's names, in the old order; where both are there the old one goes."""
    kept = {name: value for name, value in item.items() if name not in names or names[name] not in item}
    return {names.get(name, name): value for name, value in kept.items()}


def _dates(item: dict[str, Any], names: tuple[str, ...]) -> None:
    """Dates of libraries: seconds since the epoch, and dates without an offset, which they mean as UTC."""
    for name in names:
        value = item.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 253_402_300_800:
            item[name] = date(Instant(round(value * 1000) * 1_000_000))
        elif isinstance(value, str) and not _offset(value):
            at = _moment(value + ("T00:00:00Z" if _DAY.fullmatch(value) else "Z"))
            if at is not None:
                item[name] = date(at)


def _offset(text: str) -> bool:
    return _moment(text) is not None and "T" in text


def _moment(text: str) -> Instant | None:
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        return None


def _created(document: Document) -> None:
    """The examples of core-03 lack created_at: the last change, else the earliest dialog, stands in for it."""
    if "created_at" in document:
        return
    starts = [item["start"] for item in listed(document, "dialog") if isinstance(item.get("start"), str)]
    known = [at for at in map(_moment, starts) if at is not None]
    if isinstance(document.get("updated_at"), str):
        document["created_at"] = document["updated_at"]
    elif known:
        document["created_at"] = date(min(known))


def _dialog(item: dict[str, Any], *, old: bool) -> dict[str, Any]:
    """container-00 to core-03."""
    made = _renamed(item, _DIALOG)
    made.setdefault("type", "recording")  # core-04: the placeholder of something redacted has a type
    _dates(made, ("start",))
    for name in _ONE:  # core-01 to core-03 allowed arrays
        if isinstance(made.get(name), list):
            value = made.pop(name)
            while isinstance(value, list):
                value = value[0] if value else None
            if value is not None:
                made[name] = value
    if isinstance(made.get("session_id"), str):  # core-00: a String
        text = re.sub(r"(?<=[0-9a-fA-F])-(?=[0-9a-fA-F])", "", made.pop("session_id"))
        if known := session(text):
            made["session_id"] = known
    if isinstance(made.get("party_history"), list):
        made["party_history"] = [
            moment for one in made["party_history"] if isinstance(one, dict) for moment in _moments(_without_null(one))
        ]
    if made["type"] in ("transfer", "incomplete", "recording-set"):  # core-04: not applicable
        made.pop("mediatype", None)
        made.pop("filename", None)
    for name in ("recordings", "party_history", "url", "filename"):
        if name in made and not made[name]:
            del made[name]
    made = _content(made, old=old)
    if made.get("body", "") != "" and "mediatype" not in made:
        made["mediatype"] = "text/plain" if made["type"] == "text" else _media(made)
    return made


def _moments(moment: dict[str, Any]) -> list[dict[str, Any]]:
    """An early core-01 had one ``dtmf`` where there are keydown and keyup now."""
    _dates(moment, ("time",))
    if moment.get("event") != "dtmf":
        return [moment]
    return [{**moment, "event": event} for event in ("keydown", "keyup")]


def _analysis(item: dict[str, Any], *, old: bool) -> dict[str, Any]:
    """container-00 to core-02."""
    made = _content(_renamed(item, _ANALYSIS), old=old)
    _dates(made, ("start",))
    return made


def _attachment(item: dict[str, Any], document: Document, *, old: bool) -> dict[str, Any]:
    """container-00 to core-03. A party that core-04 wants and nobody named is one whose name says that."""
    made = _content(_renamed(item, _ATTACHMENT), old=old)
    _dates(made, ("start",))
    if not made:
        return made
    if "start" not in made and "created_at" in document:
        made["start"] = document["created_at"]
    if "dialog" not in made and document.get("dialog"):
        made["dialog"] = 0
    if "party" not in made:
        made["party"] = _unknown(document)
    if made.get("body", "") != "" and "mediatype" not in made:
        made["mediatype"] = _media(made)
    return made


def _unknown(document: Document) -> int:
    """The index of a party that stands for whoever contributed an attachment; added behind all others."""
    nobody = {"name": "unknown contributor", "validation": "none"}
    parties = document.setdefault("parties", [])
    if nobody not in parties:
        parties.append(nobody)
    return int(parties.index(nobody))


def _content(item: dict[str, Any], *, old: bool, body: bool = True) -> dict[str, Any]:
    """``alg`` and ``signature`` to ``content_hash`` (container-02), ``base64`` to ``base64url``, JSON to its value."""
    made = dict(item)
    digest, name = made.get("signature"), made.get("alg")
    if isinstance(digest, str) and isinstance(name, str) and name.upper() in _HASHES and "content_hash" not in made:
        made["content_hash"] = f"{_HASHES[name.upper()]}-{_url_safe(digest)}"
    if "content_hash" in made or "url" in made:
        made.pop("alg", None)
        made.pop("signature", None)
    if not body or "body" not in made:
        if made.get("encoding") == "":
            del made["encoding"]
        return made
    text = made["body"]
    encoding = made.get("encoding") or ("none" if isinstance(text, str) else "json")
    if encoding == "base64" and isinstance(text, str):
        encoding, made["body"] = "base64url", _url_safe(text)
    elif encoding == "base64url" and isinstance(text, str):
        made["body"] = text.rstrip("=")
    elif encoding == "none" and not isinstance(text, str):
        encoding = "json"
    elif encoding == "json" and isinstance(text, str):
        made["body"] = _json(text, every=old)
    if text == "":
        made.pop("body")
        made.pop("encoding", None)
    else:
        made["encoding"] = encoding
    return made


def _url_safe(text: str) -> str:
    """Ordinary base64 in the URL alphabet; line breaks and padding go."""
    return "".join(text.split()).rstrip("=").replace("+", "-").replace("/", "_")


def _json(text: str, *, every: bool) -> Any:
    """Up to core-02 a String held the JSON, and libraries go on writing it so.

    What is no JSON was meant as a String; so was, in a document of 0.4.0, what is JSON but neither object nor array.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return text
    return value if every or isinstance(value, (dict, list)) else text


def _media(item: dict[str, Any]) -> str:
    """The media type of content that carries none: by its encoding and first bytes."""
    if item.get("encoding") == "json":
        return "application/json"
    if item.get("encoding") == "none":
        return "text/plain"
    try:
        head = beginning(item, 12)
    except (binascii.Error, ValueError):
        head = b""
    return next((kind for start, kind in _BEGINNINGS if head.startswith(start)), "application/octet-stream")


def _extended(document: Document) -> None:
    """``extensions`` (core-00) lists what is used."""
    names = [name for name in listed(document, "extensions") if isinstance(name, str)]
    names += [name for name in used(document) if name not in names]
    if names:
        document["extensions"] = list(dict.fromkeys(names))
