"""A hub that is killed while it takes a vCon and a link makes two of it; started once, it forks for every command.

Reads lines of JSON ``{"root", "at"}``; for each it forks a child that is killed (-9) at its ``at``-th step on the disk
from when it is up, in whatever thread.
Answers a line of JSON: ``{"killed", "said"}``, with what the child had said by then: ``answered``, ``linked``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import structlog
from crash_kit import Steps, fork_for_each_line
from hub_kit import body_of, uuid_of
from links_kit import at_once, linking, settled

TWO = '[[links]]\ntype = "two"\n'


async def take(root: Path, say: int, steps: Steps, at: int) -> None:
    async with linking(root, TWO) as one:
        steps.at = steps.count + at
        await one.parts.intake.take(body_of(1), ["edge"])
        os.write(say, b"answered ")
        await settled(one, uuid_of(1), link_two="delivered")
        os.write(say, b"linked ")


def child(command: dict[str, Any], say: int) -> None:
    with Steps(None, kill=lambda: os.kill(os.getpid(), signal.SIGKILL)).watch() as steps:
        asyncio.run(take(Path(command["root"]), say, steps, command["at"]))


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    at_once()
    fork_for_each_line(child)
