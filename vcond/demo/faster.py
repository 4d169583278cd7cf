"""``vcond run`` on a clock that runs faster, for ``vcond demo --speed N``: ``python -m vcond.demo.faster N CONFIG``.

Frames that come N times too fast would be a broken peer to a daemon on real time, and it would be right. On a clock
that runs as fast they come in time, so the record is that of the call as it was spoken. Only the dates in it run ahead.

Everything is the daemon's own but the two functions of ``time`` that ``SteadyClock`` takes when it is imported. Timers
of the event loop and log lines keep real time.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable


def faster(speed: float, wall: Callable[[], int], monotonic: Callable[[], int]) -> Callable[[], int]:
    """Nanoseconds since the epoch: right now, and then ``speed`` times as fast."""
    zero, begun = wall(), monotonic()
    return lambda: zero + round((monotonic() - begun) * speed)


def main() -> None:
    """Change the clock and run the command line."""
    speed, config = float(sys.argv[1]), sys.argv[2]
    time.time_ns = time.monotonic_ns = faster(speed, time.time_ns, time.monotonic_ns)
    sys.argv = ["vcond", "run", "--config", config]
    runpy.run_module("vcond", run_name="__main__")


if __name__ == "__main__":
    main()
