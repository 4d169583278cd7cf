"""What can happen to a call: the vocabulary of the journal.

Every event is small, frozen and tagged with its type's name (key ``t`` when serialised). ``at`` is when it happened,
mapped to our clock at the border. Parties and tracks are named by their index in the call; indices are given out in
order and never move. Positions in a track are samples at the track's rate, counted from the call's zero, which is
``CallOpened.at``.

Events written by a newer vcond decode to ``Unknown`` and are kept; unknown fields of known events are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal, get_args

import msgspec

from vcond.base.time import Instant
from vcond.call.causes import Cause, Disposition
from vcond.policy.consent import PURPOSES, Purpose, Said, Terms

Direction = Literal["inbound", "outbound", "internal", "unknown"]
"""As the company that runs the PBX sees the call."""
Role = Literal["agent", "customer", "supervisor", "sme", "thirdparty"]
"""draft-ietf-vcon-cc-extension-02."""
PartyType = Literal["person", "bot", "organization"]
TransferKind = Literal["blind", "attended"]
Outcome = Literal["success", "failed"]
Button = Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#", "A", "B", "C", "D"]
BUTTONS: Final[Mapping[str, Button]] = {button: button for button in get_args(Button)}
"""The keys of a telephone by their name, in the order of their telephone events, 0 to 15 (RFC 4733 table 3)."""


class SpanKind(StrEnum):
    """What a stretch of a track is. Where nothing is said a track is ``absent``."""

    RECEIVED = "received"
    """Audio that came in."""
    SILENT = "silent"
    """Came in as digital silence or comfort noise, or the source said that it sends nothing."""
    LOST = "lost"
    """Should have come and did not."""
    CONCEALED = "concealed"
    """Lost, and filled with something made up."""
    HELD = "held"
    """The party, or the platform for it, sent nothing because of hold."""
    PAUSED = "paused"
    """Recording was paused: it was not kept, on purpose."""
    WITHHELD = "withheld"
    """The party, or one that is heard on the same line, had not agreed to be recorded: it was not kept, on purpose."""
    ABSENT = "absent"
    """The party was not connected: before it joined, after it left."""


class PartyInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a party, in the words of a vCon (core-04 section 4.2). Empty = unknown."""

    tel: str = ""
    """E.164 or whatever the platform shows, without ``tel:``."""
    sip: str = ""
    """addr-spec without scheme: ``1001@pbx.example.com``."""
    mailto: str = ""
    name: str = ""
    validation: str = ""
    """Token for how the name was established; ``none`` when it was not."""
    uuid: str = ""
    """Stable per agent, any string."""
    type: PartyType | Literal[""] = ""
    role: Role | Literal[""] = ""
    org: str = ""
    dept: str = ""
    hidden: bool = False
    """The party asked that neither number nor name be shown (CLIR, ``Privacy: id``, presentation prohibited). It stays
    so. What is given beside it is shown nowhere, but for type, role, org and dept. Words for it in ``tel``, ``sip`` and
    ``name`` (``anonymous``, ``Private Caller``) need no flag: see ``vcond.call.hidden``."""
    several: bool = False
    """It is no person but a line on which several are heard, whom the source does not part."""


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """One word heard. ``start`` and ``stop`` are samples of the track, from the call's zero."""

    start: int
    stop: int
    text: str
    confidence: float = 0.0
    """0 to 1."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """Base of all events."""

    at: Instant
    """When it happened."""


class CallOpened(Event, frozen=True, tag=True):
    """The first event of every journal; its ``at`` is the call's zero."""

    call: str
    """The uuid of the call and of its vCon, for ever."""
    adapter: str
    """The adapter's name: ``asterisk``, ``twilio``."""
    key: str
    """The adapter's name for the call; the same key is the same call, also after a restart."""
    direction: Direction = "unknown"
    recorder: str = ""
    """Name of this edge, as it appears in the vCon: ``edge-1.pbx.example.com``."""
    software: str = ""
    """``vcond 0.1.0``."""


class Directed(Event, frozen=True, tag=True):
    """Which way the call goes turned out later: its first party was there alone."""

    direction: Direction


class PartyJoined(Event, frozen=True, tag=True):
    """A party is in the conversation. A second one with the same index is a return."""

    party: int
    key: str
    """The adapter's name for the party; the same key is the same party."""
    who: PartyInfo = PartyInfo()


class PartyDescribed(Event, frozen=True, tag=True):
    """More is known of a party; non-empty fields replace."""

    party: int
    who: PartyInfo


class PartyLeft(Event, frozen=True, tag=True):
    """A party is no longer in the conversation."""

    party: int
    cause: Cause = Cause()


class Answered(Event, frozen=True, tag=True):
    """Two parties can hear one another for the first time."""


class TrackOpened(Event, frozen=True, tag=True):
    """Audio of one party begins to arrive."""

    track: int
    party: int
    codec: str
    """``PCMU``, ``PCMA``, ``L16``, ``OPUS``: what the source sent; the journal keeps 16-bit PCM."""
    rate: int
    """Samples a second, of the track and of all positions in it."""
    file: str = ""
    """Name of the audio file in the journal's folder; empty = ``<track>.pcm``."""
    shift: int = 0
    """Samples to add to a position in the file to get one of this call; not 0 only after a merge."""


