"""What legal holds keep of journals, and what is noted of the time that holds have been over."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from vcond.base.errors import StorageError
from vcond.call.events import MergedInto
from vcond.journal import CallJournal, Store
from vcond.records.holds import Hold, Holds

log = structlog.get_logger()

EVERY: Final = 600.0
"""Seconds between two looks: a kill costs so much of the day for which a hold must have been over."""


class Holding:
    """Owns the journals that a hold alone keeps."""

    def __init__(self, holds: Holds, store: Store) -> None:
        self._holds, self._store = holds, store
        self._held_back: set[str] = set()
        """Calls whose journals nobody needs any more."""
        self._spreading: set[asyncio.Future[None]] = set()
        self._said = ""

    def journal_over(self, call: str) -> None:
        """Nobody needs a journal any more; that of a call on hold stays."""
        if self._holds.on(call) is None:
            self._store.remove(call)
        else:
            self._held_back.add(call)

    def released(self, call: str) -> None:
        """A call is held no more: its journal goes if it was only held."""
        if call in self._held_back:
            self._held_back.discard(call)
            self._store.remove(call)

    def merged(self, journal: CallJournal, into: str = "") -> None:
        """A call is part of another, and so is the hold on it, which keeps its own journal too.

        ``into``: which one, where its journal does not tell.
        """
        hold = self._holds.on(journal.uuid)
        if hold is None:
            journal.remove()
            return
        self._held_back.add(journal.uuid)  # it goes when the hold is over
        told = next((one.call for one in reversed(journal.events) if isinstance(one, MergedInto)), into)
        journal.close()
        if told:
            spreading = asyncio.get_running_loop().run_in_executor(None, self._hold_too, hold, told)
            self._spreading.add(spreading)
            spreading.add_done_callback(self._spreading.discard)

    async def run(self, every: float = EVERY) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(every)
            await self.look()

    async def look(self) -> None:
        """Note how long holds have been over; what one kept that has ended goes, as when it is released."""
        try:
            await asyncio.to_thread(self._holds.note)
        except StorageError as why:
            if str(why) != self._said:
                log.error("cannot note how long legal holds have been over, retrying", error=str(why))  # noqa: TRY400 - it says it all
            self._said = str(why)
        else:
            self._said = ""
        for call in [one for one in self._held_back if self._holds.on(one) is None]:
            self.released(call)

    def _hold_too(self, hold: Hold, call: str) -> None:
        try:
            self._holds.spread(hold, call)
        except StorageError as why:
            log.error(  # noqa: TRY400 - it says it all
                "cannot store the legal hold of a merged call; it is held until the next start, which tries again", call=call,
                error=str(why), hint="free space on the disk of the records",
            )  # fmt: skip
