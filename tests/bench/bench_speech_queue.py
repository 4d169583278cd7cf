"""Speech on other machines, with a real nats-server and ``vcond speech serve`` processes.

    python tests/bench/bench_speech_queue.py [--only two,lag,cost] [--engine whisper] [--model FOLDER]

- ``two``: a pile of utterances through one server and through two, whose engine waits instead of computing: two have to be
  1.8 times as fast. What is left over is what the way costs.
- ``lag``: 20 calls' utterances (tests/sim/sim_load.py) through two servers, and the same through the simulation of them
  (tests/sim/sim_pool.py): the lag of texts beside each other.
- ``cost``: the demo's call, three times, through a real engine: in workers of this machine, and through the queue by one
  server. The CPU of this machine, where texts come from elsewhere, has to be a tenth at most of what it is with the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
from speech_cost import EDGE_GOAL, cpu, heard, here, since
from speech_servers import House, edge, played

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sim"))

from sim_load import at_once
from sim_pool import Pool, simulate

from vcond.demo.call import demo_call

PILE, EACH, FACTOR = 60, 7.0, 0.05
"""Utterances, seconds of each, seconds a second of audio takes."""
SLOW = 0.08
"""The same where lags are compared: two servers have something to do then."""
GOAL = 1.8
"""Times the speed of one server."""
CALLS = 3
"""Of the demo, whose CPU is measured."""


def waits(factor: float) -> str:
    """``[speech]`` of a server whose engine waits for so many seconds a second of audio."""
    return f'engine = "speech_waits:Waits"\nmodel = "{factor}"\nworkers = 1\nnice = 0'


def say(text: str) -> None:
    """One line, at once."""
    print(text, flush=True)


def row(name: str, lags: list[float]) -> str:
    """Of a table of lags."""
    half, most, nearly, longest = np.percentile(lags, [50, 95, 99, 100])
    return f"{name:24} {len(lags):6} {half:7.2f} {most:7.2f} {nearly:7.2f} {longest:7.2f}"


HEAD = f"{'lag of texts, s':24} {'texts':>6} {'p50':>7} {'p95':>7} {'p99':>7} {'most':>7}"


async def pile(servers: int) -> tuple[float, float]:
    """Seconds for all of a pile, and for the way there and back of one whose engine takes no time."""
    with tempfile.TemporaryDirectory(prefix="vcq-") as folder:
        async with House(Path(folder), waits(FACTOR)).running(servers) as house, edge(house) as speech:
            way = min(await played(speech, [0.5 * n for n in range(12)], [0.1] * 12, [1000] * 12)) - 0.1 * FACTOR
            begun = time.monotonic()
            lags = await played(speech, [0.0] * PILE, [EACH] * PILE, [n % 10 for n in range(PILE)])
            assert len(lags) == PILE
            return time.monotonic() - begun - 0.5, way


async def two() -> bool:
    """Whether two servers do what they should."""
    (one, way), (both, _) = await pile(1), await pile(2)
    say(
        f"{PILE} utterances of {EACH:g} s, {EACH * FACTOR:.2f} s of waiting each: one server {one:.2f} s, two {both:.2f} s: {one / both:.2f} times (goal {GOAL})"
    )
    say(
        f"beside the waiting an utterance takes {1000 * (one / PILE - EACH * FACTOR):.0f} ms of a server in a row, and {1000 * way:.0f} ms alone, there and back"
    )
    return one / both >= GOAL


async def lag() -> bool:
    """Whether half of the texts, and 95 of 100, come as late as the simulation says, within a quarter."""
    load = at_once(1, 20, seconds=60, seed=7)
    with tempfile.TemporaryDirectory(prefix="vcq-") as folder:
        async with House(Path(folder), waits(SLOW)).running(2) as house, edge(house) as speech:
            await played(speech, [0.0] * 4, [0.2] * 4, [1000] * 4)
            real = await played(speech, load.ready.tolist(), load.seconds.tolist(), load.call.tolist())
    found = simulate(load, Pool(2, rtf=SLOW, each=0.02)).lag.tolist()
    say(HEAD)
    say(row(f"real, {SLOW * load.seconds.sum() / 60 / 2:.0%} busy", real))
    say(row("simulated", found))
    both = (np.percentile(lags, [50, 95]) for lags in (real, found))
    return all(0.75 < a / b < 1.33 for a, b in zip(*both, strict=True))


async def cost(engine: str, model: str) -> bool:
    """Whether texts of other machines cost this one little."""
    own, seconds, words = await here(engine, model, CALLS)
    with tempfile.TemporaryDirectory(prefix="vcq-") as folder:
        server = f'engine = "{engine}"\nmodel = "{model}"\nworkers = 1\nnice = 0'
        async with House(Path(folder), server).running(1) as house, edge(house) as speech:
            await heard(speech, 1, "warm")
            me, them, nats = [os.getpid()], [one.pid for one in house.servers.values()], [house.nats.process.pid]
            others = set(cpu([*them, *nats]))
            before = [{pid: used for pid, used in cpu(me).items() if pid not in others}, cpu(them), cpu(nats)]
            _, elsewhere = await heard(speech, CALLS, "call")
            after = [{pid: used for pid, used in cpu(me).items() if pid not in others}, cpu(them), cpu(nats)]
    here_now, there, between = (since(a, b) for a, b in zip(before, after, strict=True))
    turns = CALLS * len(demo_call().turns)
    say(
        f"{turns} utterances, {seconds:.0f} s of speech, {words} words here, {elsewhere} elsewhere; CPU ms an utterance:"
    )
    say(f"  engine here          {1000 * own / turns:7.1f}")
    say(f"  asked elsewhere      {1000 * here_now / turns:7.1f}  = {here_now / own:.1%} (goal {EDGE_GOAL:.0%})")
    say(f"  the server           {1000 * there / turns:7.1f}")
    say(f"  nats-server          {1000 * between / turns:7.1f}")
    return here_now <= EDGE_GOAL * own


PARTS: dict[str, Callable[..., Coroutine[Any, Any, bool]]] = {"two": two, "lag": lag, "cost": cost}


def main() -> int:
    """Exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--engine", default="whisper")
    parser.add_argument("--model", default="")
    told = parser.parse_args()
    names = told.only.split(",")
    missing = "" if shutil.which("nats-server") else "no nats-server: apt-get install nats-server"
    if missing:
        print(f"skipped: {missing}")
        return 0
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    more = {"cost": (told.engine, told.model)}
    fine = [asyncio.run(PARTS[name](*more.get(name, ()))) for name in names]
    return int(not all(fine))


if __name__ == "__main__":
    sys.exit(main())
