"""What there is of a call under its names: in memory, in its journal, in the outbox, in the subject index.

Of a vCon that was delivered long ago, and after the outbox's database was lost, only the index knows: sinks may have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from vcond.base.errors import SEVERAL, AmbiguousError, JournalError, StorageError
from vcond.call.events import PartyInfo
from vcond.call.state import Call, fold
from vcond.capture.live_call import CapturedCall
from vcond.delivery import Entry, Outbox, rows
from vcond.delivery.outbox_files import OutboxFiles
from vcond.journal import Store, read_folder
from vcond.publish.revisions import revisions
from vcond.records.ledger_service import Records
from vcond.storage.names import is_uuid

LATEST: Final = 1000
"""vCons that the beginning of an id is looked for in."""
SHORTEST: Final = 4
"""Characters of an id that are enough, when no other has them."""


class Calls(Protocol):
    """What is used of the call registry."""

    @property
    def live(self) -> Sequence[CapturedCall]:
        """Every call that goes on."""

    @property
    def recovery(self) -> Left:
        """Those of an earlier run."""


class Left(Protocol):
    """What is used of the calls of an earlier run."""

    def unfinished(self) -> list[CapturedCall]:
        """Without an end."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A call and all that is named after it."""

    call: str
    vcons: tuple[str, ...]
    """Of all its revisions; the original has the call's uuid."""
    merged: tuple[str, ...] = ()
    """Calls that became part of it."""
    going_on: tuple[str, str] | None = None
    """Adapter and key of one without an end."""

    @property
    def uuids(self) -> tuple[str, ...]:
        """Every name under which something of it may be."""
        return tuple(dict.fromkeys((self.call, *self.vcons, *self.merged)))


class Conversations:
    """Finds them."""

    def __init__(self, calls: Calls, store: Store, outbox: Outbox, records: Records) -> None:
        self._calls, self._store, self._outbox, self._records = calls, store, outbox, records

    async def find(self, wanted: str) -> Conversation:
        """By the id of a call or of one of its vCons, or the beginning of it that no other has.

        Raises LookupError, AmbiguousError, StorageError.
        """
        return await self.of(await self._call(wanted))

    async def of(self, call: str) -> Conversation:
        """All that there is of a call, which may be nothing any more. Raises StorageError."""
        state = await self._state(call)
        known = await self._outbox.tell("read the outbox", partial(rows.of_call, call=call))
        told = [one.uuid for one in revisions(state)] if state is not None and state.uuid == call else []
        _, indexed = await self._indexed(call) or ("", [])
        vcons = dict.fromkeys([*told, *(one.uuid for one in known), *indexed])
        going_on = next(((one.state.adapter, one.key) for one in self._in_memory() if one.uuid == call), None)
        return Conversation(call, tuple(vcons), tuple(state.merged) if state is not None else (), going_on)

    async def newest(self, one: Conversation) -> tuple[Entry, bytes]:
        """The latest vCon of a conversation, which has all of it. Raises LookupError when it is not here, StorageError.

        None that a link of a hub made: that may have less.
        """
        known = await self._outbox.tell("read the outbox", partial(rows.of_call, call=one.call))
        found = [await self._outbox.get(vcon.uuid) for vcon in reversed(known)]
        entry = next((each for each in found if each is not None and "link" not in each.facts), None)
        if entry is None:
            raise LookupError("its vCon is not made yet, or the outbox does not know it")
        files = OutboxFiles(self._outbox.root, self._store.files)
        for path in (files.file(entry.uuid), files.kept_file(entry.uuid)):
            try:
                return entry, await asyncio.to_thread(files.read, path)
            except FileNotFoundError:
                continue
            except OSError as why:
                raise StorageError(f"cannot read the vCon: {why.strerror}") from None
        raise LookupError("its vCon is not on this machine any more: delivery.keep_days have passed")

    async def not_published(self, is_in: Callable[[PartyInfo], bool]) -> list[str]:
        """Calls of which no index tells yet, as their vCon is still to be made: those with a party that ``is_in`` knows.

        Raises StorageError.
        """
        found = {call.uuid for call in self._in_memory() if any(is_in(party.told) for party in call.state.parties)}
        here = await asyncio.to_thread(self._journals)
        known = await self._outbox.tell("read the outbox", partial(rows.known, uuids=sorted(here)))
        for uuid in here - known - found:
            state = await self._state(uuid)
            if state is not None and state.uuid == uuid and any(is_in(party.told) for party in state.parties):
                found.add(uuid)
        return sorted(found)

    async def _call(self, wanted: str) -> str:
        """The call that is meant."""
        wanted = wanted.strip().lower()
        if (known := await self._outbox.tell("read the outbox", partial(rows.call_of, uuid=wanted))) is not None:
            return known
        here = await asyncio.to_thread(self._journals) | {call.uuid for call in self._in_memory()}
        found = {uuid for uuid in here if uuid.startswith(wanted)} if len(wanted) >= SHORTEST else set()
        if wanted in found:
            return wanted
        latest: Sequence[Entry] = await self._outbox.list(limit=LATEST) if len(wanted) >= SHORTEST else ()
        found |= {one.facts.get("call", one.uuid) for one in latest if one.uuid.startswith(wanted)}
        if len(found) > 1:
            raise AmbiguousError(SEVERAL)
        if not found and (indexed := await self._indexed(wanted)):
            return indexed[0]
        if not found:
            raise LookupError(f"no call and no vCon with the id {wanted[:64]!r} is known here: nothing was changed")
        return found.pop()

    async def _indexed(self, uuid: str) -> tuple[str, list[str]] | None:
        """Call and vCons by the subject index. One that does not answer must not keep anything from being held."""
        with suppress(StorageError):
            return await self._records.ask(lambda _ledger, index: index.named(uuid)) if is_uuid(uuid) else None
        return None

    def _journals(self) -> set[str]:
        return {path.name for path in self._store.root.iterdir() if is_uuid(path.name)}

    def _in_memory(self) -> Sequence[CapturedCall]:
        return [*self._calls.live, *self._calls.recovery.unfinished()]

    async def _state(self, call: str) -> Call | None:
        """As it is in memory, or its journal tells; None without a journal."""
        for one in self._in_memory():
            if one.uuid == call:
                return one.state
        try:
            events, _ = await asyncio.to_thread(read_folder, self._store.root / call, self._store.files.files)
        except (JournalError, StorageError):
            return None  # there is none, or it cannot be read: it goes by its name
        return fold(events)
