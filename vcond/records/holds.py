"""Legal holds: calls of which nothing goes, whatever retention, a full disk or a request to forget says. Decision 0034.

A hold is on a whole call: its journal, its vCons here, its recordings outside, what sinks have of it. Retention and forgetting
ask ``on``; the outbox and the journals are told which calls are held, where something would go by itself.

A clock that is wrong ends no hold: vcond must have seen one to be over for a day in which it ran, of which each run notes its part. The time between
two runs counts nothing, and where the clock of the next one does not fit to it the day begins anew, as it does when a hold is seen not to be over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta

from vcond.base.errors import OperatorError, StorageError
from vcond.base.time import SECOND, Instant, rfc3339
from vcond.records.record_files import RecordFiles

log = structlog.get_logger()

MOST: Final = 10_000
"""Calls on hold at a time."""
LONGEST_REASON: Final = 1_000
"""Characters."""
SURE: Final = 86_400 * SECOND
"""So long a hold must have been over before it ends."""
LONGEST_REST: Final = 7 * SURE
"""So long vcond may have been stopped, by the clock: after more than that, or after less than nothing, the day begins anew."""


class HeldError(OperatorError):
    """Something must stay, and was asked to go: the message says why and until when."""


class Hold(msgspec.Struct, frozen=True):
    """Nothing of a call goes."""

    call: str
    reason: Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON)]
    """In the operator's words."""
    since: int
    """Nanoseconds since the epoch; 0 = its record cannot be read."""
    until: int = 0
    """0 = until it is released."""
    over: Annotated[int, Meta(ge=0)] = 0
    """For how long earlier looks saw it over, nanoseconds of a clock that never steps."""
    seen: int = 0
    """When that was noted, by the clock that may step."""

    def __str__(self) -> str:
        """For an operator; the reason is theirs to look up."""
        ends = f"until {rfc3339(Instant(self.until))} has been over for a day" if self.until else "until it is released"
        since = f" since {rfc3339(Instant(self.since))}," if self.since else ""
        return f"call {self.call} is on legal hold{since} {ends}"


