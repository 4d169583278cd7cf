"""What a live call needs of its journal, and what stands in for it when no new call is recorded."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vcond.base import metrics
from vcond.call.events import Event
from vcond.journal import CallJournal
from vcond.media.codecs import Pcm


class NoJournal:
    """For a call that cannot be recorded: the PBX is answered, everything is counted as lost, nothing is kept."""

    def __init__(self, why: str = "", resource: str = "disk") -> None:
        """``resource``: what there is too little of, one of a few words."""
        self.why = why
        """Why the call is not recorded, in words for the operator."""
        self.events: list[Event] = []
        self._resource = resource
        metrics.dropped_total.labels("call", resource).inc()

    def append(self, event: Event) -> None:
        """Forget it."""

    def write(self, track_file: str, position: int, pcm: Pcm) -> None:  # noqa: ARG002 - the protocol's names
        """Count it as lost."""
        metrics.dropped_total.labels("audio", self._resource).inc()

    def read(self, track_file: str, start: int, stop: int) -> Pcm:  # noqa: ARG002 - the protocol's names
        """Nothing but silence."""
        return np.zeros(max(0, stop - start), np.int16)

    def length(self, track_file: str) -> int:  # noqa: ARG002 - the protocol's names
        """Nothing is there."""
        return 0

    def erase(self, track_file: str) -> None:
        """Nothing is there."""

    def rewrite(self, events: Iterable[Event]) -> None:
        """Forget these, too."""


def forgotten() -> NoJournal:
    """For a call of which nothing is to be kept any more."""
    return NoJournal("it was forgotten", "forgotten")


CallStore = CallJournal | NoJournal
"""Where a live call is written."""
