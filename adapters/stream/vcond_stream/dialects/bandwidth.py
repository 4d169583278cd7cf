"""Bandwidth media streaming (``StartStream``).

Source: Bandwidth/api-docs, startStream. ``eventType`` in place of ``event``, what a start says in ``metadata``, frames
without a time. ``inbound`` is what the call leg that runs the BXML says, whoever called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from vcond.sdk.contract import ArrivalClock, TrackClock
from vcond.sdk.media_stream import Said
from vcond_stream import fields
from vcond_stream.clone import Clone


class Bandwidth(Clone):
    """One socket."""

    name: ClassVar[str] = "bandwidth"
    audio: ClassVar[bytes | tuple[bytes, ...]] = (b'{"eventType":"media"', b'{"eventType": "media"')
    numbered: ClassVar[bool] = False
    timed: ClassVar[bool] = False

    def start(self, said: dict[str, Any]) -> Said | Sequence[Said]:
        """A stream begins."""
        body = fields.part(said, "metadata")
        listed = body.get("tracks")
        tracks = [one for one in listed if isinstance(one, dict)][:4] if isinstance(listed, list) else []
        form = fields.part(tracks[0], "mediaFormat") if tracks else {}
        names = [fields.word(one, "name") for one in tracks]
        params = fields.extras(said, "streamParams")
        return super().start({"start": {**body, "tracks": names, "mediaFormat": form, "customParameters": params}})

    def clock(self) -> TrackClock:
        """Frames have no time."""
        return ArrivalClock()
