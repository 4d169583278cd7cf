"""As many RTP legs as are asked for on one core, captured for minutes: is anything lost that the kernel delivered?

    python tests/bench/bench_rtp_capacity.py [--legs 1200] [--seconds 300]

The way of ``bench_rtp.py``: ports, receiver, the core's tracks, the journal on disk, no speech; vcond on one core, the generator on another.
A packet that vcond misses by its number must be one that the kernel dropped before the socket (``drops`` of ``/proc/net/udp``). Told are
packets placed and due, what was missed, what the kernel dropped, CPU. It needs a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

import structlog
from bench_rtp import WARM_UP, receiving, send
from deaf_registry import deaf_registry, placed
from rounds import one_round

from vcond.media.rtp.ports import RtpPorts

LIMIT = 120.0
PACE = 0.98
"""The part of the packets that the generator has to bring: else it is no measurement."""


def dropped(ports: set[int]) -> int:
    """Packets that the kernel dropped before these sockets (proc(5), ``/proc/net/udp``)."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if int(row[1].rpartition(":")[2], 16) in ports)


async def serve(legs: int, seconds: float) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    async with deaf_registry() as registry, RtpPorts(registry.clock, ports=(0, 0)) as ports:
        made = [await ports.open(one) for one in receiving(registry, legs)]
        print(json.dumps([sock.address[1] for sock in made]), flush=True)
        while placed(registry) < legs * 50:  # noqa: ASYNC110 - nothing in the way of a packet may be changed to tell us
            await asyncio.sleep(0.05)
        await asyncio.sleep(WARM_UP)
        count, cpu, wall = placed(registry), time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        count, cpu, wall = placed(registry) - count, time.process_time() - cpu, time.monotonic() - wall
        missed = sum(sock.receiver.stats.lost for sock in made)
        overflow = sum(sock.receiver.stats.overflow for sock in made)
        kernel = dropped({sock.address[1] for sock in made})
        said = {"packets": count, "cpu": cpu, "wall": wall, "missed": missed, "overflow": overflow, "kernel": kernel}
        print(json.dumps(said), flush=True)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--legs", type=int, default=1200)
    arguments.add_argument("--seconds", type=float, default=300)
    given = arguments.parse_args()
    server = ["server", str(given.legs), str(given.seconds)]
    said = one_round(__file__, server, ["client", str(given.legs)], limit=LIMIT + given.seconds)
    due = 50 * given.legs * said["wall"]
    print(f"{given.legs} legs for {said['wall']:.0f} s on one core: CPU {said['cpu'] / said['wall']:.0%}")
    print(f"placed {said['packets']:.0f} of {due:.0f} packets ({said['packets'] / due:.1%})")
    print(f"missed {said['missed']:.0f}, dropped by the kernel {said['kernel']:.0f}, by vcond {said['overflow']:.0f}")
    if said["packets"] < PACE * due:
        print("the generator did not keep the pace, or vcond fell behind: nothing is shown by this run")
    return int(said["packets"] < PACE * due or said["missed"] > said["kernel"] or said["overflow"] > 0)


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "server":
        asyncio.run(serve(int(sys.argv[2]), float(sys.argv[3])))
    elif len(sys.argv) == 4 and sys.argv[1] == "client":
        send(json.loads(sys.argv[3]), encrypted=False)
    else:
        sys.exit(main())
