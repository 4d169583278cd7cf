"""A link as the outbox sees it: a sink that hands a vCon to a process, and stores what is made of it beside it. Decision 0056.

So when it is tried, how often, what is a dead letter and what the operator does about it is the same as for any sink.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

import msgspec
import structlog

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.delivery import ConflictError, ForgottenError
from vcond.publish.apart import Apart, ApartError
from vcond.publish.link_process import Answer, Started
from vcond.sdk.link import PREFIX, LinkOptions, linked_uuid
from vcond.sdk.sink import OutgoingVcon, Receipt, Refused, Retry, Seen
from vcond.vcon.received import NotTakenError

log = structlog.get_logger()

TRIES: Final = 3
"""Of a vCon on which its process ends or hangs; then it is a dead letter."""
REMEMBERED: Final = 1000
"""vCons whose tries are counted."""


class Keep(Protocol):
    """What stores a vCon that a link made."""

    async def stored(self, original: str, uuid: str, body: bytes, link: str, relation: str) -> bool:
        """Durable when it returns; False when it was here already. Raises StorageError, ForgottenError, ConflictError, NotTakenError."""


class LinkSink:
    """One link. ``deliver`` is idempotent: what was stored of an earlier try stays as it is."""

    concurrency = 1

    def __init__(
        self, name: str, target: str, options: LinkOptions, *, seconds: float, most: int, keep: Callable[[], Keep]
    ) -> None:
        """``target``: ``module:class``; ``seconds``: for one vCon, the start of its process included; ``most``: bytes of what it makes."""
        self.link, self.name = name, f"{PREFIX}{name}"
        self._target, self._seconds, self._keep = target, seconds, keep
        started = msgspec.msgpack.encode(Started(target, name, options, most))
        self._apart = Apart("vcond.publish.link_process", started, seconds)
        # its own: as many links as there are threads for everything may hang, and the hub answers all the same
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"link-{name}")
        self._failed: dict[str, int] = {}

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """Store all that it makes of a vCon. Raises Retry or Refused."""
        stored: list[str] = []
        for place, (relation, body) in enumerate((await self._answer(record)).made):
            uuid = linked_uuid(record.uuid, self.link, place)
            try:
                if await self._keep().stored(record.uuid, uuid, body, self.link, relation):
                    metrics.links_made_total.labels(self.link).inc()
            except ForgottenError:
                continue
            except StorageError as why:
                raise Retry("storage", whole_sink=True, detail=str(why), hint="make room on the disk") from None
            except (ConflictError, NotTakenError, ValueError) as why:
                raise self._refused(record.uuid, f"what it makes cannot be stored: {why}") from None
            stored.append(uuid)
        self._failed.pop(record.uuid, None)
        return Receipt(0, ", ".join(stored) or "nothing made")

    async def erase(self, uuid: str) -> Receipt:  # noqa: ARG002 - part of the contract
        """It has nothing: what it made is forgotten with the vCon that it was made of."""
        return Receipt(0, "")

    async def look(self) -> list[Seen]:
        """It was made, so it can be used."""
        return [Seen("ok", f"{self._target}, {self._seconds:g} s for a vCon")]

    async def close(self) -> None:
        """Its process ends."""
        await asyncio.to_thread(self._apart.close)
        self._thread.shutdown(wait=False)

    async def _answer(self, record: OutgoingVcon) -> Answer:
        try:
            told = await asyncio.get_running_loop().run_in_executor(self._thread, self._apart.asked, record.body)
            answer = msgspec.msgpack.decode(told, type=Answer)
        except ApartError as none:
            raise self._no_answer(record.uuid, str(none)) from None
        except (ValueError, RecursionError):
            await asyncio.to_thread(self._apart.end)
            raise self._no_answer(record.uuid, "its process gives no answer that can be read") from None
        if answer.error:
            raise self._refused(record.uuid, answer.error)
        return answer

    def _no_answer(self, uuid: str, why: str) -> Retry | Refused:
        """What kills or hangs a process may be the machine's trouble, and may be the vCon."""
        tries = self._failed.pop(uuid, 0) + 1
        if tries >= TRIES:
            return self._refused(uuid, f"{why} ({tries} times)")
        self._failed[uuid] = tries
        while len(self._failed) > REMEMBERED:
            self._failed.pop(next(iter(self._failed)))
        return Retry("link-failed", answer=why, detail=why)

    def _refused(self, uuid: str, why: str) -> Refused:
        self._failed.pop(uuid, None)
        hint = f"mend what it says, or ask the link's author; then: vcond outbox retry {uuid} --sink {self.name}"
        return Refused("link-failed", answer=why, hint=hint, asked=False)
