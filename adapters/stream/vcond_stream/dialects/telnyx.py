"""Telnyx media streaming (Call Control, TeXML).

Source: Telnyx, "Stream call media over WebSocket". Snake case; ``stream_id`` stands beside ``start``; messages may come out
of order, frames are put back by their numbers and times; L16 is big endian. Without ``stream_codec`` the call's own codec comes:
G.722 and Opus are the payloads of RTP packets, decoded where PyAV is installed; AMR-WB is not taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vcond.sdk.contract import Codec, how_to_install
from vcond.sdk.decoding import decoder
from vcond.sdk.media_stream import Refused
from vcond_stream import fields
from vcond_stream.clone import Clone


class Telnyx(Clone):
    """One socket."""

    name: ClassVar[str] = "telnyx"
    calls: ClassVar[tuple[str, ...]] = ("call_control_id",)
    numbered: ClassVar[bool] = False
    big_endian: ClassVar[bool] = True
    kept: ClassVar[tuple[str, ...]] = ("user_id", "call_session_id")

    def form(self, announced: Mapping[str, Any]) -> tuple[Codec, int] | Refused:
        """Codec and samples a second of what comes, or of what it is decoded to."""
        name = fields.word(announced, "encoding").upper()
        if name not in {"OPUS", "G722"}:
            return super().form(announced)
        made = decoder(name.lower())
        if made is None:
            hint = f"start the stream with stream_codec PCMU, or install the decoder: {how_to_install('webrtc')}"
            return Refused("encoding", f"vcond cannot decode {name} here", hint)
        self.source = name
        return Codec.L16, made.rate
