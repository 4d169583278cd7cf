"""The least of what was seen lately: the lower envelope of a delay."""

from __future__ import annotations

from collections import deque
from typing import Final

BUCKETS: Final = 8
"""Parts of a window; it slides by one part at a time."""


class SlidingMin:
    """Minimum over a sliding window of time. Costs two comparisons a value, and a few numbers of memory."""

    __slots__ = ("_end", "_least", "_old", "_step", "value")

    def __init__(self, window: int) -> None:
        """``window`` in nanoseconds: how long a value counts, to within one eighth of it."""
        self._step = window // BUCKETS
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._old: deque[tuple[int, int]] = deque()
        self._end: int | None = None
        self._least = 0
        self.value = 0
        """The minimum now; 0 while nothing was seen."""

    def __bool__(self) -> bool:
        return self._end is not None

    def add(self, now: int, value: int) -> int:
        """Take a value that was seen at ``now`` (a ``now`` before the latest counts as the latest); return the minimum."""
        if self._end is None:
            self._end, self._least, self.value = now + self._step, value, value
            return value
        if now >= self._end:
            self._slide(now, value)
        if value < self._least:
            self._least = value
            self.value = min(self.value, value)
        return self.value

    def _slide(self, now: int, value: int) -> None:
        """Put the running part aside, drop those out of the window, begin a new part with ``value``."""
        assert self._end is not None
        self._old.append((self._end, self._least))
        while self._old and (self._old[0][0] <= now - self._step * (BUCKETS - 1) or len(self._old) >= BUCKETS):
            self._old.popleft()
        self._end, self._least = now + self._step, value
        self.value = min(value, min((least for _, least in self._old), default=value))
