"""Telnyx media streaming (Call Control, TeXML).

Source: Telnyx, "Stream call media over WebSocket". Snake case; ``stream_id`` stands beside ``start``; messages may come out
of order, frames are put back by their numbers and times; L16 is big endian.
"""

from __future__ import annotations

from typing import ClassVar

from vcond_stream.clone import Clone


class Telnyx(Clone):
    """One socket."""

    name: ClassVar[str] = "telnyx"
    calls: ClassVar[tuple[str, ...]] = ("call_control_id",)
    numbered: ClassVar[bool] = False
    big_endian: ClassVar[bool] = True
    kept: ClassVar[tuple[str, ...]] = ("user_id", "call_session_id")
