"""A document as a receiver can take it. ``build`` makes the truth once; ``fit`` gives each sink its form of it.

``core-04`` is the specification. ``conserver`` is what the deployed vcon-server takes without a 422 and keeps without
dropping: flat parties, telephone numbers of at least five characters, no nulls, tags as an array, less than 10 MB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from vcond.base.errors import ConfigError
from vcond.base.time import parse_rfc3339
from vcond.vcon.building.parties import address
from vcond.vcon.model import CONSERVER_TEL, MEMBERS, SYNTAX, Document
from vcond.vcon.serialize import serialize
from vcond.vcon.validation.findings import Finding, listed

CONSERVER_LIMIT: Final = 10_000_000
"""Bytes of JSON. The file storage of the conserver refuses more than 10,485,760 and tells nobody; it also adds keys."""


class Profile(StrEnum):
    """What a receiver can take."""

    CORE_04 = "core-04"
    CONSERVER = "conserver"


def fit(document: Document, profile: Profile, *, domain: str = "", limit: int = CONSERVER_LIMIT) -> Document:
    """A copy for a receiver; parts that fit as they are are shared with the original, which is never changed.

    ``domain``: of extensions that become SIP addresses. ``limit``: bytes that the receiver takes. Raises ConfigError for a sealed document and a receiver that
    takes none.
    """
    if profile is Profile.CORE_04:
        return document if "payload" in document or "ciphertext" in document else _bare(document)
    if "payload" in document or "ciphertext" in document:
        raise ConfigError(
            "the conserver accepts unsigned vCons only; send the signed or encrypted form to another sink"
        )
    made = _bare({**document, "vcon": SYNTAX})
    if not isinstance(made.get("redacted", {}), dict):
        del made["redacted"]
    made.pop("group", None)
    for name, kind in (("subject", str), ("appended", dict)):
        if not isinstance(made.get(name, kind()), kind):
            del made[name]
    count = len(listed(made, "parties"))
    ways: tuple[tuple[str, Callable[[dict[str, Any]], dict[str, Any]]], ...] = (
        ("parties", lambda party: _party(party, domain)),
        ("dialog", lambda dialog: _dialog(dialog, count)),
        ("analysis", lambda item: _analysis(item, listed(made, "dialog"))),
        ("attachments", _attachment),
    )
    for member, way in ways:
        if member in made:
            made[member] = [way(item) for item in made[member]]
    return _small(made, limit)


def _bare(document: Document) -> Document:
    """Without null and without empty arrays in the places where the specification says they may be left out."""
    made = {name: value for name, value in document.items() if value is not None}
    for member in MEMBERS:
        if member not in made:
            continue
        items = [item if isinstance(item, dict) else {} for item in listed(made, member)]
        if not items:
            del made[member]
            continue
        made[member] = [
            {name: value for name, value in item.items() if value is not None or name == "body"}
            if None in item.values()
            else item
            for item in items
        ]
    return made


def _party(party: dict[str, Any], domain: str) -> dict[str, Any]:
    """A number that the conserver refuses becomes a SIP address, or stays out where there is one."""
    tel = party.get("tel")
    if tel is None or (isinstance(tel, str) and CONSERVER_TEL.fullmatch(tel)):
        return party
    made = {name: value for name, value in party.items() if name != "tel"}
    bare = tel.removeprefix("tel:").strip() if isinstance(tel, str) else ""
    if CONSERVER_TEL.fullmatch(bare):
        return {"tel": bare, **made}
    if bare and not made.get("sip"):
        made["sip"] = address(bare, domain)
    return made


def _dialog(dialog: dict[str, Any], count: int) -> dict[str, Any]:
    """Flat parties that exist; no negative duration; no url that is none."""
    made = dialog
    parties = dialog.get("parties")
    if parties is not None:
        flat = _flat(parties, count)
        if flat != parties:
            made = {**made, "parties": flat}
            if isinstance(made.get("session_id"), list):
                del made["session_id"]
    duration = made.get("duration", 0)
    if isinstance(duration, bool) or not isinstance(duration, (int, float)) or duration < 0:
        made = {name: value for name, value in made.items() if name != "duration"}
    if "url" in made and not _is_url(made["url"]):
        made = {name: value for name, value in made.items() if name not in {"url", "content_hash"}}
    wrong = [name for name, good in _FORMS.items() if name in made and not good(made[name])]
    return {name: value for name, value in made.items() if name not in wrong} if wrong else made


def _analysis(item: dict[str, Any], dialogs: Sequence[Any]) -> dict[str, Any]:
    """Links read ``dialog`` without a guard, and put each text that they find to a language model.

    The ``transcript`` of a file of a recording-set is a part of the whole's: its turns, by which links find texts, are
    left out, so that a call is paid for once and judged as a whole. Its words stay, and a link that transcribes sees
    that it is done.
    """
    if "dialog" not in item:
        return {**item, "dialog": 0} if dialogs else item
    at, body = item["dialog"], item.get("body")
    known = isinstance(at, int) and not isinstance(at, bool) and 0 <= at < len(dialogs)
    part = known and isinstance(dialogs[at], dict) and "recording_set" in dialogs[at]
    if part and item.get("type") == "transcript" and isinstance(body, dict) and "paragraphs" in body:
        return {**item, "body": {name: value for name, value in body.items() if name != "paragraphs"}}
    return item


def _flat(parties: Any, count: int) -> list[int]:
    """Every party once, in order."""
    entries = parties if isinstance(parties, list) else [parties]
    flat = [one for entry in entries for one in (entry if isinstance(entry, list) else [entry])]
    good = [one for one in flat if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < count]
    return good if good == parties else list(dict.fromkeys(good))


def _attachment(item: dict[str, Any]) -> dict[str, Any]:
    """Tags as an array: the conserver appends to it."""
    body = item.get("body")
    if item.get("purpose") == "tags" and isinstance(body, dict):
        return {**item, "body": [f"{name}:{value}" for name, value in body.items()]}
    return item


def _small(document: Document, limit: int) -> Document:
    """Below the limit: the largest recordings leave their audio at the edge, and a tag says so."""
    size = len(serialize(document))
    if size <= limit:
        return document
    dialogs = list(listed(document, "dialog"))
    largest = sorted(range(len(dialogs)), key=lambda at: -_weight(dialogs[at]))
    for at in largest:
        weight = _weight(dialogs[at])
        if size <= limit or not weight:
            break
        left_out = {"body", "encoding", "mediatype", "filename"}
        dialogs[at] = {name: value for name, value in dialogs[at].items() if name not in left_out}
        size -= weight
    return _tagged({**document, "dialog": dialogs}, "vcond_audio:edge")


def _weight(dialog: dict[str, Any]) -> int:
    body = dialog.get("body")
    return len(body) if isinstance(body, str) and dialog.get("type") == "recording" else 0


def _tagged(document: Document, tag: str) -> Document:
    attachments = list(listed(document, "attachments"))
    for at, item in enumerate(attachments):
        if item.get("purpose") == "tags" and isinstance(item.get("body"), list):
            if tag not in item["body"]:
                attachments[at] = {**item, "body": [*item["body"], tag]}
            break
    return {**document, "attachments": attachments} if attachments else document


_ALGORITHMS: Final = frozenset(
    {f"SHA-{bits}" for bits in (256, 384, 512)}
    | {f"{kind}{bits}" for kind in ("HS", "RS", "ES", "PS") for bits in (256, 384, 512)}
)
_MIMETYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_FORMS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "alg": lambda value: isinstance(value, str) and value in _ALGORITHMS,
    "mimetype": lambda value: isinstance(value, str) and _MIMETYPE.fullmatch(value) is not None,
    "start": lambda value: isinstance(value, str),
}
"""Members of a dialog for which the conserver answers 422 unless they have this form; core-04 knows the last only."""
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+", re.DOTALL)


def preflight(document: Document, *, limit: int = CONSERVER_LIMIT) -> list[Finding]:
    """What the deployed conserver would answer 422 for, or drop without a word: an empty list means it takes it.

    Mirrors the checks of vcon-server b9b0381 as spec/conserver-and-peers.md section 3.5 has them.
    """
    found: list[Finding] = []

    def refuse(path: str, message: str) -> None:
        found.append(Finding("error", path, "conserver", message))

    if not isinstance(document.get("vcon"), str):
        refuse("$.vcon", "must be a String")
    if not _parses(UUID, document.get("uuid")):
        refuse("$.uuid", "must be a UUID")
    if not _parses(parse_rfc3339, document.get("created_at")):
        refuse("$.created_at", "must be a date")
    for name, kind in (("subject", str), ("appended", dict)):
        if not isinstance(document.get(name, kind()), kind):
            refuse(f"$.{name}", "is of the wrong type")
    if "redacted" in document and not isinstance(document["redacted"], dict):
        refuse("$.redacted", "must be an object")
    for member in (*MEMBERS, "group"):
        if member in document and not isinstance(document[member], list):
            refuse(f"$.{member}", "must be an array")
    count = len(listed(document, "parties"))
    for at, party in enumerate(listed(document, "parties")):
        tel = party.get("tel") if isinstance(party, dict) else 0
        if tel is not None and not (isinstance(tel, str) and CONSERVER_TEL.fullmatch(tel)):
            refuse(f"$.parties[{at}].tel", "does not have the form of a telephone number")
    for at, dialog in enumerate(listed(document, "dialog")):
        _preflight_dialog(dialog, f"$.dialog[{at}]", count, refuse)
    for at, item in enumerate(listed(document, "analysis")):
        if not isinstance(item, dict) or ("dialog" not in item and document.get("dialog")):
            refuse(f"$.analysis[{at}].dialog", "links of the conserver read it unchecked")
    if len(serialize(document)) > limit:
        refuse("$", "is larger than the receiver accepts")
    return found


def _preflight_dialog(dialog: Any, path: str, count: int, refuse: Callable[[str, str], None]) -> None:
    if not isinstance(dialog, dict):
        refuse(path, "must be an object")
        return
    parties = dialog.get("parties", [])
    if not isinstance(parties, list) or any(
        isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < count for one in parties
    ):
        refuse(f"{path}.parties", "must be a flat array of indices in range")
    duration = dialog.get("duration", 0)
    if isinstance(duration, bool) or not isinstance(duration, (int, float)) or duration < 0:
        refuse(f"{path}.duration", "must be a number of at least 0")
    if "url" in dialog and not _is_url(dialog["url"]):
        refuse(f"{path}.url", "must be a URL")
    for name, good in _FORMS.items():
        if name in dialog and not good(dialog[name]):
            refuse(f"{path}.{name}", "has a form that the conserver refuses")


def _is_url(text: object) -> bool:
    return isinstance(text, str) and _URL.fullmatch(text) is not None


def _parses(parse: Callable[[str], Any], text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        parse(text)
    except ValueError:
        return False
    return True
