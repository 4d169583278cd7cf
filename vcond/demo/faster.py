"""A daemon whose clock runs faster, for ``vcond demo --speed N``: ``python -m vcond.demo.faster N CONFIG``.

Frames that come N times too fast would be a broken peer to a daemon on real time, and it would be right. On a clock
that runs as fast they come in time, so the record is that of the call as it was spoken. Only the dates in it run ahead.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from vcond import log
from vcond.config import load
from vcond.core.clock import SteadyClock
from vcond.daemon import Daemon
from vcond.errors import VcondError


def fast_clock(speed: float, wall: Callable[[], int], monotonic: Callable[[], int]) -> SteadyClock:
    """A clock that shows the right time now and runs ``speed`` times as fast."""
    zero, begun = wall(), monotonic()

    def fast() -> int:
        return zero + round((monotonic() - begun) * speed)

    return SteadyClock(fast, fast)


def main() -> None:
    """As ``vcond run``."""
    speed, config = float(sys.argv[1]), Path(sys.argv[2])
    os.umask(0o077)
    try:
        loaded = load(config, os.environ)
        log.configure(loaded.config.vcond.log_level, loaded.config.vcond.log_format)
        daemon = Daemon(loaded)
        daemon.clock = fast_clock(speed, time.time_ns, time.monotonic_ns)
        asyncio.run(daemon.run())
    except VcondError as why:
        sys.exit(f"vcond: {why}")


if __name__ == "__main__":
    main()
