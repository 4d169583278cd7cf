"""As many two-track Twilio calls as a bare server's core could nearly decode, captured for minutes: is anything lost, does anything wait?

    python tests/bench/bench_twilio_capacity.py [--share 0.8] [--seconds 300]

First the bare server of ``bench_twilio.py`` says what a message costs it, and so how many calls a core of it holds. Then vcond, journal on
disk and no speech, has ``share`` of them on one core, the generator on another. Told are frames that were placed and that should have been,
what was lost or counted as dropped, and how late the loop came to what was due (each 10 ms). It needs a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

import structlog
import uvloop
from bench_twilio import PATH, WARM_UP, core, measured, send
from rounds import one_round

from vcond.app.daemon import lasting
from vcond.sdk.contract import SpanKind
from vcond_twilio import TwilioAdapter, TwilioConfig

STEP = 0.01
GOAL = 0.05
"""Seconds that 99 of 100 moments may be late."""
PACE = 0.98
"""The part of the frames that the generator has to bring: else it is no measurement."""
LIMIT = 120.0


async def serve(calls: int, seconds: float) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    late: list[float] = []

    async def watch() -> None:
        now = asyncio.get_running_loop().time
        due = now()
        while True:
            due = max(due + STEP, now())
            await asyncio.sleep(due - now())
            late.append(now() - due)

    async with core() as bench:
        task = asyncio.create_task(TwilioAdapter(TwilioConfig(path=PATH, max_streams=100_000)).run(bench.host))
        await asyncio.sleep(0)
        lasting()  # as the daemon does when it is whole
        print(bench.url, flush=True)
        while len(bench.host.open_calls()) < calls:  # noqa: ASYNC110 - nothing that is measured is changed to tell us
            await asyncio.sleep(0.05)
        await asyncio.sleep(WARM_UP)
        watching = asyncio.create_task(watch())
        count, cpu, wall = bench.frames(), time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        count, cpu, wall = bench.frames() - count, time.process_time() - cpu, time.monotonic() - wall
        watching.cancel()
        tracks = [track for call in bench.host.open_calls() for track in call.state.tracks]
        lost = sum(track.spans.total(SpanKind.LOST) for track in tracks) // 160
        late.sort()
        said = {"frames": count, "cpu": cpu, "wall": wall, "lost": lost, "tracks": len(tracks)}
        print(json.dumps(said | {"p99": late[len(late) * 99 // 100], "most": late[-1]}), flush=True)
        task.cancel()
        await asyncio.wait([task])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--share", type=float, default=0.8)
    arguments.add_argument("--seconds", type=float, default=300)
    given = arguments.parse_args()
    bare = 1e4 / measured("bare", 50, 5.0)["us"]
    calls = int(bare * given.share)
    said = one_round(
        __file__, ["server", str(calls), str(given.seconds)], ["client", str(calls)], limit=LIMIT + given.seconds
    )
    due = 100 * calls * said["wall"]
    print(f"a core of the bare server holds {bare:.0f} two-track calls; vcond had {calls} for {said['wall']:.0f} s")
    print(
        f"placed {said['frames']:.0f} of {due:.0f} frames ({said['frames'] / due:.1%}), lost {said['lost']:.0f}, CPU {said['cpu'] / said['wall']:.0%}"
    )
    print(
        f"the loop was late by {1e3 * said['p99']:.1f} ms at p99 (goal: {1e3 * GOAL:.0f}), {1e3 * said['most']:.1f} ms at most"
    )
    if said["frames"] < PACE * due:
        print("the generator did not keep the pace, or the server fell behind: nothing is shown by this run")
    return int(said["lost"] > 0 or said["p99"] > GOAL or said["frames"] < PACE * due or said["tracks"] != 2 * calls)


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "server":
        uvloop.run(serve(int(sys.argv[2]), float(sys.argv[3])))
    elif len(sys.argv) == 4 and sys.argv[1] == "client":
        send(sys.argv[3], int(sys.argv[2]))
    else:
        sys.exit(main())
