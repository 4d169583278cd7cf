"""How long a long call's record takes: ``python tests/bench/bench_vcon.py [MINUTES] [INLINE LIMIT IN BYTES|none]``.

Noise at 8,000 Hz, two parties, an utterance of twelve words every six seconds. Prints the best of five. The goals, for
30 minutes as WAV: build, validate and serialize in 300 ms and in three times the audio's size; a signature 50 ms more.
"""

from __future__ import annotations

import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DATA = Path(__file__).parents[1]
sys.path[:0] = [str(DATA / "data" / "vcon"), str(DATA / "unit" / "vcon")]
import pki as certificates  # noqa: E402 - lies in a folder of the tests
import scenarios  # noqa: E402 - lies in a folder of the tests

from vcond.base.time import Instant  # noqa: E402 - after the path
from vcond.call import events as ev  # noqa: E402 - after the path
from vcond.call.state import Call, fold  # noqa: E402 - after the path
from vcond.testing.memory import resident  # noqa: E402 - after the path
from vcond.vcon import BuildOptions, build, serialize, validate  # noqa: E402 - after the path
from vcond.vcon.sealing.keys import load_signer  # noqa: E402 - after the path
from vcond.vcon.sealing.sign import signed  # noqa: E402 - after the path

MADE, SIGNED, TIMES = 300, 50, 3.0


class Row(NamedTuple):
    """One round: milliseconds, bytes."""

    made: float
    steps: list[int]
    signed: float
    memory: int
    size: int
    form: str


def long_call(minutes: float) -> tuple[Call, dict[int, Any]]:
    """Two parties who make noise and speak in turn."""
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


def one(call: Call, audio: dict[int, Any], limit: int | None, signer: Any, now: Instant) -> Row:
    """Build, validate, serialize; then sign."""
    base, peak, done = resident(), [0], threading.Event()

    def watch() -> None:
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
    if findings:
        raise SystemExit(f"not valid: {findings[0]}")
    before = time.perf_counter()
    signed(body, signer, now)
    after = time.perf_counter()
    steps = [round((b - a) * 1000) for a, b in pairwise(moments)]
    form = next(item["body"]["audio"] for item in document["attachments"] if "parties" in item["body"])
    return Row((moments[-1] - moments[0]) * 1000, steps, (after - before) * 1000, peak[0], len(body), form)


def main() -> int:
    """1 = a goal is missed."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30
    limit = None if len(sys.argv) < 3 or sys.argv[2] == "none" else int(sys.argv[2])
    call, audio = long_call(minutes)
    made = certificates.Pki()
    signer = load_signer(made.leaf.key_pem, made.chain)
    rows = [one(call, audio, limit, signer, certificates.AT) for _ in range(5)]
    best, seal, memory = min(rows), min(row.signed for row in rows), max(row.memory for row in rows)
    pcm = sum(track.nbytes for track in audio.values()) // 2  # as G.711
    building, validating, writing = best.steps
    print(f"{minutes:g} min as {best.form}, JSON {best.size / 1e6:.1f} MB")
    print(f"  build {building} + validate {validating} + serialize {writing} = {best.made:.0f} ms (goal {MADE})")
    print(f"  memory {memory / 1e6:.0f} MB, {memory / pcm:.1f} times the {pcm / 1e6:.0f} MB of G.711 (goal {TIMES:g})")
    print(f"  signature {seal:.0f} ms more (goal {SIGNED})")
    return int(best.made > MADE or seal > SIGNED or memory > TIMES * pcm)


if __name__ == "__main__":
    sys.exit(main())