class Holds:
    """All holds. May be asked, and changed, from any thread."""

    def __init__(
        self, files: RecordFiles[Hold], now: Callable[[], int], steady: Callable[[], int] | None = None
    ) -> None:
        """``now``: nanoseconds since the epoch; ``steady``: of a clock that never steps; None = for a look: none ends, and nobody is told.

        Raises StorageError: without the holds nothing may go.
        """
        self._files, self._now, self._steady = files, now, steady
        self._lock = Lock()
        self._over: dict[str, int] = {}
        """Since when, by the steady clock, a hold has been over each time that it was looked at."""
        self._before: dict[str, int] = {}
        """For how long it had been before that, without a look at which it was not; read before ``_over``."""
        self._ended: set[str] = set()
        """Those that ended so, and were told of."""
        try:
            self._all, damaged = files.read()
        except OSError as why:
            raise StorageError(f"cannot read the legal holds in {files.folder}: {why.strerror}") from None
        for call, error in damaged.items():  # that there is a hold is known by its name
            self._all[call] = Hold(call, "its record cannot be read", 0)
            if steady is not None:
                log.error(
                    "the record of a legal hold cannot be read: the call is held until it is released", call=call,
                    file=str(files.path(call)), error=error, hint="restore the file and restart, or hold it again (vcond legal-hold)",
                )  # fmt: skip
        for call, one in self._all.items() if steady is not None else ():
            if one.over and 0 <= now() - one.seen <= LONGEST_REST:
                self._before[call] = one.over
        self.calls()  # a day begins, or goes on, for those that are over

    def all(self) -> list[Hold]:
        """Those in force, and those that have ended by themselves and were not released; the oldest first."""
        return sorted(self._all.values(), key=lambda one: one.since)

    def on(self, call: str) -> Hold | None:
        """The hold that is in force for a call."""
        found = self._all.get(call)
        return found if found is not None and self._in_force(found) else None

    def calls(self) -> Sequence[str]:
        """All calls on hold now."""
        return [call for call, one in self._all.items() if self._in_force(one)]

    def check(self, call: str) -> None:
        """Raises HeldError for a call on hold."""
        if (found := self.on(call)) is not None:
            raise HeldError(f"{found}; nothing was changed: release it first (vcond legal-hold {call} --release)")

    def put(self, call: str, reason: str, until: int = 0) -> Hold:
        """Durable when it returns; one that a call has is replaced, its beginning stays. Blocks.

        Raises ValueError for one that has ended already or has no reason, StorageError.
        """
        with self._lock:
            now, before = self._now(), self._all.get(call)
            if not reason.strip() or len(reason) > LONGEST_REASON:
                raise ValueError(f"a legal hold has a reason, of {LONGEST_REASON} characters at most")
            if until and until <= now:
                raise ValueError(
                    f"{rfc3339(Instant(until))} is over already: a hold that ends in the past holds nothing"
                )
            if before is None and len(self._all) >= MOST:
                raise ValueError(f"there are {MOST} legal holds: release those that are over first")
            hold = Hold(call, reason.strip(), before.since if before and before.since else now, until)
            self._write(hold)
            self._all = {**self._all, call: hold}
            self._begin_anew(call)
            return hold

    def spread(self, hold: Hold, call: str) -> None:
        """A call took in the held one: it is held as long at least, and at once. Durable when it returns. Blocks.

        Raises StorageError: it is in force nevertheless, until the next start, which does it again.
        """
        with self._lock:
            own = self.on(call)
            if own is not None and (not own.until or 0 < hold.until <= own.until):
                return
            reason = f"{own.reason}; {hold.reason}"[:LONGEST_REASON] if own else hold.reason
            made = Hold(call, reason, own.since if own else self._now(), hold.until)
            self._all = {**self._all, call: made}
            self._begin_anew(call)  # the day in which the one before was over is not of this one
            self._write(made)

    def note(self) -> None:
        """Keep for the next run how long holds have been seen over; durable when it returns. Blocks.

        Raises StorageError: the next one tries again.
        """
        if (steady := self._steady) is None:
            return
        for call in list(self._all):
            with self._lock:
                if (hold := self._all.get(call)) is not None:
                    self._note(hold, steady)

    def release(self, call: str) -> Hold | None:
        """Durable when it returns; the hold that was. Blocks. Raises StorageError: it is still in force then."""
        with self._lock:
            found = self._all.get(call)
            if found is None:
                return None
            try:
                self._files.remove(call)
            except OSError as why:
                raise StorageError(f"cannot release the legal hold: {why.strerror}; it is still in force") from None
            self._all = {name: one for name, one in self._all.items() if name != call}
            self._begin_anew(call)
            return found

    def _begin_anew(self, call: str) -> None:
        """No hold on it was over yet."""
        self._over.pop(call, None)
        self._before.pop(call, None)
        self._ended.discard(call)

    def _note(self, hold: Hold, clock: Callable[[], int]) -> None:
        """Of one, what changed."""
        held, since = self._in_force(hold), self._over.get(hold.call)
        now, steady = self._now(), clock()  # which is not before ``since``
        over = 0 if since is None else min(self._before.get(hold.call, 0) + steady - since, SURE)
        if over == hold.over and (not over or (not held and now - hold.seen < SURE)):
            return
        made = msgspec.structs.replace(hold, over=over, seen=now)
        self._write(made)
        if since is not None:  # whoever asks between the two counts too little
            self._over[hold.call], self._before[hold.call] = steady, over
        self._all = {**self._all, hold.call: made}

    def _write(self, hold: Hold) -> None:
        try:
            self._files.put(hold.call, hold)
        except OSError as why:
            raise StorageError(f"cannot store the legal hold: {why.strerror}; nothing is held by it") from None

    def _in_force(self, hold: Hold) -> bool:
        if not hold.until or self._now() < hold.until:
            self._begin_anew(hold.call)
            return True
        if self._steady is None:
            return True
        before, steady = self._before.get(hold.call, 0), self._steady()
        since = self._over.get(hold.call)
        if since is None:
            since = self._over[hold.call] = steady
            if before < SURE:
                log.warning(
                    "the date of a legal hold has passed; the hold ends after vcond has run for another day", call=hold.call,
                    until=rfc3339(Instant(hold.until)), hours_left=round((SURE - before) / SECOND / 3600, 1),
                    hint="if the clock is wrong, mend it before; to end the hold now: vcond legal-hold CALL --release",
                )  # fmt: skip
        if before + steady - since < SURE:
            return True
        if hold.call not in self._ended:
            self._ended.add(hold.call)
            if before < SURE:
                log.warning("a legal hold ended: retention and forgetting apply again", call=hold.call)
        return False
