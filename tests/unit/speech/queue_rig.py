"""The rig of the speech queue: a real nats-server, and machines that transcribe as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import nats
import nats_server
from nats_server import PASSWORD, WITH_US, NatsServer
from speech_running import running

from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.engine_choice import Choice
from vcond.speech.queue.config import QueueConfig

HERE = Path(__file__).parent
CHILD = HERE / "queue_child.py"


class QueueRig:
    """``url`` stays the same over restarts."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder, self.server = folder, NatsServer(folder / "nats", *more)
        self.children: dict[str, asyncio.subprocess.Process] = {}

    async def start(self) -> None:
        await self.server.start()

    def config(self, **more: object) -> QueueConfig:
        told = {"url": f"nats://127.0.0.1:{self.server.port}", "user": "vcond", "password": PASSWORD}
        return QueueConfig(**told | {"machine": "edge-1", "connect_timeout": 2} | more)

    async def client(self) -> nats.NATS:
        return await nats.connect(f"nats://127.0.0.1:{self.server.port}", user="vcond", password=PASSWORD)

    async def serve(self, machine: str, key: str = "", *, held: float = 1.0) -> None:
        """A machine that transcribes, until it is ready."""
        folder = self.folder / machine
        folder.mkdir(exist_ok=True)
        args = [str(CHILD), f"nats://127.0.0.1:{self.server.port}", machine, str(folder), str(held), key]
        child = await asyncio.create_subprocess_exec(
            *WITH_US, sys.executable, *args, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(Path(nats_server.__file__).parent)])},
        )  # fmt: skip
        assert child.stdout is not None
        assert await child.stdout.readline() == b"serving\n"
        self.children[machine] = child

    async def kill(self, machine: str) -> None:
        """With SIGKILL; its workers notice by themselves."""
        child = self.children.pop(machine)
        child.kill()
        await child.wait()

    async def end(self, machine: str) -> None:
        """With SIGTERM."""
        child = self.children.pop(machine)
        child.send_signal(signal.SIGTERM)
        await child.wait()

    async def stop(self) -> None:
        for machine in list(self.children):
            await self.kill(machine)
        with contextlib.suppress(ProcessLookupError):
            await self.server.stop()

    def hangs_once(self, first: str, other: str) -> None:
        """The engine of the first machine tells its fifo of an utterance that it never ends; that of the other does it."""
        for machine in (first, other):
            (self.folder / machine).mkdir()
        os.mkfifo(self.folder / first / "fifo")
        for name in ("fifo", "hung"):
            (self.folder / other / name).touch()

    def did(self, machine: str, word: str = "final") -> list[str]:
        """What the engine of a machine wrote down behind a word."""
        log = self.folder / machine / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == word]


class Edge:
    """A machine whose speech goes into the queue; ``again`` is the same machine after kill -9: it knows its journal only."""

    def __init__(
        self, rig: QueueRig, clock, where: str = "queue", choice: Choice | None = None, **queue: object
    ) -> None:
        config = SpeechConfig(engine="none", where=where, workers=1, restart_seconds=0.01, queue=rig.config(**queue))
        self.speech = Speech(config, clock=clock, choice=choice, machine="unused")
        self.said: asyncio.Queue[str] = asyncio.Queue()
        plain = self.speech._queue._say
        told = lambda trouble: (plain(trouble), self.said.put_nowait(trouble))  # noqa: E731 - one line of two calls
        self.speech._queue._say = self.speech._queue._answers._changed = told

    async def told(self, what: str) -> None:
        """Wait until the operator is told that."""
        while what not in await self.said.get():
            pass

    def running(self) -> AbstractAsyncContextManager[Speech]:
        return running(self.speech)
