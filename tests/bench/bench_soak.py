"""Calls in and out of a real daemon for hours: does it grow, is anything lost?

    python tests/bench/bench_soak.py [--minutes 3] [--share 0.6] [--longest 45] [--seed 1] [--collect]

Twilio streams into ``vcond run``, one call after another on so many lines that the daemon uses ``share`` of a core; what a line costs is
found first. Each vCon is validated when it lies in the folder, and removed. Told are the memory of its own (RssAnon) and how it grows in
an hour (the straight line through the samples after the first quarter; the mean of each quarter tells whether it levels off) and with
each call, what malloc, SQLite and Python have of it (memory_inside.py), descriptors, ``vcond_dropped_total``, and how many calls there
were. Growth is judged from an hour on: before that it is the allocator's. What grows with calls, and where that ends, is seen sooner with
short ones, which are many: ``--longest 0.5``; with ``--collect`` the daemon's garbage is collected before each sample, so that only what it keeps is told.
It needs a machine with nothing else to do: two hours of it are what docs/promises.md means.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import aiohttp
from websockets.asyncio.client import connect

from vcond.cli import main as command
from vcond.demo.call import FRAME_MS, Recording, demo_call
from vcond.demo.player import Sids, opening, steps
from vcond.vcon import read, validate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e" / "daemon"))
from daemon_kit import LIMIT, TOKEN, House, Running
from memory_inside import inside

FRAME: Final = FRAME_MS / 1000
SAMPLE: Final = 10.0
"""Seconds from one sample to the next."""
SPOKEN: Final = 60
"""Samples from one line about the memory to the next."""
FIRST: Final = 40
"""Lines that the search for the share begins with."""
ROUNDS: Final = 2
"""Times that lines are added."""
LEARN: Final = 30.0
SHORTEST: Final = 0.5
"""The part of the longest call that each lasts at least."""
GROWTH: Final = 1.0
"""Megabytes an hour that are no growth."""
JUDGED: Final = 60.0
"""Minutes from which growth is judged."""


@dataclass(frozen=True)
class Sample:
    """What the daemon is at one moment."""

    at: float
    """Seconds since the first."""
    memory: float
    """Megabytes of its own."""
    descriptors: int
    cpu: float
    """Seconds so far."""
    calls: int
    """So far."""
    inside: dict[str, float]
    """As the daemon says it of itself (memory_inside.py)."""


def serve(config: str, counts: str, *, collects: bool) -> None:
    """``vcond run`` that writes what it says of its memory into ``counts`` when that file is emptied, its garbage collected first or not."""

    def count() -> None:
        while True:
            time.sleep(0.2)
            if not Path(counts).stat().st_size:
                if collects:
                    gc.collect()
                Path(counts).write_text(f"{json.dumps(inside())}\n")

    Path(counts).write_text("{}\n")
    threading.Thread(target=count, daemon=True).start()
    sys.argv = ["vcond", "run", "--config", config]
    command()


class Soak:
    """The lines, what they brought, and what was seen of the daemon meanwhile."""

    def __init__(self, vcond: Running, counts: Path, chance: Random, longest: float) -> None:
        """``longest``: seconds of a call at most."""
        self._vcond, self._counts, self._chance = vcond, counts, chance
        self._pid = vcond.process._process.pid
        self._over = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self.samples: list[Sample] = []
        self.placed = self.valid = 0
        self._recording = demo_call()
        self._longest = min(longest, self._recording.seconds)

    def more(self, lines: int) -> None:
        self._workers += [asyncio.create_task(self._line(Random(self._chance.random()))) for _ in range(lines)]

    async def costs(self, settled: float) -> float:
        """Processor time of the daemon in a second, once the lines have gone on for ``settled`` seconds."""
        await asyncio.sleep(settled)
        before = self.cpu()
        await asyncio.sleep(LEARN)
        return (self.cpu() - before) / LEARN

    async def watch(self, seconds: float) -> None:
        """Samples for so long."""
        begun = time.monotonic()
        while (now := time.monotonic()) - begun < seconds:
            last = await self._sample(now - begun)
            self.samples.append(last)
            self.valid += await asyncio.to_thread(self._take)
            if len(self.samples) % SPOKEN == 0:
                print(f"{last.at / 60:.0f} minutes: {last.calls} calls, {last.memory:.1f} MB", flush=True)
            await asyncio.sleep(SAMPLE)

    async def end(self) -> None:
        """All hang up, and all that is left becomes vCons."""
        self._over.set()
        await asyncio.gather(*self._workers)
        journals = self._vcond.house.state / "journal"
        await self._vcond.until("status", lambda _: not list(journals.glob("*-*")))
        await self._vcond.until("outbox", lambda rows: not rows)
        self.valid += await asyncio.to_thread(self._take)

    def cpu(self) -> float:
        """Seconds of the daemon so far: proc_pid_stat(5), fields 14 and 15."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def dropped(self) -> dict[str, float]:
        """The counters of what was lost that are not 0."""
        url = (await self._vcond.ask("status"))["ops"]
        async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
            told = re.findall(r"^(vcond_dropped_total\{.*\}) (\S+)$", await answer.text(), re.MULTILINE)
        return {name: float(value) for name, value in told if float(value)}

    async def _sample(self, at: float) -> Sample:
        self._counts.write_text("")
        async with asyncio.timeout(LIMIT):
            while not (told := self._counts.read_text()).endswith("\n"):  # noqa: ASYNC110 - another process, which has no other way
                await asyncio.sleep(0.1)
        return Sample(at, *self._kernel(), self.cpu(), self.placed, json.loads(told))

    def _kernel(self) -> tuple[float, int]:
        """Megabytes and descriptors: proc_pid_status(5)."""
        told = Path(f"/proc/{self._pid}/status").read_text()
        lines = dict(line.split(":", 1) for line in told.splitlines())
        return int(lines["RssAnon"].split()[0]) / 1024, sum(1 for _ in Path(f"/proc/{self._pid}/fd").iterdir())

    def _take(self) -> int:
        files = sorted(self._vcond.house.vcons.glob("*.vcon.json"))
        for file in files:
            assert [one for one in validate(read(file.read_bytes())) if one.level == "error"] == []
            file.unlink()
        return len(files)

    async def _line(self, chance: Random) -> None:
        await self._pause(chance.uniform(0, self._longest))
        while not self._over.is_set():
            self.placed += 1
            await self._call(self._recording, round(chance.uniform(SHORTEST, 1) * self._longest / FRAME))
            await self._pause(chance.uniform(0, 1))

    async def _call(self, recording: Recording, frames: int) -> None:
        sids = Sids()
        url = f"{self._vcond.base.replace('http', 'ws')}/twilio/stream/{TOKEN}"
        async with connect(url, compression=None, proxy=None) as socket:
            for message in opening(recording, sids):
                await socket.send(message)
            begun = time.monotonic()
            for number, messages in enumerate(_cut(recording, sids, frames)):
                for message in messages:
                    await socket.send(message)
                if self._over.is_set():
                    break
                await asyncio.sleep(max(0.0, begun + number * FRAME - time.monotonic()))
            await socket.send(_stop(sids))
            await socket.wait_closed()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()


