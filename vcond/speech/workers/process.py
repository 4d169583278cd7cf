"""The parent's side of one worker process: start it, give it a step, notice that it died, end it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from vcond.base.errors import ConfigError, MissingExtraError, OperatorError, ProtocolError, UnreachableError, VcondError
from vcond.speech.workers import messages
from vcond.speech.workers.ipc import Ends, gone, make_ends, spawn

log = structlog.get_logger()

LEAVE_SECONDS = 2.0
"""How long a worker may take to notice that its socket is closed before it is killed."""
PLACE: Final = re.compile(rb'^ +File "[^"\n]{1,300}", line \d{1,6}|^Fatal Python error: [A-Za-z ]{1,40}', re.MULTILINE)
"""What is kept of a worker's output: where in the code it broke, never what it held."""


class WorkerLostError(VcondError):
    """The process is gone or cannot be used any more. ``reason``: ``crash``, ``hang``, ``protocol``, ``spawn``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"speech worker lost: {reason}")
        self.reason = reason


class EngineFailedError(VcondError):
    """The engine raised an exception on this utterance; the worker lives."""


class EngineAwayError(VcondError):
    """What the engine asks for its texts cannot be reached: no fault of this utterance, which waits."""


class Worker:
    """One running worker. Made by ``start``; ``close`` it."""

    def __init__(self, pid: int, ours: Ends, process: Process | None, wake: asyncio.Event) -> None:
        """``process``: our own child; None for one that another worker forked. Raises OSError when it is gone."""
        self.pid = pid
        self.lost = ""
        """Why it can no longer be used; empty while it can."""
        self.memory = 0
        """Bytes of resident memory that it has taken since its engine was loaded, as it said last."""
        self._loaded = 0
        self.warm = False
        """What is forked from it now is as fast as it gets."""
        # Not Process.kill: it polls, which takes the exit status away from the event loop that waits for it.
        self._handle = os.pidfd_open(pid)
        self._process = process
        self._ours = ours
        self._answer: asyncio.Future[messages.Answer] | None = None
        self._told: asyncio.Task[None] | None = None
        self.wake = wake
        """Set when it is lost, or has become warm."""

    @classmethod
    async def start(
        cls, start: messages.Start, *, seconds: float, tasks: asyncio.TaskGroup, wake: asyncio.Event
    ) -> tuple[Worker, messages.Ready]:
        """Start a process, load the engine, and return it with what the engine is.

        ``tasks`` owns what reads from it; ``wake`` is set when it dies. Raises OperatorError kinds when the engine
        cannot be loaded, WorkerLostError when the process died or took longer than ``seconds``.
        """
        try:
            ours, process = await spawn(start.threads, start.allocator)
        except OSError as why:
            raise WorkerLostError("spawn") from why
        try:
            worker = cls(process.pid, ours, process, wake)
        except OSError as why:
            await ours.close()
            await process.wait()
            raise WorkerLostError("crash") from why
        ready = await worker.begin([start], seconds, tasks)
        if ready.warning:
            log.warning("warning of the speech engine", engine=ready.engine, warning=ready.warning)
        return worker, ready

    async def fork(
        self, *, seconds: float, tasks: asyncio.TaskGroup, wake: asyncio.Event
    ) -> tuple[Worker, messages.Ready]:
        """A worker like this one, which said that it ``forks``; otherwise as ``start``. One at a time."""
        try:
            ours, theirs = await make_ends()
        except OSError as why:
            raise WorkerLostError("spawn") from why
        try:
            with theirs:
                forked = await self._exchange([messages.Fork()], seconds, theirs.descriptors)
            # Nobody waits for it before the next fork, so the number is its own even if it is dead.
            worker = Worker(forked.pid, ours, None, wake) if isinstance(forked, messages.Forked) else None
        except BaseException as why:
            await ours.close()
            if isinstance(why, OSError):
                raise WorkerLostError("spawn") from why
            raise
        if worker is None:
            await ours.close()
            raise self._lose("protocol")
        return worker, await worker.begin([], seconds, tasks)

    async def begin(self, step: Sequence[messages.Request], seconds: float, tasks: asyncio.TaskGroup) -> messages.Ready:
        """Its first answer, for which ``start`` and ``fork`` wait. It is closed when that is not ``Ready``."""
        tasks.create_task(self._read_answers())
        self._told = tasks.create_task(self._read_output())
        answer: messages.Answer | None = None
        try:
            answer = await self._exchange(step, seconds)
        finally:
            if not isinstance(answer, messages.Ready):
                self._kill()
                await self.close()
        if isinstance(answer, messages.Ready):
            self._loaded = answer.memory
            return answer
        if isinstance(answer, messages.Failed) and answer.job is None:
            raise _operator_error(answer)
        raise WorkerLostError("protocol")

    async def ask(self, step: Sequence[messages.Request], seconds: float) -> messages.Said | messages.Done:
        """Do one step, which ends in ``Ask`` or ``Finish`` (a ``Drop`` may follow), and return its answer.

        Raises EngineAwayError when the engine cannot reach its own server, EngineFailedError when it raised anything
        else, WorkerLostError when the worker died, made no sense, or was silent for ``seconds``; it is killed then.
        """
        answer = await self._exchange(step, seconds)
        if isinstance(answer, messages.Done):
            self.memory = max(0, answer.memory - self._loaded)
        if isinstance(answer, messages.Said | messages.Done):
            return answer
        if isinstance(answer, messages.Failed) and answer.job is not None:
            if answer.kind == UnreachableError.__name__:
                raise EngineAwayError("the speech server cannot be reached")
            raise EngineFailedError(f"engine raised {answer.kind}")
        raise self._lose("protocol")

    def tell(self, message: messages.Drop) -> None:
        """Send something that has no answer."""
        if not self.lost:
            self._ours.writer.write(messages.pack(message))

    async def close(self) -> None:
        """End it: it goes when its socket is closed, or is killed."""
        self.lost = self.lost or "closed"
        self._ours.writer.close()
        try:
            await self._ended()
        finally:
            os.close(self._handle)
            await self._ours.close()

    async def _ended(self) -> None:
        """Its process is gone: by itself, or killed."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await gone(self._handle)
        except TimeoutError:
            pass
        finally:
            self._kill()
        await gone(self._handle)
        if self._process is not None:
            await self._process.wait()
        if self._told is not None:
            # What it printed last says where it broke. Only a process that it started could keep its output open.
            await asyncio.wait([self._told], timeout=LEAVE_SECONDS)

    async def _exchange(
        self, step: Sequence[messages.Request], seconds: float, descriptors: Sequence[int] = ()
    ) -> messages.Answer:
        """Send a step, the first message of it with descriptors, and wait for its answer."""
        if self.lost:
            raise WorkerLostError(self.lost)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                for message in step:
                    await self._ours.send(messages.pack(message), descriptors)
                return await self._answer
        except TimeoutError:
            raise self._lose("hang") from None
        except OSError:
            raise self._lose("crash") from None
        finally:
            # Whoever reads may have set an exception that nobody awaited: a write failed first, or we were cancelled.
            if self._answer.done() and not self._answer.cancelled():
                self._answer.exception()
            self._answer = None

    def _lose(self, reason: str) -> WorkerLostError:
        """Give it up, once; the first reason is the true one."""
        if not self.lost:
            self.lost = reason
            self._kill()
            self.wake.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WorkerLostError(self.lost))
        return WorkerLostError(self.lost)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def _read_answers(self) -> None:
        """Every answer belongs to the step that is under way; anything else is a worker that makes no sense."""
        reader = self._ours.reader
        try:
            while True:
                size = messages.length(await reader.readexactly(messages.HEAD.size))
                answer = messages.answer(await reader.readexactly(size))
                if isinstance(answer, messages.Warmed):
                    self.warm = True
                    self.wake.set()
                elif self._answer is None or self._answer.done():
                    self._lose("protocol")
                    return
                else:
                    self._answer.set_result(answer)
        except ProtocolError:
            self._lose("protocol")
        except (asyncio.IncompleteReadError, OSError):
            self._lose("crash")

    async def _read_output(self) -> None:
        """What it prints is counted; of a crash, the places in the code are logged."""
        count, tail = 0, b""
        while part := await self._ours.output.read(1 << 16):
            count += len(part)
            tail = (tail + part)[-8192:]
        if count:
            places = [place.decode(errors="replace").strip() for place in PLACE.findall(tail)]
            log.info("speech worker printed", pid=self.pid, bytes=count, places=places[-10:])


def _operator_error(answer: messages.Failed) -> OperatorError:
    kind = MissingExtraError if answer.kind == MissingExtraError.__name__ else ConfigError
    return kind(answer.text or f"the speech engine raised {answer.kind}")
