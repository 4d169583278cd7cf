"""The admin socket's answers about legal holds."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import structlog

from vcond.base.time import Instant, rfc3339
from vcond.records.holds import Hold, Holds
from vcond.records.ledger_service import Records
from vcond.server.conversations import Conversations
from vcond.server.doors import Door, moment

log = structlog.get_logger()


class Parts(Protocol):
    """What is asked of a daemon."""

    @property
    def holds(self) -> Holds:
        """All of them."""

    @property
    def records(self) -> Records:
        """The ledger."""

    @property
    def conversations(self) -> Conversations:
        """What there is of a call."""

    def released(self, call: str) -> None:
        """A call is held no more."""


class HoldAnswers:
    """``reads`` and ``writes`` for the admin server."""

    def __init__(self, daemon: Parts) -> None:
        self._daemon = daemon
        self.reads: dict[str, Door] = {"holds": self._holds}
        self.writes: dict[str, Door] = {
            "hold": self._hold,
            "release": self._release,
        }

    async def _holds(self, _: dict[str, str]) -> Any:
        return [self._row(one) for one in self._daemon.holds.all()]

    async def _hold(self, query: dict[str, str]) -> Any:
        until = moment("until", query["until"]) if "until" in query else 0
        call = (await self._daemon.conversations.find(query.get("call", ""))).call
        hold = await asyncio.to_thread(self._daemon.holds.put, call, query.get("reason", ""), until)
        await self._daemon.records.tell("held", call=call, vcon=call)
        log.warning(
            "call is on legal hold: nothing of it is deleted", call=call, until=rfc3339(Instant(until)) if until else ""
        )
        return self._row(hold)

    async def _release(self, query: dict[str, str]) -> Any:
        """By the beginning of the call's id too: the call itself may be nowhere any more but at its sinks."""
        wanted = query.get("call", "").strip().lower()
        found = [one.call for one in self._daemon.holds.all() if wanted and one.call.startswith(wanted)]
        call = found[0] if len(found) == 1 else (await self._daemon.conversations.find(wanted)).call
        hold = await asyncio.to_thread(self._daemon.holds.release, call)
        if hold is None:
            raise LookupError(f"call {call} is not on legal hold: vcond legal-hold lists those that are")
        self._daemon.released(call)
        await self._daemon.records.tell("released", call=call, vcon=call)
        log.warning("legal hold released: retention and forgetting apply again", call=call)
        return self._row(hold)

    def _row(self, hold: Hold) -> dict[str, Any]:
        return {
            "call": hold.call,
            "reason": hold.reason,
            "since": rfc3339(Instant(hold.since)) if hold.since else "",
            "until": rfc3339(Instant(hold.until)) if hold.until else "",
            "in_force": self._daemon.holds.on(hold.call) is not None,
        }
