"""The vCons of one call: its original, and whatever follows it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.state import Call
from vcond.delivery import Entry

Kind = Literal["original", "amended"]
"""``amended``: the original with texts that were missing when it left. What else follows a call's vCon is one more kind."""
State = Literal["due", "stored", "delivered"]
"""To be made; in the outbox, and some sink lacks it; every sink has it."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One vCon of a call."""

    kind: Kind
    uuid: str
    """Of the vCon; the original has the call's."""
    state: State = "due"
    until: Instant | None = None
    """When what it waits for counts as missing; None = it waits for nothing."""

    def published(self, at: Instant, sha512: str, *, kept: bool = False) -> ev.Published:
        """What the call's journal is told when the outbox has it."""
        return ev.Published(at=at, sha512=sha512, kept=kept, vcon="" if self.kind == "original" else self.uuid)

    def facts(self, call: str) -> dict[str, str]:
        """What the outbox is told of it beside its bytes: the call, of one that has another uuid."""
        return {} if self.uuid == call else {"call": call}


class Known(Protocol):
    """What is used of the outbox."""

    async def get(self, uuid: str) -> Entry | None:
        """What is known of a vCon."""


def revisions(call: Call) -> list[Revision]:
    """Every vCon of a call, the original first, as its journal tells: due or stored."""
    found = [Revision("original", call.uuid, "stored" if call.published else "due")]
    if call.amending is not None:
        state: State = "stored" if call.amended else "due"
        found.append(Revision("amended", call.amending.vcon, state, call.amending.until))
    return found


async def looked_up(vcons: Iterable[Revision], outbox: Known) -> list[Revision]:
    """As ``revisions``, and as the outbox tells: what it lost is due again, what every sink has is delivered."""
    found = []
    for one in vcons:
        entry = await outbox.get(one.uuid) if one.state == "stored" else None
        if entry is None or entry.stage == "lost":
            found.append(replace(one, state="due"))
        else:
            found.append(replace(one, state="delivered") if entry.closed_at else one)
    return found


class Awaited:
    """The vCons that journals wait for: those that a sink lacks, or that are still to come."""

    def __init__(self, forget: Callable[[str], None]) -> None:
        """``forget`` hears of a call whose journal waits for none any more."""
        self._forget = forget
        self._calls: dict[str, str] = {}
        """By uuid of a vCon, its call."""
        self._left: Counter[str] = Counter()
        """By call, how many."""

    def __contains__(self, call: str) -> bool:
        return call in self._left

    def add(self, call: str, vcons: Iterable[Revision]) -> None:
        """The journal of a call waits for these."""
        for uuid in [one.uuid for one in vcons if one.uuid not in self._calls]:
            self._calls[uuid] = call
            self._left[call] += 1

    def over(self, vcon: str) -> None:
        """No journal waits for this one any more: every sink has it, or it will not come."""
        call = self._calls.pop(vcon, None)
        if call is None:
            return
        self._left[call] -= 1
        if not self._left[call]:
            del self._left[call]
            self._forget(call)


class Making:
    """Calls of which a vCon is being made, so that somebody can wait until that is over."""

    def __init__(self) -> None:
        self._now: dict[str, list[asyncio.Event]] = {}

    @asynccontextmanager
    async def of(self, call: str) -> AsyncIterator[None]:
        """While it is made."""
        over = asyncio.Event()
        self._now.setdefault(call, []).append(over)
        try:
            yield
        finally:
            over.set()
            self._now[call].remove(over)
            if not self._now[call]:
                del self._now[call]

    async def over(self, call: str) -> None:
        """What is being made of a call now is made."""
        for each in list(self._now.get(call, ())):
            await each.wait()
