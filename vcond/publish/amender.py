"""vCons delivered without all texts: the texts are asked for again, and an amended vCon follows.

Only some calls are in memory for it at a time; the others wait in their journals, and take turns with those that get no text. Whatever interrupts it, the next start
goes on: the amended vCon's uuid is in the journal from before the first one left, and publishing twice is publishing once.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from vcond.base import metrics
from vcond.base.errors import JournalError, StorageError
from vcond.base.time import SECOND, Instant
from vcond.capture.live_call import CapturedCall
from vcond.delivery import ForgottenError
from vcond.journal import CallJournal
from vcond.publish.revisions import Revision
from vcond.publish.texts import Settling

log = structlog.get_logger()

AT_ONCE = 32
"""Calls whose texts are waited for at the same time: their histories are in memory, no audio. Who builds takes a slot there."""
LOOK = 30.0
"""Seconds between two looks at the disk while texts are waited for."""
TURN = 60.0
"""Seconds without a new text after which a call goes back to its journal if others wait: some never get one."""
DISK_PAUSE = 30.0
"""Seconds after which a journal that could not be read is tried again."""


class Reopening(Protocol):
    """What is used of the journals."""

    async def reopen(self, uuid: str) -> CallJournal | None:
        """A closed journal; None when it is gone. Raises JournalError, StorageError."""


@dataclass(slots=True)
class _Wait:
    """A call whose vCon has left without all texts."""

    uuid: str
    revision: Revision
    left: float = math.inf
    """Seconds that it may still wait, by what was counted."""


class Amender:
    """Owns the calls whose vCon left without all texts, until the amended one is in the outbox or nobody waits for it."""

    def __init__(
        self,
        *,
        speech: Settling,
        store: Reopening,
        take: Callable[[CallJournal], CapturedCall],
        publish: Callable[[CapturedCall, CallJournal, Revision], Awaitable[int]],
        give_up: Callable[[str], None],
        disk_low: Callable[[], bool],
        now: Callable[[], Instant],
        wait: Callable[[float], Awaitable[None]],
    ) -> None:
        """``take`` has speech asked for the missing texts; ``publish`` makes the amended vCon, and is 0 if it is wrong;
        ``give_up`` hears of amended vCons that will not be. While ``disk_low`` nothing is waited for: new calls need the
        room more than old ones their texts.
        """
        self._speech, self._store, self._take = speech, store, take
        self._publish, self._give_up, self._now, self._wait = publish, give_up, now, wait
        self._disk_low = disk_low
        self._waiting: deque[_Wait] = deque()
        self._some = asyncio.Semaphore(0)
        self._in_hand = 0

    def __len__(self) -> int:
        return len(self._waiting) + self._in_hand

    def add(self, uuid: str, revision: Revision) -> None:
        """A call whose vCon has left, and what is to follow; its journal is flushed and closed. Never waits."""
        self._queue(_Wait(uuid, revision))

    def _queue(self, wait: _Wait) -> None:
        self._waiting.append(wait)
        self._some.release()
        self._count()

    async def run(self) -> None:
        """Amend what was added, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._work(), name="amend")

    async def _work(self) -> None:
        while True:
            await self._some.acquire()
            wait = self._waiting.popleft()
            uuid = wait.uuid
            self._in_hand += 1
            try:
                await self._one(wait)
            except StorageError as why:
                log.error("journal cannot be read; its vCon is amended later", call=uuid, error=str(why))  # noqa: TRY400 - it says it all
                await self._wait(DISK_PAUSE)
                self._queue(wait)
            except ForgottenError:
                continue
            except Exception:
                metrics.amended_total.labels("failed").inc()
                log.exception("vCon not amended; its journal is kept", call=uuid, hint="restart vcond, or report it")
            finally:
                self._in_hand -= 1
                self._count()

    async def _one(self, wait: _Wait) -> None:
        uuid = wait.uuid
        await self._while_there_is_time(wait, self._is_ready)
        try:
            journal = await self._store.reopen(uuid)
        except JournalError as why:
            log.error("journal damaged; its vCon is not amended", call=uuid, error=str(why))  # noqa: TRY400 - likewise
            metrics.amended_total.labels("failed").inc()
            return
        if journal is None:
            return
        try:
            await self._fill_in(journal, wait)
        finally:
            self._speech.forget(uuid)
            journal.close()

    async def _fill_in(self, journal: CallJournal, wait: _Wait) -> None:
        call = self._take(journal)
        over = await self._while_there_is_time(
            wait, lambda seconds: self._speech.settled(call.uuid, seconds), lambda: call.state.added
        )
        self._speech.forget(call.uuid)
        call.sealed = True
        if not over:
            await journal.flush()  # it is read again, with the texts that came
            self._queue(wait)
            return
        if not call.state.added:
            metrics.amended_total.labels("nothing").inc()
            log.warning("missing texts did not arrive in time; no amended vCon", call=call.uuid)
            self._give_up(wait.revision.uuid)
            return
        if await self._publish(call, journal, wait.revision):
            metrics.amended_total.labels("published").inc()
            log.info("amended vCon in the outbox", call=call.uuid, vcon=wait.revision.uuid, texts=call.state.added)
        else:
            metrics.amended_total.labels("failed").inc()

    async def _is_ready(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._speech.ready.wait()
        return False

    async def _while_there_is_time(
        self, wait: _Wait, done: Callable[[float], Awaitable[bool]], came: Callable[[], int] | None = None
    ) -> bool:
        """Wait for ``done(seconds)``, and look now and then whether that can still be afforded.

        False: nothing ``came`` for a turn, and others wait for theirs.
        """
        idle, before = 0.0, came() if came is not None else 0
        while not self._disk_low():
            left = min(wait.left, max(0.0, ((wait.revision.until or 0) - self._now()) / SECOND))
            if await done(min(left, LOOK)) or left <= LOOK:
                break
            wait.left = left - LOOK
            now = came() if came is not None else 0
            idle, before = (idle + LOOK if now == before else 0.0), now
            if came is not None and idle >= TURN and self._waiting:
                return False
        return True

    def _count(self) -> None:
        metrics.amending.set(len(self))
