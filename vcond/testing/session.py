"""An adapter that runs at a host in memory, for one test."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from vcond.sdk.contract import Adapter
from vcond.testing.call import MemoryCall
from vcond.testing.checks import check_attached, check_events, private_words
from vcond.testing.host import MemoryHost
from vcond.testing.rig import Ability, Rig
from vcond.testing.time import run_virtual
from vcond.testing.watch import captured_logs, nobody_sleeps

Body = Callable[[Any, "Session"], Coroutine[Any, Any, None]]
LIMIT = 5
"""A test that takes so many times the rig's patience hangs."""
LOSING: frozenset[Ability] = frozenset({"cut", "restart", "garbage"})
"""In tests of these an adapter may lose its system."""


@dataclass
class Session:
    """An adapter that runs at a host."""

    rig: Rig
    host: MemoryHost
    adapter: Adapter
    task: asyncio.Task[None]

    async def until(self, predicate: Callable[[], bool], what: str) -> None:
        """Wait for something at the host, as long as the rig is patient."""
        await self.host.until(predicate, within=self.rig.patience, what=what)

    async def over(self, key: str) -> MemoryCall:
        """The call of a key, once it has ended."""
        await self.until(lambda: self.host.by_key(key).over, f"the end of call {key}")
        return self.host.by_key(key)

    async def cancel(self) -> None:
        """Cancel the adapter and wait for it."""
        self.task.cancel()
        await asyncio.wait([self.task], timeout=self.rig.patience)
        assert self.task.done(), "run() must end soon after it was cancelled"
        assert self.task.cancelled(), f"run() ends only when cancelled; it ended with {self.task.exception()!r}"


def needs(rig: Rig, ability: Ability) -> None:
    """Skip the test when the rig cannot do that."""
    if ability not in rig.can:
        pytest.skip(f"this rig has no {ability}")


def drive(rig: Rig, main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine in the rig's kind of time. TimeoutError when it hangs."""

    async def limited() -> None:
        async with asyncio.timeout(LIMIT * rig.patience):
            await main

    if rig.virtual:
        run_virtual(limited())
    else:
        asyncio.run(limited())


def in_session(*abilities: Ability) -> Callable[[Body], Callable[[Any, Rig], None]]:
    """A test of the suite with a session of its rig; skipped when the rig cannot do all of that."""

    def decorated(test: Body) -> Callable[[Any, Rig], None]:
        def driven(self: Any, rig: Rig) -> None:
            for ability in abilities:
                needs(rig, ability)

            async def main() -> None:
                async with session(rig) as run:
                    await test(self, run)
                    if LOSING.isdisjoint(abilities) and not run.task.done():
                        check_attached(run.host)

            drive(rig, main())

        driven.__name__, driven.__qualname__ = test.__name__, test.__qualname__
        return driven

    return decorated


@asynccontextmanager
async def session(rig: Rig) -> AsyncIterator[Session]:
    """The rig's system, started, with an adapter that is attached; all is taken down and looked at afterwards."""
    await rig.start()
    try:
        async with serving(rig, MemoryHost(rig.adapter().name)) as run:
            yield run
    finally:
        await rig.stop()


@asynccontextmanager
async def serving(rig: Rig, host: MemoryHost) -> AsyncIterator[Session]:
    """An adapter that runs at ``host``. When its ``run`` ends by itself, so does the test."""
    with nobody_sleeps() as sleepers, captured_logs() as lines:
        async with host:
            adapter = rig.adapter()
            task = asyncio.create_task(adapter.run(host), name="the adapter")
            run = Session(rig, host, adapter, task)
            watch = asyncio.create_task(_guard(task, asyncio.current_task()))
            try:
                await run.until(lambda: host.is_attached, "attached(True)")
                yield run
            finally:
                watch.cancel()
                try:
                    await run.cancel()
                finally:
                    sys.stdout.writelines(f"{line}\n" for line in lines)  # pytest shows it with a test that fails
    assert not host.faults, f"the contract was broken: {host.faults}"
    for call in host.calls:
        check_events(host, call)
    told = private_words(rig, [*lines, *(detail for _, detail in host.attachments)], host.ingress.token)
    assert not told, f"private, and yet in a log line or in attached(): {told}"
    assert sleepers == [], "the event loop was blocked"


async def _guard(task: asyncio.Task[None], test: asyncio.Task[Any] | None) -> None:
    """Fail the test at once when the adapter gives up."""
    await asyncio.wait([task])
    if test is not None and not task.cancelled():
        test.cancel()  # `serving` says why
