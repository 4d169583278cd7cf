"""Rules of dialogs (core-04 section 4.3): Table 1, indices, party history, sets and transfers."""

from __future__ import annotations

from typing import Any, Final

from vcond.vcon.model import (
    APPLICABILITY,
    CC_DIALOG,
    DISPOSITIONS,
    HISTORY_EVENTS,
    SESSION,
    SIP_DIALOG,
    TRANSFER_DIALOGS,
    TRANSFER_PARTIES,
    Document,
)
from vcond.vcon.validation.content import channels, content
from vcond.vcon.validation.findings import Notes, listed

_KNOWN: Final = frozenset(APPLICABILITY["recording"]) | SIP_DIALOG | CC_DIALOG
_TEXTS: Final = (
    "application", "message_id", "sip_call_id", "sip_from_tag", "sip_to_tag", "campaign", "interaction_type",
    "interaction_id", "skill",
)  # fmt: skip


def dialogs(document: Document, notes: Notes, *, extended: bool) -> None:
    """All dialogs of a document."""
    parties = len(listed(document, "parties"))
    everything = listed(document, "dialog")
    sets = {
        at: {member for member in listed(item, "recordings") if isinstance(member, int)}
        for at, item in enumerate(everything)
        if _kind(item) == "recording-set"
    }
    for index, item in notes.objects(document, "dialog", "$"):
        path = f"$.dialog[{index}]"
        if not notes.required(item, "type", path):
            continue
        kind = item["type"]
        if not isinstance(kind, str) or kind not in APPLICABILITY:
            notes.error(f"{path}.type", "dialog-type", "is no type of dialog")
            continue
        _table(item, path, notes)
        _values(item, path, notes, parties)
        if kind == "recording":
            _channels(item, path, notes)
        _links(item, index, path, notes, everything, sets, parties)
        notes.known(item, _KNOWN, path, extended=extended)


def _table(item: dict[str, Any], path: str, notes: Notes) -> None:
    """Table 1: what the type must, should, should not and must not have."""
    kind = item["type"]
    for name, mark in APPLICABILITY[kind].items():
        there = name in item
        if mark == "M" and not there:
            notes.error(f"{path}.{name}", "missing", f"{name} must be present on {kind}")
        elif mark == "S" and not there and not _placeholder(item):
            notes.warning(f"{path}.{name}", "missing-should", f"{name} should be present on {kind}")
        elif mark == "X" and there:
            notes.error(f"{path}.{name}", "not-applicable", f"{name} must not be present on {kind}")
        elif mark in {"SN", "-"} and there:
            notes.warning(f"{path}.{name}", "should-not", f"{name} should not be present on {kind}")


def _placeholder(item: dict[str, Any]) -> bool:
    """A dialog that only stands for a leg that is not in the vCon."""
    return item.keys() <= {"type", "disposition"}


def _values(item: dict[str, Any], path: str, notes: Notes, parties: int) -> None:
    kind = item["type"]
    notes.date(item, "start", path)
    notes.number(item, "duration", path)
    for name in _TEXTS:
        notes.string(item, name, path)
    if "sip_cseq" in item:
        notes.index(item["sip_cseq"], 1 << 32, f"{path}.sip_cseq")
    value = item.get("disposition")
    if "disposition" in item and (not isinstance(value, str) or value not in DISPOSITIONS):
        notes.error(f"{path}.disposition", "disposition", "is no disposition of core-04")
    if "parties" in item:
        _parties(item["parties"], f"{path}.parties", notes, parties)
    if "originator" in item:
        notes.index(item["originator"], parties, f"{path}.originator")
    if "session_id" in item:
        _session(item["session_id"], item.get("parties"), f"{path}.session_id", notes)
    _history(item, path, notes, parties)
    if kind in {"recording", "text"}:
        has = content(item, path, notes)
        if "body" in item and item["body"] != "" and "mediatype" not in item:
            notes.error(f"{path}.mediatype", "mediatype-missing", "mediatype must be present beside body")
        if not has and not _placeholder(item):
            notes.warning(path, "no-content", "neither body nor url is there")


def _parties(value: Any, path: str, notes: Notes, count: int) -> None:
    """An index, a flat array, or an array with an entry a channel: index, array of indices, null."""
    if not isinstance(value, list):
        notes.index(value, count, path)
        return
    for at, entry in enumerate(value):
        if isinstance(entry, list):
            for inner, index in enumerate(entry):
                notes.index(index, count, f"{path}[{at}][{inner}]")
        elif entry is not None:
            notes.index(entry, count, f"{path}[{at}]")


