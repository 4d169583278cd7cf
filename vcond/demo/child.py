"""The daemon under a demo: a child process that is always ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vcond.demo.errors import DemoError

COMMAND = (sys.executable, "-m", "vcond", "run", "--config")
READY_LIMIT = 120.0
"""Seconds from the start to READY=1, on a slow machine that reads everything from disk for the first time."""
STOP_LIMIT = 30.0
"""Seconds from SIGTERM to SIGKILL."""
TAIL = 15
"""Lines of the log that are shown when something went wrong."""
MAX_LINE = 1_000
OWN_VARIABLES = ("VCOND_", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY")
"""Of the environment: what would change the daemon's configuration, or belongs to a service manager."""


class Child:
    """A running ``vcond run``."""

    def __init__(self, process: asyncio.subprocess.Process, notes: socket.socket) -> None:
        self._process = process
        self._notes = notes

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None

    async def ready(self, limit: float = READY_LIMIT) -> None:
        """Wait for READY=1 (sd_notify(3)). Raises DemoError when it ends before that, or takes too long."""
        told = asyncio.create_task(self._told())
        ended = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait({told, ended}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise DemoError(f"the daemon did not start ({_exit(ended.result())})")
            if not told.done():
                raise DemoError(f"the daemon was not ready within {limit:g} s")
            told.result()
        finally:
            for task in (told, ended):
                task.cancel()
            await asyncio.gather(told, ended, return_exceptions=True)

    async def check(self, patience: float = 0.0) -> None:
        """Raise DemoError when it has ended by itself, or does so within ``patience`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._process.wait()
        if self._process.returncode is not None:
            raise DemoError(f"the daemon stopped too early ({_exit(self._process.returncode)})")

    def kill(self) -> None:
        """End it and its workers at once."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def stop(self, limit: float = STOP_LIMIT) -> None:
        """SIGTERM, and SIGKILL when it does not end in time."""
        if self.alive:
            with suppress(ProcessLookupError):
                self._process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._process.wait()
        self.kill()
        await self._process.wait()

    async def _told(self) -> None:
        loop = asyncio.get_running_loop()
        while b"READY=1" not in (await loop.sock_recv(self._notes, 4096)).splitlines():
            pass


def _tether() -> tuple[str, ...]:
    """What goes before a command so that the kernel ends it when we die (PR_SET_PDEATHSIG of prctl(2))."""
    return ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()


def _private(path: Path) -> BinaryIO:
    """A new file that only its owner reads."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def tail(log: Path) -> list[str]:
    """The last lines of a log; none when there is no such file."""
    if not log.exists():
        return []
    with log.open(encoding="utf-8", errors="replace") as lines:
        return [line.rstrip("\n")[:MAX_LINE] for line in deque(lines, TAIL)]


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def environment(inherited: Mapping[str, str], notify: Path) -> dict[str, str]:
    """The child's environment: ours, without what would configure it, and with our own service manager's socket."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(OWN_VARIABLES)}
    return kept | {"NOTIFY_SOCKET": str(notify)}


@asynccontextmanager
async def daemon(config: Path, log: Path, notify: Path, command: Sequence[str] | None = None) -> AsyncIterator[Child]:
    """``vcond run`` (or another ``command``) with a configuration; when the block is left it has ended.

    It runs in a session of its own, so that Ctrl-C reaches only us and its calls can end in order; should we be killed
    it is told to end (where setpriv(1) is installed: every Linux). ``notify`` is a free path for a unix socket, short
    enough for one (107 bytes).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notes, _private(log) as output:
        notes.setblocking(False)
        notes.bind(str(notify))
        process = await asyncio.create_subprocess_exec(
            *_tether(),
            *(command or COMMAND),
            str(config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(os.environ, notify),
            start_new_session=True,
        )
        child = Child(process, notes)
        try:
            yield child
        finally:
            await child.stop()
