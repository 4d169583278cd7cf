"""Peers that send nothing but samples: LiveKit's track egress, Infobip.

LiveKit (source: livekit/egress, websocket sink): one track a socket, 16-bit little-endian, usually at 48 kHz, often with two
channels of the same; texts tell of muting. ``?call=ROOM&participant=NAME&channels=2&rate=48000`` of the URL that the
application gives says what it is: sockets of one room make one record, each participant a party.

Infobip (source: its client's models): what its control texts look like was not seen; they are passed over. Which side a fork
carries is not documented, so it is nobody's in particular.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from vcond.sdk.contract import ArrivalClock, Codec, PartyInfo, ProtocolError
from vcond.sdk.media_stream import Began, Format, Frame, Refused, Said
from vcond_stream import fields
from vcond_stream.clone import WRONG_CODEC
from vcond_stream.samples import Samples


class Infobip(Samples):
    """One socket."""

    name: ClassVar[str] = "infobip"
    mix: ClassVar[str] = "mixed"

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """Nothing that is known."""
        del raw
        return None

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:
        """Audio; the first of it is the beginning."""
        frames = super().binary(raw)
        if self.began or frames is None:
            return frames
        return [*(frames if isinstance(frames, Sequence) else [frames]), self.begin({})]  # it was said before


class LiveKit(Infobip):
    """One socket."""

    name: ClassVar[str] = "livekit"
    rate: ClassVar[int] = 48_000

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:
        """Audio of the participant."""
        query = self.handshake.query
        who = fields.word(query, "participant", "trackID") or "participant"
        out: list[Said] = []
        if not self.began:
            rate = fields.number(query, "rate") or self.rate
            if rate not in fields.RATES:
                return Refused("encoding", "vcond cannot use the rate in the URL", WRONG_CODEC)
            self.began = True
            form = Format(who, Codec.L16, rate, ArrivalClock(), PartyInfo(name=who, validation="none"))
            call = fields.ident(query, "call") or self.handshake.id
            facts = {"dialect": self.name, "call": call}
            out.append(
                Began(
                    call=f"{self.name}:{call}",
                    stream=self.handshake.id,
                    tracks={who: form},
                    announced=(who,),
                    facts=facts,
                    sides=False,
                )
            )
        if fields.word(query, "channels") == "2":
            if len(raw) % 4:
                raise ProtocolError("audio ends in half a sample")
            raw = np.frombuffer(raw, "<i2").reshape(-1, 2).mean(axis=1).astype("<i2").tobytes()
        elif len(raw) % 2:
            raise ProtocolError("audio ends in half a sample")
        return [Frame(who, 0, 0, raw), *out]  # it was said before
