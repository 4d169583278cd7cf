"""Audio that came before it was known whose it is."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Early(Generic[T]):
    """What waits, up to so many messages and so many bytes. Must not be asked to keep more after it was taken."""

    def __init__(self, most: int, size: int) -> None:
        self._most = most
        self._room = size
        self._waiting: list[T] = []

    def keep(self, thing: T, size: int) -> bool:
        """Keep one more, of ``size`` bytes. False: there is no room for it."""
        self._room -= size
        if self._room < 0 or len(self._waiting) >= self._most:
            return False
        self._waiting.append(thing)
        return True

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> list[T]:
        """All that waits, in order; nothing waits then."""
        waiting, self._waiting = self._waiting, []
        return waiting
