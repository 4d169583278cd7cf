"""What a two-track Twilio call takes of memory while it goes on, and what of that is left when it is over.

    python tests/bench/bench_twilio_memory.py [--calls 1000] [--at-once 50] [--seconds 3]

The server is that of ``bench_twilio.py`` with the daemon's journal on disk and no speech. Calls come in waves, in real time. Told are the
memory (RSS) that a wave takes, for each of its calls, and by how much the server without any call is larger at the end than after half of
the waves, for each call that there was between: until then it has what its allocator keeps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from typing import Any

import structlog
import uvloop
from bench_twilio import PATH, core, dial, frame, spoken
from rounds import one_round

from vcond.testing.memory import resident
from vcond_twilio import TwilioAdapter, TwilioConfig

GOAL = 300
"""kB a call, while it goes on."""
LEFT = 2.0
"""kB a call that may be left: of 1,000 calls, 2 MB."""
PAUSE = 1.0
"""Seconds between two waves, for the server to look at itself."""
LIMIT = 60.0
"""Seconds that all may take besides the calls."""


async def serve(waves: int, at_once: int, seconds: float) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    idle, busy = [], []

    async with core() as bench:

        async def until(calls: int) -> None:
            while len(bench.host.open_calls()) != calls:  # noqa: ASYNC110 - nothing that is measured is changed to tell us
                await asyncio.sleep(0.02)

        task = asyncio.create_task(TwilioAdapter(TwilioConfig(path=PATH, max_streams=10_000)).run(bench.host))
        await asyncio.sleep(0)
        print(bench.url, flush=True)
        for _ in range(waves):
            await until(at_once)
            await asyncio.sleep(0.8 * seconds)
            busy.append(resident() / 1024)
            await until(0)
            await asyncio.sleep(PAUSE / 2)
            idle.append(resident() / 1024)
        print(json.dumps({"idle": idle, "busy": busy}), flush=True)
        task.cancel()
        await asyncio.wait([task])


def send(url: str, waves: int, at_once: int, seconds: float) -> None:
    """The calls of each wave, 50 messages a second and track, then a stop from each."""
    payloads = spoken()
    for wave in range(waves):
        socks = [dial(url, wave * at_once + number) for number in range(at_once)]
        begun = time.monotonic()
        for tick in range(round(50 * seconds)):
            for half, track in enumerate(("inbound", "outbound")):
                text = (
                    f'{{"event":"media","sequenceNumber":"{2 * tick + half + 2}","media":{{"track":"{track}",'
                    f'"chunk":"{tick + 1}","timestamp":"{20 * tick}","payload":"{payloads[tick % len(payloads)]}"}}}}'
                )
                for sock in socks:
                    sock.sendall(frame(text.encode()))
            time.sleep(max(0.0, begun + 0.02 * (tick + 1) - time.monotonic()))
        for sock in socks:
            sock.sendall(frame(b'{"event":"stop"}'))
        for sock in socks:
            while sock.recv(4096):  # until the server has closed
                pass
            sock.close()
        time.sleep(PAUSE)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--calls", type=int, default=1000)
    arguments.add_argument("--at-once", type=int, default=50)
    arguments.add_argument("--seconds", type=float, default=3)
    given = arguments.parse_args()
    waves = max(given.calls // given.at_once, 4)
    asked = [str(waves), str(given.at_once), str(given.seconds)]
    said: Any = one_round(
        __file__, ["server", *asked], ["client", *asked], limit=LIMIT + waves * 4 * (given.seconds + PAUSE)
    )
    idle, busy = said["idle"], said["busy"]
    taken = statistics.median(most - before for most, before in zip(busy[1:], idle, strict=False)) / given.at_once
    peak = (max(busy) - idle[0]) / given.at_once
    grown, between = idle[-1] - idle[waves // 2], (waves - 1 - waves // 2) * given.at_once
    left = grown / between
    print(f"{waves * given.at_once} two-track calls of {given.seconds:g} s, {given.at_once} at once")
    print(
        f"while it goes on, a call takes {taken:.0f} kB more than the server had before it, {peak:.0f} kB more than at first (goal: {GOAL})"
    )
    print(
        f"over the last {between} calls the server without a call grew by {grown:.0f} kB, {left:.2f} kB a call (goal: {LEFT:g})"
    )
    print(f"without a call, MB after each wave: {' '.join(f'{one / 1000:.1f}' for one in idle)}")
    return int(peak > GOAL or left > LEFT)


if __name__ == "__main__":
    if len(sys.argv) >= 5 and sys.argv[1] == "server":
        uvloop.run(serve(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
    elif len(sys.argv) == 6 and sys.argv[1] == "client":
        send(sys.argv[5], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        sys.exit(main())
