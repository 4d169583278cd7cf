"""Wavix and didlogic: 24 kHz samples, what a start says not in ``start`` but beside it.

Sources: Wavix, "Call streaming", and pipecat-wavix; pipecat-didlogic. Neither says where a frame lies in time: Wavix'
``timestamp`` is 160 at the first frame of 20 ms, which is no millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from vcond.sdk.contract import ArrivalClock, TrackClock
from vcond.sdk.media_stream import Began, PickedUp, Said
from vcond_stream import fields
from vcond_stream.clone import Clone


class Wavix(Clone):
    """One socket."""

    name: ClassVar[str] = "wavix"
    encoding: ClassVar[str] = "L16"
    rate: ClassVar[int] = 24_000
    timed: ClassVar[bool] = False

    def clock(self) -> TrackClock:
        """Frames have no time."""
        return ArrivalClock()


class Didlogic(Wavix):
    """One socket. Of a call that it places, audio before ``answered`` is the ringing."""

    name: ClassVar[str] = "didlogic"

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """What a text says. Raises ProtocolError."""
        if raw.startswith(self.audio):
            return super().text(raw)
        said = fields.message(raw)
        if fields.word(said, "event") == "answered":
            return PickedUp()
        return super().text(raw)

    def begin(self, *parts: Any) -> Began:
        """Answered later, when it places the call."""
        began = super().begin(*parts)
        return replace(began, answered=began.told.direction != "outbound")
