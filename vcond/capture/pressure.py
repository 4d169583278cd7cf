"""The one place that knows how short the machine runs: it looks, tells, and is asked before a new call is recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import structlog

from vcond.base import metrics
from vcond.capture.disk import FreeSpace
from vcond.capture.resources import MB, Used, memory_left, open_files
from vcond.config.schema import DaemonConfig
from vcond.policy.pressure import Level, Pressure, Reading

log = structlog.get_logger()

MEMORY: Final = (150 * MB, 100 * MB, 60 * MB)
"""Bytes left below which words while they are spoken, texts, new calls are given up: a call takes less than one MB, what
goes on may still grow, and the PBX beside us needs some."""
FILES: Final = 0.2
"""Of all descriptors: when fewer are left no new call is recorded. Journals, deliveries and commands need some."""
_TOLD: Final = {
    Level.NOTHING: "enough again: everything works as usual",
    Level.PARTIALS: "running short: live captions are off",
    Level.TEXTS: "running short: calls are transcribed later",
    Level.CALLS: "running short: NEW CALLS ARE NOT RECORDED; active calls continue",
}


class PressureWatch:
    """Looks twice a second, and at what a call takes at once before each new one."""

    def __init__(
        self,
        free_space: Callable[[Path], int] | None = None,
        *,
        memory: Callable[[], int | None] = memory_left,
        files: Callable[[], Used | None] = open_files,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Each says what is left; OSError and None: nobody knows."""
        self._free_space, self._memory, self._files, self._clock = free_space or FreeSpace(), memory, files, clock
        self._pressure = Pressure()

    @property
    def texts(self) -> Level:
        """What speech gives up."""
        return self._pressure.texts

    @property
    def trouble(self) -> dict[str, str]:
        """Why no new call is recorded, by what is short; empty while they are."""
        return {reading.resource: reading.detail for reading in self._pressure.refusing}

    @property
    def short(self) -> dict[str, str]:
        """What is given up before new calls are, by what is short; empty while nothing is."""
        return {
            one.reading.resource: f"{_TOLD[one.level]} ({one.reading.detail})"
            for one in self._pressure.standing
            if Level.NOTHING < one.level < Level.CALLS
        }

    def look(self, config: DaemonConfig, calls: int) -> None:
        """Look at everything anew, and tell when it is different now. ``calls`` are recorded."""
        self._judge([self._disk(config), *self._what_memory(), *self._at_once(config, calls)])

    def refusal(self, config: DaemonConfig, calls: int) -> Reading | None:
        """For what a new call cannot be recorded now; None when it can."""
        self._judge(self._at_once(config, calls))
        return next(iter(self._pressure.refusing), None)

    def status(self) -> dict[str, dict[str, str]]:
        """What is left of each thing and what is given up for it, for people."""
        return {
            one.reading.resource: {
                "gives_up": one.level.name.lower(),
                "detail": one.reading.detail,
                "hint": one.reading.hint if one.level else "",
            }
            for one in self._pressure.standing
        }

    def _judge(self, readings: Iterable[Reading]) -> None:
        for one in self._pressure.judge(readings, self._clock()):
            say = (log.info, log.warning, log.warning, log.error)[one.level]
            hint = {"hint": one.reading.hint} if one.level else {}
            say(_TOLD[one.level], resource=one.reading.resource, detail=one.reading.detail, **hint)
        for one in self._pressure.standing:
            metrics.pressure.labels(one.reading.resource).set(one.level)

    def _disk(self, config: DaemonConfig) -> Reading:
        left, wanted = -1.0, config.min_free_mb
        try:
            left = self._free_space(Path(config.state_dir)) // MB
            detail = f"{left} MB free, {wanted} wanted (vcond.min_free_mb)"
        except OSError as why:
            detail = f"{config.state_dir} cannot be read: {why.strerror}"
        return Reading("disk", left, wanted, detail, f"free space in {config.state_dir}, or lower vcond.min_free_mb")

    def _what_memory(self) -> Sequence[Reading]:
        left = self._memory()
        if left is None:
            return ()
        partials, texts, calls = MEMORY
        detail = f"{max(0, left) // MB} MB left, {calls // MB} wanted"
        hint = "give the machine, or the service (MemoryMax), more memory, or set fewer speech.workers"
        return [Reading("memory", left, calls, detail, hint, texts=texts, partials=partials)]

    def _at_once(self, config: DaemonConfig, calls: int) -> Sequence[Reading]:
        found: list[Reading] = []
        files = self._files()
        if files is not None:
            left, detail = files.limit - files.used, f"{files.used} of {files.limit} open files in use"
            found.append(Reading("files", left, FILES * files.limit, detail, "raise LimitNOFILE of the service"))
        most = config.max_calls
        if most:
            detail = f"{calls} of {most} calls (vcond.max_calls)"
            hint = "raise vcond.max_calls if the machine has room for more"
            found.append(Reading("calls", most - calls, 1, detail, hint, slack=1.0, hold=0.0))
        return found
