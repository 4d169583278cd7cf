"""Starts the parts of a daemon in the right order and stops them in the reverse one.

Start: calls of an earlier run that have no end; then the web port and the admin socket; then the adapters. When these have
attached, or cannot yet, the outbox is opened, as often as it takes, and all other journals are read. READY is said when every
adapter has given its first verdict (attached or not, and why) and the outbox is open.
Stop (SIGTERM): calls may end for ``drain`` seconds; adapters remove their helpers; what still goes on is left in its
journal for the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import structlog

from vcond import __version__
from vcond.app import forgetting, plugins
from vcond.app.encryption import Sweep
from vcond.app.lifecycle import TICK, Lifecycle
from vcond.app.supervisor import Supervisor
from vcond.app.wiring import Parts
from vcond.base import log, metrics
from vcond.base.errors import ConfigError, StorageError
from vcond.base.no_core import no_core_files
from vcond.base.tasks import bare, bare_group, cancelled, kept
from vcond.capture.clock import SteadyClock
from vcond.config import Loaded, naming_files
from vcond.records.tombstones import RESTORE
from vcond.sdk.contract import Adapter

logger = structlog.get_logger()

THREADS = 32
HEAD_START = 5.0
"""Seconds that adapters have at most before the outbox is opened beside them: with a hundred thousand vCons it takes seconds."""


class Daemon:
    """One vcond. ``run`` returns when it was told to stop and everything is on disk."""

    def __init__(
        self, loaded: Loaded, *, clock: SteadyClock | None = None, made: Callable[[], None] = lambda: None
    ) -> None:
        """``made`` is called when every part and adapter is made, and there is no call yet."""
        self._loaded, self._all_made = loaded, made
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
        hub = self._loaded.config.hub.listen
        if hub and adapters:
            raise ConfigError(
                "a hub records no calls: remove it, or run a second vcond for it", f"adapters.{min(adapters)}"
            )
        if not (adapters or hub):
            raise ConfigError("no adapter is configured: add [adapters.asterisk] or another", "adapters")
        async with self._made() as supervisor:
            lifecycle = Lifecycle(self.parts, supervisor, self._loaded)
            try:
                self._all_made()
                with bare():
                    await self._serve(adapters, supervisor, lifecycle)
            finally:
                self.hung = lifecycle.hung
                lifecycle.close()

    async def recover_only(self) -> dict[str, int]:
        """Finish what earlier runs left, attach to nothing, try every sink, leave. Raises OperatorError."""
        async with self._made() as supervisor:
            outbox = self.parts.outbox
            if trouble := self.parts.tombstones.trouble:
                raise StorageError(trouble if len(self.parts.tombstones) else f"{trouble}: {RESTORE}")
            await outbox.open()
            async with bare_group() as tasks:
                background = supervisor.background(tasks, outbox=outbox, finisher=self.parts.finisher)
                background.append(tasks.create_task(self.parts.records.run(outbox), name="ledger"))
                journals = self.parts.old_journals
                await journals.take_back(())
                await journals.run(rest=0)
                await self.parts.forms.clean_left(outbox)
                while self._finishing() or await self._trying():  # noqa: ASYNC110 - parts, asked twice a second
                    await asyncio.sleep(TICK)
                await cancelled(background)
            undelivered = await outbox.list(undelivered=True, limit=1000)
        left = {"undelivered": len(undelivered), "unreadable": len(self.parts.store.refused)}
        return {"journals": journals.found} | left

    @contextlib.asynccontextmanager
    async def _made(self) -> AsyncIterator[Supervisor]:
        """Every part is made; at the end all is on disk."""
        parts = self.parts = Parts(self._loaded, self._clock)
        try:
            await forgetting.cleared(parts)
            yield Supervisor(parts.registry, speech=parts.speech, ingress=parts.web.ingress)
        finally:
            await parts.close()

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
        lifecycle.beat()
        async with asyncio.TaskGroup() as tasks:
            background = supervisor.background(tasks, outbox=parts.outbox, finisher=parts.finisher)
            background.append(tasks.create_task(parts.records.run(parts.outbox), name="ledger"))
            try:
                await parts.old_journals.take_back(adapters)
                await parts.admin.start()
                if not parts.config.hub.listen:  # no peer of a call comes to a hub
                    await parts.web.start()
                await parts.ops.start()
                await parts.api.start()
                await parts.hub.start()
                background.append(tasks.create_task(lifecycle.tick(), name="tick"))
                background.append(tasks.create_task(kept("watchdog", lifecycle.watchdog), name="watchdog"))
                if parts.keys is not None:
                    sweep = Sweep(parts.keys, Path(parts.config.vcond.state_dir))
                    background.append(tasks.create_task(kept("keys", sweep.run), name="keys"))
                if parts.traces is not None:
                    background.append(tasks.create_task(kept("traces", parts.traces.run), name="traces"))
                background.append(tasks.create_task(kept("forget", parts.forgetter.run), name="forget"))
                background.append(tasks.create_task(parts.retention.run(), name="retention"))
                background.append(tasks.create_task(kept("holds", parts.holding.run), name="holds"))
                background.append(tasks.create_task(parts.words.run(), name="words"))
                supervisor.start(adapters)
                look_after = partial(self._look_after, supervisor)
                background.append(tasks.create_task(kept("old journals", look_after), name="old journals"))
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
                await parts.hub.close()
                await parts.api.close()
                await parts.ops.close()
                await parts.web.close()
                await parts.admin.close()
                await cancelled(background)

    async def _look_after(self, supervisor: Supervisor) -> None:
        """What is left of earlier runs, once capture goes on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAD_START):
                await supervisor.all_told(self.parts.config.adapters)
        await forgetting.known(self.parts)
        await self.parts.old_journals.open_outbox()
        await self.parts.old_journals.run()
        await self.parts.forms.clean_left(self.parts.outbox)


def lasting() -> None:
    """What is there stays to the end: no search for garbage looks at it any more. What comes later is looked at (decision 0055)."""
    gc.collect()
    gc.freeze()


def main(loaded: Loaded, clock_speed: float = 1.0) -> None:
    """``vcond run``: serve, leave. ``clock_speed`` is for demos. Raises OperatorError."""
    os.umask(0o077)
    no_core_files()
    signal.signal(signal.SIGHUP, lambda *_: None)  # until it can be heeded: the configuration was read just now
    log.configure(loaded.config.vcond.log_level, loaded.config.vcond.log_format)

    async def serve() -> None:
        daemon = Daemon(loaded, clock=SteadyClock.of_speed(clock_speed), made=lasting)
        try:
            await daemon.run()
        except BaseException as why:
            if daemon.hung:
                logger.error("vcond stopped on an error", error=str(why), kind=type(why).__name__)  # noqa: TRY400 - it leaves now
                log.drain()
                os._exit(1)
            raise
        # all is on disk; the loop would wait for an adapter that hangs, and the process for names that nobody resolves
        log.drain()
        os._exit(0)

    try:
        import uvloop  # not on every platform
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
