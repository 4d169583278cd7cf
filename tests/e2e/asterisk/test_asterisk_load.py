"""Twenty calls at the same time on a real Asterisk, and what they cost."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.peer
CALLS = 20


async def test_twenty_calls_at_once(house):
    numbers = [f"{house.number[:-4]}{5000 + i}" for i in range(CALLS)]
    seeds = {number: (10 + 2 * i, 11 + 2 * i) for i, number in enumerate(numbers)}

    async def connect(number: str):
        caller = await house.farm.dial("200", number)
        agent = await house.farm.ringing("agent", number)
        await agent.answer()
        await caller.up()
        return caller, agent

    began = time.perf_counter()
    pairs = dict(zip(numbers, await asyncio.gather(*(connect(number) for number in numbers)), strict=True))
    await house.until(lambda: sum(house.tracks(call) for call in house.host.calls) == 2 * CALLS, "all tracks")
    print(f"\n{CALLS} calls placed, answered and tapped in {time.perf_counter() - began:.2f} s")

    ours, theirs, wall = _cpu(), _cpu_of(house.bed.pbx.process.pid), time.perf_counter()
    await asyncio.gather(
        *(house.say(**{f"v{seeds[n][0]}": pairs[n][0], f"v{seeds[n][1]}": pairs[n][1]}) for n in numbers)
    )
    spent = time.perf_counter() - wall
    print(
        f"CPU of one core while {CALLS} calls talk: vcond's adapter with host and test {(_cpu() - ours) / spent:.0%},"
        f" Asterisk {(_cpu_of(house.bed.pbx.process.pid) - theirs) / spent:.0%},"
        f" memory of both {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB,"
        f" {_rss_of(house.bed.pbx.process.pid)} MB"
    )
    for caller, _ in pairs.values():
        await caller.hang_up()
    await house.until(lambda: all(call.over for call in house.host.calls), "the end of all calls")
    assert len(house.host.calls) == CALLS
    worst, other = 1.0, 0.0
    for call in house.host.calls:
        number = call.state.parties[0].who.tel
        house.check_lengths(call, parties=2)
        for party in (0, 1):
            worst = min(worst, house.heard(call, party, seeds[number][party]))
            other = max(other, house.heard(call, party, seeds[number][1 - party]))
    print(f"worst correlation with the own voice {worst:.3f}, best with the other one {other:.3f}")
    assert worst >= house.least
    assert other <= 0.2
    assert not house.host.drops


def _cpu() -> float:
    times = os.times()
    return times.user + times.system


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))
