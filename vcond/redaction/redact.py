"""A vCon with its secrets taken out: a vCon of its own (core-04 section 4.1.8), with every index where it was.

What comes back is put together from what is understood. Whatever cannot be read, decoded or checked is left out, an
empty place stays for it, and the attachment ``vcond-redactions`` says so: a redaction that fails takes too much, never
too little. Sound comes back only where a text says what was said: nobody has looked at the rest.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from vcond.base.errors import BadMediaError, ProtocolError
from vcond.call.ids import of_bits
from vcond.redaction.contract import TELEPHONE, Finder, Secret, Turn
from vcond.redaction.finding import found as secrets_of
from vcond.redaction.party import GONE, OF_NOBODY, name_of, sent_by_others
from vcond.redaction.party import TYPE as PARTY_REMOVED
from vcond.redaction.party import take_out as take_party
from vcond.redaction.places import Place, Places, cover, merged, places
from vcond.redaction.sound import Stretch, decoded, encoded, keep_only, of_channels, silent, take_out
from vcond.redaction.texts import Masked, Sweep, flat, masked, wtf
from vcond.redaction.transcribed import Line, Reading, of_text, read
from vcond.vcon.building.extensions import used
from vcond.vcon.model import (
    ANALYSIS,
    APPLICABILITY,
    CC_DIALOG,
    CC_PARTY,
    CONTENT,
    HISTORY_EVENTS,
    LAWFUL_BASIS,
    PARTY,
    SIP_DIALOG,
    SIP_PARTY,
    SYNTAX,
    WTF,
    Document,
)
from vcond.vcon.upgrade import upgrade
from vcond.vcon.validation.findings import listed

PURPOSE: Final = "vcond-redactions"
TYPE: Final = "pii-masked"
"""Of ``redacted`` (core-04 section 4.1.8.1: what kind of information was taken out)."""
VOUCHED: Final = 0.75
"""Seconds before and after a turn of which its text is taken to tell."""
_DIALOG: Final = (frozenset(APPLICABILITY["recording"]) | SIP_DIALOG | CC_DIALOG) - CONTENT - {"party_history"}
_ANALYSIS: Final = (ANALYSIS | {"start", "party"}) - CONTENT - {"attachment"}
_ATTACHMENT: Final = frozenset({"start", "party", "dialog", "purpose"})
_KEPT: Final = frozenset({"tags", "vcond-capture-report", "vcond-facts", "sip-headers", LAWFUL_BASIS, PURPOSE})
"""Attachments whose values are known; texts in them are looked through."""
_WORDS: Final = 4
"""Fewer, and neither a digit nor an @: a text announces nothing that would be missing in it, as a queue named "bank account"."""
_ADDRESS: Final = re.compile(r"\b(?:sips?|tel):", re.IGNORECASE)
_EXTENSIONS: Final = {"audio/x-wav": ".wav", "audio/ogg": ".ogg", "audio/flac": ".flac"}
NOT_WRITTEN: Final = "what this is is not known, so it was left out"
NOT_READABLE: Final = "the recording cannot be decoded, so it was left out"
NOT_HEARD: Final = "no text says what is in the recording, so it was left out"
ELSEWHERE: Final = "it is outside of the vCon, so it was left out"


@dataclass(frozen=True, slots=True)
class Redacted:
    """A redacted vCon."""

    document: Document
    kinds: Mapping[str, int]
    """How many places of each kind went; of no secret anything is in it."""
    left_out: list[str]
    """Paths of what went whole."""
    sound: list[Place]
    """Stretches of sound that went, with their margin."""
    reading: Reading
    """Of the original: what was said in it. For a second look; never to be written."""
    report: dict[str, Any]
    """The body of ``vcond-redactions`` in the document."""


@dataclass(slots=True)
class _Work:
    """A redaction under way."""

    finders: Sequence[Finder]
    reading: Reading
    found: Places
    turns: dict[int, list[Masked]]
    """By analysis, in its order."""
    sweep: Sweep
    tone: bool
    told: Callable[[int, int], None] | None = None
    gone: frozenset[int] = frozenset()
    """Parties of which nothing may be left."""
    done: int = 0
    """Bytes of recordings, as they are in the vCon."""
    left_out: list[dict[str, str]] = field(default_factory=list)
    unchecked: float = 0.0
    """Seconds of sound that went because no text says what it was."""

    def progress(self, item: dict[str, Any], share: float) -> None:
        """So much of a recording is done."""
        if self.told is not None:
            items = self.reading.dialogs.items
            self.told(self.done + int(share * _size(item)), sum(map(_size, items)))

    def is_gone(self, party: object) -> bool:
        """Whether what names this party is of one of which nothing may be left, or may be."""
        return bool(self.gone) and (not isinstance(party, int) or party in self.gone)

    def leave_out(self, path: str, why: str) -> None:
        self.left_out.append({"path": path, "reason": why})


def own_uuid(original: str, what: str = "redacted") -> str:
    """The uuid of the redacted form of a vCon: always the same, its moment the original's, the rest of it a hash.

    So whoever knows the original knows it, and nothing has to be kept for it. Raises ValueError for what is no uuid.
    """
    digest = int.from_bytes(hashlib.sha256(f"{what}:{UUID(original)}".encode()).digest(), "big")
    return str(of_bits(UUID(original).int >> 80, digest, digest >> 16))


def is_uuid(text: object) -> bool:
    """Whether a value is a uuid as text."""
    try:
        return isinstance(text, str) and bool(UUID(text))
    except ValueError:
        return False


def redact(
    document: Document,
    finders: Sequence[Finder],
    *,
    created_at: str = "",
    tone: bool = False,
    also: Iterable[Place] = (),
    software: str = "vcond",
    told: Callable[[int, int], None] | None = None,
    gone: frozenset[int] = frozenset(),
) -> Redacted:
    """The redacted form of a vCon of any version; the original is not changed.

    ``created_at``: when it is made, else that of the original, so that it comes out the same whenever it is made.
    ``also``: places in the sound that go besides, with the words that are said there. ``told`` hears how many
    bytes of the recordings are done, and of how many. ``gone``: parties that are made silent and nameless (``party``); then the
    original is not named, as nobody has it any more. Raises ProtocolError for what is sealed, or must not be processed, and FinderError.
    """
    source = upgrade(document)
    if not is_uuid(source.get("uuid")):
        raise ProtocolError("vCon without a uuid: it cannot be named as what was redacted")
    reading = read(source)
    found = places(reading, secrets_of(finders, reading.conversation))
    cover(found, reading, also)
    parties = listed(source, "parties")
    called = take_party(found, reading, parties, gone) if gone else frozenset()
    turns: dict[int, list[Masked]] = {}
    for line in sorted(reading.lines, key=lambda one: one.place):
        turns.setdefault(line.analysis, []).append(masked(line, found))
    work = _Work(finders, reading, found, turns, Sweep(found, called), tone, told, gone)
    made: Document = {
        "vcon": SYNTAX,
        "uuid": own_uuid(source["uuid"], name_of(gone) if gone else "redacted"),
    }
    made["created_at"] = created_at or source.get("created_at") or ""
    made["redacted"] = {"type": PARTY_REMOVED} if gone else {"type": TYPE, "uuid": source["uuid"]}
    if isinstance(subject := source.get("subject"), str):
        made["subject"] = _checked(work, subject)
    made["parties"] = [{} if at in gone else _party(work, one) for at, one in enumerate(parties)]
    made["dialog"] = [_dialog(work, at, item) for at, item in enumerate(reading.dialogs.items)]
    made["analysis"] = [_analysis(work, at, item) for at, item in enumerate(listed(source, "analysis"))]
    made["attachments"] = [_attachment(work, at, item) for at, item in enumerate(listed(source, "attachments"))]
    report = _report(work, source, software)
    swept: Document = Sweep(found, called).value(made)  # with what was found in the texts beside the conversation
    made = swept | {"parties": made["parties"]}
    _attach(made, report)
    if names := used(made):
        made["extensions"] = names
    if critical := [name for name in listed(source, "critical") if name in names]:
        made["critical"] = critical
    whole = {name: value for name, value in made.items() if value != []}
    kinds = Counter(row["kind"] for row in report["redactions"])
    return Redacted(whole, kinds, [one["path"] for one in work.left_out], merged(found.sound), reading, report)


def _checked(work: _Work, text: str, *, kinds_left: frozenset[str] = frozenset({TELEPHONE}), dialog: int = 0) -> str:
    """A text beside the conversation: swept, and shown to the finders by itself."""
    swept = work.sweep.text(text)
    conversation = of_text(swept, dialog=dialog)
    few = len(conversation.turns[0].words) < _WORDS and not any(char.isdigit() or char == "@" for char in swept)
    reading = Reading(work.reading.dialogs, conversation)
    reading.lines = [
        Line(conversation.turns[0], 0, 0, 0.0, {}, (0.0,) * len(conversation.turns[0].words), False, False)
    ]
    secrets = [
        Secret(one.kind, words=one.words, turns=one.turns)
        for one in secrets_of(work.finders, conversation) if one.kind not in kinds_left and not (few and one.turns)
    ]  # fmt: skip
    found = places(reading, secrets)
    work.found.surfaces |= found.surfaces
    return masked(reading.lines[0], found).text if found.words or found.turns else swept


def _party(work: _Work, item: Any) -> dict[str, Any]:
    """What says who it is stays; what is said of it beside that is not known."""
    if not isinstance(item, dict):
        return {}
    known = PARTY | SIP_PARTY | CC_PARTY
    return {
        name: work.sweep.value(value) if name in {"name", "dept", "civicaddress"} else value
        for name, value in item.items()
        if name in known and isinstance(value, (str, dict))
    }


def _dialog(work: _Work, index: int, item: dict[str, Any]) -> dict[str, Any]:
    kind = str(item.get("type"))
    if kind not in APPLICABILITY:
        work.leave_out(f"$.dialog[{index}]", NOT_WRITTEN)
        return {"type": "recording"}
    made = {name: work.sweep.value(value) if isinstance(value, str) and name not in _EXACT else value
            for name, value in item.items() if name in _DIALOG}  # fmt: skip
    if history := _history(work, index, listed(item, "party_history")):
        made["party_history"] = history
    if "url" in item:
        work.leave_out(f"$.dialog[{index}].url", ELSEWHERE)
    elif item.get("body", "") != "":
        content, why = _recording(work, index, item) if kind == "recording" else _text(work, index, item)
        made |= content
        work.done += _size(item)
        if why:
            work.leave_out(f"$.dialog[{index}].body", why)
    return made


_EXACT: Final = frozenset({"type", "start", "disposition"})


def _history(work: _Work, dialog: int, moments: list[Any]) -> list[dict[str, Any]]:
    """Without the keys that are secret, and those that are none of a telephone."""
    made = []
    for place, moment in enumerate(moments):
        if not isinstance(moment, dict) or str(moment.get("event")) not in HISTORY_EVENTS:
            continue
        if work.is_gone(moment.get("party")):
            continue
        if moment["event"] in {"keydown", "keyup"}:
            key = work.reading.pressed.get((dialog, place))
            if key is None or key in work.found.keys:
                continue
        elif "button" in moment:
            continue
        made.append({name: moment[name] for name in ("party", "time", "event", "button") if name in moment})
    return made


def _text(work: _Work, index: int, item: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A written message, if it is plain text."""
    body = item.get("body")
    if item.get("encoding") != "none" or item.get("mediatype") != "text/plain" or not isinstance(body, str):
        return {}, NOT_WRITTEN
    if work.gone and not sent_by_others(item, work.gone):
        return {}, GONE
    checked = _checked(work, body, kinds_left=frozenset(), dialog=index)
    return {"mediatype": "text/plain", "encoding": "none", "body": checked}, ""


