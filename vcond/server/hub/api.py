"""The part of vcon-server's HTTP API that stores, gives, lists, finds and deletes vCons; at ``/`` and at ``/api``.

Other than there: what is answered with 204 or 201 is on the disk; a vCon is given back as it came, byte for byte; the same uuid with other
content is refused; without a token nothing is shown. Source: vcon-server b9b0381, ``api.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

from aiohttp import web

from vcond import __version__
from vcond.base.errors import StorageError
from vcond.base.time import Instant, parse_rfc3339
from vcond.config.schema import HubConfig
from vcond.delivery import Outbox, keeping
from vcond.records.ledger import Ledger
from vcond.records.subjects import SubjectIndex
from vcond.server.api.access import AccessRecord
from vcond.server.api.stored import HERE
from vcond.server.hub.answers import NOT_FOUND, SOON, NoError, answer, missing, wrong
from vcond.server.hub.guard import Guard
from vcond.server.hub.intake import Intake
from vcond.server.hub.memory import NoRoomError, Room
from vcond.storage.names import is_uuid

FIRST: Final = 30.0
"""Seconds for a body to come, and so many more for each ``PACE`` bytes of it."""
PACE: Final = 100_000
PIECE: Final = 1 << 18
"""Bytes that are sent at a time."""
MOST_LISTED: Final = 1000
"""vCons of a page, at most."""
MOST_FOUND: Final = 10_000
"""vCons of a search."""
MOST_TOGETHER: Final = 100
"""vCons of one ``GET /vcons``."""
LAST_PAGE: Final = 1_000_000
ALWAYS: Final = 2**63 - 1
Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


class Index(Protocol):
    """What is used of the subject index."""

    async def ask(self, question: Callable[[Ledger, SubjectIndex], Any]) -> Any:
        """Run in the thread that owns the database."""


class HubApi:
    """Answers requests."""

    def __init__(
        self, config: HubConfig, guard: Guard, intake: Intake, outbox: Outbox, *, index: Index, access: AccessRecord,
        read: Callable[[str], bytes], forgotten: Callable[[str], bool], forget: Callable[[str], Coroutine[Any, Any, None]],
    ) -> None:  # fmt: skip
        """``read``: the bytes of a vCon, which blocks; ``forget``: all of it, everywhere, for good."""
        self._config, self._guard, self._intake, self._outbox = config, guard, intake, outbox
        self._index, self._access = index, access
        self._read, self._forgotten, self._forget = read, forgotten, forget
        self._room = Room(config.max_memory)

    def add_to(self, app: web.Application) -> None:
        """All routes."""
        routes: list[tuple[str, str, Handler]] = [
            ("POST", "/vcon", self._post),
            ("POST", "/vcon/external-ingress", self._ingress),
            ("GET", "/vcon", self._list),
            ("GET", "/vcon/count", self._count),
            ("GET", "/vcons/count", self._count),
            ("GET", "/vcons", self._several),
            ("GET", "/vcons/search", self._search),
            ("GET", "/vcon/{uuid}", self._get),
            ("DELETE", "/vcon/{uuid}", self._delete),
            ("GET", "/stats/queue", self._queue),
            ("GET", "/health", self._health),
            ("GET", "/version", self._version),
        ]
        for root in ("", "/api"):
            for method, path, handler in routes:
                app.router.add_route(method, f"{root}{path}", handler)

    # What comes in.

    async def _ingress(self, request: web.Request) -> web.StreamResponse:
        name = request.query.get("ingress_list")
        if name is None:
            raise missing("ingress_list")
        self._guard.ingress(request, name)
        async with self._room.hold(self._expected(request)):
            await self._intake.take(await self._body(request), [name])
        return web.Response(status=204)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        self._guard.api(request)
        lists = request.query.getall("ingress_lists", [])
        if unknown := [name for name in lists if name not in self._config.ingress_lists]:
            raise wrong("ingress_lists", f"there is no ingress list {unknown[0][:64]!r} here")
        async with self._room.hold(self._expected(request)):
            body = await self._body(request)
            await self._intake.take(body, lists)
            return await _sent(request, 201, body)

    def _expected(self, request: web.Request) -> int:
        """Bytes that a body may have. What need not be read for it is refused here. Raises NoError."""
        if not self._outbox.opened.is_set():
            raise NoError(503, "the hub is starting", "starting", wait=SOON)
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise NoError(400, "There was an error parsing the body", "invalid")
        media = request.content_type
        if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
            raise wrong("Content-Type", "must be application/json")
        length, most = request.content_length, self._config.max_bytes
        if length is not None and length > most:
            raise _too_large(most)
        return most if length is None else length

    async def _body(self, request: web.Request) -> bytes:
        """Raises NoError for one that is too large, or does not come in time."""
        most, parts, size = self._config.max_bytes, [], 0
        try:
            async with asyncio.timeout(FIRST + (request.content_length or most) / PACE):
                while part := await request.content.readany():
                    size += len(part)
                    if size > most:
                        raise _too_large(most)
                    parts.append(part)
        except TimeoutError:
            raise NoError(408, "the body did not come in time", "request") from None
        return b"".join(parts)

    # What is here.

    async def _get(self, request: web.Request) -> web.StreamResponse:
        who, uuid = self._guard.api(request), _uuid(request)
        size = await self._size(uuid)
        if size is None:
            raise NoError(404, NOT_FOUND, "absent")
        await self._access.add(who, "vcon", uuid, request.remote or "")
        async with self._room.hold(size):
            return await _sent(request, 200, await self._bytes(uuid))

    async def _several(self, request: web.Request) -> web.StreamResponse:
        """An array; null for each that is not here. Each is read when the one before is sent."""
        who, uuids = self._guard.api(request), request.query.getall("vcon_uuids", [])
        if len(uuids) > MOST_TOGETHER or not all(map(is_uuid, uuids)):
            raise wrong("vcon_uuids", f"must be at most {MOST_TOGETHER} UUIDs")
        sizes = {uuid: await self._size(uuid) for uuid in uuids}
        if found := [uuid for uuid, size in sizes.items() if size is not None]:
            await self._access.add_each(who, "vcon", found, request.remote or "")
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        before = b"["
        try:
            for uuid in uuids:
                await response.write(before)
                before = b","
                async with self._room.hold(sizes[uuid] or 0):
                    await _written(response, await self._bytes(uuid) if sizes[uuid] else b"null")
        except (NoError, NoRoomError, StorageError) as why:  # it is under way: it must not look whole
            raise ConnectionAbortedError from why
        await response.write(b"]" if uuids else b"[]")
        return response

    async def _list(self, request: web.Request) -> web.StreamResponse:
        self._guard.api(request)
        page, size = _number(request, "page", 1, LAST_PAGE), _number(request, "size", 50, MOST_LISTED)
        since, until = _moment(request, "since", 0), _moment(request, "until", ALWAYS)
        asked = partial(keeping.listed, since=since, until=until, offset=(page - 1) * size, limit=size)
        return answer(200, await self._outbox.tell("list vCons", asked))

    async def _search(self, request: web.Request) -> web.StreamResponse:
        """Those in whom all that is given is; found as whole numbers, addresses and names, in any spelling."""
        who = self._guard.api(request)
        given = {kind: request.query[kind].strip() for kind in ("tel", "mailto", "name") if kind in request.query}
        if not given:
            raise NoError(400, "At least one search parameter must be provided", "invalid")
        if request.query.get("tel", "").startswith(" "):
            given["tel"] = f"+{given['tel']}"  # a plus that was not quoted comes as a space
        await self._access.add(who, "search", "*", request.remote or "")
        wanted = [f"{kind}:{value}" for kind, value in given.items() if value]
        found: set[str] = await self._index.ask(lambda _ledger, index: _in_all(index, wanted))
        uuids = [uuid for uuid in found if not self._forgotten(uuid)]
        here = await self._outbox.tell("look for vCons", partial(keeping.here, uuids=uuids, limit=MOST_FOUND))
        return answer(200, here)

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        """204 when nothing of it is given any more, also of what was never here. Raises HeldError, StorageError."""
        who, uuid = self._guard.api(request), _uuid(request)
        if await self._outbox.get(uuid) is not None and not self._forgotten(uuid):
            await self._access.add(who, "erase", uuid, request.remote or "")
            await self._forget(uuid)
        return web.Response(status=204)

    async def _size(self, uuid: str) -> int | None:
        """Bytes of a vCon that is here; None of another one."""
        entry = await self._outbox.get(uuid)
        return entry.bytes if entry is not None and entry.stage in HERE and not self._forgotten(uuid) else None

    async def _bytes(self, uuid: str) -> bytes:
        try:
            return await asyncio.to_thread(self._read, uuid)
        except LookupError:  # it went in this moment
            raise NoError(404, NOT_FOUND, "absent") from None

    # What clients look at.

    async def _count(self, request: web.Request) -> web.StreamResponse:
        """Nothing waits in a list here: links of a conserver read lists, and this one has none."""
        self._guard.api(request)
        if "egress_list" not in request.query:
            raise missing("egress_list")
        return answer(200, 0)

    async def _queue(self, request: web.Request) -> web.StreamResponse:
        if (name := request.query.get("list_name")) is None:
            raise missing("list_name")
        return answer(200, {"list_name": name[:256], "depth": 0})

    async def _health(self, _: web.Request) -> web.StreamResponse:
        if not self._outbox.opened.is_set() or self._outbox.trouble:
            return answer(503, {"status": "unhealthy"})
        return answer(200, {"status": "healthy"})

    async def _version(self, _: web.Request) -> web.StreamResponse:
        return answer(200, {"version": __version__, "server": "vcond hub"})


def _in_all(index: SubjectIndex, wanted: list[str]) -> set[str]:
    """The vCons that all of these are in; none for what identifies nobody."""
    found: list[set[str]] = []
    for one in wanted:
        try:
            found.append({conversation.vcon for conversation in index.find(one)})
        except ValueError:
            return set()
    return set.intersection(*found) if found else set()


async def _sent(request: web.Request, status: int, body: bytes) -> web.StreamResponse:
    """Written before it returns: as long as it is in memory it counts."""
    response = web.StreamResponse(status=status)
    response.content_type, response.content_length = "application/json", len(body)
    await response.prepare(request)
    await _written(response, body)
    await response.write_eof()
    return response


async def _written(response: web.StreamResponse, body: bytes) -> None:
    view = memoryview(body)
    for start in range(0, len(body), PIECE):
        await response.write(view[start : start + PIECE])


def _too_large(most: int) -> NoError:
    return NoError(413, f"a vCon may have {most} bytes here", "size")


def _uuid(request: web.Request) -> str:
    uuid = request.match_info["uuid"].lower()
    if not is_uuid(uuid):
        raise NoError(422, [{"type": "uuid_parsing", "loc": ["path", "vcon_uuid"], "msg": "not a UUID"}], "invalid")
    return uuid


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 0 < int(text) <= most):
        raise wrong(name, f"must be a whole number from 1 to {most}")
    return int(text)


def _moment(request: web.Request, name: str, default: int) -> int:
    """Nanoseconds; a date without an offset is UTC, and a plus that was not quoted comes as a space."""
    text = request.query.get(name, "").strip()
    if not text:
        return default
    try:
        return parse_rfc3339(text.replace(" ", "+") if "T" in text else text)
    except (ValueError, OverflowError):
        pass
    try:
        return Instant(round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e9))
    except (ValueError, OverflowError):
        raise wrong(name, "must be a date, as in 2026-11-30T10:00:00Z") from None
