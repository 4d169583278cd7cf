"""How long and how much a long call's record takes: ``python tests/unit/vcon/bench_vcon.py [MINUTES] [LIMIT|none]``.

Noise at 8,000 Hz, two parties, an utterance of twelve words every six seconds. Prints the best of three.
"""

from __future__ import annotations

import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "data" / "vcon"))
import scenarios

from vcond.calls import events as ev
from vcond.calls.state import Call, fold
from vcond.vcon import BuildOptions, build, serialize, validate


def long_call(minutes: float) -> tuple[Call, dict[int, np.ndarray]]:
    script = scenarios.two(minutes * 60)
    rng = np.random.default_rng(1)
    for track in (0, 1):
        script.audio[track] = (rng.standard_normal(len(script.audio[track])) * 1500).astype(np.int16)
        script.add(
            ev.Span(at=script.at(1), track=track, start=4000, stop=len(script.audio[track]), kind=ev.SpanKind.RECEIVED)
        )
    for turn in range(int(minutes * 10)):
        script.says(turn % 2, 1 + turn * 6, "word " * 12, each=0.3)
    scenarios.finish(script, (0, 1))
    return fold(script.events), script.audio


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30
    limit = None if len(sys.argv) < 3 or sys.argv[2] == "none" else int(sys.argv[2])
    call, audio = long_call(minutes)
    rows = []
    for _ in range(3):
        base, peak, done = resident(), [0], threading.Event()

        def watch(base: int = base, peak: list[int] = peak, done: threading.Event = done) -> None:
            while not done.wait(0.002):
                peak[0] = max(peak[0], resident() - base)

        watcher = threading.Thread(target=watch)
        watcher.start()
        moments = [time.perf_counter()]
        document = build(call, audio, BuildOptions(inline_limit=limit))
        moments.append(time.perf_counter())
        findings = validate(document)
        moments.append(time.perf_counter())
        body = serialize(document)
        moments.append(time.perf_counter())
        done.set()
        watcher.join()
        assert not findings
        steps = [round((b - a) * 1000) for a, b in pairwise(moments)]
        form = next(one["body"]["audio"] for one in document["attachments"] if "parties" in one["body"])
        rows.append((sum(steps), steps, peak[0] / 1e6, len(body) / 1e6, form))
        del document, body
    total, (building, validating, writing), memory, size, form = min(rows)
    print(f"{minutes:g} min as {form}: build {building} + validate {validating} + serialize {writing} = {total} ms,")
    print(
        f"{memory:.0f} MB above the {sum(pcm.nbytes for pcm in audio.values()) / 1e6:.0f} MB of PCM, JSON {size:.1f} MB"
    )


if __name__ == "__main__":
    main()
