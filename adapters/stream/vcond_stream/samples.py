"""Peers that send 16-bit samples as binary messages, without a time: mono, stereo with a party each, or mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np

from vcond.sdk.contract import ArrivalClock, Codec, PartyInfo, ProtocolError
from vcond.sdk.media_stream import HEARD, PLAYED, Began, Format, Frame, Parameters, Pressed, Refused, Said, understand
from vcond_stream import fields
from vcond_stream.clone import MIXED, WRONG_CODEC
from vcond_stream.handshake import Handshake

SIDES: Final[Mapping[str, tuple[str, ...]]] = {"mono": (HEARD,), "stereo": (HEARD, PLAYED), "mixed": (MIXED.party,)}
"""Whose the channels are, by what jambonz calls it."""


class Samples:
    """One socket. Dialects override ``text``."""

    name: ClassVar[str]
    audio: ClassVar[bytes | tuple[bytes, ...]] = ()
    ends_by_closing: ClassVar[bool] = True
    mix: ClassVar[str] = "mono"
    rate: ClassVar[int] = 8000
    parameters: ClassVar[tuple[str, ...]] = ("customParameters", "callHeaders", "customerData")
    calls: ClassVar[tuple[str, ...]] = ("callSid", "call_sid", "callId", "call_id", "callid", "call")

    def __init__(self, handshake: Handshake) -> None:
        """The URL may say ``call``, ``mix`` (mono, stereo, mixed) and ``rate``."""
        self.handshake = handshake
        self.began = False
        self._sides = SIDES.get(fields.word(handshake.query, "mix"), SIDES[self.mix])

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """What a text says. Raises ProtocolError."""
        said = fields.message(raw)
        if not self.began:
            return self.begin(said)
        if fields.word(said, "event").removeprefix("websocket:") == "dtmf":
            body = fields.part(said, "dtmf") if isinstance(said.get("dtmf"), dict) else said
            return Pressed(fields.word(body, "digit", "dtmf"), self._sides[0])
        return None

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:
        """Audio of all channels. Raises ProtocolError."""
        if len(raw) % (2 * len(self._sides)):
            raise ProtocolError("audio ends in half a sample")
        if len(self._sides) == 1:
            return Frame(self._sides[0], 0, 0, raw)
        both = np.frombuffer(raw, "<i2").reshape(-1, 2)
        return [Frame(side, 0, 0, both[:, n].tobytes()) for n, side in enumerate(self._sides)]

    def begin(self, said: Mapping[str, Any], rate: int = 0, mix: str = "") -> Said:
        """The beginning, by what the first text says and the URL adds."""
        asked = self.handshake.query
        self._sides = SIDES.get(mix, self._sides)
        rate = rate or fields.number(asked, "rate") or self.rate
        if rate not in fields.RATES:
            return Refused("encoding", "vcond cannot use this rate", WRONG_CODEC)
        self.began = True
        call = fields.ident(said, *self.calls) or fields.ident(asked, "call") or self.handshake.id
        told = self.told(said)
        forms = {
            side: Format(side, Codec.L16, rate, ArrivalClock(), MIXED.who if side == MIXED.party else PartyInfo())
            for side in self._sides
        }
        return Began(
            call=f"{self.name}:{call}",
            stream=self.handshake.id,
            tracks=forms,
            announced=tuple(forms),
            told=told,
            facts={
                "dialect": self.name,
                "call": call,
                **{f"parameter.{name}": value for name, value in told.others.items()},
            },
        )

    def told(self, said: Mapping[str, Any]) -> Parameters:
        """Who is in the call, and what else was said."""
        own = {name: value for name in ("from", "to", "direction") if (value := fields.word(said, name))}
        custom: dict[str, Any] = {}
        for name in self.parameters:
            custom |= fields.extras(said, name)
        return understand({**own, **custom})
