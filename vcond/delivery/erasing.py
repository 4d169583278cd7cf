"""vCons go before their time: here, where nothing of them may be left, and at every sink."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from vcond.delivery import rows
from vcond.delivery.outbox_files import OutboxFiles
from vcond.delivery.sink_worker import SinkWorker
from vcond.delivery.store import Changing, OutboxStore

TABLES: Final = ("delivery_confirmations", "delivery_states", "delivery_vcons")


def kept(db: sqlite3.Connection, files: OutboxFiles, change: Changing, uuid: str) -> None:
    """The file of a vCon that is kept is removed; that it was delivered stays written."""
    vcon = rows.find(db, uuid)
    if vcon is not None and vcon.stage == "kept":
        files.files.remove(files.kept_file(uuid))
        change(lambda: rows.set_stage(db, vcon.seq, "gone"))


class Erasing:
    """Of one outbox."""

    def __init__(
        self,
        call: Callable[[Callable[[OutboxStore], Any]], Awaitable[Any]],
        workers: Sequence[SinkWorker],
    ) -> None:
        """``call`` runs a job in the thread that owns files and database."""
        self._call, self._workers = call, workers

    async def kept(self, uuid: str) -> dict[str, str]:
        """Remove the kept file of a vCon that every sink has, then have each forget it: by sink "", or why it did not.

        Raises StorageError.
        """
        await self._call(partial(OutboxStore.work, what="erase a vCon", job=partial(kept, uuid=uuid)))
        return {worker.sink.name: await worker.erase(uuid) for worker in self._workers}
