"""The contract: what an adapter is, what it is handed, what it must do.

An adapter turns one system (Asterisk, Twilio) into events and placed audio. It imports ``vcond.sdk`` and
``vcond.media``, nothing else of vcond. It is loaded through the entry point group
``vcond.adapters``, whose name is the configuration section ``[adapters.<name>]``. See docs/plug-ins.md for the way to
write one.

Rules, each held by the conformance suite in ``vcond.testing``:

- An adapter opens and ends calls by what its system says. The same key is the same call, also after a restart.
- ``write`` and ``emit`` never wait and never raise for what a peer sent.
- Moments that the peer stamped are mapped to our clock with ``vcond.media.placement.clocks.RemoteClock``.
- Helpers put into the peer (snoops, bridges, forks) are removed when a call ends and when the adapter is cancelled.
- Sockets are always drained; when the adapter cannot keep up it hangs up itself.
- Nothing said or dialled, no full number and no secret goes to a log line, an exception or a metric label.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

import msgspec

from vcond.base.errors import (
    BadMediaError,
    ConfigError,
    OperatorError,
    PeerError,
    ProtocolError,
    RefusedError,
    UnreachableError,
    how_to_install,
)
from vcond.base.time import MILLI, SECOND, Instant, nanos, parse_rfc3339, samples
from vcond.call.causes import NORMAL, Cause, Disposition, disposition
from vcond.call.events import (
    BUTTONS,
    AdapterState,
    Answered,
    Button,
    CallAttribute,
    Consent,
    Directed,
    Direction,
    Dtmf,
    Event,
    Held,
    Muted,
    PartyDescribed,
    PartyInfo,
    PartyLeft,
    RecordingPaused,
    RecordingResumed,
    Retrieved,
    SpanKind,
    Tagged,
    Transferred,
    Unmuted,
    Warned,
)
from vcond.call.hidden import hides
from vcond.call.parties import Party
from vcond.call.state import Call
from vcond.call.told_consent import asks, consent_of, is_consent, refuses, without_evidence
from vcond.call.told_pause import is_pause, pause_said
from vcond.media.codecs import Codec
from vcond.media.placement.clocks import ArrivalClock, MillisClock, RemoteClock, RtpClock, TrackClock
from vcond.policy.consent import Purpose

if TYPE_CHECKING:
    from aiohttp import web
    from structlog.typing import FilteringBoundLogger

__all__ = [
    "BUTTONS",
    "MILLI",
    "NORMAL",
    "SECOND",
    "Adapter",
    "AdapterHost",
    "AdapterState",
    "Answered",
    "ArrivalClock",
    "BadMediaError",
    "Button",
    "Call",
    "CallAttribute",
    "CaptionEvent",
    "Cause",
    "Clock",
    "Codec",
    "ConfigError",
    "Consent",
    "Directed",
    "Direction",
    "Disposition",
    "Dtmf",
    "Event",
    "Finding",
    "Handler",
    "Held",
    "Ingress",
    "Instant",
    "LiveCall",
    "MillisClock",
    "Muted",
    "OperatorError",
    "Party",
    "PartyDescribed",
    "PartyInfo",
    "PartyLeft",
    "PeerError",
    "ProtocolError",
    "Purpose",
    "RecordingPaused",
    "RecordingResumed",
    "RefusedError",
    "RemoteClock",
    "Retrieved",
    "RtpClock",
    "SpanKind",
    "Tagged",
    "Track",
    "TrackClock",
    "Transferred",
    "Unmuted",
    "UnreachableError",
    "WallClock",
    "Warned",
    "asks",
    "consent_of",
    "disposition",
    "hides",
    "how_to_install",
    "is_consent",
    "is_pause",
    "nanos",
    "parse_rfc3339",
    "pause_said",
    "refuses",
    "samples",
    "without_evidence",
]  # fmt: skip

Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"


class Clock(Protocol):
    """Our one clock: UTC that never steps while the daemon runs."""

    def now(self) -> Instant:
        """This moment, in nanoseconds since the epoch."""


class WallClock:
    """The machine's clock as it is: for ``check()``, which has no host and records nothing."""

    def now(self) -> Instant:
        """This moment, in nanoseconds since the epoch."""
        return Instant(time.time_ns())


class CaptionEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was just said or happened, for whoever watches. Times are seconds from the call's zero.

    A ``partial`` is replaced by the next line of the same party and ``start``; the ``final`` is the last of these, and
    its text is empty when nothing was understood after all. What a pause touches is not shown.
    """

    call: str
    """The uuid of the call; empty for what is of no call."""
    kind: Literal["partial", "final", "event"]
    text: str
    """Words for partial and final; an event's name in lower case for event: ``paused``, ``partyjoined``, ``callended``."""
    party: int | None = None
    name: str = ""
    """The party's name, or its number when it has none. Not for other parties' eyes."""
    start: float = 0.0
    stop: float = 0.0


class Track(Protocol):
    """Audio of one party on its way into the journal."""

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """Take one frame as it came. ``arrived``: now; for bytes of a file, the moment their offset stands for.

        ``payload`` is encoded audio of the track's codec; ``stamp`` is the media time in the unit of the track's
        clock (RTP timestamp, milliseconds); ``seq`` counts frames (RTP sequence number, Twilio chunk). Never
        waits, never raises: a frame that is no audio is counted as dropped, and while recording is paused it is
        not kept.
        """

    def absent(self, since: Instant, until: Instant, kind: SpanKind) -> None:
        """Say what a stretch without frames is, when the adapter knows: ``held``, ``silent``, ``lost``.

        Whose audio is known not to come is not missed until then: one that lasts is told every now and then (see ``AdapterHost.taps``).
        What is said to be ``lost`` stays so: a hold does not make it ``held``.
        """

    def close(self, *, at: Instant) -> None:
        """No more frames will come. A second close does nothing."""


class LiveCall(Protocol):
    """A call that goes on."""

    @property
    def uuid(self) -> str:
        """The uuid of the call and of its vCon."""

    @property
    def key(self) -> str:
        """The adapter's name for it."""

    @property
    def state(self) -> Call:
        """What is known of it now; read, never change."""

    def party(self, key: str, *, at: Instant, who: PartyInfo = ...) -> int:
        """The index of a party. The first time, and when it had left, it joins at ``at``; else ``who`` is added.

        -1 when the call is over or takes no more parties; a track of -1 takes nothing and counts it.
        """

    def emit(self, event: Event) -> None:
        """Write an event to the journal. Never waits.

        From ``RecordingPaused`` on nothing of the call is kept, whatever is written: no audio, digit or word of anybody, until
        everyone who paused has said ``RecordingResumed`` (``by`` = ``party`` and its index, or ``platform``): it ends the pause of
        that ``by`` and party, nobody else's; a party's also those of parties that have left. A pause that is told late takes back what was kept since; one that ended in the past ends now. Look at ``state.paused``
        afterwards: whoever pauses must know that it is so.

        ``Consent`` says that a party was asked, agreed, refused or took that back, in which way, and what proves it. Of whom
        nothing may be kept (``[[policy]]``) nothing is, whatever is written; a second word that says the same changes nothing.
        """

    def captions(self) -> AbstractContextManager[AsyncIterator[CaptionEvent]]:
        """What is said and happens in this call from now on, to be shown: ``with call.captions() as lines: async for``.

        Who reads too slowly loses the oldest lines. The iteration ends with the call; when the call is merged into
        another one, it goes on with the lines of that.
        """

    def track(self, party: int, *, at: Instant, codec: Codec, rate: int, clock: TrackClock, source: str = ...) -> Track:
        """Open a track of a party, 8,000 to 48,000 Hz. A party may have several, one after another or at once.

        ``codec`` is that of the payloads written here; ``source`` names what the system sent (``OPUS``) when the
        adapter decoded it. Raises ProtocolError for a rate that cannot be taken.
        """

    def merge(self, other: LiveCall) -> bool:
        """Take a younger call of the same adapter in: its parties, audio and history become this call's.

        The other way round works, but audio from before this call's beginning is lost, and the record says so.

        Tracks of the other stay usable and write here from now on; ``other`` is over and has no vCon of its own.

        False: it could not be done (one of them is over, or not on disk, or too long), and nothing was changed. Both
        calls are what they were: end one, and let who is in it join the other.
        """

    def end(self, *, at: Instant, cause: Cause = ..., by: int | None = None) -> None:
        """The conversation is over. Parties and tracks still open are closed at ``at``. A second end does nothing."""


