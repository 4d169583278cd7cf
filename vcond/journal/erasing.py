"""A journal is gone from the disk, and not only from its folder: nothing of it waits in the trash."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from vcond.base.errors import StorageError
from vcond.journal.commands import Flush, Remove
from vcond.journal.disk_errors import advice
from vcond.journal.file_buffers import Folder
from vcond.journal.store import Store
from vcond.journal.writer import TRASH
from vcond.storage.files import Files


async def erase(store: Store, uuid: str) -> None:
    """Also of a journal that cannot be read, or was not looked at yet; an unknown one is fine. Raises StorageError."""
    path = store.root / uuid
    store.remove(uuid)
    store.queue.ask(Remove(Folder(str(path), made=True)))  # of one that nobody has taken yet
    await store.ask(lambda done: Flush([], done))
    await asyncio.to_thread(_gone, store.files.files, store.root, uuid)


def _gone(files: Files, root: Path, uuid: str) -> None:
    """The writer deletes there, too."""
    try:
        if (root / uuid).exists():
            raise StorageError("the disk did not take it out of the journals")
        trash = root / TRASH
        if not trash.is_dir():
            return
        for path in [entry.path for entry in os.scandir(trash) if entry.name[:36] == uuid]:
            with suppress(FileNotFoundError):
                while files.delete_one(path, folder=True):
                    pass
        files.sync_folder(str(trash))
    except OSError as why:
        raise StorageError(advice(why, str(root))) from None
