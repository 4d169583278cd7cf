"""What texts cost a machine beside a PBX, in CPU: made there, and made elsewhere. For benches."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from speech_servers import Line, running

from vcond.call import events as ev
from vcond.demo.call import RATE, demo_call
from vcond.media.codecs import Codec, decode
from vcond.sdk.contract import WallClock
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech

TICK = os.sysconf("SC_CLK_TCK")
EDGE_GOAL = 0.1
"""Of what the engine takes on the machine itself."""


@dataclass(eq=False)
class Spoken(Line):
    """A call that says what the demo's call says."""

    words: int = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        return _samples()[start:stop]

    def emit(self, event: ev.Event) -> None:
        super().emit(event)
        if isinstance(event, ev.Transcribed):
            self.words += len(event.text.split())

    def turns(self) -> list[ev.Utterance]:
        """All of them, as utterances that have ended."""
        found = []
        for turn in demo_call().turns:
            start, stop = round(turn.start * RATE), round(turn.end * RATE)
            found.append(ev.Utterance(at=self.at(start), utterance=len(self.lengths), track=0, start=start, stop=stop))
            self.lengths.append(stop - start)
        return found


def _samples() -> np.ndarray:
    """Both parties of the demo's call in one track; they speak in turn."""
    caller, agent = (decode(Codec.PCMU, track).astype(np.int32) for track in demo_call().tracks)
    return np.clip(caller + agent, -32768, 32767).astype(np.int16)


def cpu(pids: Iterable[int]) -> dict[int, float]:
    """CPU seconds of each process and all below it that live, and of those below it that have ended and were waited for."""
    parents, used = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(folder.name)] = int(stat[1])
            used[int(folder.name)] = sum(map(int, stat[11:15])) / TICK
    wanted, found = set(pids), {}
    for pid, seconds in used.items():
        above = pid
        while above and above not in wanted:
            above = parents.get(above, 0)
        if above:
            found[pid] = seconds
    return found


def since(before: dict[int, float], after: dict[int, float]) -> float:
    """CPU seconds between two looks."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


async def heard(speech: Speech, calls: int, name: str) -> tuple[float, int]:
    """Seconds of speech, and words, of so many of the demo's calls, told at once."""
    lines = [Spoken(f"{name}-{number}") for number in range(calls)]
    for line in lines:
        speech.catch_up(line, line.turns())
    assert await speech.settled("", 300)
    assert all(sorted(line.texts) == list(range(len(line.lengths))) for line in lines), "a text is missing"
    return sum(sum(line.lengths) for line in lines) / RATE, sum(line.words for line in lines)


async def here(engine: str, model: str, calls: int) -> tuple[float, float, int]:
    """CPU seconds of this process and its workers for so many calls, seconds of their speech, words."""
    speech = Speech(SpeechConfig(engine=engine, model=model, workers=1, nice=0), clock=WallClock())
    async with running(speech):
        await speech.ready.wait()
        await heard(speech, 1, "warm")
        before = cpu([os.getpid()])
        seconds, words = await heard(speech, calls, "call")
        return since(before, cpu([os.getpid()])), seconds, words
