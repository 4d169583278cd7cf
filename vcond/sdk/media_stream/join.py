"""Frames of a track that follow one another, as one longer frame. Pure.

Decoding, placing and writing cost the same for 20 milliseconds as for 100.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vcond.sdk.contract import MILLI, Instant
from vcond.sdk.media_stream.dialect import Frame

G711: Final = 8
"""Bytes of a millisecond where nothing else is known."""
ROUNDING: Final = 2
"""Milliseconds by which a timestamp may be off and still follow."""
LONGEST: Final = 2_000
"""Milliseconds of a joined frame."""


@dataclass(slots=True)
class _Run:
    """Frames without a gap between them."""

    track: str
    chunk: int
    timestamp: int
    parts: list[bytes]
    size: int
    per_ms: int
    arrived: Instant

    def takes(self, frame: Frame) -> bool:
        """Whether a frame is the next one."""
        return (
            frame.chunk == self.chunk + len(self.parts)
            and abs(frame.timestamp - self.timestamp - self.size // self.per_ms) <= ROUNDING
            and self.size + len(frame.payload) <= LONGEST * self.per_ms
        )


class Joiner:
    """Joins the frames of one stream. Numbers of frames are given out anew, so that only lost ones leave gaps in them."""

    def __init__(self) -> None:
        self.per_ms: dict[str, int] = {}
        """Bytes of a millisecond by track."""
        self._joined: dict[str, int] = {}

    def join(self, frames: Iterable[tuple[Frame, Instant]]) -> list[tuple[Frame, Instant]]:
        """The same audio in as few frames as can be, in order within each track.

        A joined frame arrived when it would have, had each of its parts been as little delayed as the least delayed.
        """
        runs: list[_Run] = []
        latest: dict[str, _Run] = {}
        for frame, arrived in frames:
            run = latest.get(frame.track)
            if run is not None and run.takes(frame):
                run.parts.append(frame.payload)
                size = len(frame.payload)
                run.size += size
                run.arrived = min(arrived, Instant(run.arrived + size * MILLI // run.per_ms))
                continue
            per_ms = self.per_ms.get(frame.track, G711)
            run = _Run(frame.track, frame.chunk, frame.timestamp, [frame.payload], len(frame.payload), per_ms, arrived)
            latest[frame.track] = run
            runs.append(run)
        return [(self._frame(run), run.arrived) for run in runs]

    def _frame(self, run: _Run) -> Frame:
        before = self._joined.get(run.track, 0)
        self._joined[run.track] = before + len(run.parts) - 1
        return Frame(run.track, run.chunk - before, run.timestamp, b"".join(run.parts))
