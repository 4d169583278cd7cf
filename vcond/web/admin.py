"""The operator's door: HTTP on a unix socket that vcond's user, its group and root can open."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog
from aiohttp import web

from vcond.errors import ConfigError, OperatorError

log = structlog.get_logger()

ANSWER = 2.0
"""Seconds in which a daemon that serves the socket takes a connection."""


class Watched(Protocol):
    """What ``/v1/live`` serves."""

    def watch(self) -> AbstractContextManager[AsyncIterator[msgspec.Struct]]:
        """Lines from now on."""
        ...


class AdminServer:
    """``GET /v1/NAME`` answers with JSON of ``reads[NAME](query)``, ``POST /v1/NAME`` of ``writes[NAME](query)``.

    ``GET /v1/live`` streams one JSON object a line.
    """

    def __init__(
        self,
        path: Path,
        *,
        reads: dict[str, Callable[[dict[str, str]], Awaitable[Any]]],
        writes: dict[str, Callable[[dict[str, str]], Awaitable[Any]]],
        live: Watched,
    ) -> None:
        self._path = path
        self._reads, self._writes, self._live = reads, writes, live
        self._runner: web.AppRunner | None = None
        self._inode = -1
        """Of our socket: another's is not ours to remove."""

    async def start(self) -> None:
        """Bind the socket, mode 0660. Raises ConfigError when it cannot be, or another daemon serves there."""
        app = web.Application()
        app.router.add_get("/v1/live", self._stream)
        app.router.add_get("/v1/{name}", self._get)
        app.router.add_post("/v1/{name}", self._post)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handle_signals=False)
        await self._runner.setup()
        try:
            made = not self._path.parent.exists()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if made:
                self._path.parent.chmod(0o750)
            await self._look()
            await self._bind(self._runner)
        except OSError as why:
            await self._runner.cleanup()
            raise ConfigError(f"cannot serve {self._path}: {why.strerror or why}", "vcond.admin_socket") from None
        except ConfigError:
            await self._runner.cleanup()
            raise

    async def _look(self) -> None:
        """Whether the path is free: what a crash left is, what a daemon answers at is not. Raises OSError, ConfigError."""
        if not self._path.exists():
            return
        if not stat.S_ISSOCK(self._path.stat().st_mode):
            raise OSError(errno.EEXIST, "there is a file that is no socket")
        try:
            async with asyncio.timeout(ANSWER):
                _, writer = await asyncio.open_unix_connection(str(self._path))
        except ConnectionRefusedError:
            return
        except TimeoutError:
            pass  # it listens, and is busy
        else:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        raise ConfigError(
            f"another vcond serves {self._path}: stop that one, or give this one a path of its own",
            "vcond.admin_socket",
        )

    async def _bind(self, runner: web.AppRunner) -> None:
        """Where nobody else can enter, until it has its mode: the umask is every thread's and is left alone."""
        with tempfile.TemporaryDirectory(prefix=".", dir=self._path.parent) as private:  # mode 0700
            bound = Path(private, "s")
            await web.UnixSite(runner, str(bound)).start()
            self._place(bound)

    def _place(self, bound: Path) -> None:
        bound.chmod(0o660)
        self._inode = bound.stat().st_ino
        bound.rename(self._path)

    async def close(self) -> None:
        """Stop serving and remove the socket."""
        if self._runner is not None:
            await self._runner.cleanup()
            with contextlib.suppress(OSError):
                if self._path.stat().st_ino == self._inode:
                    self._path.unlink()

    async def _get(self, request: web.Request) -> web.Response:
        return await _answer(self._reads, request)

    async def _post(self, request: web.Request) -> web.Response:
        return await _answer(self._writes, request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        with self._live.watch() as lines:
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError):  # whoever watched has left
                async for line in lines:
                    await response.write(msgspec.json.encode(line) + b"\n")
        return response


async def _answer(doors: dict[str, Callable[[dict[str, str]], Awaitable[Any]]], request: web.Request) -> web.Response:
    door = doors.get(request.match_info["name"])
    if door is None:
        raise web.HTTPNotFound(text=f"known are: {', '.join(sorted(doors))}\n")
    try:
        result = await door(dict(request.query))
    except LookupError as why:
        raise web.HTTPNotFound(text=f"{why.args[0] if why.args else 'not found'}\n") from None
    except (OperatorError, ValueError) as why:
        raise web.HTTPBadRequest(text=f"{why}\n") from None
    return web.Response(body=msgspec.json.encode(result), content_type="application/json")
