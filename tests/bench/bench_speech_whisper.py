"""Utterances a second through the packaged Whisper: vcond against one plain library call for each, in turn.

    python tests/bench/bench_speech_whisper.py [--library PYTHON] [--clips 214]

The library is faster-whisper 1.2 in a Python of its own (``python -m venv V; V/bin/pip install faster-whisper``), given
with ``--library`` or ``VCOND_BENCH_FASTER_WHISPER``. Without it CTranslate2's model is called as the library calls it,
with the window of 30 seconds that it pads everything to: ``window``, a lower bound of the library's cost.

vcond is the whole of it: utterances found in journals, the scheduler, a worker process for each core, word times. Clips
are Debian's telephone prompts (one voice, G.711, 8 kHz, noise on the line) of three words and more. The ways take turns
in blocks of clips, so that whatever else the machine does hits all of them. Compared are utterances a second by the
clock, CPU time of an utterance, and word error rates over the same clips.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import structlog
from speech_calls import HISS, prompts
from wer import share

from vcond.base.time import Instant, nanos
from vcond.call import events as ev
from vcond.capture.clock import SteadyClock
from vcond.media.codecs import Codec, decode, encode
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.engine import EngineOptions
from vcond.speech.engine_choice import Choice
from vcond.speech.engines import whisper

GOAL = 3.0
WORSE = 0.01
"""How much more of the words may be wrong."""
BLOCK = 24
"""Clips of one turn."""
RATE = prompts.RATE


class Way:
    """What one way of doing it took and wrote."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self.texts: list[str] = []


class Line:
    """A track in memory, as the core shows one to speech."""

    rate, language, vocabulary, track = RATE, "", None, 0

    def __init__(self, pcm: np.ndarray, call: str) -> None:
        self.pcm, self.call = pcm, call
        self.text = ""
        self.cpu = 0.0

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.pcm[start:stop]

    def emit(self, event: ev.Event) -> None:
        if isinstance(event, ev.Transcribed):
            self.text, self.cpu = event.text, event.took_ms / 1000

    def next_utterance(self) -> int:
        return 0

    def partial(self, start: int, stop: int, text: str) -> None:
        """Nobody watches."""

    def at(self, position: int) -> Instant:
        return Instant(nanos(position, RATE))


