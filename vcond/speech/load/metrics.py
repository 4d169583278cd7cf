"""How speech keeps up, as metrics: over all models, which share the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vcond.base import metrics
from vcond.speech.load.admission import STATES

if TYPE_CHECKING:
    from vcond.speech.dispatcher import Speech


def measure(house: Sequence[Speech]) -> None:
    """What admission knows. Load and costs are those of the model that has or costs most."""
    for state in STATES:
        metrics.stt_calls.labels(state).set(sum(one.calls[state] for one in house))
    deferred = [one.deferred for one in house]
    metrics.stt_deferred_utterances.set(sum(count for count, _ in deferred))
    metrics.stt_deferred_seconds.set(sum(seconds for _, seconds in deferred))
    metrics.stt_load.set(max(one.admission.load for one in house))
    for kind in house[0].admission.costs:
        metrics.stt_cost.labels(kind).set(max(one.admission.costs[kind].second for one in house))


def backlog(house: Sequence[Speech]) -> None:
    """What waits."""
    metrics.stt_backlog.set(sum(one.waiting for one in house))
