"""How long a search among 100,000 records takes by HTTP, and how much memory 10,000 records take that are listed.

    python tests/bench/bench_search.py [--vcons 100000] [--listed 10000] [--rounds 50] [--state FOLDER]

A daemon's parts, without its adapters, in a process of their own. Every record is in the outbox and in the index of words, with 550 different
words each, as in ten minutes of talk; their files are one file under many names. What counts is the time from a question to the end of its
answer. Memory: what the process has resident when all records were listed, page by page, less that of one with a single record.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import aiohttp
import structlog

HERE = Path(__file__).resolve().parent
GOAL_MS, GOAL_MB = 200.0, 20.0
"""Of the 95th of a hundred searches; beyond a daemon with one record."""
EVERY = 5000
"""Of so many vCons one has the word ``seldom``."""
PAGE = 500
SEARCHES: dict[str, dict[str, Any]] = {
    "a word of one": {"words": "oldest"},
    "a word of one in 5,000": {"words": "seldom"},
    "a word that all have": {"words": "support"},
    "two words, of which one has both": {"words": "support oldest"},
    "a word that none has": {"words": "nobody"},
    "a number that nobody has": {"of": "+12125550143"},
}


# The server.


def _said(document: dict[str, Any], number: int, words: str) -> None:
    document["uuid"] = f"019f155a-5131-80ec-832a-{number:012x}"
    document["analysis"][0]["body"]["segments"][0]["text"] += f" {words}"


async def fill(folder: Path, vcons: int) -> None:
    """A state folder of so many: the first has a word of its own, the others are as the second."""
    from api_kit import daemon
    from bench_records import _fill
    from long_kit import like

    from vcond.records.words import BLOCK, Words

    ranks = range(1, 50_001)
    often = list(itertools.accumulate(1 / rank for rank in ranks))
    chance = random.Random(1)
    talks = [{f"word{rank}" for rank in chance.choices(ranks, cum_weights=often, k=900)} for _ in range(300)]
    async with daemon(folder) as one:
        await one.vcon("plain", lambda document: _said(document, 1, "oldest"))
        if vcons > 1:
            second = await one.vcon("plain", lambda document: _said(document, 2, "seldom"))
            await one.parts.outbox.tell("fill", like(vcons - 2))
            pending = one.parts.outbox.root / "pending"
            rows = await one.parts.outbox.tell(
                "read", lambda db: db.execute("SELECT seq, uuid FROM delivery_vcons ORDER BY seq").fetchall()
            )
            for _, uuid in rows[2:]:
                os.link(pending / f"{second}.vcon.json", pending / f"{uuid}.vcon.json")
            for block, found in itertools.groupby(enumerate(rows), lambda row: row[1][0] // BLOCK):
                some = [Words(seq, uuid, _words(place) | talks[place % len(talks)]) for place, (seq, uuid) in found]
                await one.parts.words._call(lambda index: _fill(index, block, some))  # noqa: B023 - it has run when the loop goes on


def _words(place: int) -> frozenset[str]:
    return frozenset({"support", "oldest" if place == 0 else "seldom" if place % EVERY == 1 else "all"})


async def serve(folder: Path) -> None:
    """Print where it is, and answer until it is stopped."""
    from api_kit import daemon

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    async with daemon(folder) as one:
        for _ in range(2):  # as a daemon does every five seconds: from the second time on it knows how many lack words
            await one.parts.words.follow(rest=0)
        tokens = [await one.token("read", name=f"bench {number}") for number in range(8)]  # each has a pace
        print(json.dumps([one.parts.api.base_url, tokens]), flush=True)
        await asyncio.Event().wait()


# The client.


class Server:
    """One that answers until the end of the block."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "serve", str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url, tokens = json.loads(self._process.stdout.readline())
        self._tokens = itertools.cycle(tokens)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def memory(self) -> float:
        """MB that are resident."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1000

    @property
    def busy(self) -> float:
        """Seconds of processor time that it has taken."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def ask(self, client: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {next(self._tokens)}"}
        async with client.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.read()
            return await answer.json()


async def search(folder: Path, rounds: int) -> bool:
    """Whether all are as quick as they should be."""
    well = True
    with Server(folder) as server:
        async with aiohttp.ClientSession() as client:
            for name, question in SEARCHES.items():
                times: list[float] = []
                busy = server.busy
                for _ in range(rounds):
                    began = time.perf_counter()
                    found = await server.ask(client, "POST", "/search", question)
                    times.append((time.perf_counter() - began) * 1e3)
                assert not found["unread"], found
                assert not found["unindexed"], found
                late = sorted(times)[math.ceil(0.95 * rounds) - 1]
                well &= late <= GOAL_MS
                print(
                    f"{name:34} {len(found['vcons']):3} shown, p50 {statistics.median(times):6.1f} ms, p95 {late:6.1f} ms,"
                    f" {(server.busy - busy) / rounds * 1e3:6.1f} ms of CPU"
                )
    return well


async def listed(folder: Path, vcons: int) -> float:
    """MB that are resident when all were listed."""
    with Server(folder) as server:
        async with aiohttp.ClientSession() as client:
            last, count = "", 0
            while rows := await server.ask(client, "GET", f"/vcons?limit={PAGE}{last and f'&before={last}'}"):
                last, count = rows[-1]["uuid"], count + len(rows)
            assert count == vcons
            return server.memory


def main() -> int:
    """Whether all is as it should be, as an exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vcons", type=int, default=100_000, help="0 = no search")
    parser.add_argument("--listed", type=int, default=10_000, help="0 = memory is not measured")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--state", default="", help="a folder that is kept, and filled when it is not there yet")
    given, well = parser.parse_args(), True
    if given.vcons:
        with tempfile.TemporaryDirectory(prefix="vcond-bench-", dir="/dev/shm") as made:
            folder = Path(given.state or made)
            if not (folder / "state").exists():
                folder.mkdir(parents=True, exist_ok=True)
                _filled(folder, given.vcons)
            well &= asyncio.run(search(folder, given.rounds))
    if given.listed:
        taken = []
        for count in (1, given.listed):
            with tempfile.TemporaryDirectory(prefix="vcond-bench-", dir="/dev/shm") as made:
                _filled(Path(made), count)
                taken.append(asyncio.run(listed(Path(made), count)))
        print(
            f"{given.listed} records listed: {taken[1]:.1f} MB, with one {taken[0]:.1f} MB: {taken[1] - taken[0]:+.1f} MB"
        )
        well &= taken[1] - taken[0] <= GOAL_MB
    return int(not well)


def _filled(folder: Path, count: int) -> None:
    """In a process of its own, whose memory is gone then."""
    subprocess.run([sys.executable, __file__, "fill", str(folder), str(count)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent / "unit" / "server"), str(HERE.parent / "e2e" / "page"), str(HERE)]
    if sys.argv[1:2] == ["fill"]:
        asyncio.run(fill(Path(sys.argv[2]), int(sys.argv[3])))
    elif sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
    else:
        sys.exit(main())
