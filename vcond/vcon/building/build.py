"""From the state of a call and its audio to a vCon: pure, and the same bytes for the same journal.

Nothing is read from a clock, the host or chance. Building compresses long recordings when they would not fit; that is
work for a thread (see docs/vcon.md for figures).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from vcond.base.errors import BadMediaError, ConfigError, JournalError
from vcond.call.events import SpanKind
from vcond.call.state import Call
from vcond.vcon.building.amended import amend, announced
from vcond.vcon.building.attributes import Attributes
from vcond.vcon.building.audio_forms import (
    LEAST,
    Recipe,
    TooLargeError,
    base64_size,
    base64url,
    content_hash,
    exact,
    smaller,
)
from vcond.vcon.building.capture_report import PURPOSE, Capture, capture, report, speech_warnings
from vcond.vcon.building.dialogs import Dialogs, Layout, dialogs, layouts
from vcond.vcon.building.extensions import used
from vcond.vcon.building.lawful_basis import consents
from vcond.vcon.building.mix import PartyMix, View, mix, over, view
from vcond.vcon.building.opus_pieces import InMemory, Pieces
from vcond.vcon.building.parties import parties_of
from vcond.vcon.building.segments import segments
from vcond.vcon.building.sound import Sound
from vcond.vcon.building.transcripts import analyses
from vcond.vcon.dates import date
from vcond.vcon.model import SYNTAX, Document
from vcond.vcon.serialize import serialize

INLINE_LIMIT: Final = 9_500_000
"""Deployed conservers drop what is larger than 10 MB (10,485,760 bytes), without a word."""
MOST: Final = 1 << 30
"""The largest vCon that is made when nobody set a limit: beyond it a clock went wrong."""
HOPE: Final = 0.85
"""A compressed form is tried when this share of the expected size fits: what was expected is an estimate."""
_ROOM: Final = 4096
_ROOM_EACH: Final = 256
"""Bytes kept free for what is written beside the audio once its form is known: for the whole and for each file."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the operator decides about a record."""

    inline_limit: int | None = INLINE_LIMIT
    """Bytes that the vCon may have, audio included; None = up to ``MOST``, which leaves most calls uncompressed."""
    sip_domain: str = ""
    """Domain of the PBX's extensions: ``1001`` is written as ``1001@<domain>``."""
    org: str = ""
    """Organization that runs this edge."""
    lawful_basis: Mapping[str, Any] | None = None
    """Body of a ``lawful_basis`` attachment for each party of the call (draft-howe-vcon-lawful-basis-02, section 4.1:
    ``party`` is whose basis it is). Nothing is ever made up."""
    amended: bool = False
    """Make the amended vCon that was announced (core-04 section 4.1.8), not the call's own."""


@dataclass(slots=True)
class _Draft:
    """A document whose audio is still to be put in."""

    document: Document
    made: Dialogs
    report: dict[str, Any]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class Media:
    """A recording that stays outside of the vCon: to be published under ``name`` before the vCon that names it."""

    name: str
    """Below the media URL: ``<uuid>/call.wav``."""
    mediatype: str
    size: int
    """Bytes."""
    pieces: Callable[[], Iterable[bytes]]
    """The file, as often as it is asked for."""


@dataclass(frozen=True, slots=True)
class Built:
    """A vCon and the files that it names."""

    document: Document
    media: tuple[Media, ...] = ()


def build(call: Call, audio: Mapping[int, Sound], options: BuildOptions | None = None) -> Document:
    """The vCon of a call. ``audio``: by track index the samples from the call's zero, at the track's rate.

    Raises JournalError when the state is that of no call (no ``CallOpened``).
    """
    return build_with_media(call, audio, options).document