class Span(Event, frozen=True, tag=True):
    """A stretch of a track ``[start, stop)``, in samples, is of one kind. Where spans overlap the later event wins."""

    track: int
    start: int
    stop: int
    kind: SpanKind
    final: bool = False
    """Known for good, as audio that the disk did not take is: no later span of the track says otherwise."""


class TrackClosed(Event, frozen=True, tag=True):
    """No more audio will come for the track. ``samples`` is the end of what was placed."""

    track: int
    samples: int


class Held(Event, frozen=True, tag=True):
    """A party put the others on hold."""

    party: int


class Retrieved(Event, frozen=True, tag="Resumed"):
    """A party took the others back from hold."""

    party: int


class Muted(Event, frozen=True, tag=True):
    """A party's microphone was muted by the platform."""

    party: int


class Unmuted(Event, frozen=True, tag=True):
    """A party's microphone was opened again."""

    party: int


class Dtmf(Event, frozen=True, tag="Digit"):
    """A party pressed a key; ``at`` is key down. Never emitted while recording is paused."""

    party: int
    button: Button
    ms: int = 0
    """How long it was pressed; 0 = unknown."""


class Transferred(Event, frozen=True, tag=True):
    """A party handed the conversation on. Parties that are not in this call are None.

    The same moment, kind and transferor again says more of the same transfer: whom a blind one reached in the end.
    """

    kind: TransferKind
    transferor: int | None = None
    transferee: int | None = None
    target: int | None = None
    outcome: Outcome = "success"
    to: str = ""
    """Where to, as dialled, when the target is no party (yet)."""


class Merged(Event, frozen=True, tag=True):
    """Another call turned out to be part of this one. Its history is inside, its audio in this journal's folder."""

    call: str
    """The uuid that the other call had; never used for a vCon."""
    events: list[dict[str, Any]] = []
    """The other call's events from after its ``CallOpened``, with party and track indices of this call."""


class MergedInto(Event, frozen=True, tag=True):
    """The last event of a call that became part of another; it has no vCon of its own."""

    call: str


class RecordingPaused(Event, frozen=True, tag="Paused"):
    """Recording of the whole call is paused: nothing of anybody is kept until everyone who paused let it go on."""

    reason: str = ""
    """A word of whoever paused: ``card``."""
    by: str = ""
    """``party``, ``operator``, ``platform`` or ``rule`` (``[[policy]]``)."""
    party: int | None = None
    """The party that paused, when it was one."""
    until: Instant | None = None
    """It ends by itself then; None = whoever paused ends it."""


class RecordingResumed(Event, frozen=True, tag="Unpaused"):
    """Whoever paused lets recording go on: its own pause ends, nobody else's.

    A party also ends the pauses of parties that have left, who cannot do so any more.
    """

    by: str = ""
    party: int | None = None


class PauseOverridden(Event, frozen=True, tag=True):
    """Every pause ends, whoever made it, though those who paused did not let recording go on. Never an adapter's."""

    by: str = ""
    """Who answers for it: ``operator``."""
    reason: str = ""
    """In the words of whoever did it."""


class PolicyApplied(Event, frozen=True, tag=True):
    """What of the call may be kept, from its beginning on, whenever it is told."""

    terms: Terms | None = None
    """Of the rule that the call matches; None = none does (any more)."""


How = Literal["announcement", "key", "words", "page", "header", "variable", "metadata", "operator", "other"]
"""In which way consent was asked for, or told."""


class Consent(Event, frozen=True, tag=True):
    """A party was asked, agreed, refused, or took back what it had agreed to; ``at`` is when it did."""

    party: int
    state: Said
    how: How = "other"
    evidence: dict[str, str] = {}
    """What proves it: ``announcement``, ``sha256``, ``text``, ``system``. Bounded, see ``vcond.policy.consent``; what is
    longer is cut off. No secret."""
    purposes: tuple[Purpose, ...] = PURPOSES
    """Told with none, it is of what the rule asks for, or refuses all (``vcond.policy.consent.meant_by``); kept with those."""


class Released(Event, frozen=True, tag=True):
    """From ``since`` on what a party says is kept, for a purpose. Never an adapter's."""

    party: int
    purpose: Purpose
    since: Instant
    """Before ``at`` where what was buffered is kept now."""


class Utterance(Event, frozen=True, tag=True):
    """Somebody spoke: samples ``[start, stop)`` of a track, to be transcribed."""

    utterance: int
    """Its number in the call."""
    track: int
    start: int
    stop: int


class Transcribed(Event, frozen=True, tag=True):
    """What was said in an utterance."""

    utterance: int
    engine: str
    model: str
    text: str
    words: list[Word] = []
    language: str = ""
    """BCP 47."""
    confidence: float = 0.0
    """0 to 1, of the whole text."""
    took_ms: int = 0
    """CPU or wall time that the engine needed."""
    lag_ms: int = 0
    """From the end of the utterance to its text."""
    deferred: bool = False
    """It had to wait until there was time, or for the next start, and was filled in from the journal."""
    machine: str = ""
    """The machine that transcribed it for this one; empty = this one did."""


