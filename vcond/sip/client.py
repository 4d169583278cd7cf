"""Requests of our own: BYE, and UPDATE as the refresh of a session. RFC 3261 section 17.1.2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vcond.base.errors import ProtocolError
from vcond.base.time import Instant
from vcond.sip.application import Flow
from vcond.sip.dialogs import DialogState
from vcond.sip.fields import CSeq, Via
from vcond.sip.messages import Response
from vcond.sip.timers import T1, T2, Timers

MOST: Final = 10_000
"""That wait for an answer at the same time; with more they are sent once."""


@dataclass(slots=True, eq=False)
class Own:
    """One that waits for its answer."""

    branch: str
    method: str
    dialog: DialogState
    flow: Flow
    data: bytes = field(repr=False)
    ends: Instant
    pause: int = T1


class OwnRequests:
    """All of them."""

    def __init__(self) -> None:
        self._by_branch: dict[str, Own] = {}
        self._timers: Timers[str] = Timers()

    def add(self, own: Own, now: Instant) -> None:
        """It is sent now; again by ``tick``."""
        if len(self._by_branch) < MOST:
            self._by_branch[own.branch] = own
            self._timers.set(own.branch, own.ends if own.flow.reliable else Instant(now + T1))

    def answered(self, response: Response) -> Own | None:
        """Which one a final answer is for."""
        try:
            via, cseq = Via.parse(response.headers.values("via")[0]), CSeq.parse(response.headers.get("cseq"))
        except (ProtocolError, IndexError):
            return None
        own = self._by_branch.get(via.branch)
        if own is None or own.method != cseq.method or response.status < 200:
            return None
        self._timers.drop(own.branch)
        return self._by_branch.pop(own.branch)

    def due(self) -> Instant | None:
        """When ``tick`` has something to do."""
        return self._timers.due()

    def tick(self, now: Instant) -> Iterator[Own]:
        """Those to be sent again. Those that nobody answered in time are gone."""
        for branch in self._timers.pop(now):
            own = self._by_branch[branch]
            if now >= own.ends:
                del self._by_branch[branch]
                continue
            own.pause = min(2 * own.pause, T2)
            self._timers.set(branch, min(Instant(now + own.pause), own.ends))
            yield own
