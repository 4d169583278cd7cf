"""Time for tests: a clock moved by hand, and an event loop whose time jumps instead of passing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeVar, TypeVarTuple
from unittest.mock import patch

from vcond.base.time import SECOND, Instant
from vcond.testing.waiters import holds

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

NOON: Final = Instant(1_767_614_400 * SECOND)
"""2026-01-05T12:00:00Z, when the clocks of tests begin."""
LOOK: Final = 0.005
"""Real seconds between two looks at whether time may jump, while a thread works or nothing is due."""
STUCK: Final = 30.0
"""Real seconds after which a virtual loop with nothing to jump to and no byte arriving says that it hangs."""


class ManualClock:
    """A clock that stands until it is moved."""

    def __init__(self, start: Instant = NOON) -> None:
        self._now = start

    def now(self) -> Instant:
        """This moment, in nanoseconds since the epoch."""
        return self._now

    def advance(self, ns: int) -> Instant:
        """Let ``ns`` nanoseconds pass; returns the new moment."""
        self._now = Instant(self._now + ns)
        return self._now


class LoopClock:
    """The running loop's time, as a moment: real under a usual loop, virtual under ``run_virtual``."""

    def __init__(self, start: Instant = NOON) -> None:
        self._start = start
        self._zero: float | None = None

    def now(self) -> Instant:
        """This moment, in nanoseconds since the epoch. Must be asked from within a running loop."""
        passed = asyncio.get_running_loop().time()
        if self._zero is None:
            self._zero = passed
        return Instant(self._start + round((passed - self._zero) * SECOND))

    def leap(self, seconds: float) -> None:
        """So much time passed of which the loop knows nothing, as in a suspend."""
        self._start = Instant(self._start + round(seconds * SECOND))


class _JumpingSelector(selectors.DefaultSelector):
    """Lets the loop's time jump to the next timer as soon as all that was sent over loopback has arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.jobs = 0
        """Jobs in threads that run now; time stands still while there are any."""
        self._probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._probe.bind(("127.0.0.1", 0))
        self._probe.connect(self._probe.getsockname())
        self._probe.settimeout(STUCK)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Like ``select`` of the standard library, with ``timeout`` in virtual seconds."""
        if timeout is not None and timeout <= 0:
            return super().select(0)
        waited = time.monotonic()
        while True:
            jumps = timeout is not None and not self.jobs
            if jumps:
                self._settle()
            ready = super().select(0 if jumps else LOOK)
            if ready:
                return ready
            if jumps:
                self.now += timeout or 0
                return []
            if time.monotonic() - waited > STUCK:
                raise TimeoutError("nothing will ever happen again: every task waits and no timer is set")

    def close(self) -> None:
        """Like ``close`` of the standard library."""
        self._probe.close()
        super().close()

    def _settle(self) -> None:
        """Loopback delivers what one processor sends in the order of sending: once this is here, so is what went before."""
        with contextlib.suppress(TimeoutError):
            self._probe.send(b".")
            self._probe.recv(1)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer as soon as nothing else can be done.

    An hour of timers takes as long as its work. Sockets on loopback work when both ends live in this loop; a peer in
    another process may see time jump while it thinks. Threads (``asyncio.to_thread``) hold time still.
    """

    def __init__(self) -> None:
        self._jumps = _JumpingSelector()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumps.now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run ``func`` in a thread; time stands still until it is done."""
        self._jumps.jobs += 1
        job = super().run_in_executor(executor, func, *args)
        job.add_done_callback(self._job_done)
        return job

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Time stands still meanwhile: for what waits for a thread of its own, which no timer may overtake."""
        self._jumps.jobs += 1
        try:
            yield
        finally:
            self._jumps.jobs -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - asyncio's
        """Wait for the threads; time stands still until they have ended, so there is no time-out that it could jump to."""
        with self.still():
            await super().shutdown_default_executor()

    def _job_done(self, _job: asyncio.Future[Any]) -> None:
        self._jumps.jobs -= 1


async def until(predicate: Callable[[], object], *, within: float = 60.0, every: float = 0.02, what: str = "") -> None:
    """Wait in virtual time for what happens where nobody tells; where somebody does (a host), its own ``until`` is exact.

    Looks every ``every`` seconds. A predicate that raises LookupError is not true yet. Raises TimeoutError after ``within``
    seconds, which says ``what`` was waited for.
    """
    try:
        async with asyncio.timeout(within):
            while not holds(predicate):  # noqa: ASYNC110 - that is its job
                await asyncio.sleep(every)
    except TimeoutError:
        raise TimeoutError(f"never came: {what or 'what the test waits for'}") from None


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time and return what it returns.

    Raises whatever it raises, and TimeoutError when it waits for something that cannot come.
    """
    # the kernel says when a datagram came by a clock that does not jump: here it comes when it is read
    stamps = patch("vcond.media.rtp.reading.time", SimpleNamespace(time_ns=lambda: 0))
    with stamps, _on_one_processor(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


@contextlib.contextmanager
def _on_one_processor() -> Iterator[None]:
    """Stay where we are: on a busy machine each processor has its own queue of what was sent over loopback."""
    before = os.sched_getaffinity(0)
    here = int(Path("/proc/thread-self/stat").read_text("ascii").rpartition(")")[2].split()[36])  # proc(5): field 39
    os.sched_setaffinity(0, {here})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
