"""Starts the parts of a daemon in the right order and stops them in the reverse one.

Start: journals are recovered before anything else; then the outbox, speech, the web port and the admin socket; then
the adapters. READY is said when every adapter has given its first verdict (attached or not, and why).
Stop (SIGTERM): calls may end for ``drain`` seconds; adapters remove their helpers; what still goes on is left in its
journal for the next start.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from vcond import __version__
from vcond.app import plugins
from vcond.app.lifecycle import TICK, Lifecycle
from vcond.app.supervisor import Supervisor
from vcond.app.wiring import Parts
from vcond.base import log, metrics
from vcond.base.errors import ConfigError
from vcond.base.tasks import bare, bare_group, cancelled
from vcond.base.time import SECOND, Instant
from vcond.call.state import Call, fold
from vcond.capture.clock import SteadyClock
from vcond.config import Loaded, load, naming_files
from vcond.journal import CallJournal
from vcond.publish.revisions import looked_up, revisions
from vcond.sdk.contract import Adapter

logger = structlog.get_logger()

THREADS = 32


class Daemon:
    """One vcond. ``run`` returns when it was told to stop and everything is on disk."""

    def __init__(self, loaded: Loaded, *, clock: SteadyClock | None = None) -> None:
        self._loaded = loaded
        self._clock = clock or SteadyClock()
        self.parts: Parts
        """Made when it runs."""
        self.hung = False
        """An adapter does not end; everything else is on disk."""

    async def run(self) -> None:
        """Serve until stopped. Raises OperatorError for what the operator must mend first."""
        metrics.build_info.labels(__version__).set(1)
        # name look-ups that hang take threads of it, and must leave some for those who read files
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="vcond"))
        with naming_files(self._loaded.origin):
            adapters = plugins.adapters(self._loaded.config)
        if not adapters:
            raise ConfigError("no adapter is configured: add [adapters.asterisk] or another", "adapters")
        async with self._made() as supervisor:
            lifecycle = Lifecycle(self.parts, supervisor, self._loaded)
            try:
                with bare():
                    await self._serve(adapters, supervisor, lifecycle)
            finally:
                self.hung = lifecycle.hung
                lifecycle.close()

    async def recover_only(self) -> dict[str, int]:
        """Finish what earlier runs left, attach to nothing, try every sink, leave. Raises OperatorError."""
        async with self._made() as supervisor:
            outbox = self.parts.outbox
            await outbox.open()
            async with bare_group() as tasks:
                background = supervisor.background(tasks, outbox=outbox, finisher=self.parts.finisher)
                found = await self._recover(())
                while self._finishing() or await self._trying():  # noqa: ASYNC110 - parts, asked twice a second
                    await asyncio.sleep(TICK)
                await cancelled(background)
            undelivered = await outbox.list(undelivered=True, limit=1000)
        return {"journals": found, "undelivered": len(undelivered)}

    @asynccontextmanager
    async def _made(self) -> AsyncIterator[Supervisor]:
        """Every part is made; at the end all is on disk."""
        parts = self.parts = Parts(self._loaded, self._clock)
        try:
            yield Supervisor(parts.registry, speech=parts.speech, ingress=parts.web.ingress)
        finally:
            await parts.outbox.close()
            await parts.store.close()

    def _finishing(self) -> bool:
        """Whether a vCon is still to be made; amended ones only when there is an engine for the texts."""
        finisher = self.parts.finisher
        return bool(finisher.busy) or (self.parts.speech.ready.is_set() and len(finisher.amender) > 0)

    async def _trying(self) -> bool:
        """Whether a sink still has to answer for the first time."""
        waiting = await self.parts.outbox.list(state="pending", limit=1000)
        return any(one.state == "pending" and one.configured and not one.attempts for e in waiting for one in e.sinks)

    async def _serve(self, adapters: Mapping[str, Adapter], supervisor: Supervisor, lifecycle: Lifecycle) -> None:
        parts = self.parts
        await parts.outbox.open()
        lifecycle.beat()
        async with asyncio.TaskGroup() as tasks:
            background = supervisor.background(tasks, outbox=parts.outbox, finisher=parts.finisher)
            try:
                await self._recover(adapters)
                await parts.admin.start()
                await parts.web.start()
                await parts.ops.start()
                background.append(tasks.create_task(lifecycle.tick(), name="tick"))
                background.append(tasks.create_task(lifecycle.watchdog(), name="watchdog"))
                supervisor.start(adapters)
                with lifecycle.signals():
                    await lifecycle.until_stopped()
                    await lifecycle.drain()
                    await lifecycle.detach()
                    parts.registry.interrupt_all("stop")
                    await lifecycle.finish()
            finally:
                await lifecycle.detach()
                lifecycle.cancel_reload()
                parts.bus.close()
                await parts.ops.close()
                await parts.web.close()
                await parts.admin.close()
                await cancelled(background)
                parts.squeezer.close()
                parts.forms.close()  # deliveries go on until here

    async def _recover(self, adapters: Iterable[str]) -> int:
        """Journals of an earlier run, one by one: those that wait for their sinks are many, and hold no memory."""
        registry, found = self.parts.registry, 0
        merged: set[str] = set()
        todo: list[CallJournal] = []
        journals = self.parts.store.each()
        while (journal := await asyncio.to_thread(next, journals, None)) is not None:
            found += 1
            state = fold(journal.events)
            merged |= set(state.merged)
            if not state.published or not await self._is_published(journal, state):
                todo.append(journal)
        for journal in todo:
            state = fold(journal.events)
            if not state.uuid or state.merged_into or state.uuid in merged:
                journal.remove()
            elif state.ended is not None:
                registry.recovery.take_to_finish(journal)
            else:
                registry.recovery.take_back(journal, self._go_on_from(state.known_until))
        registry.recovery.finish_all_unfinished(list(adapters))
        await self.parts.forms.clean_left(self.parts.outbox)
        if found:
            logger.info(
                "found journals of an earlier run", found=found, to_finish=len(todo), unfinished=len(registry.recovery)
            )
        return found

    def _go_on_from(self, known: Instant) -> Instant:
        """Now, and not before what is in the journal of a call that may go on: what comes of it lies after what came."""
        step = self._clock.not_before(known)
        if step:
            self.parts.registry.attachments.moved(step)
            logger.warning(
                "the system clock is behind calls of an earlier run; it is followed again when they are over",
                seconds=round(step / SECOND, 3),
                hint="let NTP (chrony) keep the clock, and start vcond after time-sync.target",
            )
        return self._clock.now()

    async def _is_published(self, journal: CallJournal, state: Call) -> bool:
        """Leave a journal to its deliveries; False when the outbox lost the original, which is then made again."""
        vcons = await looked_up(revisions(state), self.parts.outbox)
        if vcons[0].state == "due":
            return False
        self.parts.finisher.expect(journal, state, vcons)
        return True


def main(config: Path, clock_speed: float = 1.0) -> None:
    """``vcond run``: load, serve, leave. ``clock_speed`` is for demos. Raises OperatorError."""
    os.umask(0o077)
    loaded = load(config, os.environ)
    log.configure(loaded.config.vcond.log_level, loaded.config.vcond.log_format)

    async def serve() -> None:
        daemon = Daemon(loaded, clock=SteadyClock.of_speed(clock_speed))
        try:
            await daemon.run()
        except BaseException as why:
            if daemon.hung:
                logger.error("vcond stopped on an error", error=str(why), kind=type(why).__name__)  # noqa: TRY400 - it leaves now
                log.drain()
                os._exit(1)
            raise
        if daemon.hung:
            log.drain()
            os._exit(0)  # the loop would wait for the adapter for ever

    try:
        import uvloop  # not on every platform
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
