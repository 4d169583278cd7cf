"""Puts numbered frames back in order; tells the missing, the late and the double ones."""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")

WAIT: Final = 200_000_000
"""How long frames wait for an earlier one, ns."""
MAX_DROPOUT: Final = 3000
"""A number this far ahead is loss; farther is a new numbering (MAX_DROPOUT of RFC 3550 appendix A.1)."""
MAX_MISORDER: Final = 100
"""A number this far behind is late; farther is a new numbering (MAX_MISORDER, there)."""
MANY: Final = MAX_DROPOUT
"""Missing before the first frame of a new numbering: all that the time between them may have held."""


class Reorder(Generic[T]):
    """A window over frames with sequence numbers.

    Frames come out in order, each with the count of those missing before it (``MANY`` at a new numbering).
    """

    __slots__ = ("_given_up", "_mask", "_size", "_waiting", "duplicates", "late", "next", "reordered", "resyncs")

    def __init__(self, size: int, modulus: int = 0) -> None:
        """``size`` frames wait at most; numbers wrap at ``modulus`` (a power of two), 0 = they do not."""
        self._size = max(size, 0)
        self._mask = modulus - 1  # -1 keeps all bits: no wrapping
        self._waiting: dict[int, tuple[int, T]] = {}
        self._given_up: deque[int] = deque(maxlen=MAX_MISORDER)
        self.next: int | None = None
        """The number that is awaited; None before the first frame."""
        self.late = self.duplicates = self.reordered = self.resyncs = 0

    def expected(self, seq: int) -> bool:
        """Whether a frame goes straight through; it then counts as taken."""
        if seq != self.next or self._waiting:
            return False
        self.next = (seq + 1) & self._mask
        return True

    def push(self, seq: int, frame: T, now: int, *, older: bool) -> list[tuple[int, T]]:
        """Take a frame that was not ``expected``; return those that may go now.

        ``older``: its own stamp is not after that of the latest frame, as it must be of a late or double one.
        """
        seq &= self._mask
        if self.next is None:
            self._begin(seq)
        ahead = self._ahead(seq)
        if ahead > MAX_DROPOUT or ahead < -MAX_MISORDER or (ahead < 0 and not older):
            return self._renumber(seq, frame)
        if ahead < 0:
            self._count_behind(seq)
        elif seq in self._waiting:
            self.duplicates += 1
        else:
            self.reordered += any(self._ahead(other) > ahead for other in self._waiting)
            self._waiting[seq] = (now, frame)
        out = self._drain(0)
        out.extend(self.tick(now))
        return out

    def tick(self, now: int) -> list[tuple[int, T]]:
        """Time passes: give up on what is missing for too long, or while too many wait for it."""
        out: list[tuple[int, T]] = []
        # a dict keeps the order of arrival, so its first frame waits longest
        while self._waiting and (
            len(self._waiting) > self._size or now - next(iter(self._waiting.values()))[0] >= WAIT
        ):
            out.extend(self._skip())
        return out

    def flush(self) -> list[tuple[int, T]]:
        """All that waits, at once."""
        out: list[tuple[int, T]] = []
        while self._waiting:
            out.extend(self._skip())
        return out

    def _renumber(self, seq: int, frame: T) -> list[tuple[int, T]]:
        out = self.flush()
        self.resyncs += 1
        self._begin(seq)
        self.next = (seq + 1) & self._mask
        out.append((MANY, frame))
        return out

    def _begin(self, seq: int) -> None:
        """Count from ``seq`` on; those just before it, should they come, are late."""
        self.next = seq
        self._given_up.clear()
        self._given_up.extend((seq - i) & self._mask for i in range(1, self._size + 1))

    def _ahead(self, seq: int) -> int:
        """How far a number is ahead of the awaited one; negative behind."""
        assert self.next is not None
        if self._mask == -1:
            return seq - self.next
        half = (self._mask + 1) >> 1
        return ((seq - self.next + half) & self._mask) - half

    def _skip(self) -> list[tuple[int, T]]:
        """Give up on the numbers before the first that waits."""
        assert self.next is not None
        first = min(self._waiting, key=self._ahead)
        missing = self._ahead(first)
        for i in range(max(missing - MAX_MISORDER, 0), missing):
            self._given_up.append((self.next + i) & self._mask)
        self.next = first
        return self._drain(missing)

    def _drain(self, missing: int) -> list[tuple[int, T]]:
        """The frames that follow each other from the awaited one on."""
        out: list[tuple[int, T]] = []
        while self.next in self._waiting:
            out.append((missing, self._waiting.pop(self.next)[1]))
            self.next = (self.next + 1) & self._mask
            missing = 0
        return out

    def _count_behind(self, seq: int) -> None:
        if seq in self._given_up:
            self._given_up.remove(seq)
            self.late += 1
        else:
            self.duplicates += 1
