"""The parent's side of one worker process: start it, give it a step, notice that it died, end it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from vcond.errors import ConfigError, MissingExtraError, OperatorError, ProtocolError, UnreachableError, VcondError
from vcond.speech import frames

log = structlog.get_logger()

LEAVE_SECONDS = 2.0
"""How long a worker may take to notice that its socket is closed before it is killed."""
KEPT_ENV: Final = re.compile(
    r"(PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|PYTHON\w*|LD_LIBRARY_PATH|(OMP|MKL|OPENBLAS|CT2|VOSK)_\w+)"
)
"""Nothing else of our environment goes to a worker: it may hold secrets, and a worker needs none."""
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

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lost = ""
        """Why it can no longer be used; empty while it can."""
        self.memory = 0
        """Bytes of resident memory, as it said last."""
        self._process = process
        # Not Process.kill: it polls, which takes the exit status away from the event loop that waits for it.
        self._handle = os.pidfd_open(process.pid)
        self._reader = reader
        self._writer = writer
        self._answer: asyncio.Future[frames.Answer] | None = None
        self._wake = asyncio.Event()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(
        cls, start: frames.Start, *, seconds: float, tasks: asyncio.TaskGroup, wake: asyncio.Event
    ) -> tuple[Worker, frames.Ready]:
        """Start a process, load the engine, and return it with what the engine is.

        ``tasks`` owns what reads from it; ``wake`` is set when it dies. Raises OperatorError kinds when the engine
        cannot be loaded, WorkerLostError when the process died or took longer than ``seconds``.
        """
        ours, process = await _spawn(start.threads)
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(process, reader, writer)
        worker._wake = wake
        tasks.create_task(worker._read_answers())
        tasks.create_task(worker._read_output())
        try:
            answer = await worker._exchange([start], seconds)
        except BaseException:
            await worker.close()
            raise
        if isinstance(answer, frames.Ready):
            worker.memory = answer.memory
            return worker, answer
        await worker.close()
        if isinstance(answer, frames.Failed) and answer.job is None:
            raise _operator_error(answer)
        raise WorkerLostError("protocol")

    async def ask(self, step: Sequence[frames.Request], seconds: float) -> frames.Said | frames.Done:
        """Do one step, which ends in ``Ask`` or ``Finish`` (a ``Drop`` may follow), and return its answer.

        Raises EngineAwayError when the engine cannot reach its own server, EngineFailedError when it raised anything
        else, WorkerLostError when the worker died, made no sense, or was silent for ``seconds``; it is killed then.
        """
        answer = await self._exchange(step, seconds)
        if isinstance(answer, frames.Done):
            self.memory = answer.memory
        if isinstance(answer, frames.Said | frames.Done):
            return answer
        if isinstance(answer, frames.Failed) and answer.job is not None:
            if answer.kind == UnreachableError.__name__:
                raise EngineAwayError("the speech server cannot be reached")
            raise EngineFailedError(f"engine raised {answer.kind}")
        raise self._lose("protocol")

    def tell(self, message: frames.Drop) -> None:
        """Send something that has no answer."""
        if not self.lost:
            self._writer.write(frames.pack(message))

    async def close(self) -> None:
        """End it: it goes when its socket is closed, or is killed."""
        self.lost = self.lost or "closed"
        self._writer.close()
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            self._kill()
        await self._process.wait()
        os.close(self._handle)
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _exchange(self, step: Sequence[frames.Request], seconds: float) -> frames.Answer:
        if self.lost:
            raise WorkerLostError(self.lost)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                for message in step:
                    self._writer.write(frames.pack(message))
                    await self._writer.drain()
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
            self._wake.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WorkerLostError(self.lost))
        return WorkerLostError(self.lost)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def _read_answers(self) -> None:
        """Every answer belongs to the step that is under way; anything else is a worker that makes no sense."""
        try:
            while True:
                size = frames.length(await self._reader.readexactly(frames.HEAD.size))
                answer = frames.answer(await self._reader.readexactly(size))
                if self._answer is None or self._answer.done():
                    self._lose("protocol")
                    return
                self._answer.set_result(answer)
        except ProtocolError:
            self._lose("protocol")
        except (asyncio.IncompleteReadError, OSError):
            self._lose("crash")

    async def _read_output(self) -> None:
        """What it prints is counted; of a crash, the places in the code are logged."""
        assert self._process.stdout is not None
        count, tail = 0, b""
        while part := await self._process.stdout.read(1 << 16):
            count += len(part)
            tail = (tail + part)[-8192:]
        if count:
            places = [place.decode(errors="replace").strip() for place in PLACE.findall(tail)]
            log.info("speech worker printed", pid=self.pid, bytes=count, places=places[-10:])


async def _spawn(threads: int) -> tuple[socket.socket, Process]:
    """A process and our end of its socket. Raises WorkerLostError when the machine has no more of either."""
    ours: socket.socket | None = None
    try:
        ours, theirs = socket.socketpair()
        with theirs:
            return ours, await _execute(theirs.fileno(), threads)
    except BaseException as why:
        if ours is not None:
            ours.close()
        if isinstance(why, OSError):
            raise WorkerLostError("spawn") from why
        raise


async def _execute(fd: int, threads: int) -> Process:
    env = {name: value for name, value in os.environ.items() if KEPT_ENV.fullmatch(name)}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    env["HF_HUB_OFFLINE"] = "1"
    env["OMP_NUM_THREADS"] = str(threads)
    # -P: what the parent imports is what the worker imports; the folder it happens to run in is not looked at.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "vcond.speech.worker", str(fd),
        stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, pass_fds=(fd,), env=env,
    )  # fmt: skip


def _operator_error(answer: frames.Failed) -> OperatorError:
    kind = MissingExtraError if answer.kind == MissingExtraError.__name__ else ConfigError
    return kind(answer.text or f"the speech engine raised {answer.kind}")
