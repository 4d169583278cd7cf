"""What a live call needs of its journal, and what stands in for it when the disk takes no new call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from vcond import metrics
from vcond.calls.events import Event
from vcond.media.codecs import Pcm


class CallStore(Protocol):
    """``vcond.journal.CallJournal``, as the core uses it."""

    events: list[Event]

    def append(self, event: Event) -> None:
        """Write an event. Never waits."""
        ...

    def write(self, track_file: str, position: int, pcm: Pcm) -> None:
        """Write audio. Never waits."""
        ...

    def read(self, track_file: str, start: int, stop: int) -> Pcm:
        """Samples; zeros where nothing is."""
        ...

    def length(self, track_file: str) -> int:
        """End of the file in samples."""
        ...

    def adopt(self, other: CallStore, files: Mapping[str, str]) -> None:
        """Link audio files of another journal."""
        ...


class NoJournal:
    """For a call that cannot be recorded: the PBX is answered, everything is counted as lost, nothing is kept."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        metrics.dropped_total.labels("call", "disk").inc()

    def append(self, event: Event) -> None:
        """Forget it."""

    def write(self, track_file: str, position: int, pcm: Pcm) -> None:  # noqa: ARG002 - the protocol's names
        """Count it as lost."""
        metrics.dropped_total.labels("audio", "disk").inc()

    def read(self, track_file: str, start: int, stop: int) -> Pcm:  # noqa: ARG002 - the protocol's names
        """Nothing but silence."""
        return np.zeros(max(0, stop - start), np.int16)

    def length(self, track_file: str) -> int:  # noqa: ARG002 - the protocol's names
        """Nothing is there."""
        return 0

    def adopt(self, other: CallStore, files: Mapping[str, str]) -> None:
        """Nothing to link."""
