"""Keeps adapters and speech going: none of them ends by itself, and what does is started again."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog

from vcond.app import plugins
from vcond.base.backoff import Backoff
from vcond.base.errors import VcondError
from vcond.base.time import SECOND, Instant
from vcond.capture.adapter_host import CaptureHost
from vcond.capture.registry import CallRegistry
from vcond.sdk.contract import Adapter, Ingress

logger = structlog.get_logger()

RESTART = Backoff(1.0, 60.0)
"""Seconds before another start."""
STEADY = 60 * SECOND
"""What ran as long as this before it ended is started again without a growing pause."""


class Running(Protocol):
    """What runs until it is cancelled."""

    async def run(self) -> None:
        """Serve."""


class Supervisor:
    """Runs speech and the adapters of one daemon."""

    def __init__(self, registry: CallRegistry, *, speech: Running, ingress: Callable[[str], Ingress]) -> None:
        """``ingress`` gives an adapter, by its name, its routes of the web port."""
        self._registry, self._speech, self._ingress = registry, speech, ingress
        self._verdicts: dict[str, asyncio.Event] = {}
        self._adapters: list[asyncio.Task[None]] = []
        self._letting_go = False

    def background(self, tasks: asyncio.TaskGroup, **others: Running) -> list[asyncio.Task[None]]:
        """Start speech, which is started again when it ends, and ``others``, which are not."""
        jobs = {"speech": self._keep_speech(), **{name: one.run() for name, one in others.items()}}
        return [tasks.create_task(job, name=name) for name, job in jobs.items()]

    def start(self, adapters: Mapping[str, Adapter]) -> None:
        """Run adapters. In no group: one that hangs in its clean-up must not keep the daemon."""
        for name, adapter in adapters.items():
            self._adapters.append(asyncio.create_task(self._supervise(name, adapter), name=f"adapter {name}"))

    async def all_told(self, names: Iterable[str]) -> None:
        """Return when each adapter has given its first verdict: attached or not, and why."""
        for name in names:
            await self._verdicts.setdefault(name, asyncio.Event()).wait()

    def let_go(self) -> list[asyncio.Task[None]]:
        """Adapters shall remove what they put into their systems, and are not started again. Those that still run."""
        self._letting_go = True
        left = [task for task in self._adapters if not task.done()]
        for task in left:
            task.cancel()
        return left

    async def _keep_speech(self) -> None:
        """Speech never ends by itself. A mistake in it costs texts; calls are captured all the same."""
        failures = 0
        while True:
            began = self._registry.clock.now()
            try:
                await self._speech.run()
            except Exception:
                logger.exception("internal error in speech, restarting it; please report it")
            failures = await self._pause(failures, began)

    async def _supervise(self, name: str, adapter: Adapter) -> None:
        """An adapter never ends by itself; when it does, it is started again."""
        failures = 0
        verdict = self._verdicts.setdefault(name, asyncio.Event())
        words = functools.partial(plugins.in_its_name, kind=getattr(adapter, "name", name), name=name)
        while True:
            host = CaptureHost(name, self._registry, self._ingress(name), verdict.set, words=words)
            began = self._registry.clock.now()
            try:
                await adapter.run(host)
                logger.error("adapter stopped unexpectedly; restarting it", adapter=name)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                logger.exception("internal error in an adapter; please report it", adapter=name)
            except VcondError as why:
                logger.error("adapter failed; restarting it", adapter=name, error=words(str(why)))  # noqa: TRY400 - the message says it all
            except Exception:
                logger.exception("internal error in an adapter; please report it", adapter=name)
            if self._letting_go:
                return  # it failed in its clean-up: the stop goes on
            self._registry.attachments.say(name, False, "the adapter is starting again")
            failures = await self._pause(failures, began)

    async def _pause(self, failures: int, began: Instant) -> int:
        """Wait before another start, longer each time for what ends soon; how often in a row that is now."""
        failures = 1 if self._registry.clock.now() - began > STEADY else failures + 1
        await asyncio.sleep(RESTART.wait(failures))
        return failures