def build_with_media(
    call: Call,
    audio: Mapping[int, Sound],
    options: BuildOptions | None = None,
    *,
    media_url: str = "",
    sounds: Mapping[int, str] | None = None,
    kept: Pieces | None = None,
) -> Built:
    """As ``build``; audio that fits in no form is named by a URL below ``media_url``, when there is one.

    ``sounds``: by track what it sounds like, for its findings; see ``vcond.call.diagnosis``. ``kept`` are pieces of
    compressed audio that were made before: it takes less time, and the bytes are the same.

    The caller publishes the media (which must not be guessable or public) before it hands the document on. They hold
    the exact audio and can be read as long as ``audio`` can. Raises JournalError as ``build``, and ConfigError when
    the URL is not https.
    """
    if not call.uuid:
        raise JournalError("no vCon without a CallOpened event")
    if media_url and not media_url.startswith("https://"):
        raise ConfigError("the public URL of the media folder must be https")
    chosen = options if options is not None else BuildOptions()
    taken = capture(call, view(call, call.tracks), audio, sounds)
    ways = layouts(call, taken)
    mixes: dict[int, PartyMix] = {}
    pieces = kept if kept is not None else InMemory()
    for layout in ways:
        draft = _draft(call, taken, layout, chosen)
        if taken.unanswered:
            return _closed(draft, "none")
        if not taken.audible:
            return _closed(
                draft, "none", "vcond_audio:none", kept=not any(p.frames[SpanKind.WITHHELD] for p in taken.parties)
            )
        room = _room(draft, chosen.inline_limit)
        for index in {party for parties in draft.made.files.values() for party in parties} - mixes.keys():
            mixes[index] = mix(call, taken.shown, index, audio)
        for recipe in _recipes(call, taken.shown, layout, first=layout == ways[0]):
            if _put(draft, mixes, taken.shown, recipe, room, pieces):
                return _closed(draft, recipe.name)
    draft = _draft(call, taken, ways[0], chosen)
    recipe = exact(call.tracks, taken.shown.rate)
    if media_url and (media := _outside(call.uuid, draft, mixes, taken.shown, recipe, media_url)):
        return Built(_closed(draft, f"{recipe.name} outside").document, media)
    return _closed(draft, "edge", "vcond_audio:edge")


def _recipes(call: Call, shown: View, layout: Layout, *, first: bool) -> Sequence[Recipe]:
    """The forms to try: in the layout that is not wanted only what the other cannot have."""
    return (exact(call.tracks, shown.rate), *smaller(shown.rate, apart=layout == "apart")) if first else LEAST


def _room(draft: _Draft, limit: int | None) -> int:
    """Characters that the audio may take."""
    whole = min(MOST, MOST if limit is None else limit)
    return whole - len(serialize(draft.document)) - _ROOM - _ROOM_EACH * len(draft.made.files)


def _put(draft: _Draft, mixes: Mapping[int, PartyMix], shown: View, recipe: Recipe, room: int, kept: Pieces) -> bool:
    """Write all files of the draft in one form. False, and nothing written, when they do not fit."""
    files = draft.made.files
    if base64_size(recipe.floor(shown.rate, shown.frames)) > room:
        return False
    try:
        size = {
            i: recipe.expected([mixes[party] for party in parties], shown.rate, kept) for i, parties in files.items()
        }
    except BadMediaError:
        return False
    hoped = HOPE if recipe.form is None else 1
    if sum(map(base64_size, size.values())) * hoped > room:
        return False
    bodies: dict[int, str] = {}
    for index, parties in files.items():
        left = (room - sum(map(len, bodies.values()))) * 3 // 4
        try:
            parts = recipe.write([mixes[party] for party in parties], shown.rate, left, kept)
            bodies[index] = base64url(parts)
        except (BadMediaError, TooLargeError):
            return False
    for index, body in bodies.items():
        draft.made.items[index] |= {
            "mediatype": recipe.mediatype,
            "filename": _filename(files, index, recipe),
            "encoding": "base64url",
            "body": body,
        }
    return True


def _filename(files: Mapping[int, list[int]], index: int, recipe: Recipe) -> str:
    name = "call" if len(files) == 1 else f"party-{files[index][0]}"
    return f"{name}.{recipe.extension}"


def _outside(
    call: str, draft: _Draft, mixes: Mapping[int, PartyMix], shown: View, recipe: Recipe, media_url: str
) -> tuple[Media, ...]:
    """Name all files of the draft by URL and hash. Nothing when they are longer than ``MOST``.

    They bear the uuid of the call, so that an amended vCon names the same files.
    """
    files = draft.made.files
    sizes = {index: recipe.least(len(parties), shown.rate, shown.frames) for index, parties in files.items()}
    if sum(sizes.values()) > MOST:
        return ()
    found = []
    for index, parties in files.items():
        filename = _filename(files, index, recipe)
        name = f"{call}/{filename}"
        pieces = partial(recipe.write, [mixes[party] for party in parties], shown.rate)
        draft.made.items[index] |= {
            "mediatype": recipe.mediatype,
            "filename": filename,
            "url": f"{media_url.rstrip('/')}/{name}",
            "content_hash": content_hash(pieces()),
        }
        found.append(Media(name, recipe.mediatype, sizes[index], pieces))
    return tuple(found)


def _closed(draft: _Draft, form: str, tag: str = "", *, kept: bool = True) -> Built:
    """The document with what is known of its audio. ``kept``: False where audio may have come and was not to be kept."""
    draft.report["audio"] = form
    if tag:
        draft.tags.append(tag)
        if form == "none" and not kept:
            draft.report["notes"].append("nothing of the recording was to be kept")
        elif form == "none":
            draft.report["notes"].append("the call was answered and no audio came in")
        else:
            draft.report["notes"].append("the audio is larger than this vCon may be and stays at the edge")
    return Built(draft.document)


