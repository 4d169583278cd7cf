"""What this machine has sent and waits for. Pure: time is an argument, in seconds of any clock that only goes forward.

Each utterance is here once, by the id of its job, until it is answered, taken back at its deadline, or forgotten. An answer that nobody
waits for is late or a double: it is dropped, and counted by whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SILENT: Final = 60.0
"""Seconds that something was waited for, and nothing came, after which nobody seems to be there."""
GRACE: Final = 10.0
"""Seconds for an answer to a job that was done already, and is in no queue any more: after them it is sent again."""


@dataclass(slots=True)
class Waiting(Generic[T]):
    """One that was sent."""

    what: T
    since: float
    deadline: float
    seq: int = 0
    """Its place in the stream; 0 = it is not known yet whether it is there."""


@dataclass(slots=True)
class Sent(Generic[T]):
    """All of them. ``most``: at once. ``patience``: seconds until one is taken back."""

    most: int
    patience: float
    answered: float = float("-inf")
    """When something came last."""
    _by: dict[str, Waiting[T]] = field(default_factory=dict)
    _silent: bool = False
    """As it was when deadlines were last looked at."""
    _window: float = float("inf")
    """How many may be sent so that each is answered in half of the patience: what waits for longer is thrown away undone."""
    _narrowed: float = float("-inf")
    """When it got smaller last."""

    def __len__(self) -> int:
        return len(self._by)

    def __contains__(self, job: str) -> bool:
        return job in self._by

    def room(self, now: float) -> bool:
        """Whether one more may be sent; while nobody answers only one, as a question whether somebody does again."""
        return len(self._by) < (1 if self.silent(now) else min(self.most, self._window))

    def silent(self, now: float) -> bool:
        """Whether nobody seems to be there: something waits for long, and nothing came since."""
        oldest = min((one.since for one in self._by.values()), default=now)
        return self._silent or now - max(oldest, self.answered) >= SILENT

    def add(self, job: str, what: T, now: float) -> None:
        """It is about to be sent."""
        self._by[job] = Waiting(what, now, now + self.patience)

    def placed(self, job: str, seq: int) -> None:
        """The stream has it; one that was answered in between is not looked for."""
        if job in self._by:
            self._by[job].seq = seq

    def done_before(self, job: str, now: float) -> None:
        """The stream had it once, and has it no more: its answer is on the way, or lost."""
        if job in self._by:
            self._by[job].deadline = min(self._by[job].deadline, now + GRACE)

    def answer(self, job: str, now: float) -> T | None:
        """What an answer is for; None = it is late, or a double."""
        found = self._by.pop(job, None)
        if found is None:
            return None
        self.somebody(now)
        waited, half = now - found.since, self.patience / 2
        if waited <= half:
            self._window = min(self.most, self._window + 1)
        elif found.since >= self._narrowed:
            self._narrow((len(self._by) + 1) * half / waited, now)
        return found.what

    def somebody(self, now: float) -> None:
        """A machine is there, whatever it says."""
        self.answered, self._silent = now, False

    def take_back(self, job: str) -> Waiting[T] | None:
        """It was not sent after all, or is not wanted; None = it was answered meanwhile."""
        return self._by.pop(job, None)

    def clear(self) -> list[T]:
        """All of them are taken back."""
        found, self._by = [one.what for one in self._by.values()], {}
        return found

    def overdue(self, now: float, unwanted: Callable[[T], bool]) -> list[Waiting[T]]:
        """Those whose deadline is over, or that are not wanted any more: they are taken back."""
        self._silent = self.silent(now)
        found = [(job, one) for job, one in self._by.items() if now >= one.deadline or unwanted(one.what)]
        if any(now >= one.since + self.patience and one.since >= self._narrowed for _, one in found):
            self._narrow(min(self._window, len(self._by)) / 2, now)
        for job, _ in found:
            del self._by[job]
        return [one for _, one in found]

    def _narrow(self, window: float, now: float) -> None:
        """Once for all that was sent until now: it was as many as waited for too long."""
        self._window, self._narrowed = max(1, window), now
