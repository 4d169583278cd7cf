"""Asking a running daemon through its admin socket."""

from __future__ import annotations

import asyncio
import errno
import getpass
import stat
from pathlib import Path
from typing import Any

import aiohttp

from vcond.base.errors import AmbiguousError, OperatorError, RefusedError, UnreachableError

TIMEOUT = aiohttp.ClientTimeout(total=30)


START = "systemctl start vcond, or vcond recover delivers what is in its journals"


class NotRunningError(OperatorError):
    """No daemon answers on the admin socket."""


class NoAccessError(OperatorError):
    """This user may not ask."""


def _no_access(socket: str) -> str:
    return (
        f"{getpass.getuser()} may not use {socket}: be root, or in its group: usermod -aG vcond NAME, then log in again"
    )


def ask(socket: str, name: str, *, write: bool = False, **query: str) -> Any:
    """``GET /v1/name`` (or POST) as decoded JSON.

    Raises NotRunningError without a daemon, RefusedError for what it does not do, UnreachableError when it hangs.
    """
    try:
        if not stat.S_ISSOCK(Path(socket).stat().st_mode):
            raise NotRunningError(f"no daemon at {socket}: there is something that is no socket")
    except PermissionError:
        raise NoAccessError(_no_access(socket)) from None
    except OSError:
        raise NotRunningError(f"no daemon at {socket}: is vcond running? {START}") from None
    return asyncio.run(_ask(socket, name, write, query))


async def _ask(socket: str, name: str, write: bool, query: dict[str, str]) -> Any:
    connector = aiohttp.UnixConnector(socket)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        method = "POST" if write else "GET"
        try:
            async with session.request(method, f"http://vcond/v1/{name}", params=query) as answer:
                if answer.status == 409:
                    raise AmbiguousError((await answer.text()).strip())
                if answer.status >= 400:
                    raise RefusedError((await answer.text()).strip())
                return await answer.json()
        except aiohttp.ClientConnectorError as why:
            if why.errno == errno.EACCES:
                raise NoAccessError(_no_access(socket)) from None
            raise NotRunningError(f"no daemon answers at {socket}: vcond has died or was stopped; {START}") from None
        except (aiohttp.ClientError, TimeoutError) as why:
            raise UnreachableError(f"the daemon at {socket} did not answer ({type(why).__name__})") from None
