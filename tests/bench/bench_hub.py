"""Many edges at one hub: ``python tests/bench/bench_hub.py [MINUTES] [EDGES] [A SECOND]``.

A real ``vcond hub``; so many edges, each with its own connection, bring so many vCons of 20 kB a second, and one edge one of 30 MB every ten
seconds. What is not answered with 204 is brought again, as an edge does. Every second the memory of the hub is read. At the end each vCon
is asked for and compared. Prints what got lost (must be 0), the times to an answer, and the memory by quarters of the run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e" / "daemon"))

from hub_house import KEY, HubHouse, RunningHub

SMALL: Final = 20_000
LARGE: Final = 30_000_000
EVERY: Final = 10.0
"""Seconds between two large ones."""
ASKED: Final = 100
"""One of so many is asked for at the end; of the others the files are read."""
AGAIN: Final = 1.0
"""Seconds before something is brought again."""


@dataclass
class Figures:
    """Of a run."""

    sent: dict[str, bytes] = field(default_factory=dict)
    """By uuid, the SHA-256 of what was answered with 204."""
    took: list[float] = field(default_factory=list)
    large: list[float] = field(default_factory=list)
    again: int = 0
    memory: list[tuple[float, int]] = field(default_factory=list)


def body(number: int, size: int) -> tuple[str, bytes]:
    uuid = f"019b8d1a-0000-8000-8000-{number:012x}"
    dialog = {"type": "recording", "start": "2026-11-30T12:00:00Z", "parties": [0, 1], "encoding": "base64url",
              "mediatype": "audio/x-wav", "body": "A" * size}  # fmt: skip
    parties = [
        {"tel": f"+1212{number % 10_000_000:07}"},
        {"sip": "1001@pbx.example.com", "name": f"Agent {number % 50}"},
    ]
    document = {"vcon": "0.4.0", "uuid": uuid, "created_at": "2026-11-30T12:00:00Z", "parties": parties,
                "dialog": [dialog]}  # fmt: skip
    return uuid, json.dumps(document).encode()


class Edges:
    """Who brings."""

    def __init__(self, hub: RunningHub, figures: Figures) -> None:
        self._url = f"{hub.house.url}/api/vcon/external-ingress?ingress_list=edge"
        self._figures = figures
        self._number = 0

    def next(self, size: int) -> tuple[str, bytes]:
        self._number += 1
        return body(self._number, size)

    async def bring(self, session: aiohttp.ClientSession, size: int, into: list[float]) -> None:
        """Until it is answered with 204."""
        uuid, sent = self.next(size)
        headers = {"x-conserver-api-token": KEY, "Content-Type": "application/json"}
        began = time.monotonic()
        while True:
            try:
                async with session.post(self._url, data=sent, headers=headers) as answer:
                    if answer.status == 204:
                        break
            except aiohttp.ClientError:
                pass
            self._figures.again += 1
            await asyncio.sleep(AGAIN)
        into.append(time.monotonic() - began)
        self._figures.sent[uuid] = hashlib.sha256(sent).digest()

    async def edge(self, number: int, edges: int, rate: float, until: float) -> None:
        """One of them; they begin one after another."""
        pause = edges / rate
        due = time.monotonic() + pause * number / edges
        async with aiohttp.ClientSession() as session:
            while due < until:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self.bring(session, SMALL, self._figures.took)
                due += pause

    async def large(self, until: float) -> None:
        async with aiohttp.ClientSession() as session:
            due = time.monotonic()
            while due < until:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self.bring(session, LARGE, self._figures.large)
                due += EVERY


async def watched(pid: int, figures: Figures) -> None:
    began = time.monotonic()
    while True:
        status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240 - no disk
        kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        figures.memory.append((time.monotonic() - began, kib // 1024))
        await asyncio.sleep(1)


def pid_of(hub: RunningHub) -> int:
    """The process itself: setpriv(1) becomes it."""
    return hub.process._process.pid


async def lost(hub: RunningHub, figures: Figures) -> int:
    """How many of those that were answered with 204 are not listed, or not on the disk as they were; some are asked for, too."""
    listed: set[str] = set()
    for page in range(1, len(figures.sent) // 1000 + 2):
        listed |= set(json.loads((await hub.ask("GET", f"/vcon?size=1000&page={page}"))[1]))
    missing = 0
    for number, (uuid, digest) in enumerate(figures.sent.items()):
        path = hub.house.state / "outbox" / "kept" / f"{uuid}.vcon.json"
        got = path.read_bytes() if path.exists() else b""
        if number % ASKED == 0:
            got = (await hub.ask("GET", f"/vcon/{uuid}"))[1]
        missing += uuid not in listed or hashlib.sha256(got).digest() != digest
    return missing


async def main(minutes: float, edges: int, rate: float) -> None:
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="vcond-") as folder:
        house = HubHouse(Path(folder) / "hub", Path(folder))
        async with house.running() as hub:
            bringing = Edges(hub, figures)
            watch = asyncio.create_task(watched(pid_of(hub), figures))
            until = time.monotonic() + minutes * 60
            began = time.monotonic()
            jobs = [bringing.edge(number, edges, rate, until) for number in range(edges)]
            await asyncio.gather(bringing.large(until), *jobs)
            seconds = time.monotonic() - began
            watch.cancel()
            print(
                f"{len(figures.took)} of 20 kB and {len(figures.large)} of 30 MB from {edges} edges in {seconds:.0f} s, {figures.again} tries in vain"
            )
            for name, took in (("20 kB", figures.took), ("30 MB", figures.large)):
                times = sorted(took)
                print(
                    f"time to 204, {name}: median {statistics.median(times):.3f} s, 99 % {times[len(times) * 99 // 100]:.3f} s, most {times[-1]:.3f} s"
                )
            quarter = len(figures.memory) // 4 or 1
            for start in range(0, len(figures.memory), quarter):
                some = [mib for _, mib in figures.memory[start : start + quarter]]
                print(
                    f"memory from {figures.memory[start][0]:.0f} s on: median {statistics.median(some):.0f} MiB, most {max(some)} MiB"
                )
            await hub.kill()
        async with house.running() as hub:
            print(f"lost after kill -9 and a start: {await lost(hub, figures)} of {len(figures.sent)}")


if __name__ == "__main__":
    given = [float(one) for one in sys.argv[1:]]
    minutes, edges, rate = [*given, *(2.0, 200.0, 50.0)[len(given) :]]
    asyncio.run(main(minutes, round(edges), rate))
