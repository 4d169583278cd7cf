"""What could not be done on the disk and is tried again: less and less often while nothing works, and told once in a while."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from vcond.base.backoff import Backoff
from vcond.journal.disk_errors import advice, say
from vcond.journal.write_queue import WriteQueue

log = structlog.get_logger()

SLICE: Final = 32
"""Things tried again at a time."""
SHORTEST, LONGEST = 0.05, 2.0
"""Seconds before a failed write is tried again: at first, and at most."""
WAITS: Final = Backoff(SHORTEST, LONGEST, steady=1.0)
"""Without jitter: the disk is ours, and one thread writes."""
TRIES: Final = 8
"""Failures in a row after which a dead disk is left alone for a while."""
QUIET: Final = 10.0
"""Seconds between two log lines about trouble."""
FAULT: Final = "internal error: see the log and report it"


class Retries:
    """Belongs to the writer thread. ``path`` is that of the store, ``clock`` as the writer's; ``queue`` is told the trouble."""

    def __init__(self, queue: WriteQueue, path: str, clock: Callable[[], float]) -> None:
        self._queue, self._path, self._clock = queue, path, clock
        self._failing: dict[object, Callable[[], None]] = {}
        self.at = 0.0
        """When to try again, while there is something."""
        self._rounds = 0
        """Rounds of trying again without progress."""
        self._complained = -QUIET

    def __len__(self) -> int:
        return len(self._failing)

    def __iter__(self) -> Iterator[object]:
        return iter(self._failing)

    def __contains__(self, key: object) -> bool:
        return key in self._failing

    def attempt(self, key: object, action: Callable[[], None], again: Callable[[], None] | None = None) -> str:
        """Do something; on disk trouble keep it (``again``, else ``action``) to be tried later. The trouble, if any."""
        try:
            action()
        except OSError as why:
            return self._failed(key, again or action, advice(why, self._path))
        except Exception:  # noqa: BLE001 - one call's fault, whatever it is, must not stop the writing of the others
            say(log.exception, "internal error in the journal writer; continuing")
            return self._failed(key, again or action, FAULT)
        if self._failing.pop(key, None) is not None:
            self._healthy()
        return ""

    def _failed(self, key: object, again: Callable[[], None], trouble: str) -> str:
        if not self._failing:
            self._rounds = 1
            self.at = self._clock() + WAITS.wait(self._rounds)
        self._failing.pop(key, None)
        self._failing[key] = again
        self._queue.trouble = trouble
        self.complain(trouble)
        return trouble

    def again(self, now: float) -> None:
        """Try some of it again."""
        progress = failures = 0
        for key in list(itertools.islice(self._failing, SLICE)):
            if self.attempt(key, self._failing[key]):
                failures += 1
            else:
                progress += 1
            if failures == TRIES:
                break
        self._rounds = 1 if progress else self._rounds + 1
        self.at = now + WAITS.wait(self._rounds) if failures else now

    def _healthy(self) -> None:
        if not self._failing:
            self._queue.trouble = ""
            say(log.info, "journal writable again")

    def complain(self, trouble: str) -> None:
        """Log it, unless that was done a moment ago."""
        if self._clock() - self._complained >= QUIET:
            self._complained = self._clock()
            say(log.error, "cannot write the journal", trouble=trouble, waiting_bytes=self._queue.waiting)
