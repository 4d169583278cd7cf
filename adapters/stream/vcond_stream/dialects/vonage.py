"""Vonage Voice ``connect`` to a WebSocket.

Source: Vonage, "WebSockets" guide. One text, ``websocket:connected``, with the application's own headers beside it; then
binary messages of 16-bit little-endian samples, which mix all legs of the call: one track of nobody in particular. Closing
is the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vcond.sdk.contract import ProtocolError
from vcond.sdk.media_stream import Parameters, Said, understand
from vcond_stream import fields
from vcond_stream.samples import Samples


class Vonage(Samples):
    """One socket."""

    name: ClassVar[str] = "vonage"
    mix: ClassVar[str] = "mixed"
    rate: ClassVar[int] = 16_000

    def begin(self, said: Mapping[str, Any], rate: int = 0, mix: str = "") -> Said:
        """The first text."""
        kind = fields.word(said, "content-type")
        if not kind.startswith("audio/l16"):
            raise ProtocolError("first message does not describe the audio")
        return super().begin(said, fields.rate(kind) or rate, mix)

    def told(self, said: Mapping[str, Any]) -> Parameters:
        """The application's headers."""
        return understand({name: value for name, value in said.items() if name not in {"event", "content-type"}})
