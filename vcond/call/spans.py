"""A line painted over with kinds: what each stretch of a track is."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import Final

from vcond.call.events import SpanKind

HEARD: Final = frozenset({SpanKind.RECEIVED, SpanKind.SILENT, SpanKind.CONCEALED})
"""Kinds of a stretch in which the source sent something."""
HOLD_EDGE_MS: Final = 40
"""By how much audio may stop before a hold is told, or start after its end: two frames. That is no loss."""


class Spans:
    """Stretches ``[start, stop)``, in samples of the track, that do not overlap, in order; a later ``set`` paints over an earlier one."""

    __slots__ = ("_kinds", "_starts", "_stops")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._kinds: list[SpanKind] = []

    def set(self, start: int, stop: int, kind: SpanKind) -> None:
        """Paint ``[start, stop)``; neighbours of the same kind grow together. Nothing happens when it is empty."""
        if stop <= start:
            return
        first, last = bisect_left(self._stops, start), bisect_right(self._starts, stop)
        touched = list(zip(self._starts[first:last], self._stops[first:last], self._kinds[first:last], strict=True))
        new: list[tuple[int, int, SpanKind]] = []
        for a, b, k in touched:
            if a < start:
                new.append((a, min(b, start), k))
        new.append((start, stop, kind))
        for a, b, k in touched:
            if b > stop:
                new.append((max(a, stop), b, k))
        joined: list[tuple[int, int, SpanKind]] = []
        for a, b, k in new:
            if joined and joined[-1][1] == a and joined[-1][2] is k:
                joined[-1] = (joined[-1][0], b, k)
            elif b > a:
                joined.append((a, b, k))
        self._starts[first:last] = [a for a, _, _ in joined]
        self._stops[first:last] = [b for _, b, _ in joined]
        self._kinds[first:last] = [k for _, _, k in joined]

    def __iter__(self) -> Iterator[tuple[int, int, SpanKind]]:
        return iter(zip(self._starts, self._stops, self._kinds, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __len__(self) -> int:
        return len(self._starts)

    def total(self, kind: SpanKind, start: int = 0, stop: int | None = None) -> int:
        """How many samples of ``[start, stop)`` are of a kind."""
        return sum(max(0, min(b, stop if stop is not None else b) - max(a, start)) for a, b, k in self if k is kind)

    def kind_at(self, position: int) -> SpanKind:
        """The kind of one position; ``absent`` where nothing was said."""
        i = bisect_right(self._starts, position) - 1
        if i >= 0 and position < self._stops[i]:
            return self._kinds[i]
        return SpanKind.ABSENT

    def end_of(self, kinds: Collection[SpanKind]) -> int | None:
        """Where the last stretch of one of these kinds ends."""
        backwards = zip(reversed(self._stops), reversed(self._kinds), strict=True)
        return next((stop for stop, kind in backwards if kind in kinds), None)

    def hold_edges(self, rate: int) -> list[tuple[int, int]]:
        """Lost stretches of at most ``HOLD_EDGE_MS`` that touch a held one: the hold begins or ends between frames."""
        most = rate * HOLD_EDGE_MS // 1000
        found: list[tuple[int, int]] = []
        for one, two in pairwise(self):
            kinds = {one[2], two[2]}
            lost = one if one[2] is SpanKind.LOST else two
            if one[1] == two[0] and kinds == {SpanKind.LOST, SpanKind.HELD} and lost[1] - lost[0] <= most:
                found.append(lost[:2])
        return found
