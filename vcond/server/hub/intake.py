"""Takes a vCon that came: looked at, in the index, on the disk; only then it is answered."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.call.events import CallAttribute
from vcond.call.state import Call
from vcond.delivery import ConflictError, Entry, ForgottenError
from vcond.delivery.keeping import CREATED, moment
from vcond.records.ledger import RECEIVED, Made
from vcond.records.ledger_made import made_of
from vcond.sdk.link import PREFIX
from vcond.vcon import Document
from vcond.vcon.received import NotTakenError, Problem, Received, received

ADAPTER: Final = "hub"
"""What ``match`` of a sink or of retention calls where a vCon came from."""
LIST: Final = "ingress_list"
"""The attribute with the list that it came in."""
LINK: Final = "link"
"""The fact with the link that made a vCon."""
CALL: Final = "call"
"""The fact with the vCon that came, of one that was made of it: they are held and forgotten together."""
MOST: Final = 256
"""Characters of the names of lists that are remembered."""
BUSY: Final = "this vCon is being stored just now"
_TAKEN: Final = Problem(
    "taken",
    ("body", "uuid"),
    "a vCon that a link did not make was brought under the uuid that this one gets: a link of another name makes it",
)
_FORGOTTEN: Final = Problem("forgotten", ("body", "uuid"), "this vCon was deleted here: it is not taken again")
_CONFLICT: Final = Problem(
    "conflict", ("body", "uuid"), "another vCon is kept under this uuid: a changed vCon needs a uuid of its own"
)


class Outbox(Protocol):
    """What is used of the outbox."""

    async def get(self, uuid: str) -> Entry | None:
        """What is known of a vCon."""

    async def publish(self, uuid: str, body: bytes, facts: Mapping[str, str], unmatched: Collection[str]) -> str:
        """Durable when it returns."""


class Records(Protocol):
    """What is used of ledger and index."""

    async def note(self, vcon: str, call: str, document: Document, made: Made) -> None:
        """Who is in it is in the index when this returns."""


class Intake:
    """Of one hub."""

    def __init__(
        self,
        outbox: Outbox,
        records: Records,
        *,
        facts: Callable[[Call, Document], dict[str, str]],
        unmatched: Callable[[Call], Collection[str]],
        forgotten: Callable[[str], bool],
        short_of: Callable[[], Mapping[str, str]],
        machine: str = "",
    ) -> None:
        """``machine``: this one, in the ledger; ``facts``: what the outbox is told of a vCon; ``unmatched``: sinks and links that it is not for;
        ``short_of``: what runs short here.
        """
        self._machine = machine
        self._outbox, self._records = outbox, records
        self._facts, self._unmatched, self._forgotten, self._short_of = facts, unmatched, forgotten, short_of
        self._taking: set[str] = set()

    async def take(self, body: bytes, lists: Sequence[str]) -> str:
        """Durable when it returns the uuid; again is the same as once. Raises NotTakenError, StorageError: nothing of it is kept then."""
        if short := self._short_of():
            raise StorageError("; ".join(short.values()))
        found = await asyncio.to_thread(received, body)
        if found.uuid in self._taking:
            raise StorageError(BUSY)
        self._taking.add(found.uuid)
        try:
            await self._take(found, body, lists)
        finally:
            self._taking.discard(found.uuid)
        metrics.hub_received_total.inc()
        metrics.hub_received_bytes_total.inc(len(body))
        return found.uuid

    async def _take(self, found: Received, body: bytes, lists: Sequence[str]) -> None:
        if self._forgotten(found.uuid):
            raise NotTakenError(_FORGOTTEN)
        known = await self._outbox.get(found.uuid)
        if known is not None and known.sha512 != await asyncio.to_thread(_digest, body):
            raise NotTakenError(_CONFLICT)
        call = _call(found, lists)
        made = made_of(found.document, kind=RECEIVED, machine=", ".join(lists), adapter=ADAPTER)
        facts = {CREATED: moment(found.created), LIST: _listed(lists)} | self._facts(call, found.document)
        try:
            await self._records.note(found.uuid, found.uuid, found.document, made)
            await self._outbox.publish(found.uuid, body, facts, self._unmatched(call))
        except ForgottenError:
            raise NotTakenError(_FORGOTTEN) from None
        except ConflictError:
            raise NotTakenError(_CONFLICT) from None

    async def stored(self, original: str, uuid: str, body: bytes, link: str, relation: str) -> bool:
        """See ``vcond.publish.link_sink.Keep``. It is held and forgotten with the vCon that came."""
        if short := self._short_of():
            raise StorageError("; ".join(short.values()))
        before = await self._outbox.get(original)
        root = before.facts.get(CALL, original) if before is not None else original
        if before is None or any(map(self._forgotten, (root, original, uuid))):
            raise ForgottenError("the vCon that it was made of was forgotten")
        known = await self._outbox.get(uuid)
        if known is not None and known.facts and known.facts.get(LINK) != link:
            raise NotTakenError(_TAKEN)
        if known is not None and known.sha512 != await asyncio.to_thread(_digest, body):
            return False
        found, lists, adapter = await asyncio.to_thread(received, body), before.facts.get(LIST, ""), f"{PREFIX}{link}"
        call = _call(found, lists.split(",") if lists else (), adapter)
        made = made_of(found.document, kind=relation, machine=self._machine, adapter=adapter)
        facts = {CREATED: moment(found.created), LIST: lists} | self._facts(call, found.document)
        await self._records.note(uuid, root, found.document, made)
        await self._outbox.publish(uuid, body, {**facts, CALL: root, LINK: link}, self._unmatched(call))
        return known is None


def _listed(lists: Sequence[str]) -> str:
    """As many whole names as there is room for: what links make of the vCon is matched by them."""
    found = ",".join(lists)
    return found if len(found) <= MOST else found[:MOST].rpartition(",")[0]


def _digest(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest()


def _call(found: Received, lists: Sequence[str], adapter: str = ADAPTER) -> Call:
    """As rules look at it."""
    came = [CallAttribute(at=found.created, name=LIST, value=name) for name in lists]
    return Call(uuid=found.uuid, adapter=adapter, facts=came, tags=found.tags)
