"""How many live calls this machine transcribes: two-party calls in real time through the real ``Speech``, more and more.

Only what surrounds speech is left out: PBX, network and disk. Each call plays the same audio from another point of it, so
that not all speak at once. A level holds when the texts of what was said in it came in time, and words too where they are
shown; the first level that does not hold ends the climb, and the levels between it and the last good one are halved.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from vcond.base.errors import ConfigError
from vcond.base.time import SECOND, Instant, nanos
from vcond.call.events import Event, SpeechState, Transcribed, Untranscribed, Utterance
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.engine import Pcm
from vcond.speech.segmenting import TrackListener

LEVELS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
TICK: Final = 0.1
"""Seconds between two pieces of audio: as the journal grows under a live call."""
LIMIT: Final = 1.0
"""Seconds of lag at p95 up to which a level holds."""
SETTLE: Final = 4.0
"""Seconds at the start of a level that are not judged: new calls begin, recognizers warm up."""
WARM: Final = 120.0
"""Seconds that workers get at most to warm up."""
WARM_LOOK: Final = 1.0
IDLE: Final = 0.1
"""CPU below which they are done."""
RECOVER: Final = 20.0
"""Seconds that speech gets at most to catch up with what the level before left over."""
FEW: Final = 10
"""A level that does not hold is judged by so many utterances, or played once more as long."""
SKIP: Final = 0.3
"""Of what the CPU time of a level promises: levels below are not tried, they would hold."""
STAGGER: Final = 7.3
"""Seconds of audio between one call and the next."""
CLOCK_TICK: Final = os.sysconf("SC_CLK_TCK")


class Level(msgspec.Struct, frozen=True):
    """What was measured with so many calls. Seconds; None where nothing was measured."""

    calls: int
    holds: bool
    utterances: int
    """That ended in the judged time."""
    missing: int
    """Of them, without a text when the level was over, or deferred."""
    lag_p50: float | None
    """From the end of an utterance to its text."""
    lag_p95: float | None
    words_p95: float | None
    """From what is said to the words that show it, where words are shown."""
    shown: int
    """How often words were shown."""
    cpu: float
    """CPU seconds for a second of one call, of this process and its workers."""


class Report(msgspec.Struct, frozen=True):
    """Measure what this machine can do."""

    engine: str
    model: str
    workers: int
    cpus: int
    levels: tuple[Level, ...]
    capacity: int
    """Most calls of a level that held; 0 = not even one."""
    limited: bool
    """Time, or the largest of ``LEVELS``, ended it before a level failed: it may be more."""


class Steady:
    """The clock: monotonic, from an epoch of its own."""

    def now(self) -> Instant:
        """This moment."""
        return Instant(time.monotonic_ns())


class Voice:
    """One party of a call: audio in a circle, and what came of it."""

    rate, language, vocabulary = 8000, "", None

    def __init__(self, call: str, track: int, pcm: Pcm, offset: int, begun: Instant) -> None:
        self.call, self.track = call, track
        self._pcm, self._offset, self._begun = pcm, offset, begun
        self._number = 0
        self.spoken: dict[int, Instant] = {}
        """When each utterance ended."""
        self.lags: dict[int, float] = {}
        """How long after that its text was there; infinite: never."""
        self.shown: list[tuple[Instant, float]] = []
        """When words were shown, and how long after they were said."""

    def read(self, start: int, stop: int) -> Pcm:
        """The audio there, in a circle."""
        return self._pcm.take(np.arange(start + self._offset, stop + self._offset), mode="wrap")

    def emit(self, event: Event) -> None:
        """What speech found out."""
        if isinstance(event, Utterance):
            self.spoken[event.utterance] = self.at(event.stop)
        elif isinstance(event, Transcribed):
            self.lags[event.utterance] = event.lag_ms / 1000
        elif isinstance(event, Untranscribed):
            self.lags[event.utterance] = math.inf
        elif not isinstance(event, SpeechState):
            return

    def next_utterance(self) -> int:
        """Numbers from 0."""
        self._number += 1
        return self._number - 1

    def partial(self, start: int, stop: int, text: str) -> None:  # noqa: ARG002 - the contract's names
        """Words are shown."""
        now = Instant(time.monotonic_ns())
        self.shown.append((now, (now - self.at(stop)) / SECOND))

    def at(self, position: int) -> Instant:
        """The moment of a position."""
        return Instant(self._begun + nanos(position, self.rate))


class Calls:
    """Calls that go on. The clock of each begins when it is opened."""

    def __init__(self, speech: Speech, parties: Sequence[Pcm]) -> None:
        self._speech = speech
        self._parties = parties
        self._opened = 0
        self.going: list[list[tuple[Voice, TrackListener]]] = []

    def resize(self, count: int) -> None:
        """Open calls, or end the last ones."""
        while len(self.going) > count:
            call = self.going.pop()
            for _, listener in call:
                listener.close(listener.upto)
            self._speech.forget(call[0][0].call)
        while len(self.going) < count:
            name = f"bench-{self._opened}"
            offset = round(self._opened * STAGGER * Voice.rate)
            begun = Instant(time.monotonic_ns())
            voices = [Voice(name, track, pcm, offset, begun) for track, pcm in enumerate(self._parties)]
            self.going.append([(voice, self._speech.listen(voice)) for voice in voices])
            self._opened += 1

    def advance(self) -> None:
        """Audio is there up to now."""
        now = time.monotonic_ns()
        for call in self.going:
            for voice, listener in call:
                listener.advance((now - voice.at(0)) * voice.rate // SECOND)

    def voices(self) -> Iterator[Voice]:
        """All of them."""
        for call in self.going:
            yield from (voice for voice, _ in call)


async def measure(
    config: SpeechConfig,
    parties: Sequence[Pcm],
    *,
    seconds: float,
    level_seconds: float = 20.0,
    only: int = 0,
    told: Callable[[Level], None] = lambda _: None,
) -> Report:
    """Climb until a level does not hold, for ``seconds`` at most (and never less than one level).

    ``parties``: 8 kHz audio of each party, of equal length. ``only``: one level, of so many calls. ``told`` hears each
    level. Raises ConfigError when there is no engine, none of its workers starts, or nothing is said.
    """
    speech = Speech(config, clock=Steady())
    if not speech.choice.engine:
        raise ConfigError(speech.trouble or "speech.engine is none: nothing to measure", "speech.engine")
    levels: list[Level] = []
    async with _running(speech, config):
        await _warmed()
        calls = Calls(speech, parties)
        until = time.monotonic() + seconds
        for count in _counts(levels, only):
            if levels and time.monotonic() + level_seconds > until:
                break
            calls.resize(count)
            levels.append(await _level(speech, calls, level_seconds))
            told(levels[-1])
        calls.resize(0)
        engine = speech.engine
    if not any(level.utterances for level in levels):
        raise ConfigError("this audio has too little speech to measure")
    held = [level.calls for level in levels if level.holds]
    return Report(
        engine.engine if engine else speech.choice.engine,
        engine.model if engine else speech.choice.model,
        config.worker_count,
        len(os.sched_getaffinity(0)),
        tuple(sorted(levels, key=lambda level: level.calls)),
        max(held, default=0),
        limited=all(level.holds for level in levels),
    )


def _counts(levels: list[Level], only: int) -> Iterator[int]:
    """What to try next, by what was found so far."""
    if only:
        yield only
        return
    guess = 0.0
    for count in LEVELS:
        if count < guess:
            continue
        yield count
        if not levels[-1].holds:
            break
        if levels[-1].cpu:
            guess = len(os.sched_getaffinity(0)) / levels[-1].cpu * SKIP
    low = max((level.calls for level in levels if level.holds), default=0)
    high = min((level.calls for level in levels if not level.holds), default=0)
    while high - low > 1:
        yield (low + high) // 2
        low, high = (levels[-1].calls, high) if levels[-1].holds else (low, levels[-1].calls)


async def _level(speech: Speech, calls: Calls, seconds: float) -> Level:
    """Play, and judge what ended between the settling in and the last moments in which a text can still be in time."""
    recovered = time.monotonic() + RECOVER
    while _behind(speech, len(calls.going)) and time.monotonic() < recovered:
        await _play(calls, time.monotonic() + TICK)
    begun = time.monotonic()
    await _play(calls, begun + min(SETTLE, seconds / 4))
    cpu, wall, since = _cpu(), time.monotonic(), Instant(time.monotonic_ns())
    level = None
    for longer in (1, 2):
        await _play(calls, begun + longer * seconds)
        used = (_cpu() - cpu) / (time.monotonic() - wall)
        level = _judge(calls, since, Instant(time.monotonic_ns() - round(LIMIT * SECOND)), used)
        if level.holds or level.utterances >= FEW:
            break
    assert level is not None
    return level


async def _warmed() -> None:
    """Wait until the workers have done what they do before their first call: a daemon has done so long ago."""
    until, before = time.monotonic() + WARM, _cpu()
    while time.monotonic() < until:
        await asyncio.sleep(WARM_LOOK)
        before, spent = (now := _cpu()), now - before
        if spent < WARM_LOOK * IDLE:
            return


def _behind(speech: Speech, calls: int) -> bool:
    """Whether what a level before left over still weighs."""
    return speech.waiting > calls or speech.admission.load > 1


async def _play(calls: Calls, until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        calls.advance()
        await asyncio.sleep(min(TICK, left))


def _judge(calls: Calls, since: Instant, upto: Instant, cpu: float) -> Level:
    finals, words, missing = [], [], 0
    for voice in calls.voices():
        judged = [number for number, at in voice.spoken.items() if since <= at < upto]
        lags = [voice.lags.get(number, math.inf) for number in judged]
        missing += sum(math.isinf(lag) for lag in lags)
        finals += lags
        words += [lag for at, lag in voice.shown if at >= since]
    late = _quantile(finals, 0.95)
    shown = _quantile(words, 0.95)
    holds = late is not None and late <= LIMIT and (shown is None or shown <= LIMIT)
    return Level(
        len(calls.going), holds, len(finals), missing, _finite(_quantile(finals, 0.5)), _finite(late), shown, len(words),
        round(cpu / max(1, len(calls.going)), 3),
    )  # fmt: skip


def _quantile(values: list[float], share: float) -> float | None:
    """The smallest value that so large a share does not exceed; None of nothing."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value


