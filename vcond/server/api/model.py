"""What the API answers with. Its description (OpenAPI) is made of these types. Times are dates (RFC 3339), lengths seconds."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from vcond.policy.consent import State
from vcond.server.api.tokens import Role

Id = Annotated[str, Meta(min_length=1, max_length=64, description="A uuid, or the beginning of one that no other has.")]
A_UUID: Final = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
Uuid = Annotated[str, Meta(pattern=f"^{A_UUID}$", description="A vCon's uuid.")]
SinkName = Annotated[str, Meta(min_length=1, max_length=128, description="Only for this sink.")]
Reason = Annotated[str, Meta(max_length=64, description="Kept in the record.")]
Limit = Annotated[int, Meta(ge=1, le=500, description="So many at most.")]


class Query(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Parameters of a request: of the path, of the query, and of a JSON body."""


class Problem(msgspec.Struct, frozen=True):
    """Why there is no answer, and what to do."""

    error: str


class Me(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    roles: tuple[Role, ...]
    expires: str
    """When the token or session ends; empty on the admin socket."""
    hub: bool
    """Whether this is a hub: it has no calls, and what it has came from others."""


class CallParty(msgspec.Struct, frozen=True):
    """A party of a call."""

    name: str
    tel: str
    """Number or SIP address; masked without the role ``read``."""
    here: bool
    """False: it has left."""
    held: bool = False
    """It is on hold."""


class PartyConsent(msgspec.Struct, frozen=True):
    """What a party said of each purpose, and whether its voice is kept now."""

    party: int
    rule: str
    """``mode`` of the rule that the call matches; empty = none does."""
    kept: bool
    text: bool
    """Whether its words are."""
    recording: State
    transcription: State
    analysis: State


class CallFinding(msgspec.Struct, frozen=True):
    """Something that is missing in a record, and its cause."""

    code: str
    text: str
    party: int | None
    wrong: bool
    """False: it explains what is missing, and was wanted."""
    hint: str = ""
    """What to do."""


class CallRow(msgspec.Struct, frozen=True):
    """A call in short."""

    call: str
    adapter: str
    opened: str
    answered: str | None
    ended: str | None
    seconds: float
    parties: list[CallParty]
    recorded: bool
    not_recorded: str
    """Why not."""
    paused: bool
    paused_by: list[str]
    consent: list[PartyConsent]
    """Empty where there is neither rule nor word of it."""
    utterances: int
    waiting: int
    """Utterances without a text yet."""
    transcription: Literal["live", "finals", "deferred", "none"]
    lag: float | None
    """Seconds from the end of what is said to its text, or for how long one is waited for now; null: none is to come yet."""
    flags: list[CallFinding]
    """What is wrong now and can still be mended: of whom nothing, or no sound, comes. It is looked for every five seconds."""


class Paused(msgspec.Struct, frozen=True):
    """Whether a call's recording is paused now, and by whom; names are for the role ``watch``."""

    call: str
    paused: bool
    paused_by: list[str]


class Consented(msgspec.Struct, frozen=True):
    """What is known of consent now, and whether this word changed that."""

    call: str
    party: int
    changed: bool
    """False: that was known, or another answer stands."""
    consent: list[PartyConsent]


class Moment(msgspec.Struct, frozen=True):
    """Something in a call's history, ``at`` seconds from its zero."""

    at: float
    party: int
    event: str
    button: str | None


class Line(msgspec.Struct, frozen=True):
    """What was said; ``text`` null: there is none yet, or never, when ``failed`` says why."""

    start: float
    stop: float
    party: int
    text: str | None
    failed: str


class CallTrack(msgspec.Struct, frozen=True):
    """Audio of one party; ``spans``: start, stop and kind of stretches."""

    party: int
    codec: str
    rate: int
    spans: list[tuple[float, float, str]]


class CallDetail(CallRow, frozen=True):
    """A call that goes on: what happened, what was said so far."""

    history: list[Moment]
    speech: list[Line]
    warnings: list[str]
    findings: list[CallFinding]
    tracks: list[CallTrack]


class CallFindings(msgspec.Struct, frozen=True):
    """What is missing in one call."""

    call: str
    adapter: str
    ended: str | None
    findings: list[CallFinding]


class Findings(msgspec.Struct, frozen=True):
    """What is missing in calls that go on and in the last that ended, and what the daemon is short of."""

    short_of: dict[str, str]
    calls: list[CallFindings]


class AdapterStatus(msgspec.Struct, frozen=True):
    """Whether an adapter is attached to its system, and what it says of that."""

    attached: bool
    detail: str


class Waiting(msgspec.Struct, frozen=True):
    """vCons at one sink."""

    sink: str
    state: str
    vcons: int
    oldest: str


class Status(msgspec.Struct, frozen=True):
    """How the daemon is; an empty ``ready`` = all is well."""

    version: str
    ready: dict[str, str]
    calls: int
    finishing: int
    amending: int
    unfinished: int
    old_journals: int
    adapters: dict[str, AdapterStatus]
    listen: str
    ops: str
    api: str
    hub: str
    """Where a hub takes vCons; empty when this is none."""
    speech: Any
    pressure: dict[str, dict[str, str]]
    outbox: list[Waiting]
    metrics: str
    signs: bool
    """Whether vCons can be had signed."""


class SinkRow(msgspec.Struct, frozen=True):
    """How a sink takes deliveries."""

    sink: str
    state: str
    reason: str
    detail: str
    fix: str
    since: str
    next_try: str
    size_limit: int
    confirmations: dict[str, int]


class OutboxRow(msgspec.Struct, frozen=True):
    """A vCon that a sink lacks."""

    uuid: str
    sink: str
    state: str
    attempts: int
    reason: str
    answer: str
    """The beginning of what the receiver answered."""
    bytes: int
    facts: dict[str, str]
    published: str
    last_try: str
    next_try: str


class DeliveryRow(msgspec.Struct, frozen=True):
    """A vCon at a sink."""

    sink: str
    state: str
    attempts: int
    reason: str
    answer: str
    status: int
    target: str
    configured: bool
    last_try: str


class DeadLetter(DeliveryRow, frozen=True):
    """What a sink refused for good."""

    uuid: str
    bytes: int
    published: str


class Receipts(msgspec.Struct, frozen=True):
    """What is known of one vCon: when it was made, who has it, who refused it and why."""

    uuid: str
    sha512: str
    bytes: int
    published: str
    closed: str
    stage: str
    facts: dict[str, str]
    sinks: list[DeliveryRow]


class VconRow(msgspec.Struct, frozen=True):
    """A vCon in short; ``stage``: open, done, kept, gone or lost. Its file is there in the first three."""

    uuid: str
    bytes: int
    published: str
    stage: str
    delivered: int
    """To so many sinks; links of a hub are none."""
    sinks: int
    ingress_list: str
    """At a hub, the lists that it came in, or that it was made of what came in them; empty elsewhere."""
    link: str
    """At a hub, the link that made it; empty of what came."""


class FoundParty(msgspec.Struct, frozen=True):
    """A party of a vCon that was found."""

    name: str
    tel: str
    """Number, or SIP or mail address."""


class FoundLine(msgspec.Struct, frozen=True):
    """A line in which the text was found."""

    start: float
    name: str
    text: str


class FoundVcon(msgspec.Struct, frozen=True):
    """A vCon that was found."""

    uuid: str
    began: str
    seconds: float
    parties: list[FoundParty]
    lines: list[FoundLine]
    """The first of those that have the text."""


class Found(msgspec.Struct, frozen=True):
    """vCons that were found, the newest first."""

    vcons: list[FoundVcon]
    next: str
    """Not all was looked at: ask again with this as ``before``. Empty = that was all."""
    until: str
    """How far back it was looked: when the last vCon that was looked at was made. Empty = there was none."""
    unread: int
    """vCons that were not looked into: too large, or not to be read."""
    unindexed: int = 0
    """Where words were asked for: vCons whose words are not in the index. Not yet, or they are too large or cannot be read; a ``text`` is looked
    for in them, too."""


class Retried(msgspec.Struct, frozen=True):
    """So many are sent again."""

    retried: int


class Discarded(msgspec.Struct, frozen=True):
    """Sinks that will not get it."""

    uuid: str
    discarded: list[str]


class VconFinding(msgspec.Struct, frozen=True):
    """What a check of a vCon found."""

    level: str
    path: str
    code: str
    message: str


class Peaks(msgspec.Struct, frozen=True):
    """A waveform: for each channel the loudest sample of equal stretches, 0 to 1."""

    seconds: float
    channels: list[list[float]]


class ErasurePlace(msgspec.Struct, frozen=True):
    """A place where something of it may be."""

    place: str
    """As ``journal``, ``sinks.archive``."""
    state: Literal["pending", "done", "refused", "given-up"]
    """pending: it is tried again. refused: it cannot by itself. given-up: by an operator."""
    reason: str
    next_try: str


class Erasure(msgspec.Struct, frozen=True):
    """A request to forget, and how far it is."""

    id: str
    """Of the request, and of its receipt."""
    state: Literal["open", "complete", "incomplete"]
    """open: some place is tried again. complete: all have done it."""
    asked_at: str
    ended_at: str
    calls: list[str]
    places: list[ErasurePlace]
