"""The messages of a Twilio media stream: bytes to values. No sockets.

Source: Twilio, "Media Streams: WebSocket messages". Every message is one JSON text frame whose ``event`` names its
kind; Twilio writes most numbers as strings, so both forms are read.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from vcond.sdk.contract import ProtocolError
from vcond.sdk.media_stream import Count, Frame, Name


class _Message(msgspec.Struct, tag_field="event", rename="camel", gc=False):
    """Base: one frame."""


class Connected(_Message, tag="connected"):
    """The first message of a socket."""


class MediaFormat(msgspec.Struct, rename="camel"):
    """What the payloads are."""

    encoding: str = ""
    """``audio/x-mulaw``."""
    sample_rate: int = 0
    channels: int = 1


class StartBody(msgspec.Struct, rename="camel"):
    """What a stream is about."""

    call_sid: Name
    account_sid: str = ""
    tracks: Annotated[list[str], Meta(max_length=16)] = []
    media_format: MediaFormat = msgspec.field(default_factory=MediaFormat)
    custom_parameters: dict[str, Any] = {}
    """The ``<Parameter>`` elements of the TwiML."""


class Start(_Message, tag="start"):
    """The second message of a socket, once."""

    stream_sid: Name
    start: StartBody
    sequence_number: Count = 0


class Media(_Message, tag="media"):
    """Audio."""

    media: Frame
    """``track``: ``inbound`` is what Twilio hears from the call, ``outbound`` what it plays to it. ``chunk`` counts from 1."""
    sequence_number: Count = 0
    """Counts all messages of the stream but ``connected``."""


class DtmfBody(msgspec.Struct):
    """A key that was pressed."""

    digit: str
    track: str = "inbound_track"


class Dtmf(_Message, tag="dtmf"):
    """A key was pressed; only bidirectional streams send it."""

    dtmf: DtmfBody
    sequence_number: Count = 0


class Mark(_Message, tag="mark"):
    """Something that the application had played is over; nothing to a recorder."""

    sequence_number: Count = 0


class Stop(_Message, tag="stop"):
    """The last message: the call is over, or the application stopped the stream."""

    sequence_number: Count = 0


class _Any(msgspec.Struct):
    event: str


Message = Connected | Start | Media | Dtmf | Mark | Stop

_decode = msgspec.json.Decoder(Message, strict=False).decode
_decode_any = msgspec.json.Decoder(_Any).decode
_KNOWN: Final = frozenset({"connected", "start", "media", "dtmf", "mark", "stop"})


def decode(raw: bytes) -> Message | None:
    """A message from one text frame; None for an event that this version does not know.

    Raises ProtocolError when it is no message: not JSON, not UTF-8, a field missing or of a wrong type. Its text
    names the kind of message and nothing of what was in it.
    """
    try:
        message: Message = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    else:
        return message
    try:
        event = _decode_any(raw).event
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolError("not a media stream message") from None
    if event not in _KNOWN:
        return None
    raise ProtocolError(f"invalid {event} message")
