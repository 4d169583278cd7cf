"""A machine that transcribes with an engine of the tests: URL, machine, folder, seconds that a job is held, key."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from nats_server import PASSWORD

from vcond.base import log
from vcond.sdk.contract import WallClock
from vcond.speech import dispatcher
from vcond.speech.config import SpeechConfig
from vcond.speech.engine_choice import Choice
from vcond.speech.queue import server
from vcond.speech.queue.config import QueueConfig
from vcond.speech.queue.messages import cipher


async def main(url: str, machine: str, folder: str, held: str, key: str) -> None:
    server.HELD = float(held)
    server.BACK = 0.1
    engine = "speech_engines:Scripted"
    dispatcher.choose = lambda _config: Choice(engine, folder)
    queue = QueueConfig(url=url, user="vcond", password=PASSWORD, machine=machine, key=key, connect_timeout=2)
    config = SpeechConfig(engine=engine, workers=1, restart_seconds=0.01, nice=0, queue=queue)
    serving = server.SpeechServer(config, clock=WallClock(), machine="unused", cipher=cipher(key))
    task = asyncio.create_task(serving.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await serving.serving.wait()
    print("serving", flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await task


log.configure("warning", "json")
asyncio.run(main(*sys.argv[1:]))
