"""The daemon's admin socket, as far as a demo needs it: where it listens, and what is being said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
from aiohttp.http_exceptions import LineTooLong

from vcond.base.errors import ProtocolError, UnreachableError
from vcond.sdk.contract import CaptionEvent

NO_LIMIT = aiohttp.ClientTimeout(total=None)
TIMEOUT = aiohttp.ClientTimeout(total=10)
BEGIN_LIMIT = 10.0
"""Seconds until a stream of captions begins; then it may be silent as long as the call is."""


class _Status(msgspec.Struct):
    listen: str


class _Link(msgspec.Struct):
    url: str


_caption = msgspec.json.Decoder(CaptionEvent).decode
_status = msgspec.json.Decoder(_Status).decode
_link = msgspec.json.Decoder(_Link).decode


class Admin:
    """A client of one admin socket; use it as an async context manager."""

    def __init__(self, socket: Path) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def listen_url(self) -> str:
        """Where the daemon's web port is: ``http://127.0.0.1:40123``.

        Raises UnreachableError when the daemon does not answer, ProtocolError when it answers something else.
        """
        try:
            async with self._session.get("http://vcond/v1/status", timeout=TIMEOUT) as answer:
                answer.raise_for_status()
                return _status(await answer.read()).listen
        except (aiohttp.ClientError, TimeoutError) as why:
            raise UnreachableError(f"the daemon does not answer on its admin socket: {type(why).__name__}") from why
        except (ValueError, RecursionError) as why:
            raise ProtocolError("the daemon's status cannot be read") from why

    async def page_link(self) -> str:
        """Where a browser is logged in to the page, once; empty when there is none: the demo is one without it."""
        try:
            query = {"roles": "watch,read,operate"}
            async with self._session.post("http://vcond/v1/page-link", params=query, timeout=TIMEOUT) as answer:
                return _link(await answer.read()).url if answer.ok else ""
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError):
            return ""

    @asynccontextmanager
    async def live(self) -> AsyncIterator[AsyncIterator[CaptionEvent]]:
        """Captions from now on: inside the block nothing is missed. They end when the daemon does.

        Raises UnreachableError when the daemon does not answer; iterating raises it when the stream breaks, and
        ProtocolError for a line that is no caption.
        """
        try:
            async with asyncio.timeout(BEGIN_LIMIT):
                answer = await self._session.get("http://vcond/v1/live", timeout=NO_LIMIT, raise_for_status=True)
        except (aiohttp.ClientError, TimeoutError) as why:
            raise UnreachableError(f"the daemon sends no live captions: {type(why).__name__}") from why
        async with answer:
            yield _captions(answer.content)


async def _captions(stream: aiohttp.StreamReader) -> AsyncIterator[CaptionEvent]:
    try:
        async for line in stream:
            yield _caption(line)
    except aiohttp.ClientError as why:
        raise UnreachableError(f"the live captions stopped: {type(why).__name__}") from why
    except (LineTooLong, ValueError, RecursionError) as why:  # ValueError: a long line in an older aiohttp
        raise ProtocolError("a caption event cannot be read") from why
