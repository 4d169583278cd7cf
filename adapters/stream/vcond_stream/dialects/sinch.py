"""Sinch ``connectStream``.

Source: Sinch, AsyncAPI of Voice Stream 1.0. ``connect`` must be answered; then come binary messages of 16-bit little-endian
samples of the caller. Losing the socket ends the call itself: closing is the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from vcond.sdk.contract import ProtocolError
from vcond.sdk.media_stream import Began, Reply, Said
from vcond_stream import fields
from vcond_stream.samples import Samples


class Sinch(Samples):
    """One socket."""

    name: ClassVar[str] = "sinch"

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """What a text says. Raises ProtocolError."""
        said = super().text(raw)
        return (said, Reply('{"command":"answer"}')) if isinstance(said, Began) else said

    def begin(self, said: Mapping[str, Any], rate: int = 0, mix: str = "") -> Said:
        """``connect``."""
        if fields.word(said, "command") != "connect":
            raise ProtocolError("a first message that is no connect")
        return super().begin(said, fields.number(said, "sampleRate") or rate, mix)
