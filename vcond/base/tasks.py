"""Tasks and what comes out of groups of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from vcond.base.errors import VcondError


@contextlib.contextmanager
def bare() -> Iterator[None]:
    """The one error of ours that a task group wrapped is raised as it is: the command line tells it in one line."""
    try:
        yield
    except BaseExceptionGroup as group:
        one: BaseException = group
        while isinstance(one, BaseExceptionGroup) and len(one.exceptions) == 1:
            one = one.exceptions[0]
        if isinstance(one, VcondError):
            raise one from None
        raise


@contextlib.asynccontextmanager
async def bare_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises the one error of ours as it is."""
    with bare():
        async with asyncio.TaskGroup() as tasks:
            yield tasks


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them and wait until they are over."""
    all_of_them = list(tasks)
    for task in all_of_them:
        task.cancel()
    await asyncio.gather(*all_of_them, return_exceptions=True)
