"""Rules of analyses and attachments (core-04 sections 4.4 and 4.5), with their extensions."""

from __future__ import annotations

import re
from typing import Any, Final

from vcond.vcon.model import ANALYSIS, ATTACHMENT, LAWFUL_BASIS, WTF, Document
from vcond.vcon.validation.content import content
from vcond.vcon.validation.findings import Notes, listed
from vcond.vcon.validation.wtf import wtf

_BASES: Final = frozenset(
    {"consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interests"}
)
_PROOFS: Final = frozenset({"verbal_confirmation", "signed_document", "cryptographic_signature", "external_system"})
_OFFSET: Final = re.compile(r"[0-9]{2,}:[0-5][0-9]:[0-5][0-9](\.[0-9]+)?")
_TYPES: Final = frozenset({"report", "sentiment", "summary", "transcript", "translation", "tts", WTF})
_OLD: Final = ("schema_version", "vendor_schema")


def analyses(document: Document, notes: Notes, *, extended: bool) -> None:
    """All analyses of a document."""
    dialogs, attached = len(listed(document, "dialog")), len(listed(document, "attachments"))
    for index, item in notes.objects(document, "analysis", "$"):
        path = f"$.analysis[{index}]"
        if _removed(item, document):
            continue
        for name in ("type", "vendor"):
            if notes.required(item, name, path):
                notes.string(item, name, path, filled=True)
        if isinstance(item.get("type"), str) and item["type"] not in _TYPES and not extended:
            notes.warning(f"{path}.type", "analysis-type", "is none of the types of core-04")
        for name in ("product", "schema"):
            notes.string(item, name, path)
        for name in _OLD:
            if name in item:
                notes.warning(f"{path}.{name}", "old-name", "the parameter is called schema")
        _indices(item, "dialog", dialogs, path, notes)
        _indices(item, "attachment", attached, path, notes)
        if not content(item, path, notes):
            notes.warning(path, "no-content", "neither body nor url is there")
        elif "body" in item and "mediatype" not in item:
            notes.warning(f"{path}.mediatype", "mediatype-missing", "mediatype should be present beside body")
        if item.get("type") == WTF:
            _transcription(item, path, notes)
        notes.known(
            item, ANALYSIS | {"start", "party"} if item.get("type") == WTF else ANALYSIS, path, extended=extended
        )


def _removed(item: dict[str, Any], document: Document) -> bool:
    """The empty placeholder that redaction leaves, so that indices stay (section 4.1.7)."""
    return not item and ("redacted" in document or "amended" in document)


def _indices(item: dict[str, Any], name: str, count: int, path: str, notes: Notes) -> None:
    """An index or an array of them."""
    if name not in item:
        return
    value = item[name]
    if isinstance(value, list):
        for at, index in enumerate(value):
            notes.index(index, count, f"{path}.{name}[{at}]")
    else:
        notes.index(value, count, f"{path}.{name}")


def _transcription(item: dict[str, Any], path: str, notes: Notes) -> None:
    if "dialog" not in item:
        notes.error(f"{path}.dialog", "missing", "a transcription must name its dialog")
    notes.date(item, "start", path)
    if item.get("encoding") != "json" or not isinstance(item.get("body"), dict):
        if "url" not in item:
            notes.error(f"{path}.body", "wtf", "a transcription is a JSON object under encoding json")
        return
    wtf(item["body"], f"{path}.body", notes)


def attachments(document: Document, notes: Notes, *, extended: bool) -> None:
    """All attachments of a document."""
    dialogs, parties = len(listed(document, "dialog")), len(listed(document, "parties"))
    for index, item in notes.objects(document, "attachments", "$"):
        path = f"$.attachments[{index}]"
        if _removed(item, document):
            continue
        if notes.required(item, "start", path):
            notes.date(item, "start", path)
        for name, count in (("party", parties), ("dialog", dialogs)):
            if notes.required(item, name, path):
                notes.index(item[name], count, f"{path}.{name}")
        purpose = notes.string(item, "purpose", path)
        if "type" in item and purpose is None:
            notes.warning(f"{path}.type", "old-name", "the parameter is called purpose")
        if not content(item, path, notes):
            notes.warning(path, "no-content", "neither body nor url is there")
        elif "body" in item and item["body"] != "" and "mediatype" not in item:
            notes.error(f"{path}.mediatype", "mediatype-missing", "mediatype must be present beside body")
        if purpose == "tags":
            _tags(item, path, notes)
        elif purpose == LAWFUL_BASIS:
            _basis(item, path, notes, document)
        notes.known(item, ATTACHMENT | {"type"}, path, extended=extended)