class Ingress(Protocol):
    """The daemon's one HTTP and WebSocket server, guarded by its token."""

    @property
    def base_url(self) -> str:
        """Where peers reach it: the configured public URL, else the bound address."""

    def route(self, method: str, path: str, handler: Handler, *, prefix: bool = False, guarded: bool = True) -> None:
        """Serve the fixed ``path`` (``/twilio/stream``) with an aiohttp handler. Raises ConfigError when it is taken.

        Before the handler runs, the request must carry the ingress token: as ``Authorization: Bearer``, or as a
        last path segment (``<path>/<token>``, for platforms that can send neither headers nor queries). The
        handler owns WebSocket upgrades: ``web.WebSocketResponse(decode_text=False, max_msg_size=...)``.

        With ``prefix`` everything up to 8 segments below the path is served too (``/whip/<session>``), and the token
        is taken as bearer only. With ``guarded=False`` nothing is asked for: the handler sees to it who may do what
        (CORS preflights, signed requests), with ``allowed`` or by itself.
        """

    def allowed(self, request: web.Request) -> bool:
        """Whether a request carries the ingress token as ``Authorization: Bearer``."""


class AdapterHost(Protocol):
    """All of the core that an adapter can see."""

    @property
    def clock(self) -> Clock:
        """The one clock."""

    @property
    def ingress(self) -> Ingress:
        """To be reached by HTTP."""

    @property
    def log(self) -> FilteringBoundLogger:
        """A logger with the adapter's name bound."""

    @property
    def stopping(self) -> bool:
        """Whether vcond waits for its calls to end before it stops. Whoever can tell new ones to go elsewhere does."""

    def call(self, key: str, *, at: Instant, direction: Direction = "unknown") -> LiveCall:
        """The live call of that key: an open one, one left unfinished by an earlier run (taken up again), or a new one."""

    def open_calls(self) -> Sequence[LiveCall]:
        """This adapter's calls that have not ended, those of ``unfinished`` not counted."""

    def unfinished(self) -> Sequence[LiveCall]:
        """Calls of an earlier run without an end. Take one up with ``call(key)``, or ``end`` it.

        What is neither taken up nor ended within the configured grace is ended by the core.
        """

    def attached(self, ok: bool, detail: str = "") -> None:
        """Say whether the system is attached (readiness, metrics, ``vcond check``). ``detail`` holds no secret."""

    def taps(self, *, after: float, again: Callable[[LiveCall, int], bool] | None = None, shared: bool = False) -> None:
        """Say when the audio of a party who is there has stopped, and how its tap is made again; once, before calls come.

        After ``after`` seconds without a packet on an open track of a party (held, muted and paused time does not count) the
        core says so in the log, the metrics and the record, and has ``again(call, party)`` ask the system for that party's
        tap anew: at growing intervals, a limited number of times. It must not wait; False says that nothing is to be said
        or asked now. Without it, or where it is None, the record says that the audio cannot be asked for. ``shared``: one connection brings
        all parties of a call, so nothing has stopped while any of them is heard.
        """

    def dropped(self, what: str, reason: str, count: int = 1) -> None:
        """Count something that was lost: ``what`` and ``reason`` are short fixed tokens. Should stay 0 for ever."""


class Finding(msgspec.Struct, frozen=True):
    """One line of ``vcond check``."""

    level: Literal["ok", "warning", "error"]
    what: str
    """What was looked at: ``ARI at http://127.0.0.1:8088``."""
    detail: str = ""
    """What was found."""
    fix: str = ""
    """What to do about it, when it is not ok."""
    ours: bool = False
    """A warning that is none when the daemon of this configuration runs and is attached: it is what was seen."""


class Adapter(Protocol):
    """One system. ``name`` is the entry point's; ``Config`` a msgspec Struct, ``forbid_unknown_fields=True``."""

    name: ClassVar[str]
    Config: ClassVar[type[msgspec.Struct]]

    def __init__(self, config: Any) -> None:
        """Take the typed configuration. Raises ConfigError for values that cannot work together."""

    async def run(self, host: AdapterHost) -> None:
        """Attach, serve, attach again after every loss; ends only when cancelled, and cleans up then."""

    def check(self) -> AsyncIterator[Finding]:
        """Look at the configured system without touching a call, and tell what is right and what is not."""
