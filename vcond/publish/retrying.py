"""A disk that does not take something is waited for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from vcond.base.backoff import Backoff
from vcond.base.errors import StorageError

log = structlog.get_logger()

PAUSES: Final = Backoff(1.0, 60.0)
"""Seconds before a disk is asked again."""

T = TypeVar("T")


async def until_stored(
    store: Callable[[], Awaitable[T]], call: str, refused: str, wait: Callable[[float], Awaitable[None]]
) -> T:
    """What ``store`` returns. While it raises StorageError, ``refused`` is told of that call, and it is tried again."""
    failures = 0
    while True:
        try:
            return await store()
        except StorageError as why:
            log.error(refused, call=call, error=str(why))  # noqa: TRY400 - it says it all
        failures += 1
        await wait(PAUSES.wait(failures))
