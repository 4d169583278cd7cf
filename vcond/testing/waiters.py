"""Whoever waits for something to become true, looked at whenever something happens."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable


class Waiters(ABC):
    """What happens here is awaited with ``until``."""

    def __init__(self) -> None:
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @abstractmethod
    def summary(self) -> str:
        """One line of what there is, for messages of failed tests."""

    def changed(self) -> None:
        """Something happened: whoever waits looks again."""
        for predicate, waiter in self._waiters:
            if waiter.done():
                continue
            try:
                if holds(predicate):
                    waiter.set_result(None)
            except Exception as why:  # noqa: BLE001 - a test's own mistake belongs to the test, not to the adapter
                waiter.set_exception(why)

    async def until(self, predicate: Callable[[], bool], *, within: float = 60.0, what: str = "") -> None:
        """Wait until something is true; looked at whenever something happens here, never polled.

        A predicate that raises LookupError (a call, party, track that is not there yet) is not true yet. Raises
        TimeoutError after ``within`` seconds, which says ``what`` was waited for.
        """
        if holds(predicate):
            return
        waiter = (predicate, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(within):
                await waiter[1]
        except TimeoutError:
            raise TimeoutError(f"never came: {what or 'what the test waits for'}; {self.summary()}") from None
        finally:
            self._waiters.remove(waiter)


def holds(predicate: Callable[[], object]) -> bool:
    """Whether something is true; what raises LookupError (a call, party, track that is not there yet) is not."""
    try:
        return bool(predicate())
    except LookupError:
        return False
