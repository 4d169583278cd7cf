"""What a peer's dialect is: one socket's messages to what they mean. Pure: no sockets, no clock.

A dialect is made anew for each socket, and is asked for each message in turn. What it needs of the handshake (path,
query, headers) it is made with. It says what came: audio, a beginning, a key, an end, an answer that the peer waits for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from vcond.sdk.contract import Codec, MillisClock, PartyInfo, TrackClock
from vcond.sdk.media_stream.parameters import Parameters

LARGEST_NUMBER: Final = 1_000_000_000_000
"""Milliseconds or messages: 31 years of either."""
LARGEST_GAP: Final = 1_000
"""Messages counted as lost at one gap; more is a peer that counts otherwise."""

Count = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}\Z")]
"""A call or a stream, by its peer's name for it. Nothing that could be a path."""

HEARD: Final = "heard"
"""The party whom the peer hears from the call: the caller, unless the peer placed the call."""
PLAYED: Final = "played"
"""The one whom it plays to the call."""

# Close codes, RFC 6455 section 7.4.1; 0 = the socket stays.
GO_ON: Final = 0
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
UNSUPPORTED: Final = 1003
POLICY: Final = 1008


class Frame(msgspec.Struct, gc=False):
    """Audio of one track, as a peer writes it where it writes JSON as Twilio does."""

    track: str
    """Its name by the peer."""
    chunk: Count
    """Counts the frames of the track; 0 = the peer does not count."""
    timestamp: Count
    """Milliseconds from the start of the stream to the first sample, on a track of MillisClock."""
    payload: bytes


@dataclass(frozen=True, slots=True)
class Format:
    """What the frames of a track are, and whose."""

    party: str
    """``HEARD``, ``PLAYED``, ``caller``, ``callee``, or the key of another party."""
    codec: Codec = Codec.PCMU
    rate: int = 8000
    """Samples a second."""
    clock: TrackClock = field(default_factory=MillisClock)
    who: PartyInfo = field(default_factory=PartyInfo)
    """More of another party than the caller and the callee."""
    source: str = ""
    """What frames are of where ``codec`` is what they are decoded to: ``OPUS``, ``G722`` (``vcond.sdk.decoding``)."""

    @property
    def per_ms(self) -> int:
        """Bytes of a millisecond; so many that no frames are joined where each has to be decoded alone."""
        if self.source:
            return 1 << 20
        return self.rate // 1000 * (1 if self.codec in {Codec.PCMU, Codec.PCMA} else 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """A stream of a call begins. Once a socket."""

    call: str
    """The call by its peer's name: streams of the same call make one record."""
    stream: str
    tracks: Mapping[str, Format]
    """All that may come, by the peer's names."""
    announced: Collection[str]
    """Those of which the peer says that they come."""
    told: Parameters = field(default_factory=Parameters)
    """Who is in the call, and what else the application said."""
    sides: bool = True
    """Whether there are a caller and a callee; else tracks say who there is."""
    answered: bool = True
    """Whether they hear one another; else ``PickedUp`` says when."""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pressed:
    """A key of a telephone."""

    button: str
    track: str
    """Of whom."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One more track than the beginning told of."""

    track: str
    form: Format


@dataclass(frozen=True, slots=True)
class Closed:
    """A track is over, the stream is not."""

    track: str


@dataclass(frozen=True, slots=True)
class PickedUp:
    """The call is answered."""


@dataclass(frozen=True, slots=True)
class Pausing:
    """The platform pauses the recording, or lets it go on."""

    on: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is over, and the peer says so."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Something that was lost or came wrongly, in the words of ``AdapterHost.dropped``."""

    what: str
    reason: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """A stream that cannot be taken: the socket is closed with ``code``."""

    reason: str
    """In the words of ``AdapterHost.dropped``."""
    why: str
    """For the log. Nothing of what was said or dialled."""
    fix: str
    code: int = UNSUPPORTED


@dataclass(frozen=True, slots=True)
class Reply:
    """A text that the peer waits for."""

    text: str


Said = Frame | Began | Pressed | Opened | Closed | PickedUp | Pausing | Ended | Counted | Refused | Reply


class Dialect(Protocol):
    """One peer on one socket."""

    @property
    def audio(self) -> bytes | tuple[bytes, ...]:
        """How most texts with audio begin: these may wait a moment, to be taken together. Others are taken at once."""

    @property
    def ends_by_closing(self) -> bool:
        """Whether a socket that the peer closes in order is the end of the stream: it has no message for it."""

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """What a text says. Raises ProtocolError, without what was in it, for one that makes no sense."""

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:
        """The same for a binary message."""


class MessageNumbers:
    """Notices messages that never came, where a peer counts all of a stream."""

    def __init__(self) -> None:
        self.expected = 0

    def take(self, number: int) -> Counted | None:
        """The number of a message that came; 0 = the peer does not count."""
        expected = self.expected
        if not number:
            return None
        if number < expected:
            return Counted("message", "out-of-order")
        self.expected = number + 1
        if expected and number > expected:
            return Counted("message", "sequence-gap", min(number - expected, LARGEST_GAP))
        return None