def _session(value: Any, parties: Any, path: str, notes: Notes) -> None:
    """A SessionId, or an array shaped like ``parties``."""
    if isinstance(value, list):
        if not isinstance(parties, list) or len(parties) != len(value):
            notes.error(path, "session-shape", "an array of session ids has the shape of parties")
        for at, entry in enumerate(value):
            for one in entry if isinstance(entry, list) else [entry]:
                _one_session(one, f"{path}[{at}]", notes)
        return
    _one_session(value, path, notes)


def _one_session(value: Any, path: str, notes: Notes) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        notes.error(path, "session", "must be an object with local and remote")
        return
    for name in ("local", "remote"):
        part = value.get(name)
        if value and (not isinstance(part, str) or not SESSION.fullmatch(part)):
            notes.error(f"{path}.{name}", "session", "must be 32 lower-case hexadecimal digits")


def _history(item: dict[str, Any], path: str, notes: Notes, parties: int) -> None:
    for index, moment in notes.objects(item, "party_history", path):
        where = f"{path}.party_history[{index}]"
        if notes.required(moment, "party", where):
            notes.index(moment["party"], parties, f"{where}.party")
        if notes.required(moment, "time", where):
            notes.date(moment, "time", where)
        if not notes.required(moment, "event", where):
            continue
        event = moment["event"]
        if not isinstance(event, str) or event not in HISTORY_EVENTS:
            notes.error(f"{where}.event", "history-event", "is not an event of core-04")
        elif event in {"keydown", "keyup"}:
            if notes.required(moment, "button", where):
                notes.string(moment, "button", where, filled=True)
        elif "button" in moment:
            notes.warning(f"{where}.button", "button", "belongs to keydown and keyup only")


def _channels(item: dict[str, Any], path: str, notes: Notes) -> None:
    """A multi-channel recording has an entry of ``parties`` for each channel."""
    count = channels(item)
    parties = item.get("parties")
    if count > 1 and parties is not None and (not isinstance(parties, list) or len(parties) != count):
        notes.error(f"{path}.parties", "channels", "a recording with several channels names one party for each")
    elif count == 1 and isinstance(parties, list) and any(isinstance(one, list) or one is None for one in parties):
        notes.error(f"{path}.parties", "channels", "a recording with one channel has a flat array")


def _links(
    item: dict[str, Any],
    index: int,
    path: str,
    notes: Notes,
    everything: list[Any],
    sets: dict[int, set[int]],
    parties: int,
) -> None:
    """Indices of other dialogs: in range, of the right type, and sets that agree both ways."""
    kind = item["type"]
    if kind == "recording-set" and "recordings" in item:
        _set(item["recordings"], index, path, notes, everything)
    if kind == "recording" and "recording_set" in item:
        where = f"{path}.recording_set"
        if notes.index(item["recording_set"], len(everything), where):
            members = sets.get(item["recording_set"])
            if members is None:
                notes.error(where, "index-kind", "must point to a recording-set")
            elif index not in members:
                notes.error(where, "set-disagrees", "the recording-set does not name this recording")
    if kind == "transfer":
        for name in TRANSFER_PARTIES:
            if name in item:
                notes.index(item[name], parties, f"{path}.{name}")
        for name, kinds in TRANSFER_DIALOGS.items():
            if (
                name in item
                and notes.index(item[name], len(everything), f"{path}.{name}")
                and _kind(everything[item[name]]) not in kinds
            ):
                notes.error(f"{path}.{name}", "index-kind", "points to a dialog of the wrong type")


def _set(value: Any, index: int, path: str, notes: Notes, everything: list[Any]) -> None:
    if not isinstance(value, list):
        notes.error(f"{path}.recordings", "type", "recordings must be an array")
        return
    if not value:
        notes.warning(f"{path}.recordings", "set-empty", "a set without recordings")
    for at, member in enumerate(value):
        where = f"{path}.recordings[{at}]"
        if not notes.index(member, len(everything), where):
            continue
        other = everything[member]
        if _kind(other) != "recording":
            notes.error(where, "index-kind", "must point to a recording")
        elif "recording_set" not in other:
            notes.warning(where, "set-unanswered", "the recording should point back to its set")
        elif other["recording_set"] != index:
            notes.error(where, "set-disagrees", "the recording points to another set")


def _kind(item: Any) -> str:
    kind = item.get("type") if isinstance(item, dict) else None
    return kind if isinstance(kind, str) else ""
