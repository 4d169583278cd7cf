from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.capture.adapter_host import CaptureHost
from vcond.capture.clock import SteadyClock
from vcond.capture.live_call import CapturedCall
from vcond.capture.live_feed import LiveFeed
from vcond.capture.live_track import CapturedTrack
from vcond.capture.pressure import PressureWatch
from vcond.capture.registry import CallRegistry
from vcond.capture.resources import Used
from vcond.config import DaemonConfig
from vcond.journal import CallJournal, Store
from vcond.speech.load.admission import State
from vcond.storage.encrypted_files import EncryptedFiles
from vcond.storage.files import Files

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

ZERO = 1_795_339_662 * SECOND


class TrackListener:
    """What a track tells speech, written down."""

    def __init__(self, source: CapturedTrack, start: int) -> None:
        self.source, self.start, self.upto, self.closed = source, start, start, False

    def advance(self, upto: int) -> None:
        self.upto = upto

    def close(self, upto: int) -> None:
        self.upto, self.closed = upto, True


class Segmenting:
    """Speech with listeners and no engine."""

    def __init__(self) -> None:
        self.listeners: list[TrackListener] = []
        self.late: list[tuple[CapturedTrack, Sequence[ev.Utterance]]] = []
        self.forgotten: list[str | int] = []
        self.in_time = True
        self.ready = asyncio.Event()
        self.ready.set()
        self.best: list[State] = []
        """What may be given at most, as it changed."""
        self.on_late: Callable[[CapturedTrack, Sequence[ev.Utterance]], None] = lambda *_: None

    def listen(self, source: CapturedTrack, start: int = 0) -> TrackListener:
        self.listeners.append(TrackListener(source, start))
        return self.listeners[-1]

    def catch_up(self, source: CapturedTrack, utterances: Sequence[ev.Utterance]) -> None:
        self.late.append((source, utterances))
        self.on_late(source, utterances)

    def at_most(self, best: State) -> None:
        if best != (self.best or ["live"])[-1]:
            self.best.append(best)

    async def settled(self, call: str, timeout: float) -> bool:  # noqa: ASYNC109 - the protocol
        return self.in_time

    def forget(self, call: str) -> int:
        self.forgotten.append(call)
        return 0

    def forget_track(self, source: CapturedTrack) -> int:
        self.forgotten.append(source.track)
        return 0


@dataclass
class House:
    """A registry over a real store, with time by hand."""

    root: Path
    config: DaemonConfig
    time: list[int] = field(default_factory=lambda: [ZERO])
    wall: list[int] = field(default_factory=lambda: [ZERO])
    finished: list[tuple[CapturedCall, CallJournal]] = field(default_factory=list)
    discarded: list[CallJournal] = field(default_factory=list)
    free: int = 10**12
    memory: int = 10**12
    files: Used = field(default_factory=lambda: Used(50, 1000))
    disk: Files = field(default_factory=Files)

    def open(self) -> House:
        self.speech = Segmenting()
        self.bus = LiveFeed()
        self.clock = SteadyClock(lambda: self.wall[0], lambda: self.time[0])
        self.store = Store(self.root, files=self.disk)
        self.registry = CallRegistry(
            self.config,
            store=self.store,
            speech=self.speech,
            clock=self.clock,
            bus=self.bus,
            finish=lambda call, journal: self.finished.append((call, journal)),
            discard=self.discarded.append,
            pressure=PressureWatch(
                lambda _: self.free,
                memory=lambda: self.memory,
                files=lambda: self.files,
                clock=lambda: self.time[0] / SECOND,
            ),
        )
        self.host = CaptureHost("test", self.registry, None, lambda: None)  # type: ignore[arg-type]  # no ingress here
        return self

    def at(self, seconds: float) -> Instant:
        return Instant(ZERO + round(seconds * SECOND))

    def now(self, seconds: float) -> Instant:
        self.time[0] = self.wall[0] = self.at(seconds)
        return self.at(seconds)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What decides about calls after a crash holds for encrypted journals, too."""
    if "house" in metafunc.fixturenames and metafunc.definition.path.stem in {
        "test_capture_recovery",
        "test_capture_amend",
        "test_capture_consent",
    }:
        metafunc.parametrize("house", ["plain", "encrypted"], indirect=True)


class Keys(dict[bytes, bytes]):
    """Data keys in memory."""

    def make(self, of: bytes) -> bytes:
        return self.setdefault(of, bytes([len(self) + 1]) * 32)


@pytest.fixture
async def house(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    made = House(tmp_path / "journal", DaemonConfig(name="edge.example.com", state_dir=str(tmp_path)))
    if getattr(request, "param", "") == "encrypted":
        made.disk = EncryptedFiles(Files(), Keys(), tmp_path)
    made.open()
    yield made
    await made.store.close()
