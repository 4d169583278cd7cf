"""Stop a program at any of its steps on the disk: system calls on files, and SQLite's commits.

``kill``: nothing that comes after that step happens, clean-up neither, as with kill -9. ``full``: from that step on
whatever needs room fails, and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

FILE_STEPS = ("open", "pwrite", "fdatasync", "fsync", "rename", "unlink", "mkdir", "posix_fallocate", "fchmod", "close")
NEED_ROOM = {"pwrite", "mkdir", "posix_fallocate", "COMMIT"}
REAL = {name: getattr(os, name) for name in FILE_STEPS}
REAL_CONNECT = sqlite3.connect


class Crash(BaseException):
    """The process is dead from here on."""


class Steps:
    """Counts steps; at the ``at``-th (from 1) the fault begins. ``at=None`` only counts."""

    def __init__(self, at: int | None = None, *, full: bool = False, kill: Callable[[], None] | None = None) -> None:
        self.at = at
        self.count = 0
        self.dead = False
        self.full = full
        self.names: list[str] = []
        self._kill = kill

    def step(self, name: str) -> None:
        """Called before each step."""
        if self.dead and not self.full:
            raise Crash
        self.count += 1
        self.names.append(name)
        if self.count == self.at:
            self.dead = True
            if self._kill is not None:
                self._kill()
            if not self.full:
                raise Crash
        if self.dead and name in NEED_ROOM:
            if name == "COMMIT":
                why = sqlite3.OperationalError("database or disk is full")
                why.sqlite_errorcode = sqlite3.SQLITE_FULL
                why.sqlite_errorname = "SQLITE_FULL"
                raise why
            raise OSError(28, "No space left on device")

    def __enter__(self) -> Steps:  # noqa: PYI034 - no subclass
        for name, real in REAL.items():
            setattr(os, name, self._counted(name, real))
        sqlite3.connect = self._connect
        return self

    def __exit__(self, *_: object) -> None:
        """From here on the dead process is gone, and SQLite may clean up: closing rolls back what was not committed."""
        for name, real in REAL.items():
            setattr(os, name, real)
        sqlite3.connect = REAL_CONNECT
        Connection.steps = None

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.step(name)
            return real(*arguments, **options)

        return call

    def _connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        return REAL_CONNECT(*arguments, factory=Connection, **options)

    def watch(self) -> Steps:
        """Count the commits, too, of connections made with ``connection_factory``."""
        Connection.steps = self
        return self


class Connection(sqlite3.Connection):
    """Says when it commits, and what it did is gone when the process is dead."""

    steps: Steps | None = None

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if self.steps is not None and sql in {"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"}:
            self.steps.step(sql)
        return super().execute(sql, *arguments)


def open_counted(make: Callable[[], Any]) -> Any:
    """Make a store whose connection can be watched later."""
    sqlite3.connect = lambda *a, **k: REAL_CONNECT(*a, factory=Connection, **k)
    try:
        return make()
    finally:
        sqlite3.connect = REAL_CONNECT


def fork_for_each_line(child: Callable[[dict[str, Any], int], None]) -> None:
    """Fork for each line of JSON on stdin; ``child`` gets it, and where to write what it says. Answers ``{"killed", "said"}`` for each."""
    for line in sys.stdin:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            child(json.loads(line), write)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as said:
            words = said.read().split()
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed and status != 0:
            raise SystemExit(f"the child failed: {status}")
        print(json.dumps({"killed": killed, "said": words}), flush=True)
