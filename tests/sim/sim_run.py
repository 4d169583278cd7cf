"""A day of 1,000 edges with 100 calls each, and how many workers so many calls at once need: tables, and docs/speech-pool.svg.

    python tests/sim/sim_run.py [--edges 1000] [--calls 100] [--seed 1] [--pools few,rule,kills,nights]

A day takes some 40 s of one processor for each pool. The same seed gives the same figures. Pools: ``few`` (5 % less than the busiest
quarter of an hour takes), ``rule``, ``kills`` (a server killed each quarter of an hour, NATS away for a minute at half past ten), ``nights``
(servers that an hour does not need are stopped).
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from sim_load import DAY, OFFICE, Load, at_once, office
from sim_picture import Axis, Line, drawn, panel
from sim_pool import Fault, Outcome, Pool, simulate

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "speech-pool.svg"
HOUR = 3600
EACH = 0.02
"""Seconds that an utterance takes of a server beside its engine."""
AT_ONCE = (10, 20, 50, 100, 200, 500)
LATE = 5.0
"""Seconds: 95 of 100 texts have to be there."""
HEAD = f"| {'workers':34} | p50 s | p95 s | p99 s | longest s | deepest | worker hours |"


def needed(load: float) -> int:
    """The rule: workers for so many that are busy on the average."""
    return math.ceil(load + math.sqrt(load)) + 1


def faults(servers: int) -> Iterator[Fault]:
    """A server killed every quarter of an hour, back after half a minute, and NATS away for a minute in the busiest hour."""
    for number in range(4 * 24):
        yield Fault(number * HOUR / 4 + 450, "kill", 30, number * 7 % servers)
    yield Fault(10.5 * HOUR, "nats", 60)


def nights(servers: int, busiest: float) -> Iterator[Fault]:
    """Servers that are stopped in hours that need fewer."""
    for number in range(servers):
        wanted = [needed(busiest * part / max(OFFICE)) > number for part in OFFICE]
        hour = 0
        while hour < len(OFFICE):
            off = hour
            while hour < len(OFFICE) and not wanted[hour]:
                hour += 1
            if hour > off:
                until = (hour - off) * HOUR - 60 if hour < len(OFFICE) else 0
                yield Fault(off * HOUR + 1, "stop", until, number)
            hour += 1


def row(name: str, out: Outcome) -> str:
    """Of the table of the day."""
    lags = out.lags()
    deepest = max(count for _, count in out.depth)
    return (
        f"| {name:34} | {lags['p50']:5.1f} | {lags['p95']:5.1f} | {lags['p99']:5.1f} | {lags['most']:9.0f} |"
        f" {deepest:7} | {out.server_hours:12.0f} |"
    )


def by_time(out: Outcome, share: float, every: float = 900) -> list[tuple[float, float]]:
    """A quantile of the lag of what ended in each quarter of an hour, by the hour."""
    part = (out.load.ready // every).astype(int)
    moments = range(min(int(DAY / every), int(part[-1]) + 1))
    return [
        ((n + 0.5) * every / HOUR, float(np.nanpercentile(out.lag[part == n], share)))
        for n in moments
        if (part == n).any()
    ]


def day(load: Load, pools: Sequence[str]) -> tuple[str, str]:
    """The day with several pools: their lags and what waits, drawn. The table is printed."""
    busiest = float(np.bincount((load.ready // 900).astype(int), weights=0.207 * load.seconds + EACH).max() / 900)
    enough = needed(busiest)
    few = math.floor(0.95 * busiest)
    print(
        f"{load.calls} calls, {len(load)} utterances; {busiest:.0f} workers are busy in the busiest quarter of an hour"
    )
    print(HEAD)
    lags, depths = [], []
    kinds: dict[str, tuple[str, int, tuple[Fault, ...]]] = {
        "few": (f"{few}: too few at noon", few, ()),
        "rule": (f"{enough}: by the rule", enough, ()),
        "kills": (f"{enough}, kills, NATS away", enough, tuple(faults(enough))),
        "nights": (f"{enough}, stopped at night", enough, tuple(nights(enough, busiest))),
    }
    for name, servers, happens in (kinds[pool] for pool in pools):
        begun = time.process_time()
        out = simulate(load, Pool(servers, each=EACH), happens)
        assert out.left == 0
        assert set(out.texts) == {1}
        print(row(name, out), f"{time.process_time() - begun:.0f} s of processor time", flush=True)
        lags.append(Line(name, by_time(out, 95)))
        depths.append(Line(name, [(at / HOUR, count + 1) for at, count in out.depth[::5] if at <= DAY]))
    hours = Axis("hour of the day", range(0, 25, 3))
    return (
        panel(0, "95 of 100 texts are there, seconds after the utterance", hours, Axis("", (1, 3, 10, 30, 100, 300, 1000, 3000), log=True), lags),
        panel(1, "utterances without a text", hours, Axis("", (1, 10, 100, 1000, 10_000, 100_000), log=True), depths),
    )  # fmt: skip


def size(seed: int) -> str:
    """Workers that so many calls at once need, found by trying, beside the rule. The table is printed."""
    print(f"\n| calls at once | workers busy | needed for p95 of {LATE:g} s | by the rule, and its p95 s |")
    found, ruled = [], []
    for calls in AT_ONCE:
        load = at_once(max(1, calls // 100), min(calls, 100), seconds=600, seed=seed)
        busy = float((0.207 * load.seconds + EACH).sum() / 600)
        least = math.ceil(busy)
        while simulate(load, Pool(least, each=EACH)).lags()["p95"] > LATE:
            least += max(1, least // 50)
        late = simulate(load, Pool(needed(busy), each=EACH)).lags()["p95"]
        print(f"| {calls} | {busy:.1f} | {least} | {needed(busy)}, {late:.1f} |", flush=True)
        found.append((float(calls), float(least)))
        ruled.append((float(calls), float(needed(busy))))
    names = (f"needed: p95 within {LATE:g} s", "by the rule")
    lines = [Line(name, points) for name, points in zip(names, (found, ruled), strict=True)]
    return panel(
        2,
        "workers",
        Axis("calls at once", AT_ONCE, log=True),
        Axis("", (2, 5, 10, 20, 50, 100, 200), log=True),
        lines,
    )


def main() -> int:
    """Print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--edges", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=100, help="of an edge, in a day")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pools", default="few,rule,kills,nights")
    given = parser.parse_args()
    sizes = size(given.seed)
    panels = [*day(office(given.edges, given.calls, seed=given.seed), given.pools.split(",")), sizes]
    PICTURE.write_text(drawn(panels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
