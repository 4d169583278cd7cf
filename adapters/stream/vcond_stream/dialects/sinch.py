"""Sinch ``connectStream``.

Source: Sinch, AsyncAPI of Voice Stream 1.0. ``connect`` must be answered; then come binary messages of 16-bit little-endian
samples of the caller. Losing the socket ends the call itself: closing is the end. So does a minute in which we send neither
audio nor ``heartbeat``: one is sent with every 20 seconds of audio that come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from vcond.sdk.contract import ProtocolError
from vcond.sdk.media_stream import Began, Frame, Reply, Said
from vcond_stream import fields
from vcond_stream.samples import Samples

ALIVE: Final = 20
"""Seconds of audio between two heartbeats."""


class Sinch(Samples):
    """One socket."""

    name: ClassVar[str] = "sinch"
    _due = _heard = 0
    """Bytes of audio from one heartbeat to the next, and those since the latest."""

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """What a text says. Raises ProtocolError."""
        said = super().text(raw)
        return (said, Reply('{"command":"answer"}')) if isinstance(said, Began) else said

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:
        """Audio, and now and then a sign that we are there. Raises ProtocolError."""
        frame = super().binary(raw)
        self._heard += len(raw)
        if not self._due or self._heard < self._due or not isinstance(frame, Frame):
            return frame
        self._heard = 0
        return frame, Reply('{"command":"heartbeat"}')

    def begin(self, said: Mapping[str, Any], rate: int = 0, mix: str = "") -> Said:
        """``connect``."""
        if fields.word(said, "command") != "connect":
            raise ProtocolError("first message is not connect")
        rate = fields.number(said, "sampleRate") or rate or self.rate
        self._due = ALIVE * 2 * rate
        return super().begin(said, rate, mix)
