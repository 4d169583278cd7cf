"""Wires the rooms together, starts them in the right order and stops them in the reverse one.

Start: journals are recovered before anything else; then the outbox, speech, the web port and the admin socket; then
the adapters. READY is said when every adapter has given its first verdict (attached or not, and why).
Stop (SIGTERM): calls may end for ``drain`` seconds; adapters remove their helpers; what still goes on is left in its
journal for the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import structlog

from vcond import __version__
from vcond.app import plugins
from vcond.base import log, metrics
from vcond.base.errors import ConfigError, VcondError
from vcond.base.systemd import Notifier
from vcond.base.tasks import bare, bare_group, cancelled
from vcond.call.state import Call, fold
from vcond.capture.adapter_host import CoreDesk
from vcond.capture.clock import SteadyClock
from vcond.capture.live_feed import Bus
from vcond.capture.registry import Office
from vcond.config import Loaded, load, naming_files
from vcond.delivery import Outbox, ShapedSink
from vcond.journal import CallJournal, Store
from vcond.publish.finisher import Finisher, check_record
from vcond.sdk.contract import Adapter
from vcond.server.admin import AdminServer
from vcond.server.ingress import WebServer, ingress_token
from vcond.server.ops import OpsServer
from vcond.server.status import Status
from vcond.speech.multi_model import speech_of
from vcond.speech.routes import Routes

logger = structlog.get_logger()

TICK = 0.5
VERDICT = 30.0
"""How long READY waits for an adapter that says nothing."""
RESTART_FIRST, RESTART_MOST = 1.0, 60.0
DETACH_LIMIT = 15.0
"""How long adapters may take to remove their helpers at a stop."""
THREADS = 32
RELOAD_LIMIT = 60.0
"""How long a reload may take to read its files."""
FINISH_LIMIT = 15.0
"""How long a stop waits for calls that ended to reach the outbox; the rest is done at the next start."""


class Daemon:
    """One vcond. ``run`` returns when it was told to stop and everything is on disk."""

    def __init__(self, loaded: Loaded, *, clock: SteadyClock | None = None) -> None:
        self.loaded = loaded
        self.config = loaded.config
        self.notifier = Notifier()
        self.clock = clock or SteadyClock()
        self.bus = Bus()
        self.state_dir = Path(self.config.vcond.state_dir)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._verdicts: dict[str, asyncio.Event] = {}
        self._cleaner = ThreadPoolExecutor(1, thread_name_prefix="clean")
        self._reloading: asyncio.Task[None] | None = None
        self._reload_again = False
        self.stopping = False
        self.started = False
        self.last_beat = 0.0
        self._detaching = False
        self.hung = False
        """An adapter does not end; everything else is on disk."""

    async def run(self) -> None:
        """Serve until stopped. Raises OperatorError for what the operator must mend first."""
        metrics.build_info.labels(__version__).set(1)
        # name look-ups that hang take threads of it, and must leave some for those who read files
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="vcond"))
        with naming_files(self.loaded.origin):
            adapters = plugins.adapters(self.config)
        if not adapters:
            raise ConfigError("no adapter is configured: add [adapters.asterisk] or another", "adapters")
        self._wire()
        try:
            with bare():
                await self._serve(adapters)
        finally:
            await self.outbox.close()
            await self.store.close()
            self.notifier.close()

    async def recover_only(self) -> dict[str, int]:
        """Finish what earlier runs left, attach to nothing, try every sink, leave. Raises OperatorError."""
        self._wire()
        try:
            await self.outbox.open()
            async with bare_group() as tasks:
                background = self._background(tasks)
                found = await self._recover({})
                while self._finishing() or await self._trying():  # noqa: ASYNC110 - parts, asked twice a second
                    await asyncio.sleep(TICK)
                await cancelled(background)
            undelivered = await self.outbox.list(undelivered=True, limit=1000)
        finally:
            await self.outbox.close()
            await self.store.close()
        return {"journals": found, "undelivered": len(undelivered)}

    def _finishing(self) -> bool:
        """Whether a vCon is still to be made; amended ones only when there is an engine for the texts."""
        return bool(self.finisher.busy) or (self.speech.ready.is_set() and len(self.finisher.amender) > 0)

    def _facts(self) -> dict[str, str]:
        """What every call is told when it opens: who listens, so that "nobody spoke" differs from "nobody listened"."""
        if self.speech.engine is not None:
            return {"speech_engine": self.speech.engine.engine, "speech_model": self.speech.engine.model}
        return {"speech_engine": self.speech.choice.engine} if self.speech.choice.engine else {}

    async def _trying(self) -> bool:
        """Whether a sink still has to answer for the first time."""
        waiting = await self.outbox.list(state="pending", limit=1000)
        return any(one.state == "pending" and one.configured and not one.attempts for e in waiting for one in e.sinks)

    def _wire(self) -> None:
        """Make every part; nothing runs yet."""
        with naming_files(self.loaded.origin):
            sinks = self._sinks = plugins.sinks(self.config, clock=self.clock.now)
        if not sinks:
            raise ConfigError('no sink is configured: add [[sinks]] with type = "folder" or "conserver"', "sinks")
        check_record(self.config.record)
        self._make_state_dir()
        self.speech = speech_of(self.config.speech, clock=self.clock)
        self.outbox = Outbox(
            self.state_dir / "outbox",
            sinks,
            database=self.state_dir / "vcond.db",
            clock=self.clock,
            rng=random.Random(),  # noqa: S311 - spreads retries, guards nothing
            config=self.config.delivery,
            on_delivered=lambda uuid: self.finisher.delivered(uuid),  # noqa: PLW0108 - made two lines below
        )
        token = ingress_token(self.config.web, self.state_dir)
        self.store = Store(self.state_dir / "journal")
        self.finisher = Finisher(
            self.config.record,
            speech=self.speech,
            outbox=self.outbox,
            store=self.store,
            take=lambda journal: self.office.take_to_amend(journal),  # noqa: PLW0108 - made below
            mint=lambda at: self.office.mint(at),  # noqa: PLW0108 - made below
            disk_low=lambda: bool(self.office.disk_low),
            quarantine=self.state_dir / "quarantine",
            now=self.clock.now,
            bus=self.bus,
            forget=self.store.remove,
            clean=self._clean,
        )
        self.office = Office(
            self.config.vcond,
            store=self.store,
            speech=self.speech,
            clock=self.clock,
            bus=self.bus,
            finish=self.finisher.submit,
            discard=CallJournal.remove,
            facts=self._facts,
            wishes=Routes(self.config.speech).wishes,
        )
        self.status = Status(self)
        self.web = WebServer(self.config.web, token=token)
        self.ops = OpsServer(self.config.ops, alive=self.status.alive, ready=self.status.ready)
        self.admin = AdminServer(
            Path(self.config.vcond.admin_socket), reads=self.status.reads, writes=self.status.writes, live=self.bus
        )

    async def _clean_forms(self) -> None:
        """Signed and encrypted forms of vCons that were delivered everywhere and not cleaned up after."""
        folder = self.state_dir / "forms"
        for file in await asyncio.to_thread(lambda: list(folder.iterdir()) if folder.is_dir() else []):
            entry = await self.outbox.get(file.name[:36])
            if entry is None or entry.closed_at:
                await asyncio.to_thread(file.unlink, missing_ok=True)

    def _clean(self, uuid: str) -> None:
        """Every sink has a vCon: its other forms are not needed any more. Not on the loop: it asks the disk."""
        if any(sink.keeps for sink in self._sinks):
            self._cleaner.submit(_clean, uuid, self._sinks)

    def _background(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        return [
            tasks.create_task(self._keep_speech(), name="speech"),
            tasks.create_task(self.outbox.run(), name="outbox"),
            tasks.create_task(self.finisher.run(), name="finisher"),
        ]

    async def _keep_speech(self) -> None:
        """Speech never ends by itself. A mistake in it costs texts; calls are captured all the same."""
        pause = RESTART_FIRST
        while True:
            began = self.clock.now()
            try:
                await self.speech.run()
            except Exception:
                logger.exception("speech crashed and is started again; please report it")
            pause = RESTART_FIRST if self.clock.now() - began > 60e9 else min(2 * pause, RESTART_MOST)
            await asyncio.sleep(pause)

    def stop(self) -> None:
        """SIGTERM: drain and stop; the second time at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _serve(self, adapters: dict[str, Adapter]) -> None:
        await self.outbox.open()
        self.last_beat = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            background = self._background(tasks)
            attached: list[asyncio.Task[None]] = []
            try:
                await self._recover(adapters)
                await self.admin.start()
                await self.web.start()
                await self.ops.start()
                background.append(tasks.create_task(self._tick(), name="tick"))
                background.append(tasks.create_task(self._watchdog(), name="watchdog"))
                # not in the group: one that hangs in its clean-up must not keep the daemon
                attached = [
                    asyncio.create_task(self._supervise(name, adapter), name=f"adapter {name}")
                    for name, adapter in adapters.items()
                ]
                with self._signals():
                    await self._announce()
                    await self._stop.wait()
                    await self._drain()
                    await self._detach(attached)
                    self.office.interrupt_all("stop")
                    await self._finish()
            finally:
                if any(not task.done() for task in attached):
                    await self._detach(attached)
                if self._reloading is not None:
                    self._reloading.cancel()
                self.bus.close()
                await self.ops.close()
                await self.web.close()
                await self.admin.close()
                await cancelled(background)
                self._cleaner.shutdown(wait=False, cancel_futures=True)  # deliveries go on until here

    async def _recover(self, adapters: dict[str, Adapter]) -> int:
        """Journals of an earlier run, one by one: those that wait for their sinks are many, and hold no memory."""
        found = 0
        merged: set[str] = set()
        todo: list[CallJournal] = []
        journals = self.store.each()
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
                self.office.take_to_finish(journal)
            else:
                self.office.take_back(journal, self.clock.now())
        self.office.finish_all_unfinished(list(adapters))
        await self._clean_forms()
        if found:
            logger.info("journals of an earlier run", found=found, to_finish=len(todo), unfinished=self.office.waiting)
        return found

    async def _is_published(self, journal: CallJournal, state: Call) -> bool:
        """Leave a journal to its deliveries; False when the outbox lost the vCon, which is then made again."""
        entry = await self.outbox.get(state.uuid)
        if entry is None or entry.stage == "lost":
            return False
        later = await self.outbox.get(state.amending.vcon) if state.amending is not None and state.amended else None
        self.finisher.expect(journal, state, amended=later is not None and later.stage != "lost")
        for one in (entry, later):
            if one is not None and one.closed_at:
                self.finisher.delivered(one.uuid)
        return True

    async def _supervise(self, name: str, adapter: Adapter) -> None:
        """An adapter never ends by itself; when it does, it is started again."""
        pause = RESTART_FIRST
        verdict = self._verdicts.setdefault(name, asyncio.Event())
        words = functools.partial(plugins.in_its_name, kind=getattr(adapter, "name", name), name=name)
        while True:
            desk = CoreDesk(name, self.office, self.web.ingress(name), verdict.set, words=words)
            began = self.clock.now()
            try:
                await adapter.run(desk)
                logger.error("adapter ended by itself", adapter=name)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                logger.exception("adapter cancelled itself; please report it", adapter=name)
            except VcondError as why:
                logger.error("adapter failed", adapter=name, why=words(str(why)))  # noqa: TRY400 - the message says it all
            except Exception:
                logger.exception("adapter crashed; please report it", adapter=name)
            if self._detaching:
                return  # it failed in its clean-up: the stop goes on
            self.office.attached(name, False, "the adapter is starting again")
            pause = RESTART_FIRST if self.clock.now() - began > 60e9 else min(2 * pause, RESTART_MOST)
            await asyncio.sleep(pause)

    async def _announce(self) -> None:
        stopped = asyncio.create_task(self._stop.wait())
        told = asyncio.create_task(self._all_told())
        await asyncio.wait({stopped, told}, timeout=VERDICT, return_when=asyncio.FIRST_COMPLETED)
        await cancelled([told, stopped])
        if self._stop.is_set():
            return
        self.started = True
        self.notifier.send(READY="1", STATUS=self.status.line())
        logger.info("ready", version=__version__, detail=self.status.line())

    async def _all_told(self) -> None:
        for name in self.config.adapters:
            await self._verdicts.setdefault(name, asyncio.Event()).wait()

    async def _tick(self) -> None:
        while True:
            now = self.clock.now()
            self.last_beat = asyncio.get_running_loop().time()
            try:
                self.office.tick(now)
            except Exception:
                logger.exception("the tick failed; please report it")
            await asyncio.sleep(TICK)

    async def _watchdog(self) -> None:
        every = min(self.notifier.watchdog / 3 or 10.0, 10.0)
        while True:
            if not self.status.alive():
                self.notifier.send(WATCHDOG="1", STATUS=self.status.line())
            await asyncio.sleep(every)

    async def _drain(self) -> None:
        self.stopping = True
        self.notifier.send(STOPPING="1", STATUS="draining")
        logger.info("stopping", calls=len(self.office.live), drain=self.config.vcond.drain)
        await self._until(lambda: not self.office.live, self.config.vcond.drain)

    async def _detach(self, attached: list[asyncio.Task[None]]) -> None:
        """Adapters remove what they put into their systems; not for ever, and not when it is urgent."""
        self._detaching = True
        left = [task for task in attached if not task.done()]
        for task in left:
            task.cancel()

        async def gone() -> None:
            if left:
                await asyncio.wait(left)

        either = {asyncio.create_task(self._hurry.wait()), asyncio.create_task(gone())}
        await asyncio.wait(either, timeout=DETACH_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        for waiter in either:
            waiter.cancel()
        for task in left:
            if not task.done():
                self.hung = True
                logger.error(
                    "an adapter did not clean up in time; helpers may be left in its system", task=task.get_name()
                )

    async def _finish(self) -> None:
        """Calls that ended reach the outbox; not when it is urgent."""
        either = [asyncio.create_task(self._hurry.wait()), asyncio.create_task(self.finisher.idle())]
        await asyncio.wait(either, timeout=FINISH_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        await cancelled(either)

    async def _until(self, done: Any, limit: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while not done() and not self._hurry.is_set():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(TICK / 2):
                            await self._hurry.wait()

    @contextlib.contextmanager
    def _signals(self) -> Any:
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: self._ask_reload}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _ask_reload(self) -> None:
        """SIGHUP; during another reload it asks for one more, as the files may have changed since they were read."""
        self._reload_again = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reloads(), name="reload")

    async def _reloads(self) -> None:
        while self._reload_again:
            self._reload_again = False
            await self._reload()

    def _read_again(self) -> Loaded:
        new = load(self.loaded.files[0], os.environ)
        with naming_files(new.origin):
            plugins.adapters(new.config)
            plugins.sinks(new.config, clock=self.clock.now)
            check_record(new.config.record)
        return new

    async def _reload(self) -> None:
        """All or nothing. What can change while calls go on does; the rest is named."""
        monotonic = str(int(asyncio.get_running_loop().time() * 1e6))
        self.notifier.send(RELOADING="1", MONOTONIC_USEC=monotonic)
        try:
            async with asyncio.timeout(RELOAD_LIMIT):  # files, which may be on a disk that does not answer
                new = await asyncio.to_thread(self._read_again)
            self._apply(new)
        except VcondError as why:
            logger.error("configuration not reloaded; the old one stays", why=str(why))  # noqa: TRY400 - it says it all
        except Exception:  # a plug-in's own code, too
            logger.exception("configuration not reloaded; the old one stays", fix="run: vcond check")
        finally:
            if not self.stopping:  # systemd waits for it
                self.notifier.send(READY="1", STATUS=self.status.line())

    def _apply(self, new: Loaded) -> None:
        old, wanted = self.config.vcond, new.config.vcond
        fixed = {name: getattr(old, name) for name in ("state_dir", "admin_socket", "name")}
        config = msgspec.structs.replace(wanted, **fixed)
        waiting = [name for name in ("web", "ops", "speech", "adapters", "sinks", "delivery", "record", "seal")
                   if getattr(new.config, name) != getattr(self.config, name)]  # fmt: skip
        waiting += [f"vcond.{name}" for name, value in fixed.items() if value != getattr(wanted, name)]
        log.configure(wanted.log_level, wanted.log_format)
        self.office.config = config
        logger.info("configuration reloaded", needs_restart=waiting)

    def _make_state_dir(self) -> None:
        try:
            self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as why:
            raise ConfigError(f"cannot make {self.state_dir}: {why.strerror}", "vcond.state_dir") from None
        if not os.access(self.state_dir, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigError(f"{self.state_dir} cannot be written by this user", "vcond.state_dir")


def _clean(uuid: str, sinks: list[ShapedSink]) -> None:
    for sink in sinks:
        try:
            sink.forget(uuid)
        except OSError as why:
            logger.warning("the form made for a sink stays until the next start", sink=sink.name, why=why.strerror)


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
                logger.error("the daemon failed", why=str(why), kind=type(why).__name__)  # noqa: TRY400 - it leaves now
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
