"""What the page and the API cost with 200 live calls and 10,000 records: how long answers take, and what watchers take from capture.

    python tests/bench/bench_page.py [--calls 200] [--records 10000] [--watchers 50] [--seconds 5] [--rounds 5]

Capture: a daemon's parts, without its adapters, take 50 frames a second for each of two parties a call, and publish two captions a second
of each call when somebody watches, each call's at another time. Watchers are a process of their own on another core. What counts is the
CPU time of the daemon for each frame (all threads) without watchers against that with them, and with their meters, in one run of one
daemon; rounds take these in turn. Answers: each is
asked for in turn while those calls go on; what counts is the ratio to the least that the API answers (``/me``).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import structlog

TOP = Path(__file__).resolve().parents[2]
KINDS = ("nobody", "watchers", "meters")
GOALS = {"watchers": 0.95, "meters": 0.95}
"""Issue: watchers cost capture nothing."""
WARM_UP = 1.0
FRAME = 0.02


# The server.


async def serve(calls: int, records: int, watchers: int, seconds: float, rounds: int) -> None:
    """Print where it is; measure, or answer until it is stopped."""
    sys.path.insert(0, str(TOP / "tests" / "unit" / "server"))
    from api_kit import daemon

    from vcond.call import events as ev
    from vcond.media.codecs import Codec, encode
    from vcond.media.placement.clocks import ArrivalClock
    from vcond.testing.sounds import voice

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    coded = encode(Codec.PCMU, voice(1, 3.0))
    payloads = [coded[at : at + 160] for at in range(0, len(coded) - 160, 160)]
    memory = "/dev/shm" if records else None  # 10,000 are written in no time there, and read from memory anyway
    with tempfile.TemporaryDirectory(prefix="vcond-bench-", dir=memory) as folder:
        async with daemon(Path(folder)) as one:
            for number in range(records):
                await one.vcon("plain", _fresh(number))
            tracks = []
            for number in range(calls):
                call = one.parts.registry.call("bench", str(number), one.at(0), "unknown")
                for party in ("a", "b"):
                    at = call.party(
                        party, at=one.at(0), who=ev.PartyInfo(name=f"{party} {number}", tel=f"+1212555{number:04}")
                    )
                    tracks.append(call.track(at, at=one.at(0), codec=Codec.PCMU, rate=8000, clock=ArrivalClock()))
            token = await one.token("watch", "read", "operate")
            counts = [0]
            load = asyncio.create_task(_load(one, tracks, payloads, counts))
            if records:
                link = (await one.parts.api.writes["page-link"]({"roles": "watch,read,operate"}))["url"]
                print(json.dumps([one.parts.api.base_url, token, link]), flush=True)
                await load
            where = json.dumps([one.parts.api.base_url, token])
            for _ in range(rounds):
                for kind in KINDS:
                    async with _watched(kind, watchers, where, one.parts.api._events._watchers):
                        count, cpu, wall = counts[0], time.process_time(), time.monotonic()
                        await asyncio.sleep(seconds)
                        count, cpu, wall = counts[0] - count, time.process_time() - cpu, time.monotonic() - wall
                    said = {"kind": kind, "us": cpu / count * 1e6, "load": cpu / wall, "frames": count / wall}
                    print(json.dumps(said), flush=True)
            load.cancel()


@contextlib.asynccontextmanager
async def _watched(kind: str, watchers: int, where: str, known: Any) -> AsyncIterator[None]:
    """With so many watchers, of a process on another core, which is gone afterwards."""
    count, process = (watchers, None) if kind != "nobody" else (0, None)
    if count:
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "client", str(count), str(int(kind == "meters")), where
        )
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(os.getppid()))})
    try:
        while len(known) != count:  # noqa: ASYNC110 - nothing in the way of a frame may be changed to tell us
            await asyncio.sleep(FRAME)
        await asyncio.sleep(WARM_UP)
        yield
    finally:
        if process is not None:
            process.kill()
            await process.wait()


async def _load(one: Any, tracks: list[Any], payloads: list[bytes], counts: list[int]) -> None:
    """Frames of all tracks, spread over each 20 ms in ten parts; captions; the tick twice a second."""
    from vcond.capture.live_feed import CaptionEvent

    begun, parts, bus = time.monotonic(), [tracks[at::10] for at in range(10)], one.parts.bus
    for tick in range(10**9):
        for number, part in enumerate(parts):
            arrived = one.at((tick + 1) * FRAME)
            for track in part:
                track.write(payloads[tick % len(payloads)], arrived=arrived)
            counts[0] += len(part)
            await asyncio.sleep(max(begun + (tick + (number + 1) / 10) * FRAME - time.monotonic(), 0))
        one.time[0] = one.at((tick + 1) * FRAME)
        if tick % 25 == 0:
            one.parts.registry.tick(one.parts.clock.now())
        for call in one.parts.registry.live[tick % 25 :: 25] if bus.watched() else ():
            words = "what somebody says just now in this call"
            bus.publish(CaptionEvent(call.uuid, "partial", words, 0, "a", 1.0, 2.0))


def _fresh(number: int) -> Any:
    return lambda document: document.update(uuid=f"019f155a-5131-80ec-832a-{number:012x}")


# The client.


async def watch(watchers: int, meters: bool, where: str) -> None:
    """Follow all events until the server is gone."""
    url, token = json.loads(where)
    headers, path = {"Authorization": f"Bearer {token}"}, f"/api/v1/events{'?levels=true' if meters else ''}"

    async def follow() -> None:
        async with client.get(path, headers=headers) as answer:
            async for _ in answer.content.iter_any():
                pass

    async with aiohttp.ClientSession(
        url, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout()
    ) as client:
        with contextlib.suppress(aiohttp.ClientError):
            await asyncio.gather(*(follow() for _ in range(watchers)), asyncio.sleep(3600))


# The run.


TASKS = """window.tasks = []; new PerformanceObserver((list) => { for (const one of list.getEntries()) tasks.push(one.duration); })
  .observe({ type: 'longtask', buffered: true });"""


async def browse(link: str, calls: int, records: int) -> None:
    """The page in Chromium: until all is there, and how long it was busy at a time (the Long Tasks API tells of 50 ms and more)."""
    sys.path.insert(0, str(TOP / "tests" / "e2e" / "webrtc"))
    from driver_kit import browser, driver

    async with driver() as url, browser(url, Path("/dev/null")) as page:

        async def timed(what: str, there: str) -> None:
            begun = time.perf_counter()
            await page.until(there)
            shown = time.perf_counter() - begun
            await asyncio.sleep(5)
            tasks = await page.run("return tasks.splice(0)")
            print(
                f"{what}: there after {shown:.1f} s; in 5 s {len(tasks)} long tasks, the longest {max(tasks, default=0):.0f} ms"
            )

        await page.run_cdp("Page.addScriptToEvaluateOnNewDocument", source=TASKS)
        await page.size((1200, 800))
        await page.open(link)
        await timed(f"{calls} live calls", f"document.querySelectorAll('.card').length === {calls}")
        await timed("with captions and meters", "document.querySelectorAll('.said p').length > 10")
        await page.run("location.hash = '#/records'")
        await timed(f"{records} records", "document.querySelectorAll('tbody a').length > 0")
        await page.run(
            "document.getElementById('text').value = 'support'; document.querySelector('.find button').click()"
        )
        await timed("a search", "document.querySelectorAll('.hits li').length > 0")


async def answers(calls: int, records: int, rounds: int, *, in_browser: bool) -> None:
    """Ask for each in turn, and print how long it took."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "serve", str(calls), str(records), "0", "0", "0", stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        url, token, link = json.loads(await server.stdout.readline())
        if in_browser:
            await browse(link, calls, records)
        async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {token}"}) as client:
            took: dict[str, list[float]] = {}

            async def ask(name: str, method: str, path: str, body: Any = None) -> Any:
                begun = time.perf_counter()
                async with client.request(method, path, json=body) as answer:
                    said = await answer.read()
                    assert answer.status == 200, (path, said)
                took.setdefault(name, []).append(time.perf_counter() - begun)
                return said

            live = json.loads(await ask("warm", "GET", "/api/v1/calls"))[0]["call"]
            for _ in range(max(rounds, 1) * 10):
                await ask("/me", "GET", "/api/v1/me")
                await ask("the page", "GET", "/page/app.js")
                await ask(f"{calls} live calls", "GET", "/api/v1/calls")
                await ask("one live call", "GET", f"/api/v1/calls/{live}")
                await ask("the newest 100 records", "GET", "/api/v1/vcons?limit=100")
                await ask(
                    "100 old records",
                    "GET",
                    f"/api/v1/vcons?limit=100&before=019f155a-5131-80ec-832a-{min(150, records - 1):012x}",
                )
                await ask("search, 20 found at once", "POST", "/api/v1/search", {"text": "support"})
                await ask("search by a number nobody has", "POST", "/api/v1/search", {"of": "+12125550143"})
            before, asked = "", 0
            begun = time.perf_counter()
            while asked == 0 or before:
                before = json.loads(
                    await ask(
                        "search, nothing found, one request",
                        "POST",
                        "/api/v1/search",
                        {"text": "nobody", "before": before},
                    )
                )["next"]
                asked += 1
            whole = time.perf_counter() - begun
        del took["warm"]
        least = statistics.median(took["/me"])
        for name, times in took.items():
            middle = statistics.median(times)
            print(
                f"{name:36} median {middle * 1e3:8.1f} ms  worst {max(times) * 1e3:8.1f} ms  {middle / least:7.1f} of /me"
            )
        print(f"all {records} records looked through: {whole:.1f} s, {asked} requests, {records / whole:.0f} a second")
    finally:
        server.kill()
        await server.wait()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--calls", type=int, default=200)
    arguments.add_argument("--records", type=int, default=10_000, help="0 = capture only")
    arguments.add_argument("--watchers", type=int, default=50)
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--rounds", type=int, default=5, help="0 = answers only, asked for ten times")
    arguments.add_argument("--browser", action="store_true", help="the page in Chromium, too")
    given = arguments.parse_args()
    if given.records:
        asyncio.run(answers(given.calls, given.records, given.rounds, in_browser=given.browser))
    if not given.rounds:
        return 0
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    given_on = [str(given.calls), "0", str(given.watchers), str(given.seconds), str(given.rounds)]
    with subprocess.Popen([sys.executable, __file__, "serve", *given_on], stdout=subprocess.PIPE, text=True) as server:
        os.sched_setaffinity(server.pid, {min(os.sched_getaffinity(0))})
        assert server.stdout is not None
        for line in server.stdout:
            said = json.loads(line)
            found[said["kind"]].append(said["us"])
            print(
                f"{said['kind']:9} {said['us']:6.1f} us of CPU a frame, {said['load']:.2f} of a core, {said['frames']:.0f} frames/s"
            )
    worst = 0
    for kind, goal in GOALS.items():
        ratios = [without / watched for without, watched in zip(found["nobody"], found[kind], strict=True)]
        worst |= statistics.median(ratios) < goal
        print(
            f"capture beside {given.watchers} {kind}: {statistics.median(ratios):.2f} of that without (goal {goal}; {min(ratios):.2f} to {max(ratios):.2f})"
        )
    return int(worst)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "serve":
        calls, records, watchers = map(int, sys.argv[2:5])
        asyncio.run(serve(calls, records, watchers, float(sys.argv[5]), int(sys.argv[6])))
        os._exit(0)
    elif len(sys.argv) > 1 and sys.argv[1] == "client":
        asyncio.run(watch(int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4]))
    else:
        sys.exit(main())
