"""The workers of one model, kept alive: each is started, given one step after another, and replaced when it must be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from vcond.base import metrics
from vcond.base.errors import OperatorError
from vcond.speech.config import SpeechConfig
from vcond.speech.engine_choice import Choice
from vcond.speech.scheduler import Step
from vcond.speech.workers import messages
from vcond.speech.workers.process import Worker, WorkerLostError
from vcond.speech.workers.spawn import Workers

log = structlog.get_logger()

WORRYING_PAUSE = 4.0
"""Seconds between two starts from which on it is said that something is wrong."""
LONGEST_PAUSE = 30.0
"""Seconds between two starts of a worker that always dies."""

Starts = Callable[..., Awaitable[tuple[Worker, messages.Ready]]]
"""As ``Worker.start``."""


class Work(Protocol):
    """What workers are given to do."""

    def next(self, index: int, *, accept: bool) -> Step | None:
        """What worker ``index`` shall do now; without ``accept`` it takes nothing new."""

    def holds(self, index: int) -> bool:
        """Whether it has something in hand."""

    def lost(self, index: int) -> None:
        """It is gone, with what it had in hand."""

    async def do(self, step: Step, worker: Worker, ready: messages.Ready) -> None:
        """One step in it. Raises WorkerLostError."""


class Pool:
    """As many workers as the configuration says."""

    def __init__(
        self,
        config: SpeechConfig,
        choice: Choice,
        work: Work,
        started: Callable[[messages.Ready], None],
        start: Starts | None = None,
    ) -> None:
        """``started`` is called whenever one more worker has its model."""
        self.trouble = f"{choice.trouble}: {choice.fix}" if choice.trouble else ""
        """Why nothing is transcribed now, and what to do about it; empty while all is well."""
        self.pids: dict[int, int] = {}
        """Process ids of the workers that run, by their index."""
        self._config, self._choice, self._work, self._on_started = config, choice, work, started
        self._workers = Workers()
        self._start = start or self._workers.start
        self._wakes = [asyncio.Event() for _ in range(config.worker_count)]
        self._pauses = [0.0] * config.worker_count

    def wake(self) -> None:
        """There may be something to do."""
        for wake in self._wakes:
            wake.set()

    async def tend(self, index: int, tasks: asyncio.TaskGroup) -> None:
        """Keep one worker running for ever; ``tasks`` owns what reads from it."""
        config = self._config
        start = messages.Start(
            self._choice.engine, self._choice.model, config.threads, config.nice, self._choice.server,
            config.streams, tuple(config.vocabulary), any(one.vocabulary for one in config.routes),
            growth=2 * config.memory_mb << 20, max_active=config.max_active, allocator=config.allocator,
        )  # fmt: skip
        while True:
            await asyncio.sleep(self._pauses[index])
            wake = self._wakes[index]
            try:
                worker, ready = await self._start(start, seconds=config.start_seconds, tasks=tasks, wake=wake)
            except OperatorError as why:
                self.trouble = str(why)
                log.warning("speech worker cannot start; retrying", error=str(why))
                self._died(index, "start")
                continue
            except WorkerLostError as why:
                log.warning("speech worker crashed while starting; restarting it", reason=why.reason)
                self._died(index, "start")
                continue
            self.pids[index] = worker.pid
            try:
                self._started(worker, ready)
                reason = await self._serve(index, worker, ready)
            except WorkerLostError as why:
                reason = why.reason
            finally:
                self._work.lost(index)
                await worker.close()
                del self.pids[index]
            say = log.info if reason == "warm" else log.warning
            say("speech worker is replaced", reason=reason, grown_mb=worker.memory >> 20)
            self._died(index, reason)

    async def close(self) -> None:
        """End the process that workers come from."""
        await self._workers.close()

    def _started(self, worker: Worker, ready: messages.Ready) -> None:
        log.info("speech worker ready", pid=worker.pid, engine=ready.engine, model=ready.model, mb=ready.memory >> 20)
        if max(self._pauses) < WORRYING_PAUSE:
            self.trouble = ""
        self._on_started(ready)

    def _died(self, index: int, reason: str) -> None:
        metrics.stt_worker_restarts_total.labels(reason).inc()
        if reason in {"memory", "warm"}:
            return
        self._pauses[index] = min(LONGEST_PAUSE, 2 * self._pauses[index] or self._config.restart_seconds)
        if self._pauses[index] >= WORRYING_PAUSE and not self.trouble:
            self.trouble = f"speech workers keep crashing ({reason}): see the log, and try another model"

    async def _serve(self, index: int, worker: Worker, ready: messages.Ready) -> str:
        """Give a worker one step after another. Returns why it is to be replaced; raises WorkerLostError."""
        wake = self._wakes[index]
        while True:
            if worker.lost:
                raise WorkerLostError(worker.lost)
            wake.clear()
            outgrown = "memory" if worker.memory > self._config.memory_mb << 20 else ""
            outgrown = outgrown or ("warm" if self._workers.stale(worker) else "")
            step = self._work.next(index, accept=not outgrown)
            if step is not None:
                await self._work.do(step, worker, ready)
                self._pauses[index], self.trouble = 0.0, ""
            elif outgrown and not self._work.holds(index):
                return outgrown
            else:
                await wake.wait()
