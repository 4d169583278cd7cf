"""Delivers one vCon and is killed (-9) between the receiver's answer and the note of it. Started by ``endure_kit``."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
from delivery_kit import body_of, make_outbox, uuid_of


class WallClock:
    now = staticmethod(time.time_ns)


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    kind = getattr(importlib.import_module(told["module"]), told["kind"])
    sink = kind(msgspec.convert(told["config"], kind.Config))
    deliver = sink.deliver

    async def dies(record):
        await deliver(record)
        os.kill(os.getpid(), signal.SIGKILL)

    sink.deliver = dies
    async with make_outbox(Path(told["root"]), sink, clock=WallClock()) as outbox:
        await outbox.publish(uuid_of(1), body_of(1, told["size"]))
        await outbox.run()


asyncio.run(main())
