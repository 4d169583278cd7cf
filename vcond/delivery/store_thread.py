"""The thread that owns files and database of the outbox, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from vcond.delivery.store import OutboxStore

T = TypeVar("T")


class StoreThread:
    """Open it, call it, close it; bodies are read beside it, two at a time."""

    def __init__(self) -> None:
        self._store: OutboxStore | None = None
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="outbox-read")

    async def open(self, make: Callable[[], OutboxStore]) -> None:
        """``make`` brings files and database in order. Raises StorageError."""
        self._store = await asyncio.get_running_loop().run_in_executor(self._disk, make)

    async def close(self) -> None:
        """Let go of the database and the threads."""
        store, self._store = self._store, None
        if store is not None:
            await asyncio.get_running_loop().run_in_executor(self._disk, store.close)
        self._disk.shutdown(wait=False)
        self._readers.shutdown(wait=False)

    async def call(self, job: Callable[[OutboxStore], T]) -> T:
        """Run in the one thread. Raises what the job raises."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, job, self._opened())

    async def read(self, uuid: str) -> tuple[bytes, str]:
        """The bytes of a vCon that is not kept away yet, and their SHA-512 in hex. Raises OSError."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._opened().read, uuid)

    def _opened(self) -> OutboxStore:
        if self._store is None:
            raise RuntimeError("the outbox is not open")
        return self._store
