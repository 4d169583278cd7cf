"""FreeSWITCH's events that one core understands: from bytes of a real switch to conversations at a host.

    python tests/bench/bench_freeswitch.py [--rounds 5]

The bytes are recorded calls (plain ones, holds, transfers, a queue, a conference), in both formats. ``wire`` cuts
frames, ``events`` also reads what they say, ``calls`` also tells it to a host. Goal: 10,000 JSON events a second.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from collections.abc import Callable
from pathlib import Path

import structlog

DATA = Path(__file__).resolve().parents[2] / "adapters" / "freeswitch" / "tests" / "data"
CALLS = (
    "basic", "hold_unhold", "dtmf", "blind_transfer_by_callee", "blind_transfer_by_caller", "attended_transfer",
    "queue_callcenter", "conference", "busy",
)  # fmt: skip
GOAL = 10_000
READ = 1 << 16
"""Bytes of one read from the socket."""


class Segmenting:
    """Listens to nobody."""

    def start(self, leg, *, both=False):
        pass

    def stop(self, leg, at):
        pass


def load(form: str) -> list[bytes]:
    return [gzip.decompress((DATA / f"{name}.{form}.s2c.bin.gz").read_bytes()) for name in CALLS]


def frames(data: bytes) -> list:
    from vcond_freeswitch.wire import Decoder

    decoder = Decoder()
    return [frame for at in range(0, len(data), READ) for frame in decoder.feed(data[at : at + READ])]


def wire(recorded: list[bytes]) -> int:
    return sum(sum(frame.kind.startswith("text/event") for frame in frames(data)) for data in recorded)


def events(recorded: list[bytes]) -> int:
    from vcond_freeswitch.events import decode

    count = 0
    for data in recorded:
        for frame in frames(data):
            if frame.kind.startswith("text/event"):
                decode(frame)
                count += 1
    return count


def calls(recorded: list[bytes]) -> int:
    from vcond.testing.host import MemoryHost
    from vcond.testing.time import NOON, ManualClock
    from vcond_freeswitch.config import Config
    from vcond_freeswitch.events import decode
    from vcond_freeswitch.tracker import ChannelTracker

    count = 0
    for data in recorded:
        clock = ManualClock(NOON)
        host = MemoryHost("freeswitch", clock=clock)
        tracker = ChannelTracker(host, Config(), Segmenting())
        for frame in frames(data):
            if frame.kind.startswith("text/event"):
                tracker.event(decode(frame), clock.advance(20_000_000))
                count += 1
    return count


def rate(work: Callable[[list[bytes]], int], recorded: list[bytes], rounds: int) -> float:
    """Events a second of CPU time, in the least disturbed round."""
    best = 0.0
    for _ in range(rounds):
        begun, count = time.process_time(), 0
        while time.process_time() - begun < 0.5:
            count += work(recorded)
        best = max(best, count / (time.process_time() - begun))
    return best


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    reached = 0.0
    print(f"{'format':7} {'what':7} {'events/s':>9} {'MB/s':>6}")
    for form in ("json", "plain"):
        recorded = load(form)
        size = sum(map(len, recorded)) / wire(recorded)
        for work in (wire, events, calls):
            found = rate(work, recorded, given.rounds)
            print(f"{form:7} {work.__name__:7} {found:9.0f} {found * size / 1e6:6.0f}")
            if (form, work) == ("json", calls):
                reached = found
    print(f"JSON events to conversations: {reached:.0f} a second on one core (goal: {GOAL})")
    return int(reached < GOAL)


if __name__ == "__main__":
    sys.exit(main())