def _tags(item: dict[str, Any], path: str, notes: Notes) -> None:
    body = item.get("body")
    if not isinstance(body, list) or not all(isinstance(tag, str) and ":" in tag for tag in body):
        notes.warning(f"{path}.body", "tags", 'tags should be an array of "name:value"')


def _basis(item: dict[str, Any], path: str, notes: Notes, document: Document) -> None:
    """draft-howe-vcon-lawful-basis-02."""
    body, party = item.get("body"), item.get("party")
    parties = listed(document, "parties")
    if isinstance(party, int) and 0 <= party < len(parties):
        whose = parties[party]
        if isinstance(whose, dict) and whose.get("type") == "bot":
            notes.warning(f"{path}.party", "lawful-basis", "should name the party whose basis it is, not a bot")
    if not isinstance(body, dict):
        if "url" not in item:
            notes.error(f"{path}.body", "lawful-basis", "must be a JSON object")
        return
    where = f"{path}.body"
    if body.get("lawful_basis") not in _BASES if isinstance(body.get("lawful_basis"), str) else True:
        notes.error(f"{where}.lawful_basis", "lawful-basis", "is no basis of the extension")
    if notes.required(body, "expiration", where) and body["expiration"] is not None:
        notes.date(body, "expiration", where)
    _proofs(body, where, notes, len(listed(document, "dialog")))
    if not notes.required(body, "purpose_grants", where):
        return
    for index, grant in notes.objects(body, "purpose_grants", where):
        at = f"{where}.purpose_grants[{index}]"
        if notes.required(grant, "purpose", at):
            notes.string(grant, "purpose", at, filled=True)
        if not isinstance(grant.get("granted"), bool):
            notes.error(f"{at}.granted", "lawful-basis", "granted must be true or false")
        if notes.required(grant, "granted_at", at):
            notes.date(grant, "granted_at", at)


def _proofs(body: dict[str, Any], where: str, notes: Notes, dialogs: int) -> None:
    """``proof_mechanisms``: three members each, and for what was said where it can be heard. The draft defines no more."""
    for index, proof in notes.objects(body, "proof_mechanisms", where):
        at = f"{where}.proof_mechanisms[{index}]"
        if notes.required(proof, "proof_type", at):
            kind = proof["proof_type"]
            if not isinstance(kind, str) or kind not in _PROOFS:
                notes.error(f"{at}.proof_type", "lawful-basis", "is no proof of the extension")
        if notes.required(proof, "timestamp", at):
            notes.date(proof, "timestamp", at)
        if not notes.required(proof, "proof_data", at):
            continue
        data = proof["proof_data"]
        if not isinstance(data, dict):
            notes.error(f"{at}.proof_data", "lawful-basis", "must be an object")
        elif proof.get("proof_type") == "verbal_confirmation":
            _said(data, f"{at}.proof_data", notes, dialogs)


def _said(data: dict[str, Any], at: str, notes: Notes, dialogs: int) -> None:
    """Where in which dialog it was said, and what."""
    if notes.required(data, "dialog_reference", at):
        notes.index(data["dialog_reference"], dialogs, f"{at}.dialog_reference")
    if notes.required(data, "time_offset", at):
        offset = data["time_offset"]
        if not isinstance(offset, str) or not _OFFSET.fullmatch(offset):
            notes.error(f"{at}.time_offset", "lawful-basis", "must be HH:MM:SS from the start of the dialog")
    if notes.required(data, "confirmation_text", at):
        notes.string(data, "confirmation_text", at)