@contextlib.asynccontextmanager
async def _running(speech: Speech, config: SpeechConfig) -> AsyncIterator[None]:
    """Workers are ended at the end. Raises ConfigError when none has started in time."""
    task = asyncio.create_task(speech.run())
    try:
        try:
            async with asyncio.timeout(config.start_seconds):
                while not speech.ready.is_set():
                    ready = asyncio.create_task(speech.ready.wait())
                    await asyncio.wait({ready, task}, timeout=1, return_when=asyncio.FIRST_COMPLETED)
                    ready.cancel()
                    if task.done():
                        await task
                    if speech.trouble:
                        raise ConfigError(speech.trouble)
        except TimeoutError:
            raise ConfigError("no speech worker loaded its model in time: see speech.start_seconds") from None
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _cpu() -> float:
    """CPU seconds of this process and all below it."""
    parents: dict[int, int] = {}
    spent: Counter[int] = Counter()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            parents[int(entry.name)] = int(fields[1])
            spent[int(entry.name)] = int(fields[11]) + int(fields[12])
    ours = {os.getpid()}
    for _ in range(8):  # generations: this process, a loader, its workers
        ours |= {pid for pid, parent in parents.items() if parent in ours}
    return sum(spent[pid] for pid in ours) / CLOCK_TICK
