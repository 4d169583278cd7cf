"""A disk that does not take something is waited for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from vcond.base.errors import StorageError

log = structlog.get_logger()

RETRY_FIRST, RETRY_MOST = 1.0, 60.0

T = TypeVar("T")


async def until_stored(
    store: Callable[[], Awaitable[T]], call: str, refused: str, wait: Callable[[float], Awaitable[None]]
) -> T:
    """What ``store`` returns. While it raises StorageError, ``refused`` is told of that call, and it is tried again."""
    pause = RETRY_FIRST
    while True:
        try:
            return await store()
        except StorageError as why:
            log.error(refused, call=call, why=str(why))  # noqa: TRY400 - it says it all
        await wait(pause)
        pause = min(2 * pause, RETRY_MOST)
