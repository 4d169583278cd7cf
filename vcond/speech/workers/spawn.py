"""Where workers come from: forked off one process that loaded the model, or each loads it, if the engine cannot be forked.

Which of the two it is, the first process says. A worker that died is forked again in a fraction of a second, without
loading anything. When the process they come from has become warm, those that were forked before are replaced, one after
another, each when it holds nothing. If that process dies, the workers live on, and the next one needed loads anew.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from vcond.speech.workers import messages
from vcond.speech.workers.process import Worker

log = structlog.get_logger()


class Workers:
    """The workers of one model."""

    def __init__(self) -> None:
        self._loader: Worker | None = None
        self._forks = True
        self._warm = True
        """Loaders are warmed; not any more when one died of it."""
        self._lock = asyncio.Lock()
        self._cold: list[tuple[Worker, asyncio.Event]] = []
        """Workers that were forked before the loader was warm, and what wakes who holds them."""

    @property
    def pids(self) -> list[int]:
        """The process that workers are forked from, if there is one."""
        return [] if self._loader is None else [self._loader.pid]

    async def start(
        self, start: messages.Start, *, seconds: float, tasks: asyncio.TaskGroup, wake: asyncio.Event
    ) -> tuple[Worker, messages.Ready]:
        """One more worker; arguments and errors are those of ``Worker.start``. ``start`` is the same every time."""
        async with self._lock:
            if self._forks:
                return await self._fork(start, seconds, tasks, wake)
        return await Worker.start(start, seconds=seconds, tasks=tasks, wake=wake)

    async def _fork(
        self, start: messages.Start, seconds: float, tasks: asyncio.TaskGroup, wake: asyncio.Event
    ) -> tuple[Worker, messages.Ready]:
        loader = self._loader
        if loader is None or loader.lost:
            await self.close()
            first = msgspec.structs.replace(start, forks=True, warm=self._warm and start.warm)
            loader, ready = await Worker.start(first, seconds=seconds, tasks=tasks, wake=wake)
            self._forks = ready.forks
            if not self._forks:
                return loader, ready
            self._loader = loader
            tasks.create_task(self._watch(loader), name="speech loader")
        worker, ready = await loader.fork(seconds=seconds, tasks=tasks, wake=wake)
        if not loader.warm:
            self._cold = [*((one, its) for one, its in self._cold if not one.lost), (worker, wake)]
        self._wake()
        return worker, ready

    def stale(self, worker: Worker) -> bool:
        """Whether a warm worker could be had in this one's place, and it is its turn to go."""
        if self._loader is None or self._loader.lost or not self._loader.warm:
            return False
        self._cold = [pair for pair in self._cold if not pair[0].lost]
        return bool(self._cold) and self._cold[0][0] is worker

    async def close(self) -> None:
        """End the process that workers are forked from; they live on."""
        if self._loader is not None:
            loader, self._loader = self._loader, None
            await loader.close()
            loader.wake.set()

    async def _watch(self, loader: Worker) -> None:
        loader.wake = asyncio.Event()
        if not loader.warm and not loader.lost:
            await loader.wake.wait()
        if loader.warm:
            log.info("speech workers warmed up", pid=loader.pid)
        elif loader.lost != "closed":
            self._warm = False
            log.warning("template process of the speech workers crashed", reason=loader.lost, pid=loader.pid)
        self._wake()

    def _wake(self) -> None:
        for _, wake in self._cold:
            wake.set()
