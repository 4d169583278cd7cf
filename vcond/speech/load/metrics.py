"""How speech keeps up, as metrics: over all models, which share the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from vcond.base import metrics
from vcond.speech.load.admission import STATES, Admission


class Measured(Protocol):
    """One model's speech."""

    admission: Admission
    calls: Counter[str]
    """Active calls, by state."""

    @property
    def deferred(self) -> tuple[int, float]:
        """Utterances that were deferred or left over and wait, and their seconds."""

    @property
    def waiting(self) -> int:
        """Utterances that have ended and have no text."""


def measure(house: Sequence[Measured]) -> None:
    """What admission knows. Load and costs are those of the model that has or costs most."""
    for state in STATES:
        metrics.stt_calls.labels(state).set(sum(one.calls[state] for one in house))
    deferred = [one.deferred for one in house]
    metrics.stt_deferred_utterances.set(sum(count for count, _ in deferred))
    metrics.stt_deferred_seconds.set(sum(seconds for _, seconds in deferred))
    metrics.stt_load.set(max(one.admission.load for one in house))
    for kind in house[0].admission.costs:
        metrics.stt_cost.labels(kind).set(max(one.admission.costs[kind].second for one in house))


def backlog(house: Sequence[Measured]) -> None:
    """What waits."""
    metrics.stt_backlog.set(sum(one.waiting for one in house))
