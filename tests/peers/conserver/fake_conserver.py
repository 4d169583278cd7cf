"""A conserver for tests: a real HTTP server on a free loopback port that behaves as vcon-server does.

Its API, its traps (comma-joined lists, unknown lists, the silent 10 MB limit) and its refusals are those of
the real one, as it was run and read; see conserver_rules.py for its model. Beyond that it can be told to fail in every
way a server can: ``next(...)`` for the coming deliveries, ``always`` for all, ``of[uuid]`` for one vCon.

    async with FakeConserver(ingress_auth={"edge": "key-1"}) as conserver:
        ... ConserverConfig(url=conserver.url, ingress_lists=["edge"], token="key-1")
        await conserver.wait_for(3)

By hand: ``python tests/peers/conserver/fake_conserver.py --list edge=key-1 [--token API-TOKEN] [--port N]``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from aiohttp import web
from conserver_rules import FILE_STORAGE_LIMIT, linked, problems, stored

HEADER = "x-conserver-api-token"
VERSION = {"version": "2026.8.16", "git_commit": "b9b0381"}


@dataclass(frozen=True)
class Status:
    """Answers this, and takes nothing (or takes it all the same, with ``store``)."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    store: bool = False


@dataclass(frozen=True)
class Hang:
    """Reads everything and never answers."""

    store: bool = False


@dataclass(frozen=True)
class Cut:
    """Closes the connection: while the request is read, before any answer, or in the middle of the answer's body."""

    when: Literal["request", "answer", "body"]
    store: bool = False
    status: int = 201


@dataclass(frozen=True)
class Slow:
    """Answers as usual, once the event is set."""

    until: asyncio.Event


Fault = Status | Hang | Cut | Slow


@dataclass(frozen=True)
class Received:
    """One vCon that was taken."""

    uuid: str
    body: bytes
    """The bytes as they came."""
    lists: tuple[str, ...]
    headers: Mapping[str, str]


