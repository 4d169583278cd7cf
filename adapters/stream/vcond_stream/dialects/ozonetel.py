"""Ozonetel (KooKoo): samples as JSON numbers, 10 ms a message.

Source: notes of one who uses it; the vendor's page was not seen. The first message with audio has another rate than the
rest and is dropped, as its users do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from vcond.sdk.contract import ArrivalClock, ProtocolError, TrackClock
from vcond.sdk.media_stream import Counted, Frame, Said
from vcond_stream import fields
from vcond_stream.clone import TRACK, Clone

MOST: int = 48_000
"""Samples of a message."""


class Ozonetel(Clone):
    """One socket."""

    name: ClassVar[str] = "ozonetel"
    calls: ClassVar[tuple[str, ...]] = ("ucid",)
    encoding: ClassVar[str] = "L16"
    numbered: ClassVar[bool] = False
    timed: ClassVar[bool] = False

    def start(self, said: dict[str, Any]) -> Said | Sequence[Said]:
        """A stream begins."""
        return super().start({"start": {"ucid": said.get("ucid"), "to": fields.word(said, "did")}})

    def media(self, said: dict[str, Any]) -> Said:
        """Audio of the caller."""
        data = fields.part(said, "data")
        samples = data.get("samples")
        if fields.number(data, "sampleRate") != self.rate:
            return Counted("frame", "another-rate")
        try:
            checked = msgspec.convert(samples, list[int])
            pcm = np.array(checked[:MOST], "<i2")
        except (msgspec.ValidationError, OverflowError, ValueError):
            raise ProtocolError("samples cannot be read") from None
        return Frame(TRACK, 0, 0, pcm.tobytes())

    def clock(self) -> TrackClock:
        """Frames have no time."""
        return ArrivalClock()
