"""How much of vCons is in memory at once: who comes beyond that waits for a turn, in order, and not for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

WAIT: Final = 30.0
"""Seconds: a sender gives up later (``total_timeout`` of a sink)."""


class NoRoomError(Exception):
    """It was waited for, in vain."""


class Room:
    """So many bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        """Bytes."""
        return self._used

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """So many bytes are ours inside. Raises NoRoomError."""
        await self._take(size)
        try:
            yield
        finally:
            self._used -= size
            self._let_in()

    async def _take(self, size: int) -> None:
        if not self._waiting and self._used + size <= self._most:
            self._used += size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(WAIT):
                await turn
        except BaseException as why:
            if turn.done() and not turn.cancelled():  # it was let in and gives up in the same moment
                self._used -= size
            else:
                self._waiting.remove((size, turn))
            self._let_in()
            if isinstance(why, TimeoutError):
                raise NoRoomError from None
            raise

    def _let_in(self) -> None:
        while self._waiting and self._used + self._waiting[0][0] <= self._most:
            size, turn = self._waiting.popleft()
            if turn.cancelled():
                self._waiting.appendleft((size, turn))  # who waited takes itself out
                return
            self._used += size
            turn.set_result(None)
