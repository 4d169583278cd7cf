"""Tasks and what comes out of groups of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import structlog

from vcond.base.backoff import Backoff
from vcond.base.errors import VcondError

log = structlog.get_logger()

RESTART: Final = Backoff(1.0, 60.0)
"""Seconds before what ended by a mistake is begun again."""
STEADY: Final = 60.0
"""What ran as long as this many seconds before it ended is begun again without a growing pause."""


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


async def kept(what: str, run: Callable[[], Awaitable[object]]) -> None:
    """Until ``run`` ends by itself: a mistake in it is logged, and it is begun again after a pause that grows.

    For what works beside captured calls: in a group of tasks it would end the daemon, and the recording of all of them.
    """
    loop, failures = asyncio.get_running_loop(), 0
    while True:
        began = loop.time()
        try:
            await run()
        except (Exception, asyncio.CancelledError) as why:
            task = asyncio.current_task()
            if isinstance(why, asyncio.CancelledError) and (task is None or task.cancelling()):
                raise  # else nobody wants it to end: what it waited for was cancelled
            failures = 1 if loop.time() - began > STEADY else failures + 1
            log.exception("internal error, starting this part again; please report it", part=what)
        else:
            return
        await asyncio.sleep(RESTART.wait(failures))
