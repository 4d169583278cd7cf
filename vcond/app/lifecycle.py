"""A daemon from its start to its stop: signals, systemd, the tick, reload, drain, detach."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Iterator

import msgspec
import structlog

from vcond import __version__
from vcond.app import plugins
from vcond.app.links import links
from vcond.app.supervisor import Supervisor
from vcond.app.wiring import Parts
from vcond.base import log, tls
from vcond.base.errors import VcondError
from vcond.base.systemd import Notifier
from vcond.base.tasks import cancelled
from vcond.config import Loaded, load, naming_files
from vcond.publish.builder import check_record

logger = structlog.get_logger()

TICK = 0.5
VERDICT = 30.0
"""How long READY waits for an adapter that says nothing."""
DETACH_LIMIT = 15.0
"""How long adapters may take to remove their helpers at a stop."""
RELOAD_LIMIT = 60.0
"""How long a reload may take to read its files."""
FINISH_LIMIT = 15.0
"""How long a stop waits for calls that ended to reach the outbox; the rest is done at the next start."""


class Lifecycle:
    """Tells systemd and the operator where the daemon is, and stops it when it is told to."""

    def __init__(self, parts: Parts, supervisor: Supervisor, loaded: Loaded) -> None:
        self._parts, self._supervisor = parts, supervisor
        self._notifier = Notifier()
        self._reloader = Reloader(loaded, parts, self._notifier)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.hung = False
        """An adapter does not end."""

    def stop(self) -> None:
        """SIGTERM: drain and stop; the second time at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop it, SIGHUP has the configuration read again."""
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: self._reloader.ask}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def beat(self) -> None:
        """The loop turns."""
        self._parts.last_beat = asyncio.get_running_loop().time()

    async def tick(self) -> None:
        """Have the calls looked at twice a second, until cancelled."""
        while True:
            now = self._parts.clock.now()
            self.beat()
            try:
                self._parts.registry.tick(now)
                live = self._parts.registry.live
                recorded = [(call.state, call.stopped.parties) for call in live if not call.not_recorded]
                self._parts.finisher.findings.watch(recorded, now)
                self._parts.squeezer.look(live)
            except Exception:
                logger.exception("internal error in the periodic check; please report it")
            await asyncio.sleep(TICK)

    async def watchdog(self) -> None:
        """Tell systemd that the loop turns, until cancelled."""
        every = min(self._notifier.watchdog / 3 or 10.0, 10.0)
        while True:
            if not self._parts.status.alive():
                self._notifier.send(WATCHDOG="1", STATUS=self._parts.status.line())
            await asyncio.sleep(every)

    async def until_stopped(self) -> None:
        """Say READY when every adapter has given its first verdict, and the outbox is open; return when it shall stop."""
        await self._first_of(self._stop.wait(), self._all_begun(), limit=VERDICT)
        if not self._stop.is_set():
            self._parts.started = True
            self._notifier.send(READY="1", STATUS=self._parts.status.line())
            logger.info("ready", version=__version__, detail=self._parts.status.line())
        await self._stop.wait()

    async def _all_begun(self) -> None:
        await self._supervisor.all_told(self._parts.config.adapters)
        await self._parts.outbox.opened.wait()

    async def drain(self) -> None:
        """Calls may end for a while; not when it is urgent."""
        registry, limit = self._parts.registry, self._parts.config.vcond.drain
        self._parts.stopping = registry.stopping = True
        self._notifier.send(STOPPING="1", STATUS="draining")
        logger.info("stopping", calls=len(registry.live), drain=limit)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while registry.live and not self._hurry.is_set():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(TICK / 2):
                            await self._hurry.wait()

    async def detach(self) -> None:
        """Adapters remove what they put into their systems; not for ever, and not when it is urgent."""
        left = self._supervisor.let_go()
        if not left:
            return
        await self._first_of(self._hurry.wait(), asyncio.wait(left), limit=DETACH_LIMIT)
        for task in left:
            if not task.done():
                self.hung = True
                logger.error(
                    "adapter did not clean up in time; taps may be left in its system until the next start",
                    task=task.get_name(),
                )

    async def finish(self) -> None:
        """Calls that ended reach the outbox; not when it is urgent."""
        await self._first_of(self._hurry.wait(), self._parts.finisher.idle(), limit=FINISH_LIMIT)

    def cancel_reload(self) -> None:
        """The stop waits for no reload."""
        self._reloader.cancel()

    def close(self) -> None:
        """Nothing more is told to systemd."""
        self._notifier.close()

    async def _first_of(self, *jobs: Awaitable[object], limit: float) -> None:
        """Return when one of them is over, or after so many seconds; the others are cancelled."""
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            await asyncio.wait(tasks, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelled(tasks)


class Reloader:
    """Reads the configuration again. What can change while calls go on does; the rest is named."""

    def __init__(self, loaded: Loaded, parts: Parts, notifier: Notifier) -> None:
        self._loaded, self._parts, self._notifier = loaded, parts, notifier
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._served: list[tls.Served] = []

    def ask(self) -> None:
        """SIGHUP; during another reload it asks for one more, as the files may have changed since they were read."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._reloads(), name="reload")

    def cancel(self) -> None:
        """The daemon stops."""
        if self._task is not None:
            self._task.cancel()

    async def _reloads(self) -> None:
        while self._again:
            self._again = False
            await self._reload()

    def _read_again(self) -> Loaded:
        new = load(self._loaded.files[0], os.environ)
        with naming_files(new.origin):
            plugins.adapters(new.config)
            plugins.sinks(new.config, clock=self._parts.clock.now)
            links(new.config, lambda: self._parts.intake)
            check_record(new.config.record)
        for one in self._served:
            one.check()
        return new

    async def _reload(self) -> None:
        """All or nothing."""
        monotonic = str(int(asyncio.get_running_loop().time() * 1e6))
        self._notifier.send(RELOADING="1", MONOTONIC_USEC=monotonic)
        try:
            async with asyncio.timeout(RELOAD_LIMIT):  # files, which may be on a disk that does not answer
                self._served = tls.served()
                new = await asyncio.to_thread(self._read_again)
            self._apply(new)
        except VcondError as why:
            logger.error("configuration not reloaded; keeping the old one", error=str(why))  # noqa: TRY400 - it says it all
        except Exception:  # a plug-in's own code, too
            logger.exception("configuration not reloaded; keeping the old one", hint="run: vcond check")
        finally:
            if not self._parts.stopping:  # systemd waits for it
                self._notifier.send(READY="1", STATUS=self._parts.status.line())

    def _apply(self, new: Loaded) -> None:
        current = self._loaded.config
        old, wanted = current.vcond, new.config.vcond
        fixed = {name: getattr(old, name) for name in ("state_dir", "admin_socket", "name")}
        config = msgspec.structs.replace(wanted, **fixed)
        waiting = [name for name in current.__struct_fields__
                   if name != "vcond" and getattr(new.config, name) != getattr(current, name)]  # fmt: skip
        waiting += [f"vcond.{name}" for name, value in fixed.items() if value != getattr(wanted, name)]
        log.configure(wanted.log_level, wanted.log_format)
        self._parts.registry.config = config
        for one in self._served:
            one.reload()
        logger.info("configuration reloaded", needs_restart=waiting)
