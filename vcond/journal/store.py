"""All journals of a daemon: one folder, one writer thread and one that waits for the disk, one lock."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from vcond.base.errors import JournalError, StorageError
from vcond.call.events import CallOpened
from vcond.journal import lock
from vcond.journal.call import CallJournal
from vcond.journal.commands import Done, Purge, Remove, Stop
from vcond.journal.disk_errors import advice
from vcond.journal.fd_cache import fair_share
from vcond.journal.file_buffers import Folder, Lost
from vcond.journal.recovery import Found, examine
from vcond.journal.write_queue import Command, WriteQueue
from vcond.journal.writer import TRASH, Writer, run
from vcond.storage.files import Files
from vcond.storage.names import is_uuid
from vcond.storage.whole_files import WholeFiles

log = structlog.get_logger()


class Store:
    """The journals under ``root``, which is made (mode 0700) when it is not there.

    ``sync_interval`` is how many seconds of capture a power loss may cost; ``max_pending`` how many bytes may wait in
    memory for the disk before new audio is dropped (as much again may wait for fsync). ``max_open`` bounds the files
    kept open (default: a quarter of what the process may open). Use it from one loop; ``close`` it.

    Raises StorageError when the folder cannot be used, or another vcond uses it.
    """

    def __init__(
        self,
        root: Path,
        *,
        sync_interval: float = 1.0,
        max_pending: int = 64 << 20,
        max_open: int | None = None,
        files: Files | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root.absolute()
        self.refused: dict[str, str] = {}
        """Folders that ``recover`` left alone, by name, and why."""
        self.queue = WriteQueue(max_pending, clock, self._report)
        self._loop = _running_loop()
        self._journals: dict[str, CallJournal] = {}
        self._folders: dict[str, Folder] = {}
        self.files = WholeFiles(files or Files())
        self._make_root()
        self._lock = lock.acquire(self.root)
        self._empty_trash()
        writer = Writer(
            Folder(str(self.root), made=True),
            self.queue,
            self.files.files,
            clock=clock,
            sync_interval=sync_interval,
            max_open=max_open or fair_share(),
            apart=True,
        )
        self._thread = threading.Thread(target=run, args=(writer, clock), name="vcond-journal", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why not everything is written now, and what to do; empty when all is well."""
        return self.queue.state

    def open(self, event: CallOpened) -> CallJournal:
        """A new journal, with its first event. Does not wait for the disk.

        Raises ValueError when ``event.call`` is no uuid in its usual form, or has a journal already.
        """
        uuid = event.call
        if not is_uuid(uuid) or uuid in self._folders or uuid in self.refused:
            raise ValueError("not a uuid, or one that has a journal already")
        journal = self._add(uuid, None)
        journal.append(event)
        return journal

    def recover(self) -> list[CallJournal]:
        """All journals of earlier runs, oldest first, with their events and what was wrong with them. Raises StorageError."""
        return [self.take(found) for name in sorted(self.names()) if (found := self.examined(name)) is not None]

    def names(self) -> list[str]:
        """Of the journals of earlier runs. To be asked before calls come in. Raises StorageError."""
        try:
            found = os.listdir(self.root)  # noqa: PTH208 - a hundred thousand, and only their names
        except OSError as why:
            raise StorageError(advice(why, str(self.root))) from why
        ours = {lock.LOCK, TRASH} | self._folders.keys()
        return [name for name in found if name not in ours]

    def examined(self, name: str) -> Found | None:
        """A journal of an earlier run as it lies on the disk. In any thread; it becomes one of ours by ``take``.

        One that cannot be used is left as it is, is logged and named in ``refused``.
        """
        try:
            found = examine(self.root / name, self.files.files)
        except (JournalError, StorageError) as why:
            self.refused[name] = str(why)
            log.warning("skipping unreadable journal", name=ascii(name)[:80], error=str(why))
            return None
        if found is None:
            self.queue.ask(Remove(Folder(str(self.root / name), made=True)))
        return found

    def take(self, found: Found) -> CallJournal:
        """A journal of an earlier run goes on."""
        if found.damage:
            log.warning(
                "the end of a journal was damaged; using what is before it", call=found.uuid, damage=found.damage
            )
        return self._add(found.uuid, found)

    def get(self, uuid: str) -> CallJournal | None:
        """The journal of a call, unless it is closed, removed or unknown."""
        return self._journals.get(uuid)

    async def reopen(self, uuid: str) -> CallJournal | None:
        """A journal that was flushed and closed, read again; None when it is not there any more.

        Raises JournalError and StorageError when it cannot be read.
        """
        folder = self._folders.get(uuid)
        if folder is None or uuid in self._journals:
            return self._journals.get(uuid)
        found = await asyncio.to_thread(examine, Path(folder.path), self.files.files)
        if found is None or self._folders.get(uuid) is not folder:
            return None
        journal = self._journals[uuid] = CallJournal(self, uuid, folder, found)
        return journal

    def remove(self, uuid: str) -> None:
        """Delete a journal, also one that was closed. Does not wait. An unknown one is fine."""
        journal = self._journals.pop(uuid, None)
        folder = self._folders.pop(uuid, None)
        if journal is not None:
            journal.close()
        if folder is not None:
            self.queue.ask(Remove(folder))

    def forget(self, journal: CallJournal) -> None:
        """A journal that is closed; what waits of it is written all the same."""
        self._journals.pop(journal.uuid, None)

    async def close(self, *, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - the caller has nothing to cancel: a thread
        """Write and sync all, end the thread, unlock. Nothing may be appended any more.

        Raises StorageError when something could not be written in ``timeout`` seconds; the store is closed even so.
        """
        if self._lock < 0:
            return
        for journal in list(self._journals.values()):
            journal.close()
        held, self._lock = self._lock, -1
        try:
            async with asyncio.timeout(timeout):
                await self.ask(Stop)
        except TimeoutError as why:
            # the thread may still write, so the lock stays until the process is gone
            raise StorageError(f"{self.root}: the disk did not answer for {timeout:.0f} s: see the kernel log") from why
        except StorageError:
            os.close(held)
            raise
        os.close(held)

    async def ask(self, command: Callable[[Done], Command]) -> None:
        """Have the writer do something and wait until it is done. Raises what it says."""
        loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def answer(why: Exception | None) -> None:
            if not future.done() and why is not None:
                future.set_exception(why)
            elif not future.done():
                future.set_result(None)

        self.queue.ask(command(lambda why: self._on_loop(answer, why)))
        await future

    def _make_root(self) -> None:
        if (self.root / TRASH).is_symlink():
            raise StorageError(f"{self.root / TRASH}: a symbolic link: remove it")
        try:
            self.files.make_folder(self.root)
        except OSError as why:
            raise StorageError(advice(why, str(self.root))) from why

    def _empty_trash(self) -> None:
        """Delete what an earlier run left. The folder is made now: removing calls must work when the disk is full."""
        trash = self.root / TRASH
        try:
            self.files.files.make_folder(str(trash))
            self.queue.ask(Purge([entry.path for entry in os.scandir(trash)]))
        except OSError as why:
            log.warning("cannot delete old journals", error=advice(why, str(trash)))

    def _add(self, uuid: str, found: Found | None) -> CallJournal:
        self._loop = self._loop or _running_loop()
        folder = self._folders[uuid] = Folder(str(self.root / uuid), made=found is not None)
        journal = self._journals[uuid] = CallJournal(self, uuid, folder, found)
        return journal

    def _report(self, lost: Lost, file: str, start: int, stop: int) -> None:
        self._on_loop(lost, file, start, stop)

    def _on_loop(self, call: Callable[..., None], *args: object) -> None:
        if self._loop is None:
            if threading.current_thread() is not self._thread:
                call(*args)
            return
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            log.warning("journal writer reported after the daemon had stopped")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
