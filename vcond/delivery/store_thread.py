"""The thread that owns files and database of the outbox, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from vcond.base.errors import StorageError
from vcond.delivery.store import OutboxStore

T = TypeVar("T")


class StoreThread:
    """Open it, call it, close it; bodies are read beside it, two at a time."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.trouble = "not open yet: calls are recorded, their vCons wait in the journals"
        """Why it is not open; empty when it is."""
        self._opening: asyncio.Future[OutboxStore] | None = None
        self._store: OutboxStore | None = None
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="outbox-read")

    async def open(self, make: Callable[[], OutboxStore]) -> None:
        """``make`` brings files and database in order. Raises StorageError; it may be tried again then."""
        self._opening = asyncio.get_running_loop().run_in_executor(self._disk, make)
        try:
            self._store = await asyncio.shield(self._opening)
        except StorageError as why:
            self.trouble = f"{why}; calls are recorded, their vCons wait in the journals"
            raise
        self.trouble = ""
        self.opened.set()

    async def close(self) -> None:
        """Let go of the database and the threads."""
        opening, self._opening, self._store = self._opening, None, None
        if opening is not None:
            with suppress(Exception):  # nothing was opened, and who did it knows why
                store = await opening
                await asyncio.get_running_loop().run_in_executor(self._disk, store.close)
        self._disk.shutdown(wait=False)
        self._readers.shutdown(wait=False)

    async def call(self, job: Callable[[OutboxStore], T]) -> T:
        """Run in the one thread. Raises what the job raises, and StorageError when it is not open."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, job, self._ready())

    async def read(self, uuid: str) -> tuple[bytes, str]:
        """The bytes of a vCon that is not kept away yet, and their SHA-512 in hex. Raises OSError, StorageError."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._ready().read, uuid)

    def _ready(self) -> OutboxStore:
        if self._store is None:
            raise StorageError(f"the outbox cannot be used: {self.trouble or 'it is closed'}")
        return self._store