class FakeConserver:
    """Keeps what it received. ``tokens`` are those of the API (none = open), ``ingress_auth`` the keys of each list."""

    def __init__(
        self,
        *,
        ingress_auth: Mapping[str, str | Sequence[str]] | None = None,
        tokens: Sequence[str] = (),
        header: str = HEADER,
        storage_limit: int = FILE_STORAGE_LIMIT,
        on_request: Callable[[], None] | None = None,
    ) -> None:
        self.ingress_auth = {
            name: [key] if isinstance(key, str) else list(key) for name, key in (ingress_auth or {}).items()
        }
        self.tokens = list(tokens)
        self.chains: dict[str, Any] = {"main": {"links": [], "ingress_lists": list(self.ingress_auth), "enabled": 1}}
        """What ``GET /config`` says of them."""
        self.header = header
        self.storage_limit = storage_limit
        self.received: list[Received] = []
        """Everything taken, repeats included, in order."""
        self.vcons: dict[str, dict[str, Any]] = {}
        """What GET gives: the stored form."""
        self.lists: dict[str, list[str]] = defaultdict(list)
        """Ingress lists by name; a wrong name makes a list that nobody reads."""
        self.storage: dict[str, dict[str, Any]] = {}
        """What the file storage kept: nothing above its limit, and it tells nobody."""
        self.expires = False
        """The worker is away longer than what it waits for lives (VCON_REDIS_EXPIRY); see ``an_hour_passes``."""
        self.egress: list[str] = []
        self.tries = 0
        """Deliveries that reached the server, whatever became of them."""
        self.now = 0
        self.peak = 0
        """Deliveries at the same time: now, and at most."""
        self.always: Fault | None = None
        self.of: dict[str, Fault] = {}
        self._script: deque[Fault | None] = deque()
        self._on_request = on_request
        self._change = asyncio.Condition()
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._tls: ssl.SSLContext | None = None

    # For tests.

    @property
    def url(self) -> str:
        """The root of the API."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._port}/api"

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def up(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Listen; after ``down`` on the same port again."""
        self._tls = tls
        self._released.clear()
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port or port, reuse_address=True, ssl_context=tls)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Stop listening and close every connection."""
        self._released.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def next(self, *faults: Fault | None) -> None:
        """What happens to the coming deliveries, one each; None = nothing special."""
        self._script.extend(faults)

    async def wait_for(self, received: int = 0, *, tries: int = 0) -> None:
        """Until so many vCons were taken, and so many deliveries reached the server."""
        async with self._change:
            await self._change.wait_for(lambda: len(self.received) >= received and self.tries >= tries)

    def bodies(self) -> dict[str, set[bytes]]:
        """What was taken under each uuid."""
        found: dict[str, set[bytes]] = defaultdict(set)
        for each in self.received:
            found[each.uuid].add(each.body)
        return dict(found)

    def an_hour_passes(self) -> None:
        """What no chain came to is deleted (VCON_REDIS_EXPIRY), and nobody is told: taken with 204, and then 404.

        So it was when the worker of b9b0381 was away for longer: three of three gone, none in its dead letters. What a
        storage has is read from there.
        """
        for uuid in set(self.vcons) - self.storage.keys():
            read = {uuid for name in self.ingress_auth for uuid in self.lists[name]}
            if self.expires or uuid not in read:
                del self.vcons[uuid]

    # The API.

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        for root in ("", "/api"):
            app.router.add_post(f"{root}/vcon", self._post)
            app.router.add_post(f"{root}/vcon/external-ingress", self._external)
            app.router.add_get(f"{root}/vcon/count", self._count)
            app.router.add_get(f"{root}/config", self._config)
            app.router.add_get(f"{root}/vcon/{{uuid}}", self._get)
            app.router.add_delete(f"{root}/vcon/{{uuid}}", self._delete)
            app.router.add_get(f"{root}/stats/queue", self._queue)
            app.router.add_get(f"{root}/health", self._health)
            app.router.add_get(f"{root}/version", self._version)
        app.on_response_prepare.append(self._sign)
        return app

    async def _post(self, request: web.Request) -> web.StreamResponse:
        return await self._deliver(request, request.query.getall("ingress_lists", []), external=False)

    async def _external(self, request: web.Request) -> web.StreamResponse:
        return await self._deliver(request, request.query.getall("ingress_list", [])[-1:], external=True)

    async def _deliver(self, request: web.Request, lists: list[str], *, external: bool) -> web.StreamResponse:
        self.tries += 1
        self.now += 1
        self.peak = max(self.peak, self.now)
        await self._say()
        try:
            if self._on_request is not None:
                self._on_request()
            return await self._answer(request, lists, external=external)
        finally:
            self.now -= 1
            await self._say()

    async def _say(self) -> None:
        async with self._change:
            self._change.notify_all()

    async def _answer(self, request: web.Request, lists: list[str], *, external: bool) -> web.StreamResponse:
        fault = self._script.popleft() if self._script else self.always
        if isinstance(fault, Cut) and fault.when == "request":
            await request.content.readany()
            return _abort(request)
        body = await request.read()
        vcon = _parse(body)
        fault = self.of.get(vcon.get("uuid", ""), fault) if isinstance(vcon, dict) else fault
        if isinstance(fault, Slow):
            await fault.until.wait()
        elif fault is not None:
            if fault.store:
                self._take(vcon, body, lists, request)
            return await self._fail(request, fault)
        refusal = self._refusal(request, body, vcon, lists, external=external)
        if refusal is not None:
            return refusal
        kept = self._take(vcon, body, lists, request)
        return web.Response(status=204) if external else web.json_response(kept, status=201)

    def _refusal(
        self, request: web.Request, body: bytes, vcon: Any, lists: list[str], *, external: bool
    ) -> web.Response | None:
        """In the order of the real one: the body is read first, then the key, then the model."""
        if request.headers.get("Content-Encoding") or not _is_text(body):
            return _detail(400, "There was an error parsing the body")
        if request.content_type != "application/json":
            return _detail(
                422, [{"type": "model_attributes_type", "loc": ["body"], "msg": "Input should be a valid dictionary"}]
            )
        if vcon is _NO_JSON:
            return _detail(422, [{"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error"}])
        if external and not lists:
            return _detail(
                422, [{"type": "missing", "loc": ["query", "ingress_list"], "msg": "Field required", "input": None}]
            )
        token = request.headers.get(self.header)
        keys = self.ingress_auth.get(lists[0], []) if external else self.tokens
        if external and not token:
            return _detail(403, "API Key required")
        if token not in keys and (external or keys):
            return _detail(403, "Invalid API Key")
        found = problems(vcon)
        return _detail(422, found) if found else None

    def _take(self, vcon: Any, body: bytes, lists: Sequence[str], request: web.Request) -> dict[str, Any]:
        """The same uuid again replaces the vCon and is queued again."""
        uuid = vcon["uuid"]
        kept = stored(vcon)
        self.received.append(Received(uuid, body, tuple(lists), dict(request.headers)))
        self.vcons[uuid] = kept
        for name in lists:
            self.lists[name].append(uuid)
            if name in self.ingress_auth and not self.expires:
                self.egress.append(uuid)
                if len(json.dumps(after := linked(kept))) <= self.storage_limit:
                    self.storage[uuid] = after
        return kept

    async def _fail(self, request: web.Request, fault: Status | Hang | Cut) -> web.StreamResponse:
        if isinstance(fault, Status):
            return web.Response(status=fault.status, body=fault.body or None, headers=fault.headers)
        if isinstance(fault, Hang):
            await self._released.wait()
        elif fault.when == "body":
            answer = web.StreamResponse(status=fault.status, headers={"Content-Length": "1000"})
            await answer.prepare(request)
            await answer.write(b'{"uuid": "')
        return _abort(request)

    async def _get(self, request: web.Request) -> web.Response:
        if not self._is_admin(request):
            return _detail(403, "Invalid API Key")
        found = self.vcons.get(request.match_info["uuid"])
        return web.json_response(found) if found else _detail(404, "vCon not found")

    async def _count(self, request: web.Request) -> web.Response:
        if not self._is_admin(request):
            return _detail(403, "Invalid API Key")
        return web.json_response(len(self.egress))

    async def _config(self, request: web.Request) -> web.Response:
        if not self._is_admin(request):
            return _detail(403, "Invalid API Key")
        return web.json_response({"ingress_auth": self.ingress_auth, "links": {}, "chains": self.chains})

    async def _delete(self, request: web.Request) -> web.Response:
        if not self._is_admin(request):
            return _detail(403, "Invalid API Key")
        self.vcons.pop(request.match_info["uuid"], None)
        self.storage.pop(request.match_info["uuid"], None)
        return web.Response(status=204)

    async def _queue(self, request: web.Request) -> web.Response:
        name = request.query.get("list_name", "")
        return web.json_response({"list_name": name, "depth": len(self.lists.get(name, []))})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response(VERSION)

    async def _sign(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Vcon-Server-Version"] = VERSION["version"]
        response.headers["X-Vcon-Server-Commit"] = VERSION["git_commit"]

    def _is_admin(self, request: web.Request) -> bool:
        return not self.tokens or request.headers.get(self.header) in self.tokens


_NO_JSON = object()


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return _NO_JSON


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _detail(status: int, detail: Any) -> web.Response:
    return web.json_response({"detail": detail}, status=status)


def _abort(request: web.Request) -> web.StreamResponse:
    """Reset the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _serve(arguments: argparse.Namespace) -> None:
    auth = dict(pair.split("=", 1) for pair in arguments.list)
    conserver = FakeConserver(ingress_auth=auth, tokens=arguments.token)
    await conserver.up(arguments.port)
    print(conserver.url, flush=True)
    count = 0
    while True:
        await conserver.wait_for(count + 1)
        for each in conserver.received[count:]:
            print(each.uuid, ",".join(each.lists), len(each.body), flush=True)
        count = len(conserver.received)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A conserver that keeps what it gets and prints it")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--list", action="append", default=[], metavar="NAME=KEY")
    parser.add_argument("--token", action="append", default=[])
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))
