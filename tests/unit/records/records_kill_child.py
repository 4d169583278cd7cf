"""Does one deed of a daemon after another, each in a process of its own that ends before a certain step, as by kill -9.

A line of stdin is ``{"deed", "root", "call", "most"}``; the answer is how many steps there were. A step is whatever changes the disk: of files,
of folders, and of the databases. Without ``most`` nothing is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "storage")]

from records_kit import config, edge  # noqa: E402 - the path is ours

from vcond.base.time import SECOND  # noqa: E402 - likewise
from vcond.capture.clock import SteadyClock  # noqa: E402 - likewise
from vcond.storage.files import Files  # noqa: E402 - likewise

STEPS = ("open", "pwrite", "rename", "delete_one", "sync", "sync_folder", "make_folder")
RULE = {"name": "all", "match": {"adapter": "test"}, "keep": {"edge": 2, "sinks": {"archive": 30}}}
BEGAN = 1_795_339_662 * SECOND
LATER = BEGAN + 40 * 86_400 * SECOND


def made(root: Path, **more: Any) -> Any:
    return config(root, "archive", "other", retention=[RULE], **more)


def clock(now: int) -> SteadyClock:
    """It is now so late, and time goes on from there."""
    zero = time.monotonic_ns()
    return SteadyClock(*[lambda: now + time.monotonic_ns() - zero] * 2)


class Axe:
    """The process is gone before a step."""

    def __init__(self, most: int) -> None:
        self.most, self.count, self.armed = most, 0, False
        for name in STEPS:
            setattr(Files, name, self._of(name, getattr(Files, name)))
        for name in ("unlink", "rmdir"):
            setattr(os, name, self._of(name, getattr(os, name)))
        axe = self

        class Counted(sqlite3.Connection):
            def execute(self, statement: str, *given: Any) -> sqlite3.Cursor:
                if statement.startswith(("COMMIT", "PRAGMA wal_checkpoint")):
                    axe.step()
                return super().execute(statement, *given)

        connect = sqlite3.connect
        sqlite3.connect = lambda *given, **more: connect(*given, factory=Counted, **more)  # type: ignore[assignment]  # a function in place of a function

    def _of(self, name: str, real: Any) -> Any:
        def stepped(*given: Any, **more: Any) -> Any:
            if name != "open" or more.get("create"):
                self.step()
            return real(*given, **more)

        return stepped

    def step(self) -> None:
        if self.armed:
            self.count += 1
            if self.count > self.most >= 0:
                os._exit(9)


async def do(deed: str, root: Path, call: str, axe: Axe) -> None:
    async with edge(made(root), clock(LATER if deed == "sweep" else BEGAN)) as it:
        it.parts.retention._doubted = lambda: False
        axe.armed = True
        if deed == "sweep":
            await it.parts.retention.sweep()
        else:
            await it.write(deed, call=call, **({"party": "0"} if deed == "forget-party" else {}))


def steps(asked: dict[str, Any]) -> int:
    """In a process of its own; how many there were, as far as it came."""
    reads, writes = os.pipe()
    if (child := os.fork()) == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        axe = Axe(asked["most"])
        with suppress(Exception):
            asyncio.run(do(asked["deed"], Path(asked["root"]), asked["call"], axe))
        os.write(writes, str(axe.count).encode())
        os._exit(0)
    os.close(writes)
    count = os.read(reads, 20)
    os.close(reads)
    os.waitpid(child, 0)
    return int(count or asked["most"])


if __name__ == "__main__":
    for line in sys.stdin:
        print(steps(json.loads(line)), flush=True)
