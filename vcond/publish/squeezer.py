"""Compresses the recordings of long calls while they go on: pieces beside their journals, made when there is time.

One thread that stands back behind everything else. Nothing waits for it and nothing is lost without it: what it has not
made is made at the end of the call.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import structlog

from vcond.base.errors import StorageError
from vcond.base.time import EPOCH, SECOND, Instant
from vcond.capture.live_call import CapturedCall
from vcond.journal import CallJournal
from vcond.journal.pieces import PiecesOfNow
from vcond.publish.stored_audio import StoredAudio
from vcond.vcon.building.growing import Growing, Squeezed, growing

log = structlog.get_logger()

EVERY = 5 * SECOND
"""How often a call is looked at."""
AT_ONCE = 32
"""Calls that are looked at in one turn of the loop."""
A_JOB = 4
"""Pieces that are made of a call before others have their turn."""
_MISTAKE = "internal error while compressing a recording; done at the call's end"


def stand_back() -> None:
    """This thread squeezes audio; capture and speech come first."""
    with contextlib.suppress(OSError):  # who may not be polite works all the same
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(10, os.getpriority(os.PRIO_PROCESS, thread)))


@dataclass(slots=True)
class _Call:
    """A call, as the thread has it. Only the thread uses ``squeezed``."""

    uuid: str
    journal: CallJournal
    squeezed: Squeezed = field(default_factory=Squeezed)
    looked: Instant = EPOCH
    over: bool = False
    """It ended, or a disk did not take its pieces."""


class Squeezer:
    """Owns the thread. ``look`` is for the loop, and never waits."""

    def __init__(self, limit: int | None, *, now: Callable[[], Instant], disk_low: Callable[[], bool]) -> None:
        """``limit``: bytes that a vCon may have. While ``disk_low`` no room is taken."""
        self._limit, self._now, self._disk_low = limit, now, disk_low
        self._calls: dict[str, _Call] = {}
        self._thread = ThreadPoolExecutor(1, "squeeze", initializer=stand_back)
        self.job: Future[None] | None = None
        """What the thread does now, or did last."""

    def look(self, calls: Iterable[CapturedCall]) -> None:
        """Have the calls that go on squeezed as far as they are settled; ``calls`` are all of them."""
        going_on = {call.uuid: call for call in calls}
        for uuid in self._calls.keys() - going_on.keys():
            self._calls.pop(uuid).over = True
        for uuid, call in going_on.items():
            if uuid not in self._calls and isinstance(call.journal, CallJournal):
                self._calls[uuid] = _Call(uuid, call.journal)
        if self.job is not None and not self.job.done():
            return
        now = self._now()
        due = [one for one in self._calls.values() if not one.over and now - one.looked >= EVERY]
        work: list[tuple[_Call, Growing, PiecesOfNow]] = []
        for one in sorted(due, key=lambda one: one.looked)[:AT_ONCE]:  # who waited longest comes first
            one.looked = now
            kept = one.journal.pieces.until_erased()
            try:
                found = growing(going_on[one.uuid].state, now, partial(StoredAudio, one.journal), self._limit)
            except Exception:  # of one call: the others are squeezed all the same
                one.over = True
                log.exception(_MISTAKE, call=one.uuid)
                continue
            if found is not None:
                work.append((one, found, kept))
        if work:
            self.job = self._thread.submit(self._work, work, A_JOB if not self._disk_low() else 0)

    def close(self) -> None:
        """Nothing more is made; what is being made is the last."""
        for call in self._calls.values():
            call.over = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _work(self, work: list[tuple[_Call, Growing, PiecesOfNow]], most: int) -> None:
        for call, found, kept in work:
            try:
                self._squeeze(call, found, kept, most)
            except (OSError, StorageError) as why:
                if not call.over:  # else the journal went away
                    log.warning("recording cannot be compressed during the call; done at its end", call=call.uuid,
                                error=str(why))  # fmt: skip
                call.over = True
            except Exception:
                call.over = True
                log.exception(_MISTAKE, call=call.uuid)

    def _squeeze(self, call: _Call, found: Growing, kept: PiecesOfNow, most: int) -> None:
        squeezed = call.squeezed
        if squeezed.drop(found):  # gone before anything else is made
            call.journal.pieces.keep_only(squeezed.names)
        for _ in range(most):
            if call.over or not squeezed.make(found, kept):
                return
        if most:
            call.looked = Instant(call.looked - EVERY)  # there is more to do, when others had their turn
