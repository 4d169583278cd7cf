from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import numpy as np
import pytest

from vcond.base.time import SECOND, Instant, nanos
from vcond.call import events as ev
from vcond.demo.call import demo_call
from vcond.media.codecs import Codec, decode
from vcond.media.detect.segmenter import Begun, Ended
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.engine_choice import Choice
from vcond.speech.load.admission import Admission

for folder in (Path(__file__).parent, Path(__file__).parents[2] / "peers" / "nats"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

ZERO = Instant(1_795_339_662 * SECOND)


class Clock:
    def __init__(self) -> None:
        self.at = ZERO

    def now(self) -> Instant:
        return self.at


class Track:
    """A source whose audio is an array, and which remembers everything."""

    rate, language, vocabulary = 8000, "", None

    def __init__(self, call: str = "call", track: int = 0, pcm: np.ndarray | None = None) -> None:
        self.call, self.track = call, track
        self.pcm = np.zeros(0, np.int16) if pcm is None else pcm
        self.events: list[ev.Event] = []
        self.partials: list[tuple[int, int, str]] = []
        self.numbers = 0
        self.reads: list[tuple[int, int]] = []
        self.told = asyncio.Event()
        """Set by every event and every partial."""

    def read(self, start: int, stop: int) -> np.ndarray:
        self.reads.append((start, stop))
        out = np.zeros(stop - start, np.int16)
        part = self.pcm[start:stop]
        out[: len(part)] = part
        return out

    def emit(self, event: ev.Event) -> None:
        self.events.append(event)
        self.told.set()

    def next_utterance(self) -> int:
        self.numbers += 1
        return self.numbers - 1

    def partial(self, start: int, stop: int, text: str) -> None:
        self.partials.append((start, stop, text))
        self.told.set()

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait until what the track was told makes it true."""
        while not seen():
            self.told.clear()
            await self.told.wait()

    def at(self, position: int) -> Instant:
        return Instant(ZERO + nanos(position, self.rate))

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def say(self, *values: int, length: int = 800) -> list[ev.Utterance]:
        """Append an utterance of so many samples for each value; for ``catch_up``."""
        out = []
        for value in values:
            start = len(self.pcm)
            self.pcm = np.concatenate([self.pcm, np.full(length, value, np.int16)])
            number = self.next_utterance()
            out.append(
                ev.Utterance(at=self.at(start), utterance=number, track=self.track, start=start, stop=start + length)
            )
        return out


class Marks:
    """A segmenter to whom zeros are silence and everything else is speech; in steps of 80 samples."""

    def __init__(self) -> None:
        self.start: int | None = None
        self.end = 0

    def feed(self, start: int, pcm: np.ndarray) -> list[Begun | Ended]:
        out: list[Begun | Ended] = []
        for at in range(0, len(pcm), 80):
            speech = bool(pcm[at])
            if speech and self.start is None:
                self.start = start + at
                out.append(Begun(self.start))
            elif not speech and self.start is not None:
                out.append(Ended(self.start, start + at))
                self.start = None
        self.end = start + len(pcm)
        return out

    def close(self) -> list[Begun | Ended]:
        return [] if self.start is None else [Ended(self.start, self.end)]


class Room:
    """A ``Speech`` with a scripted engine."""

    def __init__(self, folder: Path, engine: str, **settings: object) -> None:
        self.folder = folder
        self.clock = Clock()
        self.speech = self.make(engine, **settings)

    def make(self, engine: str, **settings: object) -> Speech:
        config = SpeechConfig(**{"workers": 1, "restart_seconds": 0.01, "nice": 0, **settings})
        choice = Choice(f"speech_engines:{engine}" if engine else "", str(self.folder))
        return Speech(config, clock=self.clock, choice=choice)

    def listen(self, track: Track):
        listener = self.speech.listen(track)
        listener.segmenter = Marks()
        return listener

    def running(self) -> AbstractAsyncContextManager[Speech]:
        from speech_running import running  # the folder is known when this file is loaded

        return running(self.speech)

    def calls(self, part: object, method: str) -> asyncio.Queue[None]:
        """Something for each call of a method of a part of speech, after it."""
        plain, seen = getattr(part, method), asyncio.Queue()

        def counted(*args):
            out = plain(*args)
            seen.put_nowait(None)
            return out

        setattr(part, method, counted)
        return seen

    async def transcribe(self, call: str = "") -> None:
        """Run until everything is settled."""
        async with self.running():
            assert await self.speech.settled(call, 60)

    def log(self, word: str) -> list[str]:
        """What the engine wrote down behind a word, in order, over all its lives."""
        lines = (self.folder / "log").read_text().splitlines() if (self.folder / "log").exists() else []
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == word]


@pytest.fixture
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow it is, calls keep their words while they are spoken."""
    monkeypatch.setattr(Admission, "state", lambda _self, _call: "live")


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Room]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return lambda engine="Scripted", **settings: Room(tmp_path, engine, **settings)


@pytest.fixture
def track() -> type[Track]:
    return Track


@pytest.fixture
def marks() -> type[Marks]:
    return Marks


@pytest.fixture(scope="session")
def demo() -> list[np.ndarray]:
    """The demo call: samples of the caller and of the agent, at 8 kHz."""
    return [decode(Codec.PCMU, track) for track in demo_call().tracks]


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """The files of a small vosk model; what is in them is no model."""
    folder = tmp_path / "vosk-model-small-xx-1"
    for name in ("conf", "am", "graph/phones"):
        (folder / name).mkdir(parents=True)
    (folder / "am" / "final.mdl").write_bytes(b"weights")
    (folder / "conf" / "mfcc.conf").write_text("--sample-frequency=16000\n", "utf-8")
    (folder / "conf" / "model.conf").write_text("--beam=10.0\n--max-active=3000\n--acoustic-scale=1.0\n", "utf-8")
    (folder / "graph" / "HCLr.fst").write_bytes(b"sounds")
    (folder / "graph" / "Gr.fst").write_bytes(b"language")
    (folder / "graph" / "disambig_tid.int").write_text("7\n8\n", "utf-8")
    (folder / "graph" / "phones.txt").write_text("a 1\n", "utf-8")
    return folder
