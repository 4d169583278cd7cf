"""Is this a vCon? Our own validator of draft-ietf-vcon-vcon-core-04 and the extensions that a telephony edge writes.

Every rule has a stable code; the table of rules with an example each is tests/unit/vcon/test_vcon_rules.py.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from vcond.vcon.building.extensions import used
from vcond.vcon.model import (
    CC_PARTY,
    CIVIC,
    EXTENSIONS,
    MEMBERS,
    PARTY,
    PARTY_TYPES,
    ROLES,
    SIP_PARTY,
    SYNTAX,
    TOP,
    Document,
)
from vcond.vcon.validation import analyses, dialogs, sealed_forms
from vcond.vcon.validation.content import hashed_url
from vcond.vcon.validation.findings import EnoughError, Finding, Notes

_OLDER: Final = frozenset({"0.0.1", "0.0.2", "0.1.0", "0.2.0", "0.3.0"})
"""Syntaxes of earlier drafts."""
_TEXTS: Final = PARTY - {"civicaddress"} | SIP_PARTY


def validate(document: object) -> list[Finding]:
    """All that is wrong or unwise in a document of any form, at most ``findings.MOST`` and one more.

    Raises nothing, whatever the document holds. An empty list, or one of warnings only, means that it is a vCon.
    """
    notes = Notes()
    with suppress(EnoughError):
        _document(document, notes)
    return notes.found


def _document(document: object, notes: Notes) -> None:
    if not isinstance(document, dict):
        notes.error("$", "type", "a vCon is a JSON object")
        return
    if "ciphertext" in document and "recipients" in document:
        sealed_forms.encrypted(document, notes)
    elif "payload" in document and "signatures" in document:
        sealed_forms.signed(document, notes)
    else:
        _unsigned(document, notes)


def _unsigned(document: Document, notes: Notes) -> None:
    if not any(member in document for member in MEMBERS):
        notes.warning("$", "no-members", "none of parties, dialog, analysis and attachments is there")
    _head(document, notes)
    extended = _extensions(document, notes)
    _versions(document, notes)
    for index, party in notes.objects(document, "parties", "$"):
        _party(party, f"$.parties[{index}]", notes, extended=extended)
    dialogs.dialogs(document, notes, extended=extended)
    analyses.analyses(document, notes, extended=extended)
    analyses.attachments(document, notes, extended=extended)
    notes.known(document, TOP, "$", extended=extended)


def _head(document: Document, notes: Notes) -> None:
    """Section 4.1."""
    if notes.required(document, "uuid", "$"):
        _uuid(document, "$", notes, mine=True)
    if notes.required(document, "created_at", "$"):
        notes.date(document, "created_at", "$")
    notes.date(document, "updated_at", "$")
    notes.string(document, "subject", "$")
    if "vcon" in document and document["vcon"] != SYNTAX:
        older = isinstance(document["vcon"], str) and document["vcon"] in _OLDER
        hint = f"; this is one of {document['vcon']}: vcond convert updates it to the current form" if older else ""
        notes.error("$.vcon", "syntax", f'vcon, if present, must be "{SYNTAX}"{hint}')
    if "group" in document:
        notes.error("$.group", "reserved", "group is reserved and must not be written")


def _uuid(item: dict[str, Any], path: str, notes: Notes, *, mine: bool) -> None:
    text = notes.string(item, "uuid", path, filled=True)
    if text is None:
        return
    try:
        parsed = UUID(text)
    except ValueError:
        notes.error(f"{path}.uuid", "uuid", "is no UUID")
        return
    if str(parsed) != text.lower():
        notes.error(f"{path}.uuid", "uuid", "a UUID is written in the form 8-4-4-4-12")
    elif mine and parsed.version != 8:
        notes.warning(f"{path}.uuid", "uuid-version", "should be of version 8")


def _extensions(document: Document, notes: Notes) -> bool:
    """Lists of extensions; whether one is listed that we do not know, so that unknown parameters may be its."""
    names = notes.strings(document, "extensions", "$")
    critical = notes.strings(document, "critical", "$")
    for index, name in enumerate(critical):
        if name not in EXTENSIONS:
            notes.error(f"$.critical[{index}]", "critical", "unknown extension: the vCon must not be processed")
        if name not in names:
            notes.warning(f"$.critical[{index}]", "critical-unlisted", "should be in extensions too")
    if len(set(names)) != len(names):
        notes.warning("$.extensions", "extension-twice", "a name is listed twice")
    for name in used(document):
        if name not in names:
            notes.warning("$.extensions", "extension-unlisted", f"parameters of {name} are used and it is not listed")
    return any(name not in EXTENSIONS for name in names)


def _versions(document: Document, notes: Notes) -> None:
    """Sections 4.1.7 and 4.1.8: redacted or amended, not both."""
    if "redacted" in document and "amended" in document:
        notes.error("$", "redacted-amended", "a vCon is redacted or amended, not both")
    for name in ("redacted", "amended"):
        if name not in document:
            continue
        item = document[name]
        path = f"$.{name}"
        if not isinstance(item, dict):
            notes.error(path, "type", f"{name} must be an object")
            continue
        if "uuid" in item:
            _uuid(item, path, notes, mine=False)
            if item["uuid"] == document.get("uuid"):
                notes.error(f"{path}.uuid", "own-uuid", "the other version must have a uuid of its own")
        if name == "redacted":
            if notes.required(item, "type", path):
                notes.string(item, "type", path, filled=True)
        elif "uuid" not in item and "url" not in item:
            notes.error(f"{path}.uuid", "missing", "uuid or url of the earlier version must be present")
        hashed_url(item, path, notes)


def _party(party: dict[str, Any], path: str, notes: Notes, *, extended: bool) -> None:
    """Section 4.2; role is of the CC extension."""
    if not party:
        return
    for name in sorted(_TEXTS & party.keys()):
        notes.string(party, name, path)
    if "name" in party and "validation" not in party and party["name"] != "anonymous":
        notes.warning(f"{path}.validation", "validation", "should be present beside name")
    tel = party.get("tel")
    if isinstance(tel, str) and not any(sign.isdigit() for sign in tel[:64]):
        notes.warning(f"{path}.tel", "tel", "is no telephone number")
    kind = party.get("type")
    if isinstance(kind, str) and kind not in PARTY_TYPES:
        notes.warning(f"{path}.type", "party-type", "should be person, bot or organization")
    did = party.get("did")
    if isinstance(did, str) and not did.startswith("did:"):
        notes.error(f"{path}.did", "did", "must be a DID URI")
    stir = party.get("stir")
    if isinstance(stir, str) and stir.count(".") != 2:
        notes.error(f"{path}.stir", "stir", "must be a PASSporT in JWS compact form")
    role = notes.string(party, "role", path)
    if role is not None and role not in ROLES:
        notes.warning(f"{path}.role", "role", "is no role of the CC extension")
    address = party.get("civicaddress")
    if "civicaddress" in party:
        if not isinstance(address, dict) or not all(isinstance(value, str) for value in address.values()):
            notes.error(f"{path}.civicaddress", "type", "must be an object of Strings")
        elif not CIVIC.issuperset(address):
            notes.warning(f"{path}.civicaddress", "civicaddress", "has a name that PIDF-LO does not define")
    if "contact_list" in party and not isinstance(party["contact_list"], (str, list)):
        notes.error(f"{path}.contact_list", "type", "must be a String or an array")
    notes.known(party, _PARTY_ALL, path, extended=extended)


_PARTY_ALL: Final = PARTY | CC_PARTY | SIP_PARTY

__all__ = ["Finding", "validate"]
