"""Asking a running daemon through its admin socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from vcond.errors import OperatorError, RefusedError, UnreachableError

TIMEOUT = aiohttp.ClientTimeout(total=30)


class NotRunningError(OperatorError):
    """No daemon answers on the admin socket."""


def ask(socket: str, name: str, *, write: bool = False, **query: str) -> Any:
    """``GET /v1/name`` (or POST) as decoded JSON.

    Raises NotRunningError without a daemon, RefusedError for what it does not do, UnreachableError when it hangs.
    """
    if not Path(socket).is_socket():
        raise NotRunningError(f"no daemon at {socket}: is vcond running, and may you read its socket?")
    return asyncio.run(_ask(socket, name, write, query))


async def _ask(socket: str, name: str, write: bool, query: dict[str, str]) -> Any:
    connector = aiohttp.UnixConnector(socket)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        method = "POST" if write else "GET"
        try:
            async with session.request(method, f"http://vcond/v1/{name}", params=query) as answer:
                if answer.status >= 400:
                    raise RefusedError((await answer.text()).strip())
                return await answer.json()
        except aiohttp.ClientConnectorError as why:
            raise NotRunningError(f"no daemon answers at {socket} ({why.strerror})") from None
        except (aiohttp.ClientError, TimeoutError) as why:
            raise UnreachableError(f"the daemon at {socket} did not answer ({type(why).__name__})") from None
