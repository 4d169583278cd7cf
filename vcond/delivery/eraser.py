"""What an outbox has erased, here and at its sinks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from vcond.delivery import erasing
from vcond.delivery.sink_worker import SinkWorker
from vcond.delivery.store import OutboxStore


class Eraser:
    """Of one outbox. Raises StorageError."""

    def __init__(
        self,
        call: Callable[[Callable[[OutboxStore], Any]], Awaitable[Any]],
        workers: Sequence[SinkWorker],
    ) -> None:
        """``call`` runs a job in the thread that owns files and database."""
        self._call, self._workers = call, {worker.sink.name: worker for worker in workers}

    async def kept(self, uuid: str) -> dict[str, str]:
        """Remove the kept file of a vCon that every sink has, then have each forget it: by sink "", or why it did not."""
        await self.here(uuid)
        return {name: await worker.erase(uuid) for name, worker in self._workers.items()}

    async def here(self, uuid: str) -> None:
        """Remove the kept file of a vCon that every sink has; that it was delivered stays written."""
        await self._do("erase a vCon", partial(erasing.kept, uuid=uuid))

    async def everything(self, uuid: str) -> None:
        """Nothing of a vCon is left here, and no sink is handed it any more: what was under way has ended.

        As it ends, a form may be made of it again: forms go after it.
        """
        erase = partial(erasing.everything, uuids=[uuid])
        seqs: list[int] = await self._do("forget a vCon", erase)
        for worker in self._workers.values():
            for seq in seqs:
                await worker.ended(seq)
        await self._do("forget a vCon", erase)  # what ended meanwhile may have written

    async def receivers(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        """By sink, also one that is not configured any more, which of these vCons it may have."""
        found: dict[str, list[str]] = await self._call(lambda store: store.ask(partial(erasing.receivers, uuids=uuids)))
        return found

    async def at(self, sink: str, uuid: str) -> str:
        """Have a receiver forget a vCon; why it did not, or ""."""
        return await self._workers[sink].erase(uuid)

    async def _do(self, what: str, job: Callable[..., Any]) -> Any:
        return await self._call(partial(OutboxStore.work, what=what, job=job))
