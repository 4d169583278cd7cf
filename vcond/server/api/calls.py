"""Calls that go on, deliveries, and how the daemon is: what the admin socket answers, typed, and numbers masked by role."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Protocol

import msgspec
from aiohttp import web
from msgspec import Meta

from vcond.base.time import SECOND, Instant, rfc3339
from vcond.call.events import How
from vcond.policy.consent import Purpose, Said
from vcond.policy.pausing import LONGEST_PAUSE
from vcond.server.api import masking
from vcond.server.api.access import AccessRecord
from vcond.server.api.events import Events, Watcher
from vcond.server.api.guard import Guard, RefusedHere
from vcond.server.api.model import (
    AdapterStatus,
    CallDetail,
    CallRow,
    Consented,
    DeadLetter,
    Discarded,
    Findings,
    Id,
    Me,
    OutboxRow,
    Paused,
    Query,
    Reason,
    Receipts,
    Retried,
    SinkName,
    SinkRow,
    Status,
    Uuid,
)
from vcond.server.api.routes import Asked, Route
from vcond.server.doors import Door


class Doors(Protocol):
    """What the admin socket answers."""

    reads: dict[str, Door]
    writes: dict[str, Door]


class _None(Query, frozen=True):
    pass


class _Calls(Query, frozen=True):
    only: Annotated[
        str,
        Meta(
            max_length=600,
            description="Only these calls: whole ids, with commas between them. Of one that is over there is no row.",
        ),
    ] = ""


class _Call(Query, frozen=True):
    call: Id


class _Pause(Query, frozen=True):
    call: Id
    reason: Reason = ""
    seconds: (
        Annotated[
            int, Meta(ge=1, le=LONGEST_PAUSE, description="Then it ends by itself; without it, when it is ended.")
        ]
        | None
    ) = None


class _Consent(Query, frozen=True):
    call: Id
    party: Annotated[int, Meta(ge=0, le=9_999, description="Its number in the call.")]
    state: Annotated[Said, Meta(description="What it said.")]
    how: Annotated[How, Meta(description="In which way; kept in the record.")] = "other"
    purposes: Annotated[
        tuple[Purpose, ...], Meta(max_length=3, description="Without it what the rule asks for; a refusal is of all.")
    ] = ()
    evidence: Annotated[
        dict[str, str], Meta(max_length=16, description="What proves it: names of 64 letters, texts of 1,024, at most.")
    ] = msgspec.field(default_factory=dict)


class _Resume(Query, frozen=True):
    call: Id
    reason: Reason = ""
    force: Annotated[
        bool, Meta(description="Although a participant or the platform paused it. Needs the role admin.")
    ] = False


class _Retry(Query, frozen=True):
    sink: SinkName = ""


class _RetryOne(Query, frozen=True):
    uuid: Uuid
    sink: SinkName = ""


class _Vcon(Query, frozen=True):
    uuid: Uuid


class _Events(Query, frozen=True):
    call: Annotated[
        str, Meta(min_length=1, max_length=64, description="Only of this call, until its end. Without it, of all.")
    ] = ""
    last_event_id: Annotated[str, Meta(max_length=64, description="As the header Last-Event-ID: go on after it.")] = ""
    levels: Annotated[bool, Meta(description="Also how loud each party is, four times a second: event `levels`.")] = (
        False
    )


class Calls:
    """Routes over the admin socket's doors."""

    def __init__(self, doors: Doors, events: Events, access: AccessRecord, guard: Guard, *, hub: bool) -> None:
        """``hub``: this is one."""
        self._hub = hub
        self._doors, self._events, self._access, self._guard = doors, events, access, guard
        self.routes = [
            Route("GET", "/me", None, _None, Me, "Who asks: the token's name, roles and end; and whether this is a hub.", self._me),
            Route("GET", "/status", None, _None, Status, "How the daemon is.", self._door("status")),
            Route("GET", "/adapters", None, _None, dict[str, AdapterStatus], "Whether adapters are attached.", self._part("adapters")),
            Route("GET", "/speech", None, _None, Any, "How speech keeps up.", self._part("speech")),
            Route("GET", "/sinks", "operate", _None, list[SinkRow], "How sinks take deliveries.", self._door("sinks")),
            Route("GET", "/findings", "operate", _None, Findings, "What is missing in calls, with its cause.", self._findings),
            Route("GET", "/calls", "watch", _Calls, list[CallRow], "Calls that go on.", self._calls),
            Route("GET", "/calls/{call}", "watch", _Call, CallDetail, "One call: history, what was said so far, tracks.", self._call),
            Route("POST", "/calls/{call}/pause", "operate", _Pause, Paused, "Pause the recording of a call.", self._pause),
            Route("POST", "/calls/{call}/resume", "operate", _Resume, Paused, "Let recording go on.", self._resume),
            Route("POST", "/calls/{call}/consent", "operate", _Consent, Consented, "Say what a party of a call said of consent.", self._consent),
            Route("GET", "/events", "watch", _Events, str, "Events as they happen (server-sent events).", self._follow, ("text/event-stream",)),
            Route("GET", "/outbox", "operate", _None, list[OutboxRow], "vCons that a sink lacks.", self._door("outbox")),
            Route("POST", "/dead-letters/retry", "operate", _Retry, Retried, "Send all dead letters again.", self._write("retry")),
            Route("GET", "/outbox/{uuid}", "operate", _Vcon, Receipts, "What is known of one vCon's deliveries.", self._door("entry")),
            Route("POST", "/outbox/{uuid}/retry", "operate", _RetryOne, Retried, "Send a vCon that was refused again.", self._write("retry")),
            Route("POST", "/outbox/{uuid}/discard", "operate", _Vcon, Discarded, "Give a dead letter up.", self._write("discard")),
            Route("GET", "/dead-letters", "operate", _None, list[DeadLetter], "What sinks refused for good.", self._door("dead")),
        ]  # fmt: skip

    async def _me(self, asked: Asked) -> Any:
        who = asked.who
        return Me(who.name, who.roles, rfc3339(Instant(who.expires * SECOND)) if who.expires else "", self._hub)

    def _door(self, name: str) -> Callable[[Asked], Awaitable[Any]]:
        return lambda asked: self._doors.reads[name](_texts(asked.values))

    def _write(self, name: str) -> Callable[[Asked], Awaitable[Any]]:
        return lambda asked: self._doors.writes[name](_texts(asked.values))

    def _part(self, name: str) -> Callable[[Asked], Awaitable[Any]]:
        async def part(_: Asked) -> Any:
            return (await self._doors.reads["status"]({}))[name]

        return part

    async def _calls(self, asked: Asked) -> Any:
        return [shown(row, asked.whole) for row in await self._doors.reads["calls"](_texts(asked.values))]

    async def _findings(self, _: Asked) -> Any:
        return await self._doors.reads["findings"]({})

    async def _call(self, asked: Asked) -> Any:
        row = await self._doors.reads["call"](_texts(asked.values))
        await self._access.add(asked.who.name, "call", row["call"], asked.request.remote or "")
        return shown(row, asked.whole)

    async def _pause(self, asked: Asked) -> Any:
        query, seconds = _texts(asked.values), asked.values.seconds
        query |= {} if seconds is None else {"seconds": str(seconds)}
        return _paused(asked, await self._doors.writes["pause"](query))

    async def _consent(self, asked: Asked) -> Any:
        """Who may say it may not see who talks: a party is named by its number alone, and so is one that is not there."""
        said, query = asked.values, _texts(asked.values)
        there = len((await self._doors.reads["call"]({"call": said.call}))["parties"])
        if said.party >= there:
            raise LookupError(f"party: the call has no party {said.party}; it has {there}, from 0 on")
        query |= {"party": str(said.party), "purposes": ",".join(said.purposes), "evidence": json.dumps(said.evidence)}
        row = await self._doors.writes["consent"](query)
        return {name: row[name] for name in Consented.__struct_fields__}

    async def _resume(self, asked: Asked) -> Any:
        query = _texts(asked.values)
        if asked.values.force:
            if not asked.who.may("admin"):
                raise RefusedHere(403, "role", "force needs the role admin")
            query["force"] = "yes"
        return _paused(asked, await self._doors.writes["resume"](query))

    async def _follow(self, asked: Asked) -> Any:
        request, query = asked.request, asked.values
        call = (await self._doors.reads["call"]({"call": query.call}))["call"] if query.call else ""
        await self._access.add(asked.who.name, "watch", call or "*", request.remote or "")
        response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        transport = request.transport
        cut = (lambda: None) if transport is None else transport.abort
        watcher = Watcher(call, asked.whole, cut, lambda: self._guard.holds(asked.who), levels=query.levels)
        if not self._events.begin(watcher, request.headers.get("Last-Event-ID", query.last_event_id)[:64]):
            raise RefusedHere(429, "watchers", "too many follow events already: api.max_watchers", 10)
        try:
            await response.prepare(request)
            async for chunk in watcher.chunks():
                await response.write(chunk)
        except ConnectionError:  # whoever watched has left, or was cut off
            pass
        finally:
            self._events.leave(watcher)
        return response


def shown(row: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    """A call as somebody may see it: numbers are masked, also where names have them, and what was dialled."""
    if whole:
        return dict(row)
    parties = [{**one, "name": masking.words(one["name"]), "tel": masking.number(one["tel"])} for one in row["parties"]]
    history = [{**one, "button": None} for one in row["history"]] if "history" in row else None
    more = {} if history is None else {"history": history}
    return {**row, **more, "parties": parties, "paused_by": [masking.words(text) for text in row["paused_by"]]}


def _paused(asked: Asked, row: Mapping[str, Any]) -> Paused:
    """Who may pause may not see who talks: of a participant who paused only the number in the call is left."""
    row = shown(row, asked.whole)
    by = row["paused_by"] if asked.who.may("watch") else [text.partition(" (")[0] for text in row["paused_by"]]
    return Paused(row["call"], row["paused"], by)


def _texts(values: Query) -> dict[str, str]:
    """What a door takes: texts, and none that is empty."""
    return {key: value for key, value in msgspec.structs.asdict(values).items() if isinstance(value, str) and value}