def clips(most: int) -> list[tuple[str, np.ndarray]]:
    """Text and samples of each, as a segmenter would hand it on: 0.2 s before, 0.5 s after."""
    rng = np.random.default_rng(1)
    out = []
    for prompt in prompts.sentences()[:most]:
        pcm = np.concatenate([np.zeros(RATE // 5), prompt.pcm, np.zeros(RATE // 2)])
        pcm = (pcm + rng.normal(0, HISS, len(pcm))).clip(-32768, 32767).astype(np.int16)
        out.append((prompt.text, decode(Codec.PCMU, encode(Codec.PCMU, pcm))))
    return out


async def ours(speech: Speech, block: list[np.ndarray], way: Way) -> None:
    """A block of utterances of as many calls, handed over at once."""
    lines = [Line(pcm, f"call {number}") for number, pcm in enumerate(block)]
    wall, cpu = time.monotonic(), time.process_time()
    for line in lines:
        utterance = ev.Utterance(at=line.at(0), utterance=0, track=0, start=0, stop=len(line.pcm))
        speech.catch_up(line, [utterance])
    if not await speech.settled("", 600):
        sys.exit("vcond did not finish a block in ten minutes")
    way.wall += time.monotonic() - wall
    way.cpu += time.process_time() - cpu + sum(line.cpu for line in lines)
    way.texts += [line.text for line in lines]


def wide(pcm: np.ndarray) -> np.ndarray:
    """What the library wants: 16 kHz, -1 to 1."""
    return soxr.resample(pcm.astype(np.float32) / 32768, RATE, 16_000, quality="LQ")


def called(
    python: str, sounds: list[np.ndarray], folder: Path
) -> tuple[subprocess.Popen, Callable[[str, int, Way], None]]:
    """The library in its process."""
    clips: dict[str, Any] = {str(number): sound for number, sound in enumerate(sounds)}
    np.savez(folder / "clips.npz", **clips)
    run = [python, str(Path(__file__).parent / "speech_library.py"), str(whisper.packaged()), str(folder / "clips.npz")]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    if not process.stdout.readline():
        sys.exit("the library did not start")

    def call(kind: str, number: int, way: Way) -> None:
        process.stdin.write(f"{kind} {number}\n")
        process.stdin.flush()
        _take(json.loads(process.stdout.readline()), way)

    return process, call


def windowed() -> Callable[[np.ndarray, Way], None]:
    """CTranslate2 with the library's window, word times included."""
    engine = whisper.WhisperEngine(EngineOptions(threads=len(os.sched_getaffinity(0))))

    def call(sound: np.ndarray, way: Way) -> None:
        wall, cpu = time.monotonic(), time.process_time()
        frames = engine.mel(sound[: 30 * 16_000])[:, : whisper.FULL]
        piece = whisper.Decoded(engine, "en", frames, whisper.FULL, whisper.TOKENS_AT_ONCE, sound)
        if piece.text:
            piece.words(0.0)
        _take({"text": piece.text, "wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}, way)

    return call


def _take(answer: dict[str, Any], way: Way) -> None:
    way.wall += answer["wall"]
    way.cpu += answer["cpu"]
    way.texts.append(answer["text"])


async def run(given: argparse.Namespace) -> int:
    """All ways in turn."""
    said = clips(given.clips)
    sounds = [wide(pcm) for _, pcm in said]
    ways = {"vcond": Way()}
    config = SpeechConfig(partials=False, nice=0, workers=len(os.sched_getaffinity(0)))
    speech = Speech(config, clock=SteadyClock(), choice=Choice("whisper"))
    task = asyncio.create_task(speech.run())
    process = None
    with tempfile.TemporaryDirectory(prefix="vcond-bench-") as folder:
        try:
            if given.library:
                process, call = called(given.library, sounds, Path(folder))
                others = {kind: lambda number, way, kind=kind: call(kind, number, way) for kind in ("plain", "greedy")}
            else:
                window = windowed()
                others = {"window": lambda number, way: window(sounds[number], way)}
            ways |= {name: Way() for name in others}
            await speech.ready.wait()
            await asyncio.sleep(2)
            for at in range(0, len(said), BLOCK):
                numbers = range(at, min(at + BLOCK, len(said)))
                await ours(speech, [said[number][1] for number in numbers], ways["vcond"])
                for name, do in others.items():
                    for number in numbers:
                        await asyncio.to_thread(do, number, ways[name])
        finally:
            if process is not None:
                process.kill()
                process.communicate()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return report(ways, [text for text, _ in said], "plain" if given.library else "window")


def report(ways: dict[str, Way], texts: list[str], against: str) -> int:
    """The table and the verdict."""
    count, seconds = len(texts), {name: way.wall / len(texts) for name, way in ways.items()}
    wrong = {name: share(list(zip(texts, way.texts, strict=True))) for name, way in ways.items()}
    print(f"{count} utterances; {'way':8} {'utterances/s':>12} {'CPU s each':>11} {'words wrong':>12}")
    for name, way in ways.items():
        print(f"{'':15} {name:9} {1 / seconds[name]:11.2f} {way.cpu / count:11.3f} {wrong[name]:12.2%}")
    ratio = seconds[against] / seconds["vcond"]
    cpu = ways[against].cpu / ways["vcond"].cpu
    more = wrong["vcond"] - wrong[against]
    print(f"vcond does {ratio:.1f} times the utterances of {against} (goal {GOAL:g}) with {cpu:.1f} times less CPU,")
    print(f"and {100 * more:+.2f} points of words wrong (goal: at most {100 * WORSE:+.0f})")
    return int(ratio < GOAL or more > WORSE)


def main() -> int:
    """Exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--library", default=os.environ.get("VCOND_BENCH_FASTER_WHISPER", ""))
    parser.add_argument("--clips", type=int, default=1000)
    given = parser.parse_args()
    if prompts.available():
        print(f"skipped: {prompts.available()}")
        return 0
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    return asyncio.run(run(given))


if __name__ == "__main__":
    sys.exit(main())