def _draft(call: Call, taken: Capture, layout: Layout, options: BuildOptions) -> _Draft:
    facts = Attributes(call)
    made = dialogs(call, taken, facts, layout)
    shown = taken.shown
    said = segments(call, shown, facts)
    everyone = parties_of(call, facts, options.sip_domain, options.org)
    document: Document = {
        "vcon": SYNTAX,
        "uuid": call.uuid,
        "created_at": date(over(call)),
        "subject": _subject(call, facts),
        "extensions": [],
        "parties": everyone,
        "dialog": made.items,
        "analysis": [],
        "attachments": [],
    }
    if not taken.unanswered:
        warnings = taken.warnings + speech_warnings(said) + announced(call, amended=options.amended)
        channels = {"channels": len(made.files.get(made.main, [])) or 1}
        document["analysis"] = analyses(call, shown, said, made.main, warnings=warnings, audio=channels) + _of_each(
            call, taken, facts, made
        )
    tags = _tags(call, gap=taken.gap)
    body = report(call, taken, said, audio="", moved=made.notes, extra=_transferred(call))
    body["notes"] += announced(call, amended=options.amended)
    attach = _Attachments(date(shown.start), len(everyone) - 1, made.main)
    attach.add("tags", tags)
    attach.add(PURPOSE, body)
    for party, headers in facts.headers():
        attach.add("sip-headers", headers, party if party in range(len(call.parties)) else None)
    if options.lawful_basis is not None:
        for one in call.parties:  # an attachment names whose basis it is; a machine needs none
            if everyone[one.index].get("type") != "bot":
                attach.add("lawful_basis", dict(options.lawful_basis), one.index)
    for party, given in consents(call, shown, made.main).items():
        attach.add("lawful_basis", given, party)
    if rest := facts.rest():
        attach.add("vcond-facts", rest)
    document["attachments"] = attach.items
    if options.amended:
        amend(document, call)
    document["extensions"] = used(document)
    for name in ("extensions", "analysis"):
        if not document[name]:
            del document[name]
    return _Draft(document, made, body, tags)


def _of_each(call: Call, taken: Capture, facts: Attributes, made: Dialogs) -> list[dict[str, Any]]:
    """For the files of a recording-set a ``transcript`` each, so that no reader pays to transcribe them again."""
    if made.items[made.main]["type"] != "recording-set":
        return []
    found = []
    for index, parties in made.files.items():
        said = segments(call, taken.shown, facts, parties)
        both = analyses(call, taken.shown, said, index, warnings=[], audio={"channels": 1})
        found += [one for one in both if one["type"] == "transcript"]
    return found


def _subject(call: Call, facts: Attributes) -> str:
    if subject := facts.take("subject"):
        return subject
    kind = "Call" if call.direction == "unknown" else f"{call.direction.capitalize()} call"
    queue = facts.first("queue", [party.index for party in call.parties])
    return f"{kind} to queue {queue}" if queue else kind


def _tags(call: Call, *, gap: bool) -> list[str]:
    """Ours first, then the call's own, as ``name:value``; a colon in a name would split it in the wrong place."""
    own = [("source", "vcond"), ("platform", call.adapter), ("direction", call.direction)]
    if gap:
        own.append(("vcond_gap", "true"))
    names = {name for name, _ in own}
    given = [(name.replace(":", "_"), value) for name, value in call.tags]
    return [f"{name}:{value}" for name, value in own + [one for one in given if one[0] not in names]]


def _transferred(call: Call) -> dict[str, Any]:
    """Where transfers went, as dialled, when the target was no party."""
    dialled = [{"time": date(event.at), "kind": event.kind, "to": event.to} for event in call.transfers if event.to]
    merged = {"merged": call.merged} if call.merged else {}
    return ({"transfers": dialled} if dialled else {}) | merged


class _Attachments:
    """Attachments that the daemon contributes to the main dialog."""

    def __init__(self, start: str, bot: int, dialog: int) -> None:
        self.items: list[dict[str, Any]] = []
        self._start, self._bot, self._dialog = start, bot, dialog

    def add(self, purpose: str, body: Any, party: int | None = None) -> None:
        """A JSON attachment; ``party`` when it is not the daemon's own."""
        self.items.append(
            {
                "purpose": purpose,
                "start": self._start,
                "party": self._bot if party is None else party,
                "dialog": self._dialog,
                "mediatype": "application/json",
                "encoding": "json",
                "body": body,
            }
        )
