"""Calls and workers of known speed, in virtual time: what a machine that is overrun looks like from inside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vcond.base.time import SECOND, Instant, nanos
from vcond.call import events as ev
from vcond.media.detect.segmenter import Begun, Ended
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.engine import Final
from vcond.speech.engine_choice import Choice
from vcond.speech.workers import messages
from vcond.speech.workers.process import WorkerLostError
from vcond.testing.time import NOON, LoopClock

RATE = 8000
PAGE = 800


def spoken(seconds: float, *, talk: float = 3.0, pause: float = 1.0) -> np.ndarray:
    """Speech with pauses: every sample of the n-th utterance is n, pauses are zeros."""
    number = np.arange(round(seconds * RATE // PAGE) * PAGE) // round((talk + pause) * RATE)
    within = np.arange(len(number)) % round((talk + pause) * RATE)
    return np.where(within < round(talk * RATE), number + 1, 0).astype(np.int16)


class Cutter:
    """A segmenter to whom zeros are silence; in steps of ``PAGE`` samples."""

    def __init__(self) -> None:
        self.start: int | None = None
        self.end = 0

    def feed(self, start: int, pcm: np.ndarray) -> list[Begun | Ended]:
        out: list[Begun | Ended] = []
        for at in range(0, len(pcm), PAGE):
            if pcm[at] and self.start is None:
                self.start = start + at
                out.append(Begun(self.start))
            elif not pcm[at] and self.start is not None:
                out.append(Ended(self.start, start + at))
                self.start = None
        self.end = start + len(pcm)
        return out

    def close(self) -> list[Begun | Ended]:
        return [] if self.start is None else [Ended(self.start, self.end)]


@dataclass(eq=False)
class Call:
    """A call of one track, spoken into the service as time passes."""

    room: Room
    call: str
    pcm: np.ndarray
    late: float = 0.0
    """Seconds after the beginning at which it opens."""
    track: int = 0
    rate: int = RATE
    language: str = ""
    vocabulary: tuple[str, ...] | None = None
    model: str = ""
    events: list[ev.Event] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    """Of what was shown, seconds from the audio to the words."""
    numbers: int = 0
    zero: Instant = NOON

    def read(self, start: int, stop: int) -> np.ndarray:
        out = np.zeros(stop - start, np.int16)
        part = self.pcm[start:stop]
        out[: len(part)] = part
        return out

    def emit(self, event: ev.Event) -> None:
        self.events.append(event)

    def next_utterance(self) -> int:
        self.numbers += 1
        return self.numbers - 1

    def partial(self, start: int, stop: int, text: str) -> None:
        self.lags.append((self.room.clock.now() - self.at(stop)) / SECOND)

    def at(self, position: int) -> Instant:
        return Instant(self.zero + nanos(position, self.rate))

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def states(self) -> list[str]:
        return [event.state for event in self.of(ev.SpeechState)]

    def complete(self) -> bool:
        """Whether every utterance has its own text, and no utterance is missing."""
        wanted = [str(value) for value in dict.fromkeys(self.pcm.tolist()) if value]
        texts = {event.utterance: event.text for event in self.of(ev.Transcribed)}
        return [texts.get(number) for number in range(self.numbers)] == wanted

    async def speak(self) -> None:
        """A tenth of a second every tenth of a second, then the end."""
        await asyncio.sleep(self.late)
        self.zero = self.room.clock.now()
        listener = self.room.speech.listen(self)
        listener.segmenter = Cutter()
        for upto in range(PAGE, len(self.pcm) + 1, PAGE):
            await asyncio.sleep(PAGE / RATE)
            listener.advance(upto)
        listener.close(len(self.pcm))


class PacedWorker:
    """A worker that needs a stated time for a second of audio, and dies when it is told to."""

    pids = 1000

    def __init__(self, speed: Speed, wake: asyncio.Event) -> None:
        self.speed, self.wake = speed, wake
        self.lost, self.memory = "", 1 << 20
        self.heard: dict[int, list[bytes]] = {}
        self.gone = asyncio.Event()
        PacedWorker.pids += 1
        self.pid = PacedWorker.pids
        speed.alive.append(self)

    async def ask(self, step: Sequence[messages.Request], seconds: float) -> messages.Said | messages.Done:
        work, reply = 0.0, None
        for message in step:
            if isinstance(message, messages.Open):
                self.heard[message.job] = []
            elif isinstance(message, messages.Feed):
                self.heard[message.job].append(message.pcm)
                work += len(message.pcm) / 2 / RATE * self.speed.cost
            elif isinstance(message, messages.Ask):
                reply = messages.Said(message.job, self.text(message.job) if message.text else "")
            elif isinstance(message, messages.Finish):
                reply = messages.Done(message.job, Final(self.text(message.job)), round(work * 1000), self.memory)
                del self.heard[message.job]
            elif isinstance(message, messages.Drop):
                self.heard.pop(message.job, None)
        try:
            async with asyncio.timeout(work):
                await self.gone.wait()
        except TimeoutError:
            assert reply is not None
            return reply
        raise WorkerLostError("crash")

    def text(self, job: int) -> str:
        values = np.frombuffer(b"".join(self.heard[job]), np.int16)
        return " ".join(str(value) for value in dict.fromkeys(values.tolist()) if value)

    def tell(self, message: messages.Drop) -> None:
        self.heard.pop(message.job, None)

    def kill(self) -> None:
        self.lost = "crash"
        self.gone.set()
        self.wake.set()

    async def close(self) -> None:
        if self in self.speed.alive:
            self.speed.alive.remove(self)


@dataclass
class Speed:
    """The engine: seconds of a worker for a second of audio."""

    cost: float
    streaming: bool = False
    loading: float = 1.0
    alive: list[PacedWorker] = field(default_factory=list)

    async def start(self, *_: object, wake: asyncio.Event, **__: object) -> tuple[PacedWorker, messages.Ready]:
        await asyncio.sleep(self.loading)
        return PacedWorker(self, wake), messages.Ready("paced", "test", self.streaming)


class Room:
    """A service whose workers are paced. Make it inside a virtual loop."""

    def __init__(self, speed: Speed, **settings: Any) -> None:
        self.speed = speed
        self.clock = LoopClock()
        self.clock.now()
        config = SpeechConfig(**{"workers": 1, "restart_seconds": 0.25, **settings})
        self.speech = Speech(config, clock=self.clock, choice=Choice("paced", ""), start=speed.start)
