"""What each stretch of a track is, as run lengths that are reported once they are settled."""

from __future__ import annotations

from collections import deque
from typing import Final

Run = tuple[int, int, str]
"""Start, stop (samples), kind: a value of ``vcond.call.events.SpanKind``, which this room must not import."""

HISTORY: Final = 1024
"""Finished runs that are remembered: as far back as ``mark`` reaches, and what ``settled`` may leave waiting."""
MARKS: Final = 32
"""Marks that wait for the time they speak of."""


class Runs:
    """Runs in order of time, in samples, each at or after the one before; what lies between two of them was never said."""

    __slots__ = ("_fresh", "_guess", "_kind", "_marks", "_past", "_queue", "_reported", "_settle", "_start", "_stop")

    def __init__(self, settle: int) -> None:
        """``settle``: samples after which a run that still grows is reported as far as it goes."""
        self._settle = settle
        self._past: deque[Run] = deque(maxlen=HISTORY)
        self._start = self._stop = 0
        self._kind: str = ""
        self._marks: deque[Run] = deque(maxlen=MARKS)
        self._guess: tuple[int, str] | None = None
        self._reported = 0
        self._fresh = False
        self._queue: deque[Run] = deque(maxlen=2 * HISTORY)

    def add(self, start: int, stop: int, kind: str) -> None:
        """Say what ``[start, stop)`` is; ``start`` is not before the last stop. What is ``absent`` is not reported."""
        if kind == self._kind and start == self._stop and not self._marks and self._guess is None:
            self._stop = stop
            return
        if self._guess is not None:
            self._confirm(stop, kind)
        pieces = [(start, stop, kind)] if kind == "received" else self._coloured(start, stop, kind)
        for piece in pieces:
            if piece[2] != "absent":
                self._append(*piece)
        while self._marks and self._marks[0][1] <= stop:
            self._marks.popleft()

    def expect(self, stop: int, kind: str) -> None:
        """Report ``[last stop, stop)`` as ``kind`` ahead of knowing; what is added there later replaces it."""
        if stop - max(self._stop, self._reported) < self._settle:
            return
        self._report(grown=self._stop > max(self._start, self._reported))
        self._queue.extend(self._coloured(max(self._stop, self._reported), stop, kind))
        self._reported, self._guess = stop, (stop, kind)

    def mark(self, start: int, stop: int, kind: str) -> None:
        """Give what is not ``received`` in ``[start, stop)`` another kind, past and to come."""
        start = max(start, 0)
        runs, self._past = [*self._past, (self._start, self._stop, self._kind)], deque(maxlen=HISTORY)
        self._start = self._stop = 0
        self._kind = ""
        for a, b, k in runs:
            low, high = max(a, start), min(b, stop)
            if k in {"received", kind, ""} or low >= high:
                self._append(a, b, k)
                continue
            self._append(a, low, k)
            self._append(low, high, kind)
            self._append(high, b, k)
            self._paint(low, high, kind)
        if self._guess is not None:
            self._paint(max(self._stop, start), min(self._guess[0], stop), kind)
        if stop > max(start, self._stop):
            self._marks.append((max(start, self._stop), stop, kind))

    def settled(self, *, final: bool = False) -> list[Run]:
        """What was not told yet, in the order to be applied: a later run replaces an earlier one where they overlap.

        Nothing overlaps but what ``mark`` and ``expect`` change. A short run that still grows waits, unless ``final``.
        """
        grown = self._stop - max(self._start, self._reported)
        if grown >= self._settle or self._fresh or (final and grown > 0):
            self._report(grown=grown >= self._settle or (final and grown > 0))
        if not self._queue:
            return []
        out = list(self._queue)
        self._queue.clear()
        return out

    def _report(self, *, grown: bool) -> None:
        """Queue the finished runs that are not reported yet, and the running one as far as it has ``grown``."""
        waiting: list[Run] = [(max(self._start, self._reported), self._stop, self._kind)] if grown else []
        for start, stop, kind in reversed(self._past):
            if stop <= self._reported:
                break
            waiting.append((max(start, self._reported), stop, kind))
        if waiting:
            self._reported = waiting[0][1]
            self._queue.extend(reversed(waiting))
        self._fresh = False

    def _append(self, start: int, stop: int, kind: str) -> None:
        if stop <= start:
            return
        if kind == self._kind and start == self._stop:
            self._stop = stop
            return
        if self._stop > self._start:
            self._past.append((self._start, self._stop, self._kind))
            self._fresh = True
        self._start, self._stop, self._kind = start, stop, kind

    def _coloured(self, start: int, stop: int, kind: str) -> list[Run]:
        """``[start, stop)`` as ``kind``, painted over with the marks in their order."""
        pieces: list[Run] = [(start, stop, kind)]
        for low, high, colour in self._marks:
            painted: list[Run] = []
            for a, b, k in pieces:
                cuts = (a, min(max(low, a), b), max(min(high, b), a), b)
                if cuts[1] >= cuts[2]:
                    painted.append((a, b, k))
                    continue
                painted.extend((x, y, c) for x, y, c in zip(cuts, cuts[1:], (k, colour, k), strict=False) if y > x)
            pieces = painted
        return pieces

    def _paint(self, start: int, stop: int, kind: str) -> None:
        """Report again what had been reported as something else."""
        stop = min(stop, self._reported)
        if stop > start:
            self._queue.append((start, stop, kind))

    def _confirm(self, stop: int, kind: str) -> None:
        """Compare what comes with what was reported ahead of it; report anew where that was wrong."""
        assert self._guess is not None
        if self._guess[1] != kind or self._guess[0] > stop:
            self._reported = min(self._reported, self._stop)
        self._guess = None
