"""The operator's door: HTTP on a unix socket that only vcond's user, its group and root can open."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec
from aiohttp import web

from vcond.base.errors import AmbiguousError, ConfigError, OperatorError
from vcond.base.systemd import passed_socket
from vcond.server.doors import Door, given


class Watched(Protocol):
    """What ``/v1/live`` serves."""

    def watch(self, call: str = "") -> AbstractContextManager[AsyncIterator[msgspec.Struct]]:
        """Lines from now on, of one call or of all. Raises LookupError."""


class AdminServer:
    """``GET /v1/NAME`` answers with JSON of ``reads[NAME](query)``, ``POST /v1/NAME`` of ``writes[NAME](query)``.

    ``GET /v1/live`` streams one JSON object a line; ``?call=ID`` only of that call, until its end.
    """

    def __init__(
        self,
        path: Path,
        *,
        reads: dict[str, Door],
        writes: dict[str, Door],
        live: Watched,
        mount: Callable[[web.Application], None] = lambda _: None,
    ) -> None:
        """``mount`` adds what else is served here."""
        self._path = path
        self._passed = False
        self._reads, self._writes, self._live, self._mount = reads, writes, live, mount
        self._runner: web.AppRunner | None = None
        self._socket: socket.socket | None = None

    async def start(self) -> None:
        """Bind the socket, mode 0660, or take that of systemd. Raises ConfigError when it cannot be."""
        app = web.Application()
        app.router.add_get("/v1/live", self._stream)
        app.router.add_get("/v1/{name}", self._get)
        app.router.add_post("/v1/{name}", self._post)
        self._mount(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handle_signals=False)
        await self._runner.setup()
        if (given := passed_socket(str(self._path))) is not None:
            self._passed = True
            await web.SockSite(self._runner, given).start()
            return
        before = os.umask(0o027)
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            os.umask(0o117)
            if self._path.exists() and stat.S_ISSOCK(self._path.stat().st_mode):
                self._path.unlink()
            self._socket = socket.socket(socket.AF_UNIX)  # ours to close, also when we are cancelled before it serves
            self._socket.bind(str(self._path))
            await web.SockSite(self._runner, self._socket).start()
        except OSError as why:
            await self._runner.cleanup()
            if self._socket is not None:
                self._socket.close()
            raise ConfigError(f"cannot serve {self._path}: {why.strerror}", "vcond.admin_socket") from None
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop serving and remove the socket, unless it is systemd's."""
        if self._runner is not None:
            await self._runner.cleanup()
            if not self._passed:
                self._path.unlink(missing_ok=True)
            if self._socket is not None:
                self._socket.close()

    async def _get(self, request: web.Request) -> web.Response:
        return await _answer(self._reads, request)

    async def _post(self, request: web.Request) -> web.Response:
        return await _answer(self._writes, request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        try:
            watching = self._live.watch(given(request.query).get("call", ""))
        except LookupError as why:
            raise _refused(why) from None
        except ValueError as why:
            raise web.HTTPBadRequest(text=f"{why}\n") from None
        with watching as lines:
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):  # whoever watched has left
                async for line in lines:
                    await response.write(msgspec.json.encode(line) + b"\n")
        return response


async def _answer(doors: dict[str, Door], request: web.Request) -> web.Response:
    door = doors.get(request.match_info["name"])
    if door is None:
        raise web.HTTPNotFound(text=f"known are: {', '.join(sorted(doors))}\n")
    try:
        result = await door(given(request.query))
    except LookupError as why:
        raise _refused(why) from None
    except (OperatorError, ValueError) as why:
        raise web.HTTPBadRequest(text=f"{why}\n") from None
    return web.Response(body=msgspec.json.encode(result), content_type="application/json")


def _refused(why: LookupError) -> web.HTTPException:
    if isinstance(why, AmbiguousError):
        return web.HTTPConflict(text=f"{why}\n")
    return web.HTTPNotFound(text=f"{why.args[0] if why.args else 'not found'}\n")
