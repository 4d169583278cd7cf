"""The admin socket's answers about vCons that are to be sent again, or to be forgotten by those who have them."""

from __future__ import annotations

from typing import Any, Final, Protocol

from vcond.delivery import Again, Outbox
from vcond.delivery.dead_letters import send_unmatched
from vcond.delivery.model import Stage
from vcond.server.doors import Door, moment
from vcond.server.holds import Parts as WithHolds

_STAGES: Final[dict[Stage, str]] = {
    "open": "waiting for a sink: vcond outbox retry",
    "done": "delivered to every sink",
    "kept": "delivered to every sink",
    "gone": "delivered to every sink",
    "lost": "lost: its file disappeared",
}
_NOT_KEPT: Final[dict[Stage, str]] = {
    "done": ", and being removed now: try again",
    "gone": ", and its file was deleted: delivery.keep_days sets how long files are kept",
}


class Parts(WithHolds, Protocol):
    """What is asked of a daemon."""

    @property
    def outbox(self) -> Outbox:
        """Its outbox."""


class AgainAnswers:
    """``writes`` for the admin server."""

    def __init__(self, daemon: Parts) -> None:
        self._daemon = daemon
        self.writes: dict[str, Door] = {
            "retry": self._retry,
            "send-unmatched": self._send_unmatched,
            "resend": self._resend,
            "erase": self._erase,
        }

    async def _retry(self, query: dict[str, str]) -> Any:
        uuid, sink = query.get("uuid"), self._sink(query)
        stage = await self._stage(uuid)
        if stage != "open":
            raise LookupError(f"vCon {uuid} is not a dead letter: it is {_STAGES[stage]}")
        return {"retried": await self._daemon.outbox.retry(uuid, sink)}

    async def _send_unmatched(self, query: dict[str, str]) -> Any:
        """A door of its own: a daemon of before would take it for ``retry``, and send all dead letters of the sink."""
        if (sink := self._sink(query)) is None:
            raise LookupError("vCons that are for no sink are sent to one that you name: --sink NAME")
        return {"retried": await send_unmatched(self._daemon.outbox, sink)}

    async def _resend(self, query: dict[str, str]) -> Any:
        uuid, sink = query.get("uuid"), self._sink(query)
        stage = await self._stage(uuid)
        if uuid is not None and stage != "kept":
            raise LookupError(f"vCon {uuid} cannot be sent again: it is {_STAGES[stage]}{_NOT_KEPT.get(stage, '')}")
        if uuid is None and "since" not in query:
            raise LookupError("name the vCons to send again: a uuid, or --since")
        bounds = {name: moment(name, query[name]) for name in ("since", "until") if name in query}
        return {"resent": await self._daemon.outbox.resend(Again(uuid, sink, **bounds))}

    async def _erase(self, query: dict[str, str]) -> Any:
        uuid = query.get("uuid", "")
        if (stage := await self._stage(uuid)) not in {"kept", "gone"}:
            raise LookupError(f"vCon {uuid} cannot be erased now: it is {_STAGES[stage]}{_NOT_KEPT.get(stage, '')}")
        self._daemon.holds.check((await self._daemon.conversations.find(uuid)).call)
        sinks = await self._daemon.outbox.eraser.kept(uuid)
        for sink, why in sinks.items():
            if not why:
                await self._daemon.records.tell("vcon_deleted", vcon=uuid, sink=sink)
        return {"sinks": sinks}

    def _sink(self, query: dict[str, str]) -> str | None:
        """The sink that is named."""
        sink = query.get("sink")
        if sink is not None and sink not in (names := [one.sink for one in self._daemon.outbox.sinks()]):
            raise LookupError(f"there is no sink {sink!r}; configured sinks: {', '.join(names)}")
        return sink

    async def _stage(self, uuid: str | None) -> Stage:
        """Of the vCon that is named; "open" where none is."""
        entry = None if uuid is None else await self._daemon.outbox.get(uuid)
        if entry is None and uuid is not None:
            raise LookupError(f"this outbox never had a vCon with the uuid {uuid!r}; vcond outbox lists the vCons")
        return "open" if entry is None else entry.stage
