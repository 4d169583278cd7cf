"""What adapters say of their systems: attached or not, since when, and why."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from vcond.base import metrics
from vcond.base.time import SECOND, Instant

log = structlog.get_logger()

PATIENCE = 300.0
"""Seconds that calls of an earlier run wait for a system that is not attached, if the grace is shorter."""


class Attachments:
    """By adapter, what it said last."""

    def __init__(self, now: Callable[[], Instant]) -> None:
        self._now = now
        self._began = now()
        self._said: dict[str, tuple[bool, Instant, str]] = {}

    @property
    def said(self) -> dict[str, tuple[bool, str]]:
        """What each adapter said last: attached or not, and why."""
        return {name: (ok, detail) for name, (ok, _, detail) in self._said.items()}

    def say(self, adapter: str, ok: bool, detail: str) -> None:
        """What an adapter says of its system."""
        before = self._said.get(adapter)
        if before is None or (before[0], before[2]) != (ok, detail):
            level = log.info if ok else log.warning
            level("system attached" if ok else "system not attached", adapter=adapter, detail=detail)
            since = before[1] if before is not None and before[0] is ok else self._now()
            self._said[adapter] = (ok, since, detail)
        metrics.adapter_connected.labels(adapter).set(ok)

    def gone(self, adapter: str, now: Instant, grace: float) -> bool:
        """Whether its system has not been attached for more than ``grace`` seconds; one of which nothing was said is not gone."""
        ok, since, _ = self._said.get(adapter, (False, now, ""))
        return not ok and now - since > grace * SECOND

    def had_time(self, adapter: str, now: Instant, grace: float) -> bool:
        """Whether it could have taken up calls of an earlier run by now: ``grace`` seconds, longer while it is not attached."""
        ok, since, _ = self._said.get(adapter, (False, self._began, ""))
        patience = grace if ok else max(grace, PATIENCE)
        return now - max(since, self._began) > patience * SECOND

    def moved(self, step: int) -> None:
        """The clock was moved by so many nanoseconds, and every moment that is kept here moves with it."""
        self._began = Instant(self._began + step)
        self._said = {name: (ok, Instant(at + step), why) for name, (ok, at, why) in self._said.items()}
