"""What follows the outbox beside everything else: the ledger, the index of words."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import structlog

from vcond.base.errors import StorageError

T = TypeVar("T")
log = structlog.get_logger()


class Telling(Protocol):
    """What is used of the outbox."""

    opened: asyncio.Event

    async def tell(self, what: str, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run in a transaction of its database. Raises StorageError."""


class Follower:
    """Looks again and again; whatever goes wrong with it, capture goes on."""

    CANNOT, MISTAKE = "", ""
    """Lines of the log: it cannot be written; a mistake of ours."""

    def __init__(self) -> None:
        self.trouble = ""
        """Why nothing can be written just now; empty when all is well."""

    async def _keep(self, outbox: Telling, follow: Callable[[], Awaitable[None]], look: float) -> None:
        """Follow until cancelled, from when the outbox is open; ``look``: seconds between two looks."""
        await outbox.opened.wait()
        while True:
            try:
                await follow()
            except StorageError as why:
                self._say(str(why))
            except Exception as why:  # a mistake here must not take capture with it
                if not self.trouble:
                    log.exception(self.MISTAKE)
                self.trouble = type(why).__name__
            else:
                self.trouble = ""
            await asyncio.sleep(look)

    def _say(self, why: str) -> None:
        """Once per trouble, not once per try."""
        if self.trouble != why:
            self.trouble = why
            log.error(self.CANNOT, error=why)
