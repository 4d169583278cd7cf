"""Peers that speak as Twilio does, more or less: JSON texts with an ``event``, audio in base64.

Camel or snake case, numbers as strings or not, fields in ``start`` or beside it: all of it is taken. What a platform
does of its own stands in its file in ``dialects``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from vcond.sdk.contract import Codec, MillisClock, PartyInfo, ProtocolError, TrackClock
from vcond.sdk.media_stream import (
    HEARD,
    PLAYED,
    Began,
    Ended,
    Format,
    Frame,
    MessageNumbers,
    Parameters,
    Pressed,
    Refused,
    Said,
    understand,
)
from vcond_stream import fields
from vcond_stream.handshake import Handshake

SIDES: Final[Mapping[str, str]] = {"inbound": HEARD, "outbound": PLAYED}
"""Whose a track is."""
MIXED: Final = Format("mixed", who=PartyInfo(name="everybody, mixed", validation="none"))
"""A track of nobody in particular: a party of its own, so that nothing is said to be of who may not have said it."""
TRACK: Final = "inbound"
"""The name of a track that has none: what the platform hears."""
WRONG_CODEC: Final = "set the platform to PCMU, PCMA or L16 at 8 to 48 kHz"


class Clone:
    """One socket. Platforms override what they do otherwise."""

    name: ClassVar[str]
    audio: ClassVar[bytes | tuple[bytes, ...]] = (b'{"event":"media"', b'{"event": "media"')
    encoding: ClassVar[str] = "PCMU"
    """What the audio is when the platform does not say."""
    rate: ClassVar[int] = 8000
    calls: ClassVar[tuple[str, ...]] = ("callSid", "call_sid", "callId", "call_id")
    """Where the name of the call stands, in ``start`` or beside it."""
    streams: ClassVar[tuple[str, ...]] = ("streamSid", "stream_sid", "streamId", "stream_id")
    numbered: ClassVar[bool] = True
    """Whether its messages are numbered, and in order."""
    timed: ClassVar[bool] = True
    """Whether its frames tell their time in milliseconds."""
    ends_by_closing: ClassVar[bool] = False
    """Whether it has no message for the end."""
    kept: ClassVar[tuple[str, ...]] = ("accountSid", "account_sid", "accountId")
    """What else of a start is kept, by the platform's names."""
    big_endian: ClassVar[bool] = False
    """How L16 is documented to come; it is measured anyhow."""

    def __init__(self, handshake: Handshake) -> None:
        self.handshake = handshake
        self._numbers = MessageNumbers()
        self.source = ""
        """As that of ``Format``."""

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """What a text says. Raises ProtocolError."""
        said = fields.message(raw)
        event = fields.word(said, "event", "eventType")
        counted = None
        if self.numbered:
            counted = self._numbers.take(fields.number(said, "sequenceNumber", "sequence_number"))
        told: Said | Sequence[Said] | None = None
        match event:
            case "media":
                told = self.media(said)
            case "start":
                told = self.start(said)
            case "stop":
                told = self.stop(said)
            case "dtmf":
                told = self.key(said)
            case "":
                raise ProtocolError("message without an event")
            case _:
                pass  # connected, mark, errors about what we never sent, whatever comes later
        if counted is None:
            return told
        if told is None:
            return counted
        return (counted, *told) if isinstance(told, Sequence) else (counted, told)

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:  # noqa: ARG002 - others take them
        """None is expected. Raises ProtocolError."""
        raise ProtocolError("unexpected binary message")

    def media(self, said: dict[str, Any]) -> Said:
        """Audio of one track."""
        body = fields.part(said, "media") or said
        track = fields.word(body, "track") or TRACK
        return Frame(track, fields.number(body, "chunk"), self.stamp(body), fields.audio(body, "payload"))

    def stamp(self, body: Mapping[str, Any]) -> int:
        """Milliseconds from the beginning."""
        return fields.number(body, "timestamp") if self.timed else 0

    def start(self, said: dict[str, Any]) -> Said | Sequence[Said]:
        """A stream begins."""
        body = fields.part(said, "start")
        call = fields.ident(body, *self.calls) or fields.ident(said, *self.calls)
        if not call:
            raise ProtocolError("start message without a call id")
        stream = fields.ident(said, *self.streams) or fields.ident(body, *self.streams) or self.handshake.id
        announced = fields.part(body, "mediaFormat", "media_format") or said
        form = self.form(announced)
        if isinstance(form, Refused):
            return form
        codec, rate = form
        listed = body.get("tracks")
        tracks = [name for name in listed if isinstance(name, str)][:4] if isinstance(listed, list) else []
        told = self.told(said, body)
        return self.begin(call, stream, tracks, codec, rate, told, self.facts(said, body))

    def form(self, announced: Mapping[str, Any]) -> tuple[Codec, int] | Refused:
        """Codec and samples a second of what comes."""
        name = fields.word(announced, "encoding") or self.encoding
        codec = fields.codec(name)
        rate = fields.number(announced, "sampleRate", "sample_rate") or fields.rate(name) or self.rate
        if codec is None or rate not in fields.RATES or fields.number(announced, "channels") > 1:
            return Refused("encoding", "vcond cannot decode this codec, rate or number of channels", WRONG_CODEC)
        return (Codec.L16BE if codec is Codec.L16 and self.big_endian else codec), rate

    def told(self, said: Mapping[str, Any], body: Mapping[str, Any]) -> Parameters:
        """Who is in the call, and what the application said: its parameters first."""
        own = {name: fields.word(body, name) or fields.word(said, name) for name in ("from", "to", "direction")}
        custom = fields.extras(body, "customParameters", "custom_parameters")
        return understand({**{name: value for name, value in own.items() if value}, **custom})

    def facts(self, said: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, str]:
        """More that is worth keeping, by the platform's names."""
        return {name: value for name in self.kept if (value := fields.word(body, name) or fields.word(said, name))}

    def begin(
        self,
        call: str,
        stream: str,
        tracks: Sequence[str],
        codec: Codec,
        rate: int,
        told: Parameters,
        facts: Mapping[str, str],
    ) -> Began:
        """The beginning, from its parts."""
        clock = self.clock()
        forms = {name: Format(party, codec, rate, clock, source=self.source) for name, party in SIDES.items()}
        forms[MIXED.party] = Format(MIXED.party, codec, rate, clock, MIXED.who, self.source)
        return Began(
            call=f"{self.name}:{call}",
            stream=stream,
            tracks=forms,
            announced=[name for name in tracks if name in forms],
            told=told,
            facts={
                "dialect": self.name,
                "call": call,
                "stream": stream,
                **facts,
                **{f"parameter.{name}": value for name, value in told.others.items()},
            },
        )

    def clock(self) -> TrackClock:
        """How frames find their place."""
        return MillisClock()

    def stop(self, said: dict[str, Any]) -> Said | None:  # noqa: ARG002 - others look into it
        """A stream is over."""
        return Ended()

    def key(self, said: dict[str, Any]) -> Said:
        """A key was pressed."""
        body = fields.part(said, "dtmf") or said
        return Pressed(fields.word(body, "digit"), (fields.word(body, "track") or TRACK).removesuffix("_track"))