NO_ENGINE: Final = "no-engine"
"""Why an utterance has no text for which nobody was to be asked."""
NO_CONSENT: Final = "no-consent"
"""Why an utterance has no text whose party agreed to none."""


class Untranscribed(Event, frozen=True, tag=True):
    """An utterance that will not get a text, and why: ``engine-failed``, ``deadline``, ``NO_ENGINE``."""

    utterance: int
    reason: str


class SpeechState(Event, frozen=True, tag=True):
    """From now on a call is transcribed like this. A call of which nothing was said is ``live``."""

    state: Literal["live", "finals", "deferred"]
    """``live``: words while they are spoken, and texts; ``finals``: texts only; ``deferred``: later, from the journal."""


class Tagged(Event, frozen=True, tag=True):
    """A tag of the vCon."""

    name: str
    value: str = ""


class CallAttribute(Event, frozen=True, tag="Fact"):
    """Something only the platform knows: SIP Call-ID, queue, linkedid."""

    name: str
    value: str
    party: int | None = None
    """None = of the whole call."""


class AdapterState(Event, frozen=True, tag=True):
    """What an adapter needs to go on with the call after a restart. It is in no vCon; no secret may be in it."""

    name: str
    value: str
    """Takes the place of what this name had; empty = it is over."""


VOCABULARY: Final = "vocabulary"
"""Code of a warning about how texts were made: the engine cannot use the whole vocabulary. It is told once of a call."""


class Warned(Event, frozen=True, tag=True):
    """Something that whoever reads the record should know. No content, no numbers."""

    code: str
    """A short token: ``clock-stepped``, ``no-audio``, ``disk-full``."""
    text: str = ""


class Interrupted(Event, frozen=True, tag=True):
    """Capture stopped for a reason of ours; ``at`` is the last moment that is known to be captured."""

    reason: str = ""
    """``crash``, ``stop``, ``limit``, ``adapter-gone``."""


class Recovered(Event, frozen=True, tag=True):
    """Capture goes on after an interruption, in the same record."""


class CallEnded(Event, frozen=True, tag=True):
    """The conversation is over."""

    cause: Cause = Cause()
    disposition: Disposition | None = None
    """Only for a call that nobody answered."""
    by: int | None = None
    """The party that hung up, if known."""


class Amending(Event, frozen=True, tag=True):
    """The vCon leaves while texts are missing. When they are there, or at ``until``, an amended one follows."""

    vcon: str
    """The uuid that the amended vCon will have."""
    until: Instant


class Published(Event, frozen=True, tag=True):
    """The vCon of this call is in the outbox; the journal waits only for the sinks."""

    sha512: str
    """Hex digest of the bytes published."""
    kept: bool = False
    """The recording is in no vCon and no media folder: this journal is all there is of it, and stays."""
    vcon: str = ""
    """Its uuid when that is not the call's: this is the amended one."""


class Unknown(Event, frozen=True, tag=True):
    """An event of a newer vcond, kept as it was."""

    type: str
    fields: dict[str, Any]


AnyEvent = (
    CallOpened | Directed | PartyJoined | PartyDescribed | PartyLeft | Answered
    | TrackOpened | Span | TrackClosed
    | Held | Retrieved | Muted | Unmuted | Dtmf
    | Transferred | Merged | MergedInto | RecordingPaused | RecordingResumed | PauseOverridden
    | PolicyApplied | Consent | Released
    | Utterance | Transcribed | Untranscribed | SpeechState
    | Tagged | CallAttribute | AdapterState | Warned | Interrupted | Recovered | CallEnded | Amending | Published | Unknown
)  # fmt: skip
"""Every event, for typed decoding."""

EVENTS: Final[dict[str, type[Event]]] = {str(kind.__struct_config__.tag): kind for kind in AnyEvent.__args__}


def type_name(event: Event) -> str:
    """The event's type as records and the live feed name it; its class may be called otherwise."""
    return str(event.__struct_config__.tag)


def encode(event: Event) -> dict[str, Any]:
    """An event as plain maps, lists, strings and numbers."""
    plain: dict[str, Any] = msgspec.to_builtins(event)
    if isinstance(event, Unknown):
        return {**event.fields, "t": event.type, "at": event.at}
    return plain


def decode(plain: object) -> Event:
    """An event from what ``encode`` made, of this or another version.

    Raises ValueError when it is no event: no map, no type, no time, or a known type with fields of wrong types.
    """
    if not isinstance(plain, dict) or not isinstance(plain.get("t"), str) or not isinstance(plain.get("at"), int):
        raise ValueError("not an event")  # noqa: TRY004 - one documented exception for whatever is wrong
    known = EVENTS.get(plain["t"])
    if known is None or known is Unknown:
        rest = {name: value for name, value in plain.items() if name not in {"t", "at"}}
        return Unknown(at=Instant(plain["at"]), type=plain["t"], fields=rest)
    try:
        return msgspec.convert(plain, known)
    except msgspec.ValidationError as why:
        raise ValueError(f"bad {plain['t']}: {why}") from why
