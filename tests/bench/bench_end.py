"""How long after its hang-up a call's vCon is in the outbox: ``python tests/bench/bench_end.py [CALLS] [BESIDE] [MODEL]``.

CALLS of three minutes, the two voices of the demo, end one after another in a daemon that also captures BESIDE others; -1
(the default): as many as take half of what its loop can capture. All but the last five seconds of a call is written at once,
these as they are spoken. With the folder of a MODEL the words are waited for, and all calls are transcribed. Prints the times and
where they went; the goals are a p95 of 0.5 s, and of 1.5 s with speech.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from vcond.app import plugins
from vcond.app.daemon import Daemon
from vcond.base import log
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.config import load
from vcond.publish import finisher as finisher_module
from vcond.sdk.contract import AdapterHost, ArrivalClock, Cause, Codec, LiveCall, Track

GOAL, GOAL_SPOKEN = 0.5, 1.5
SECONDS, LIVE, FRAME = 180, 5, 0.02
TEXTS_WITHIN: Final = 120
DEMO: Final = Path(__file__).parents[2] / "vcond" / "demo"
CONFIG: Final = """
[vcond]
name = "edge.example.com"
state_dir = "{0}/state"
admin_socket = "{0}/admin"
drain = 0
min_free_mb = 0
max_calls = 10000
log_level = "error"
[web]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[speech]
engine = "{1}"
model = "{2}"
[adapters.twilio]
[[sinks]]
type = "folder"
path = "{0}/vcons"
"""


def voice(name: str) -> list[bytes]:
    """Three minutes of one of the demo, in frames."""
    said = (DEMO / f"{name}.ulaw").read_bytes()
    said = (said * (SECONDS * 8000 // len(said) + 1))[: SECONDS * 8000]
    return [said[at : at + 160] for at in range(0, len(said), 160)]


VOICES: Final = (voice("caller"), voice("agent"))


def opened(host: AdapterHost, key: str, at: Instant) -> tuple[LiveCall, list[Track]]:
    call = host.call(key, at=at)
    tracks = []
    for name in ("caller", "agent"):
        party = call.party(name, at=at)
        tracks.append(call.track(party, at=at, codec=Codec.PCMU, rate=8000, clock=ArrivalClock()))
    call.emit(ev.Answered(at=at))
    return call, tracks


class Adapter:
    """Lives the calls."""

    def __init__(self, daemon: Callable[[], Daemon], calls: int, beside: int, *, spoken: bool) -> None:
        self._daemon, self._calls, self._beside, self._spoken = daemon, calls, beside, spoken
        self.stages: dict[str, list[float]] = {}
        self.took: list[float] = []
        self.busy = 0.0

    async def run(self, host: AdapterHost) -> None:
        host.attached(True)
        parts = self._daemon().parts
        await parts.outbox.opened.wait()
        if self._spoken:
            await parts.speech.ready.wait()
        self._stage(finisher_module, "all_texts")
        self._stage(parts.finisher, "_flushed")
        self._stage(parts.finisher._builder, "built")
        self._stage(parts.finisher, "_publish")
        each = await self._first(host)
        if self._beside < 0:
            self._beside = int(0.5 * FRAME / (2 * each))
        others = asyncio.create_task(self._speak(host))
        await asyncio.sleep(2)
        self.took.clear()
        self.stages = {name: [] for name in self.stages}
        began, cpu = time.monotonic(), time.process_time()
        for n in range(self._calls):
            await self._live(host, f"call {n}")
        self.busy = (time.process_time() - cpu) / (time.monotonic() - began)
        others.cancel()
        self._report(each)
        os._exit(0 if self._p95() <= (GOAL_SPOKEN if self._spoken else GOAL) else 1)

    def _stage(self, where: Any, name: str) -> None:
        real = getattr(where, name)

        async def timed(*given: Any, **more: Any) -> Any:
            began = time.monotonic()
            try:
                return await real(*given, **more)
            finally:
                self.stages.setdefault(name, []).append(time.monotonic() - began)

        setattr(where, name, timed)

    async def _first(self, host: AdapterHost) -> float:
        """A call that is not counted; how long a frame takes, in seconds."""
        began = time.process_time()
        call, tracks = opened(host, "first", Instant(host.clock.now() - SECONDS * SECOND))
        self._write(tracks, call.state.opened, 0, 1000)
        each = (time.process_time() - began) / 2000
        call.end(at=host.clock.now(), cause=Cause(text="normal"))
        await self._daemon().parts.finisher.idle()
        return each

    def _write(self, tracks: list[Track], zero: Instant, first: int, last: int) -> None:
        for n in range(first, last):
            at = Instant(zero + round(n * FRAME * SECOND))
            for track, said in zip(tracks, VOICES, strict=True):
                track.write(said[n % len(said)], arrived=at)

    async def _speak(self, host: AdapterHost) -> None:
        """All other calls, in real time."""
        now = host.clock.now()
        calls = [opened(host, f"beside {n}", now)[1] for n in range(self._beside)]
        n = 0
        due = time.monotonic()
        while True:
            at = host.clock.now()
            for k, tracks in enumerate(calls):
                for track, said in zip(tracks, VOICES, strict=True):
                    track.write(said[(n + 97 * k) % len(said)], arrived=at)
            n, due = n + 1, due + FRAME
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _live(self, host: AdapterHost, key: str) -> None:
        frames, before = round(SECONDS / FRAME), round((SECONDS - LIVE) / FRAME)
        zero = Instant(host.clock.now() - (SECONDS - LIVE) * SECOND)
        call, tracks = opened(host, key, zero)
        for first in range(0, before, 25):
            self._write(tracks, zero, first, first + 25)
            await asyncio.sleep(0.01)
        give_up = time.monotonic() + TEXTS_WITHIN
        while self._spoken and len(call.state.untranscribed()) > 2 and time.monotonic() < give_up:  # noqa: ASYNC110 - a call, which tells nobody
            await asyncio.sleep(0.25)
        for n in range(before, frames):
            at = host.clock.now()
            for track, said in zip(tracks, VOICES, strict=True):
                track.write(said[n], arrived=at)
            await asyncio.sleep(FRAME)
        began = time.monotonic()
        call.end(at=host.clock.now(), cause=Cause(text="normal"))
        await self._daemon().parts.finisher.idle()
        self.took.append(time.monotonic() - began)

    def _p95(self) -> float:
        return sorted(self.took)[max(0, -(-len(self.took) * 95 // 100) - 1)]

    def _report(self, each: float) -> None:
        goal = GOAL_SPOKEN if self._spoken else GOAL
        print(f"{len(self.took)} calls of {SECONDS} s, {self._beside} others beside ({1e6 * each:.0f} us a frame), "
              f"{self.busy:.2f} of a processor busy")  # fmt: skip
        print(
            f"  hang-up to outbox: median {statistics.median(self.took):.3f} s, p95 {self._p95():.3f} s (goal {goal})"
        )
        for name, took in self.stages.items():
            print(f"    {name:12} median {statistics.median(took):.3f} s, most {max(took):.3f} s")


def main() -> None:
    given = sys.argv[1:]
    calls, beside = (int(given[at]) if len(given) > at else default for at, default in ((0, 20), (1, -1)))
    model = str(Path(given[2]).resolve()) if len(given) > 2 else ""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "vcond.toml"
        config.write_text(CONFIG.format(folder, "auto" if model else "none", model))
        made: list[Daemon] = []
        adapter = Adapter(lambda: made[0], calls, beside, spoken=bool(model))
        plugins.adapters = lambda _: {"twilio": adapter}
        loaded = load(config, os.environ)
        log.configure("error", "text")
        made.append(Daemon(loaded))
        asyncio.run(made[0].run())


if __name__ == "__main__":
    main()
