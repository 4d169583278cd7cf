"""Twilio Media Streams as a dialect: what each message of one socket means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vcond.sdk.contract import ProtocolError
from vcond.sdk.media_stream import (
    HEARD,
    PLAYED,
    Began,
    Ended,
    Format,
    MessageNumbers,
    Pressed,
    Refused,
    Said,
    understand,
)
from vcond_twilio.wire import Dtmf, Mark, Media, MediaFormat, Start, Stop, decode

TRACKS: Final = {"inbound": Format(HEARD), "outbound": Format(PLAYED)}
"""8 kHz mono mu-law is all that Twilio sends."""


class TwilioDialect:
    """One socket of Twilio's."""

    audio = b'{"event":"media"'
    ends_by_closing = False

    def __init__(self) -> None:
        self._numbers = MessageNumbers()

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """What a message says. Raises ProtocolError when it makes no sense."""
        message = decode(raw)
        if type(message) is Media:
            numbers, number = self._numbers, message.sequence_number
            if number == numbers.expected:  # 99 of 100
                numbers.expected += 1
                return message.media
            counted = numbers.take(number)
            return message.media if counted is None else (counted, message.media)
        match message:
            case Start():
                return _start(message)
            case Stop():
                return self._with(message.sequence_number, Ended())
            case Dtmf():
                pressed = Pressed(message.dtmf.digit, message.dtmf.track.removesuffix("_track"))
                return self._with(message.sequence_number, pressed)
            case Mark():
                return self._numbers.take(message.sequence_number)
            case _:
                return None  # connected, or something that a later Twilio may say

    def binary(self, raw: bytes) -> None:  # noqa: ARG002 - as the dialect of others
        """Twilio sends none. Raises ProtocolError."""
        raise ProtocolError("unexpected binary message")

    def _with(self, number: int, said: Said) -> Said | Sequence[Said]:
        counted = self._numbers.take(number)
        return said if counted is None else (counted, said)


def _start(message: Start) -> Said:
    body = message.start
    wrong = _wrong_format(body.media_format)
    if wrong:
        return Refused(
            "encoding", f"only 8 kHz mono mu-law is supported; wrong {wrong}", "use Twilio's default encoding"
        )
    told = understand(body.custom_parameters)
    facts = {"callSid": body.call_sid, "accountSid": body.account_sid[:128], "streamSid": message.stream_sid}
    facts |= {f"parameter.{name}": value for name, value in told.others.items()}
    return Began(
        call=body.call_sid, stream=message.stream_sid, tracks=TRACKS, announced=body.tracks, told=told, facts=facts
    )


def _wrong_format(announced: MediaFormat) -> str:
    """What cannot be taken of an announced format; empty = it can. Nothing announced means Twilio's only format."""
    if announced.encoding not in {"", "audio/x-mulaw"}:
        return "encoding"
    if announced.sample_rate not in {0, 8000}:
        return "sample rate"
    return "" if announced.channels == 1 else "number of channels"