def _cut(recording: Recording, sids: Sids, frames: int) -> Iterator[list[str]]:
    return itertools.islice(steps(recording, sids), min(frames, recording.frames))


def _stop(sids: Sids) -> str:
    body = {"accountSid": sids.account, "callSid": sids.call}
    return json.dumps({"event": "stop", "sequenceNumber": "0", "streamSid": sids.stream, "stop": body})


async def soak(minutes: float, share: float, longest: float, seed: int, *, collects: bool) -> bool:
    """Print what was seen; whether it is good."""
    with tempfile.TemporaryDirectory(prefix="vcond-soak-") as folder:
        root, counts = Path(folder), Path(folder) / "tasks"
        house = House(root, grace=0, command_line=(sys.executable, __file__, "serve", str(counts), str(collects)))
        async with house.running() as vcond:
            one = Soak(vcond, counts, Random(seed), longest)
            one.more(FIRST)
            lines = FIRST
            for _ in range(ROUNDS):  # a line costs less the more there are
                used = await one.costs(longest)
                print(f"{lines} lines: {used:.2f} of a core", flush=True)
                more = int(lines * (share / used - 1))
                one.more(more)
                lines += max(0, more)
            await one.watch(minutes * 60)
            used = (one.samples[-1].cpu - one.samples[0].cpu) / max(SAMPLE, one.samples[-1].at)
            await one.end()
            dropped = await one.dropped()
    return told(one, lines, used, dropped, minutes)


def told(one: Soak, lines: int, used: float, dropped: dict[str, float], minutes: float) -> bool:
    """Print it."""
    kept = one.samples[len(one.samples) // 4 :]
    slope = statistics.linear_regression([s.at for s in kept], [s.memory for s in kept]).slope * 3600
    last = kept[-1]
    print(
        f"{one.placed} calls on {lines} lines in {minutes:g} minutes, {used:.2f} of a core: {one.valid} vCons, all valid"
    )
    parts = list(_quarters(one.samples))
    quarters = ", ".join(f"{statistics.fmean(s.memory for s in some):.1f}" for some in parts)
    print(f"memory of each quarter {quarters} MB: {slope:+.2f} MB an hour (goal {GROWTH:g})")
    half = one.samples[len(one.samples) // 2 :]
    each = statistics.linear_regression([s.calls for s in half], [s.memory for s in half]).slope * 1000
    print(f"in the second half {each:+.2f} kB a call, {half[-1].calls - half[0].calls} calls")
    for name in sorted(last.inside):
        print(f"  {name:8} " + ", ".join(f"{statistics.fmean(s.inside[name] for s in some):.2f}" for some in parts))
    most = ", ".join(str(max(s.descriptors for s in some)) for some in parts)
    print(f"descriptors at most in each quarter {most}, at the end {last.descriptors}")
    print(f"dropped: {dropped or 'nothing'}", flush=True)
    return one.valid == one.placed and not dropped and (minutes < JUDGED or slope <= GROWTH)


def _quarters(samples: list[Sample]) -> list[list[Sample]]:
    each = max(1, len(samples) // 4)
    return [samples[at : at + each] for at in range(0, each * 4, each) if samples[at : at + each]]


def main() -> int:
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[4], sys.argv[2], collects=sys.argv[3] == "True")
    words: Any = argparse.ArgumentParser()
    words.add_argument("--minutes", type=float, default=3)
    words.add_argument("--share", type=float, default=0.6)
    words.add_argument("--longest", type=float, default=45)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--collect", action="store_true")
    asked = words.parse_args()
    return 0 if asyncio.run(soak(asked.minutes, asked.share, asked.longest, asked.seed, collects=asked.collect)) else 1


if __name__ == "__main__":
    sys.exit(main())
