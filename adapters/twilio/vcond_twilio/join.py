"""Frames of a track that follow one another, as one longer frame. Pure.

Decoding, placing and writing cost the same for 20 milliseconds as for 100.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vcond.sdk.contract import Instant
from vcond_twilio.wire import MediaBody

SAMPLES_PER_MS: Final = 8
NANOS_PER_SAMPLE: Final = 125_000
ROUNDING: Final = 2
"""Milliseconds by which a timestamp may be off and still follow."""
LONGEST: Final = 16_000
"""Samples of a joined frame: 2 s."""


@dataclass(slots=True)
class _Run:
    """Frames without a gap between them."""

    track: str
    chunk: int
    timestamp: int
    parts: list[bytes]
    samples: int
    arrived: Instant

    def takes(self, frame: MediaBody) -> bool:
        """Whether a frame is the next one."""
        return (
            frame.chunk == self.chunk + len(self.parts)
            and abs(frame.timestamp - self.timestamp - self.samples // SAMPLES_PER_MS) <= ROUNDING
            and self.samples + len(frame.payload) <= LONGEST
        )


class Joiner:
    """Joins the frames of one stream. Numbers of frames are given out anew, so that only lost ones leave gaps in them."""

    def __init__(self) -> None:
        self._joined: dict[str, int] = {}

    def join(self, frames: Iterable[tuple[MediaBody, Instant]]) -> list[tuple[MediaBody, Instant]]:
        """The same audio in as few frames as can be, in order within each track.

        A joined frame arrived when it would have, had each of its parts been as little delayed as the least delayed.
        """
        runs: list[_Run] = []
        latest: dict[str, _Run] = {}
        for frame, arrived in frames:
            run = latest.get(frame.track)
            if run is not None and run.takes(frame):
                run.parts.append(frame.payload)
                run.samples += len(frame.payload)
                run.arrived = min(arrived, Instant(run.arrived + len(frame.payload) * NANOS_PER_SAMPLE))
                continue
            run = _Run(frame.track, frame.chunk, frame.timestamp, [frame.payload], len(frame.payload), arrived)
            latest[frame.track] = run
            runs.append(run)
        return [(self._frame(run), run.arrived) for run in runs]

    def _frame(self, run: _Run) -> MediaBody:
        before = self._joined.get(run.track, 0)
        self._joined[run.track] = before + len(run.parts) - 1
        return MediaBody(run.track, run.chunk - before, run.timestamp, b"".join(run.parts))
