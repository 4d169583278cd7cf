"""Yeastar P-series: both channels of a call on one socket.

Source: Yeastar, "Audio stream fields". Every message carries audio, the channel, its number and its status; there is no
start. 16-bit little-endian samples, 80 ms at 8 kHz, 40 ms at 16 kHz: 1,280 bytes either way, so the URL says the rate
(``?rate=16000``). The message that ends a channel has no audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from vcond.sdk.contract import ArrivalClock, Codec, ProtocolError
from vcond.sdk.media_stream import Began, Closed, Counted, Ended, Format, Frame, Opened, Refused, Said, party
from vcond_stream import fields
from vcond_stream.clone import WRONG_CODEC
from vcond_stream.handshake import Handshake

MOST_CHANNELS: Final = 16
"""Of one socket."""


class Yeastar:
    """One socket."""

    name: ClassVar[str] = "yeastar"
    audio: ClassVar[bytes | tuple[bytes, ...]] = ()
    ends_by_closing: ClassVar[bool] = True

    def __init__(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self._call = ""
        self._channels: set[str] = set()
        self._over: set[str] = set()

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """What a text says. Raises ProtocolError."""
        said = fields.message(raw)
        call, channel = fields.ident(said, "callid"), fields.word(said, "channelid")
        if not call or not channel:
            raise ProtocolError("message without a call or channel")
        if call != (self._call or call):
            raise ProtocolError("message of another call")
        if channel not in self._channels and len(self._channels) >= MOST_CHANNELS:
            return Counted("track", "limit")
        out: list[Said] = []
        ends = fields.word(said, "status") == "end"
        if said.get("audio") or not ends:
            out.append(Frame(channel, 0, 0, fields.audio(said, "audio")))
        if channel not in self._channels:
            rate = fields.number(self._handshake.query, "rate") or 8000
            if rate not in fields.RATES:
                return Refused("encoding", "vcond cannot use the rate in the URL", WRONG_CODEC)
            form = Format(channel, Codec.L16, rate, ArrivalClock(), party(fields.word(said, "number")))
            if self._channels:
                out.insert(0, Opened(channel, form))
            else:
                out.append(self._begin(call, channel, form))
            self._call = call
            self._channels.add(channel)
        if ends:
            out.append(Closed(channel))
            self._over.add(channel)
            if self._over == self._channels:
                out.append(Ended())
        return out

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:  # noqa: ARG002 - as others
        """None is expected. Raises ProtocolError."""
        raise ProtocolError("unexpected binary message")

    def _begin(self, call: str, channel: str, form: Format) -> Began:
        return Began(
            call=f"{self.name}:{call}",
            stream=self._handshake.id,
            tracks={channel: form},
            announced=(channel,),
            facts={"dialect": self.name, "call": call},
            sides=False,
        )
