"""Twenty calls at the same time through a real Asterisk and `vcond run`, and what they cost."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.peer
CALLS = 20
SECONDS = 2.5
MOST = 1.0
"""Seconds that may be lost of a party: the PBX sets up and ends twenty calls at once."""


async def test_twenty_calls_at_once_are_twenty_vcons(site, judge):
    numbers = [f"{site.number[:-4]}{5000 + i}" for i in range(CALLS)]
    seeds = {number: (10 + 2 * i, 11 + 2 * i) for i, number in enumerate(numbers)}
    async with site.running() as vcond:
        pid = vcond.process._process.pid
        idle, began = cpu(pid), time.perf_counter()
        calls = await asyncio.gather(*(site.talking(vcond, number=number) for number in numbers))
        placed, spent = time.perf_counter() - began, cpu(pid) - idle
        print(f"\n{CALLS} calls placed, answered and tapped in {placed:.2f} s, {spent:.2f} CPU seconds of vcond")
        talking, began = cpu(pid), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, (caller, agent, _) in zip(numbers, calls, strict=True):
                first, second = seeds[number]
                group.create_task(site.say(**{f"v{first}": caller, f"v{second}": agent}))
        spent, wall = cpu(pid) - talking, time.perf_counter() - began
        print(f"{wall:.2f} s of talk: {spent:.2f} CPU seconds of vcond, {spent / wall:.0%} of one core")
        ending, began = cpu(pid), time.perf_counter()
        for caller, _, _ in calls:
            await caller.hang_up()
        documents = await vcond.delivered(CALLS)
        done, spent = time.perf_counter() - began, cpu(pid) - ending
        print(f"{CALLS} vCons in {done:.2f} s after the first hung up, {spent:.2f} CPU seconds of vcond")
        print(f"vcond in all: {cpu(pid):.2f} CPU seconds, {idle:.2f} of them to start; at most {peak_mb(pid)} MB")
        await site.nothing_left()
    assert {document["uuid"] for document in documents} == {uuid for _, _, uuid in calls}
    voices, other, lost = [], 0.0, 0.0
    for document in documents:
        record = judge(document)
        first, second = seeds[document["parties"][0]["tel"]]
        own, others = record.check_voices({0: [first], 1: [second]}, SECONDS)
        voices.append(own)
        other = max(other, others)
        lost = max(lost, record.check_whole(MOST))
        record.check_lengths()
    print(f"worst correlation with the own voice {min(voices):.3f}, best with the other one {other:.3f}")
    print(f"lost of a party at most {lost:.2f} s")


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
