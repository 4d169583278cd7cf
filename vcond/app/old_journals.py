"""What becomes of the journals of an earlier run.

Capture does not wait for them: before adapters attach only those are read that may be of calls which go on. The vCon of a call is
published when the call has ended, so a journal whose vCon the outbox has is of a call that is over: its name is all that is
looked at, and there may be a hundred thousand of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import structlog

from vcond.base.backoff import Backoff
from vcond.base.errors import StorageError
from vcond.base.time import SECOND, Instant
from vcond.call.state import Call, fold
from vcond.capture.clock import SteadyClock
from vcond.capture.registry import CallRegistry
from vcond.delivery import Outbox, outbox_files
from vcond.journal import CallJournal, Found, Store
from vcond.publish.finisher import Finisher
from vcond.publish.retrying import until_stored
from vcond.publish.revisions import looked_up, revisions

logger = structlog.get_logger()

REST: Final = 3.0
"""Times as long as a journal took to read nothing is read: what is captured now has the processor first."""
AGAIN: Final = Backoff(1.0, 60.0)
"""Seconds before an outbox that could not be opened is tried again."""


class Parts(Protocol):
    """What is used of a daemon."""

    clock: SteadyClock
    registry: CallRegistry
    store: Store
    finisher: Finisher
    outbox: Outbox
    stopping: bool

    def gone(self, uuid: str) -> bool:
        """Whether a call was forgotten and nothing of it stays: what is left of its journal is none. In any thread."""

    def merged(self, journal: CallJournal, into: str = "") -> None:
        """That of a call which became part of another is not needed, unless it is held."""


class OldJournals:
    """Owns them until each is with whom it belongs to: an adapter, the finisher, the outbox."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._left: deque[str] = deque()
        """Names of those that are not of calls which go on; those without a vCon first."""
        self._merged: dict[str, str] = {}
        """By call that another one took in, which."""
        self.found = 0

    @property
    def left(self) -> int:
        """How many are still to be looked at."""
        return len(self._left)

    async def take_back(self, adapters: Iterable[str]) -> None:
        """Calls without an end, which must be there when their adapter asks. Raises StorageError."""
        store, recovery = self._parts.store, self._parts.registry.recovery
        published, others = await asyncio.to_thread(self._listed)
        unfinished: list[tuple[Found, Call]] = []
        for name in sorted(others):
            with self._strange_one(name):
                found, state = await asyncio.to_thread(self._read, name)
                if found is not None and not _is_over(state):
                    unfinished.append((found, state))
                elif found is not None:
                    self._left.append(name)
        self._left += published
        self.found = len(self._left) + len(unfinished)
        for found, state in unfinished:
            with self._strange_one(found.uuid):
                if found.uuid in self._merged:
                    self._parts.merged(store.take(found), self._merged[found.uuid])
                else:
                    recovery.take_back(store.take(found), self._go_on_from(state.known_until))
        recovery.finish_all_unfinished(list(adapters))

    async def open_outbox(self) -> None:
        """Until it is open: capture goes on without it, what ends waits in its journal."""
        failures = 0
        while not self._parts.outbox.opened.is_set():
            try:
                await self._parts.outbox.open()
            except StorageError as why:
                logger.error(  # noqa: TRY400 - the message says it all
                    "cannot open the outbox, retrying; calls are recorded and wait in their journals", error=str(why)
                )
            except Exception:  # no mistake of ours there is worth the calls that go on
                logger.exception("internal error while opening the outbox, retrying; please report it")
            else:
                return
            failures += 1
            await asyncio.sleep(AGAIN.wait(failures))

    async def run(self, *, rest: float = REST) -> None:
        """All others, one by one, while the outbox is open. Until the daemon stops: what is left is for the next start."""
        loop, finished = asyncio.get_running_loop(), 0
        while self._left and not self._parts.stopping:
            name, began = self._left[0], loop.time()
            with self._strange_one(name):
                finished += await self._look_at(name)
            self._left.popleft()
            await asyncio.sleep(rest * (loop.time() - began))
        self._remove_merged()
        if self.found:
            unfinished = len(self._parts.registry.recovery)
            logger.info("found journals of an earlier run", found=self.found, to_finish=finished, unfinished=unfinished)

    @contextmanager
    def _strange_one(self, name: str) -> Iterator[None]:
        """It keeps neither the others nor capture."""
        try:
            yield
        except Exception:
            logger.exception("internal error while reading an old journal; it is kept; please report it", call=name)
            self._parts.store.refused[name] = "internal error while reading it: report it, with the journal of vcond"

    def _listed(self) -> tuple[list[str], list[str]]:
        """Names of those whose vCon the outbox has, and of the others."""
        names = [name for name in self._parts.store.names() if not self._parts.gone(name)]
        return outbox_files.known(self._parts.outbox.root, names)

    def _read(self, name: str) -> tuple[Found | None, Call]:
        found = self._parts.store.examined(name)
        state = fold(found.events if found else ())
        self._merged |= dict.fromkeys(state.merged, state.uuid)
        return found, state

    async def _look_at(self, name: str) -> bool:
        """To whom it belongs; whether a vCon is still to be made."""
        if self._parts.gone(name):  # that came to be known meanwhile
            return False
        found, state = await asyncio.to_thread(self._read, name)
        if found is None:
            return False
        journal, recovery = self._parts.store.take(found), self._parts.registry.recovery
        if not state.uuid:
            journal.remove()
        elif state.merged_into or state.uuid in self._merged:
            self._parts.merged(journal, self._merged.get(state.uuid, ""))
        elif state.published and await self._is_published(journal, state):
            pass
        elif state.ended is not None:
            recovery.take_to_finish(journal)
            return True
        else:  # the outbox has its vCon: a damaged end, and never a call that an adapter may take up
            recovery.end_at_once(journal, max(self._parts.clock.now(), state.known_until))
        return False

    def _go_on_from(self, known: Instant) -> Instant:
        """Now, and not before what is in the journal of a call that may go on: what comes of it lies after what came."""
        step = self._parts.clock.not_before(known)
        if step:
            self._parts.registry.attachments.moved(step)
            logger.warning(
                "the system clock is behind calls of an earlier run; ignoring it until they are over",
                seconds=round(step / SECOND, 3),
                hint="let NTP (chrony) keep the clock, and start vcond after time-sync.target",
            )
        return self._parts.clock.now()

    async def _is_published(self, journal: CallJournal, state: Call) -> bool:
        """Leave a journal to its deliveries; False when the outbox lost the original, which is then made again."""
        finisher, outbox = self._parts.finisher, self._parts.outbox
        finisher.await_sinks(state)
        vcons = await until_stored(
            lambda: looked_up(revisions(state), outbox), state.uuid, "cannot read the outbox, retrying", asyncio.sleep
        )
        if vcons[0].state == "due":
            return False
        finisher.expect(journal, state, vcons)
        return True

    def _remove_merged(self) -> None:
        """Calls that another one took in, as only that one's journal knows: a power loss took the word of their own."""
        recovery = self._parts.registry.recovery
        for call in recovery.unfinished():
            if call.uuid in self._merged and isinstance(call.journal, CallJournal):
                recovery.forget(call)
                self._parts.merged(call.journal, self._merged[call.uuid])


def _is_over(state: Call) -> bool:
    return not state.uuid or bool(state.merged_into or state.published) or state.ended is not None