def _recording(work: _Work, index: int, item: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The sound with what is secret, and what nobody knows, taken out; or why there is none."""
    dialogs = work.reading.dialogs
    told = [line for line in work.reading.lines if line.placed and line.turn.dialog in {index, dialogs.whole(index)}]
    if not told and not work.gone:
        return {}, NOT_HEARD
    if work.found.unplaced:
        return {}, NOT_READABLE
    try:
        with decoded(item) as sound:
            origin = dialogs.origin(index)
            for channel, whose in enumerate(of_channels(item.get("parties"), sound.channels)):
                if work.gone and whose is not None and not whose & work.gone:
                    continue  # only others are on it
                spoken = [one.turn for one in told if whose is None or one.turn.party in whose or one.turn.party < 0]
                whole = work.found.turns if work.gone else {}
                going = [turn for turn in spoken if turn.number in whole]
                keep_only(
                    sound,
                    channel,
                    _vouched([turn for turn in spoken if turn.number not in whole], origin),
                    _vouched(going, origin),
                )
            clock = dialogs.clock(index)
            gone = [(one.start - origin, one.end - origin) for one in work.found.sound if one.clock == clock]
            work.unchecked = sum(take_out(sound, gone, tone=work.tone), work.unchecked)
            if work.gone and silent(sound):
                return {}, GONE
            made = encoded(sound, lambda share: work.progress(item, share))
    except BadMediaError:
        return {}, NOT_READABLE
    if isinstance(name := item.get("filename"), str):
        made["filename"] = work.sweep.text(name.rpartition(".")[0] or name) + _EXTENSIONS[made["mediatype"]]
    return made, ""


def _vouched(turns: Iterable[Turn], origin: float) -> list[Stretch]:
    """What their texts tell of, in seconds of the recording."""
    return [(turn.start - origin - VOUCHED, turn.end - origin + VOUCHED) for turn in turns]


def _size(dialog: dict[str, Any]) -> int:
    body = dialog.get("body")
    return len(body) if isinstance(body, str) else 0


def _analysis(work: _Work, at: int, item: Any) -> dict[str, Any]:
    dialog = work.reading.sources.get(at, work.reading.copies.get(at))
    if dialog is None or not isinstance(item, dict):
        if item:
            work.leave_out(f"$.analysis[{at}]", NOT_WRITTEN)
        return {}
    turns = work.turns.get(at, [])
    if at in work.reading.copies:
        turns = _copied(work, dialog)
    body = wtf(item["body"], turns) if item["type"] == WTF else flat(item["body"], turns)
    made = {
        name: work.sweep.value(value) if isinstance(value, str) else value
        for name, value in item.items()
        if name in _ANALYSIS
    }
    return made | {"mediatype": "application/json", "encoding": "json", "body": work.sweep.value(body)}


def _copied(work: _Work, dialog: int) -> list[Masked]:
    """The turns that a transcript beside a transcription repeats: all of the dialog, or those of a recording's parties."""
    dialogs = work.reading.dialogs
    sources = work.reading.sources
    for wanted, whose in ((dialog, None), (dialogs.whole(dialog), dialogs.parties(dialog))):
        at = next((one for one, named in sources.items() if named == wanted and one in work.turns), None)
        if at is not None:
            return [one for one in work.turns[at] if whose is None or one.line.turn.party in whose]
    return []


def _attachment(work: _Work, at: int, item: Any) -> dict[str, Any]:
    path = f"$.attachments[{at}]"
    if not isinstance(item, dict) or not item:
        return {}
    purpose, body = item.get("purpose"), item.get("body")
    if str(purpose) not in _KEPT or item.get("encoding") != "json" or "url" in item:
        work.leave_out(path, ELSEWHERE if "url" in item else NOT_WRITTEN)
        return {}
    if work.gone and (purpose in OF_NOBODY or work.is_gone(item.get("party"))):
        work.leave_out(path, GONE)
        return {}
    if purpose == "tags" and isinstance(body, list):
        body = [_tag(work, one) for one in body if isinstance(one, str)]
    elif purpose == "vcond-facts" and isinstance(body, list):
        body = [
            {**one, "value": _fact(work, one.get("name"), one.get("value"))} for one in body if isinstance(one, dict)
        ]
    elif purpose == "sip-headers" and isinstance(body, dict):
        body = {name: _fact(work, name, value) for name, value in body.items()}
    made = {name: value for name, value in item.items() if name in _ATTACHMENT}
    return made | {"mediatype": "application/json", "encoding": "json", "body": work.sweep.value(body)}


def _tag(work: _Work, tag: str) -> str:
    name, colon, value = tag.partition(":")
    return f"{name}{colon}{_checked(work, value)}"


def _fact(work: _Work, name: object, value: Any) -> Any:
    """What the platform told: a variable may hold what a caller keyed in. Addresses are of parties, which have them too, and
    identifiers of calls look like numbers and are none.
    """
    if not isinstance(name, str) or not isinstance(value, str) or name.lower().endswith("id"):
        return value
    return value if _ADDRESS.search(value) else _checked(work, value)


def _report(work: _Work, source: Document, software: str) -> dict[str, Any]:
    """What went: kinds, places and lengths of sound, and nothing of what it was."""
    dialogs = work.reading.dialogs
    rows: list[dict[str, Any]] = []
    for one in merged(work.found.sound):
        origin = dialogs.origin(one.dialog)
        start, end = max(0.0, one.start - origin), min(one.end - origin, _length(dialogs.items[one.dialog]))
        rows.append(
            {"kind": one.kind, "dialog": one.dialog} | ({"party": one.party} if one.party >= 0 else {})
            | {"start": round(start, 2), "duration": round(max(0.0, end - start), 2)}
        )  # fmt: skip
    body: dict[str, Any] = {
        "version": 1,
        "software": software,
        "finders": sorted({finder.name for finder in work.finders}),
        "sound": "tone" if work.tone else "silence",
        "redactions": rows,
        "left_out": work.left_out,
        "unchecked_seconds": round(work.unchecked, 1),
        "second_look": "off",
    }
    if not work.gone and isinstance(earlier := source.get("amended"), dict) and is_uuid(earlier.get("uuid")):
        body["amends"] = own_uuid(earlier["uuid"])  # what is redacted may not be amended (core-04 section 4.1.8)
    return body


def _attach(made: Document, report: dict[str, Any]) -> None:
    """An attachment names a dialog: where there is none, there is nothing to tell of."""
    if made["dialog"]:
        made["attachments"].append(
            {"purpose": PURPOSE, "start": made["created_at"], "party": _redactor(made), "dialog": 0,
             "mediatype": "application/json", "encoding": "json", "body": report}
        )  # fmt: skip


def _length(dialog: dict[str, Any]) -> float:
    value = dialog.get("duration")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("inf")


def _redactor(made: Document) -> int:
    """The party that contributes the attachment: the recorder, or one of its own behind all others."""
    bots = [at for at, party in enumerate(made["parties"]) if party.get("type") == "bot"]
    if bots:
        return bots[-1]
    made["parties"].append({"name": "vcond", "validation": "none", "type": "bot"})
    return len(made["parties"]) - 1
