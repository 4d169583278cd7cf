"""Levels of live calls for who asks for them: a few times a second, the last ones only, so that a slow reader has nothing queued.

They have no number: who was cut off wants those of now, not those that were missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from vcond.capture.levels import Levels

EVERY: Final = 0.25
"""Seconds from one look to the next, while few look at little."""
SLOWEST: Final = 1.0
"""However much is looked at."""
RATE: Final = 1_000_000
"""Bytes a second that are sent to all viewers together: a meter is worth less than what is captured."""


class Viewer(Protocol):
    """One who looks."""

    @property
    def call(self) -> str:
        """The call whose meters it looks at; empty = all."""

    def put_levels(self, chunk: bytes) -> None:
        """In place of those that were not sent yet."""


class Meters:
    """Looks while anybody does."""

    def __init__(self, levels: Levels, soon: Callable[[], float]) -> None:
        """``soon`` has what was put sent, and tells how many seconds apart that is."""
        self._levels, self._soon = levels, soon
        self._viewers: set[Viewer] = set()
        self._next: asyncio.TimerHandle | None = None

    def begin(self, viewer: Viewer) -> None:
        """They look from now on."""
        self._viewers.add(viewer)
        if self._next is None:
            self._levels.want(True)
            self._next = asyncio.get_running_loop().call_later(EVERY, self._look)

    def leave(self, viewer: Viewer) -> None:
        """They look no more."""
        self._viewers.discard(viewer)
        if not self._viewers and self._next is not None:
            self._next.cancel()
            self._next = None
            self._levels.want(False)

    def _look(self) -> None:
        wait = min(max(self._send(), EVERY), SLOWEST)
        self._next = asyncio.get_running_loop().call_later(wait, self._look)

    def _send(self) -> float:
        """To each what it looks at; how many seconds are enough until the next look."""
        found = self._levels.take()
        of: dict[str, bytes] = {}
        sent = 0
        for viewer in self._viewers:
            seen = found if not viewer.call else {viewer.call: found[viewer.call]} if viewer.call in found else {}
            if seen:
                if viewer.call not in of:
                    of[viewer.call] = b"event: levels\ndata: %s\n\n" % msgspec.json.encode(seen)
                viewer.put_levels(of[viewer.call])
                sent += len(of[viewer.call])
        return max(sent / RATE, self._soon() if sent else 0.0)
