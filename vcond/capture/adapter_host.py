"""The core as one adapter sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
from structlog.typing import FilteringBoundLogger

from vcond.base import metrics
from vcond.base.time import Instant
from vcond.call.events import Direction
from vcond.call.stopped_audio import TapRule
from vcond.capture.registry import CallRegistry
from vcond.sdk.contract import Clock, Ingress, LiveCall


class CaptureHost:
    """The core's ``AdapterHost``: everything is the registry's, with the adapter's name filled in."""

    def __init__(
        self,
        adapter: str,
        registry: CallRegistry,
        ingress: Ingress,
        verdict: Callable[[], None],
        *,
        words: Callable[[str], str] = str,
    ) -> None:
        """``words`` puts what the adapter says of its keys into the name of its section."""
        self._adapter, self._words = adapter, words
        self._registry = registry
        self._ingress = ingress
        self._verdict = verdict
        self._log: FilteringBoundLogger = structlog.get_logger().bind(adapter=adapter)

    @property
    def clock(self) -> Clock:
        """The one clock."""
        return self._registry.clock

    @property
    def ingress(self) -> Ingress:
        """To be reached by HTTP."""
        return self._ingress

    @property
    def log(self) -> FilteringBoundLogger:
        """A logger with the adapter's name bound."""
        return self._log

    @property
    def stopping(self) -> bool:
        """Whether vcond waits for its calls to end before it stops."""
        return self._registry.stopping

    def call(self, key: str, *, at: Instant, direction: Direction = "unknown") -> LiveCall:
        """The live call of that key."""
        return self._registry.call(self._adapter, key, at, direction)

    def open_calls(self) -> Sequence[LiveCall]:
        """This adapter's calls that have not ended."""
        return self._registry.open_calls(self._adapter)

    def unfinished(self) -> Sequence[LiveCall]:
        """Calls of an earlier run without an end."""
        return self._registry.recovery.unfinished(self._adapter)

    def attached(self, ok: bool, detail: str = "") -> None:
        """Whether the system is attached."""
        self._registry.attachments.say(self._adapter, ok, self._words(detail))
        self._verdict()

    def taps(self, *, after: float, again: Callable[[LiveCall, int], bool] | None = None, shared: bool = False) -> None:
        """When audio has stopped, and who asks for it anew."""
        self._registry.taps[self._adapter] = TapRule(after, again, shared)

    def dropped(self, what: str, reason: str, count: int = 1) -> None:
        """Count something lost."""
        metrics.dropped_total.labels(what, reason).inc(count)
