"""A real nats-server and ``vcond speech serve`` processes, and an edge whose utterances they transcribe, for benches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers" / "nats"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "speech"))

from nats_server import PASSWORD, WITH_US, NatsServer
from speech_running import running

from vcond.base.time import Instant, nanos
from vcond.call import events as ev
from vcond.sdk.contract import WallClock
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.queue.config import QueueConfig

HERE = Path(__file__).parent
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
RATE = 8000
HISS = np.random.default_rng(0).normal(0, 12, 16 * RATE).astype(np.int16)


class House:
    """nats-server and machines that transcribe, below one folder."""

    def __init__(self, folder: Path, speech: str) -> None:
        """``speech``: what stands in ``[speech]`` of the servers."""
        self.folder, self._speech = folder, speech
        self.nats = NatsServer(folder / "nats")
        self.servers: dict[str, asyncio.subprocess.Process] = {}

    def queue(self, machine: str) -> str:
        """``[speech.queue]`` of a machine."""
        return (
            f'[speech.queue]\nurl = "nats://127.0.0.1:{self.nats.port}"\nuser = "vcond"\npassword = "{PASSWORD}"\n'
            f'machine = "{machine}"\nkey = "{KEY}"\n'
        )

    def config(self, **more: Any) -> QueueConfig:
        """The same for an edge in this process."""
        url = f"nats://127.0.0.1:{self.nats.port}"
        return QueueConfig(url=url, user="vcond", password=PASSWORD, machine="edge-1", key=KEY, **more)

    async def serve(self, machine: str) -> None:
        """Start one, and wait until it takes jobs."""
        file = self.folder / f"{machine}.toml"
        file.touch(0o600)
        file.write_text(
            f'[vcond]\nlog_format = "json"\nadmin_socket = "{self.folder}/{machine}.sock"\n[ops]\nlisten = ""\n[speech]\n{self._speech}\n{self.queue(machine)}'
        )
        log = (self.folder / f"{machine}.log").open("ab")
        with log:
            self.servers[machine] = await asyncio.create_subprocess_exec(
                *WITH_US, sys.executable, "-m", "vcond", "speech", "serve", "--config", str(file), stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])},
            )  # fmt: skip
        before = self._ready(machine)
        async with asyncio.timeout(180):
            while self._ready(machine) == before:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.1)

    def _ready(self, machine: str) -> int:
        return (self.folder / f"{machine}.log").read_text().count("transcribing for other machines")

    async def kill(self, machine: str) -> None:
        """With SIGKILL."""
        process = self.servers.pop(machine)
        process.kill()
        await process.wait()

    @contextlib.asynccontextmanager
    async def running(self, servers: int) -> AsyncIterator[House]:
        """With so many servers, ``gpu-0`` and on."""
        await self.nats.start()
        try:
            for number in range(servers):
                await self.serve(f"gpu-{number}")
            yield self
        finally:
            for machine in list(self.servers):
                await self.kill(machine)
            await self.nats.stop()


@dataclass(eq=False)
class Line:
    """A call in memory whose utterances have a length, and whose texts' moments are kept."""

    call: str
    track: int = 0
    rate: int = RATE
    language: str = ""
    vocabulary: tuple[str, ...] | None = None
    lengths: list[int] = field(default_factory=list)
    texts: dict[int, list[float]] = field(default_factory=dict)
    """When each utterance's text came, by the monotonic clock."""

    def read(self, start: int, stop: int) -> np.ndarray:
        return HISS[: stop - start]

    def emit(self, event: ev.Event) -> None:
        if isinstance(event, ev.Transcribed):
            self.texts.setdefault(event.utterance, []).append(time.monotonic())

    def next_utterance(self) -> int:
        return len(self.lengths)

    def partial(self, start: int, stop: int, text: str) -> None:
        """Nobody watches."""

    def at(self, position: int) -> Instant:
        return Instant(nanos(position, self.rate))

    def say(self, seconds: float) -> ev.Utterance:
        """One more utterance, which has ended."""
        number, start = len(self.lengths), sum(self.lengths)
        self.lengths.append(round(seconds * self.rate))
        return ev.Utterance(at=self.at(start), utterance=number, track=0, start=start, stop=start + self.lengths[-1])


@contextlib.asynccontextmanager
async def edge(house: House, **more: object) -> AsyncIterator[Speech]:
    """A machine whose utterances all go into the queue."""
    config = SpeechConfig(engine="none", where="queue", queue=house.config(**more))
    speech = Speech(config, clock=WallClock(), machine="edge-1")
    async with running(speech):
        yield speech


async def played(speech: Speech, ready: Sequence[float], seconds: Sequence[float], call: Sequence[int]) -> list[float]:
    """Utterances of calls, each told when it has ended, in seconds from now: the lag of each one's text."""
    begun, lines, places = time.monotonic() + 0.5, {}, []
    for at, long, of in zip(ready, seconds, call, strict=True):
        await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
        line = lines.setdefault(of, Line(f"call-{of}"))
        places.append((line, len(line.lengths), begun + at))
        speech.catch_up(line, [line.say(long)])
    assert await speech.settled("", 300)
    assert all(len(line.texts[number]) == 1 for line, number, _ in places), "a text is missing, or there twice"
    return [line.texts[number][0] - at for line, number, at in places]
