"""The admin socket's answers about vCons that wait for the operator: what is known of one's deliveries, and giving up one, or all that are for no sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vcond.base.errors import SEVERAL, AmbiguousError
from vcond.base.time import Instant, rfc3339
from vcond.delivery import Delivery, Entry, Outbox, nobodys
from vcond.delivery.dead_letters import discard, discard_unmatched
from vcond.delivery.rows import ANY_SIZE, DISCARDED
from vcond.server.doors import Door

MOST = 1000
"""vCons that the beginning of an id is looked for in, and dead letters that are listed."""


class DeadLetters:
    """``reads`` and ``writes`` for the admin server."""

    def __init__(self, outbox: Outbox, now: Callable[[], int]) -> None:
        self._outbox, self._now = outbox, now
        self.reads: dict[str, Door] = {"dead": self._dead, "entry": self._entry, "unmatched": self._unmatched}
        self.writes: dict[str, Door] = {"discard": self._discard, "discard-unmatched": self._discard_unmatched}

    async def _dead(self, _: dict[str, str]) -> Any:
        entries = await self._outbox.list(state="dead", limit=MOST)
        return [
            row
            for entry in entries
            for one in entry.sinks
            if one.state == "dead" and one.reason != DISCARDED
            for row in [
                {
                    "uuid": entry.uuid,
                    "bytes": entry.bytes,
                    "published": rfc3339(Instant(entry.published_at)),
                    **_row(one),
                }
            ]
        ]

    async def _entry(self, query: dict[str, str]) -> Any:
        entry = await self._found(query.get("uuid", ""))
        return {
            "uuid": entry.uuid,
            "sha512": entry.sha512,
            "bytes": entry.bytes,
            "published": rfc3339(Instant(entry.published_at)),
            "closed": rfc3339(Instant(entry.closed_at)) if entry.closed_at else "",
            "stage": entry.stage,
            "facts": entry.facts,
            "sinks": [_row(one) for one in entry.sinks],
        }

    async def _discard(self, query: dict[str, str]) -> Any:
        entry = await self._found(query.get("uuid", ""))
        sinks = await discard(self._outbox, entry.uuid, self._now())
        if not sinks and entry.stage == "lost":
            raise LookupError(
                f"vCon {entry.uuid} has lost its file: when vcond starts it is made again from its journal"
            )
        if not sinks:
            raise LookupError(f"vCon {entry.uuid} has no dead letter: vcond outbox show {entry.uuid} tells how it is")
        return {"uuid": entry.uuid, "discarded": sinks}

    async def _unmatched(self, _: dict[str, str]) -> Any:
        found = await self._outbox.tell("count vCons that are for no sink", nobodys.count)
        oldest = rfc3339(Instant(found.oldest)) if found.vcons else ""
        return {"vcons": found.vcons, "oldest": oldest, "last": found.last}

    async def _discard_unmatched(self, query: dict[str, str]) -> Any:
        """Those that were there when the operator was asked: ``last`` as ``unmatched`` told it."""
        last = query.get("last", "")
        if not last.isdecimal() or len(last) > len(str(ANY_SIZE)) - 1:
            raise ValueError("last must be what `unmatched` answered")
        return {"discarded": await discard_unmatched(self._outbox, int(last), self._now())}

    async def _found(self, uuid: str) -> Entry:
        """By its id, or a beginning that no other of the latest has. Raises LookupError, AmbiguousError."""
        if (exact := await self._outbox.get(uuid)) is not None:
            return exact
        found = [one for one in await self._outbox.list(limit=MOST) if uuid and one.uuid.startswith(uuid)]
        if len(found) > 1:
            raise AmbiguousError(SEVERAL)
        if not found:
            raise LookupError(f"no vCon with the uuid {uuid[:64]!r} was ever in this outbox: vcond outbox lists them")
        return found[0]


def _row(one: Delivery) -> dict[str, Any]:
    return {
        "sink": one.sink, "state": one.state, "attempts": one.attempts, "reason": one.reason, "answer": one.answer,
        "status": one.status, "target": one.target, "configured": one.configured,
        "last_try": rfc3339(Instant(one.last_at)) if one.last_at else "",
    }  # fmt: skip
