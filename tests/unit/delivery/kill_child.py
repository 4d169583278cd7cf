"""A process that is killed while it publishes and delivers; started once, it forks for every command.

Reads lines of JSON ``{"root", "url", "token", "at", "number"}``; for each it forks a child that publishes one vCon and
delivers it to a conserver and a folder, and is killed (-9) at its ``at``-th step on the disk. Answers a line of JSON:
``{"killed", "said"}``, with what the child had said by then: ``published``, ``told``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import structlog
from crash_kit import Steps, fork_for_each_line
from delivery_kit import body_of, make_outbox, uuid_of

from vcond.delivery.sinks.conserver import ConserverConfig, ConserverSink
from vcond.delivery.sinks.folder import FolderConfig, FolderSink


class WallClock:
    now = staticmethod(time.time_ns)


async def deliver(command: dict[str, str], say: int) -> None:
    root, number = Path(command["root"]), int(command["number"])
    told = asyncio.Event()

    def on_delivered(_uuid: str) -> None:
        os.write(say, b"told ")
        told.set()

    conserver = ConserverSink(
        ConserverConfig(url=command["url"], ingress_lists=["edge"], token=command["token"], total_timeout=30)
    )
    folder = FolderSink(FolderConfig(path=str(root / "out")))
    async with make_outbox(root, conserver, folder, clock=WallClock(), on_delivered=on_delivered) as outbox:
        await outbox.publish(uuid_of(number), body_of(number))
        os.write(say, b"published ")
        task = asyncio.create_task(outbox.run())
        await told.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def child(command: dict[str, str], say: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with Steps(int(command["at"]), kill=lambda: os.kill(os.getpid(), signal.SIGKILL)).watch():
        asyncio.run(deliver(command, say))


if __name__ == "__main__":
    fork_for_each_line(child)
