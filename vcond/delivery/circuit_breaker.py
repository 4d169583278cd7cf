"""How fast one sink is tried. Pure: time comes in as nanoseconds, chance from the caller's generator."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from vcond.base.backoff import Backoff
from vcond.delivery.rows import HORIZON, ORDERS, Probe

SECOND: Final = 1_000_000_000
STREAK: Final = 5
"""So many different vCons failed one after another: it is the sink, not the vCons."""
REMEMBERED: Final = 1000
"""So many vCons that the receiver refuses in its own way are known at a time."""
COINCIDENCES: Final = 3
"""So often the sink was in trouble with a vCon and then took others: it is this vCon. Of ``held`` once is enough."""
RECENT: Final = 60 * SECOND
"""A sink that took a vCon so long ago still takes what had been waiting then: a refusal is about the vCon."""
VOUCHED: Final = 20
"""So many refusals in a row are; more, and it is the sink."""
ALONE: Final = Backoff(60.0, 3600.0)
"""Seconds that a vCon waits which alone is refused."""


@dataclass
class _Alone:
    """What is known of a vCon that the sink does not take although it takes others."""

    held: bool = False
    """It was one of those that somebody must set right."""
    times: int = 0
    """So often the sink took others after it had failed with this one."""
    refusals: int = 0
    """Tries since that was enough to know that it is about this one."""


@dataclass
class CircuitBreaker:
    """When a sink is tried, and with how much at once.

    A sink that is ``down`` is tried with one vCon at a time, at growing distances. A vCon that fails alone waits
    alone. All waits have full jitter: uniform between 0 and the bound, so that many edges do not come in step.

    Whether a refusal that would hold the sink is about the sink or about this vCon only another vCon can tell: one
    that the sink took a moment ago, while this one waited; or the sink is ``doubted``, and tried at once with another
    one, before it is held.
    """

    concurrency: int
    first: float
    """Bound of the first wait in seconds; it doubles with each further failure."""
    most: float
    """Largest bound in seconds."""
    rng: Random
    down: bool = False
    held: bool = False
    """Down until somebody sets something right: it is tried seldom, and what is new is no reason to try."""
    doubted: bool = False
    """Down until one other vCon was tried."""
    _witness: int | None = None
    """That other one."""
    _until: int = 0
    _not_before: int = 0
    _last: int = 0
    _troubles: int = 0
    _probes: int = 0
    """Tries since the sink is down."""
    _streak: set[int] = field(default_factory=set)
    _blamed: dict[int, bool] = field(default_factory=dict)
    """What the sink as such failed with since it took something, and whether it was held for it."""
    _alone: dict[int, _Alone] = field(default_factory=dict)
    _taken: int = 0
    """When the sink took or judged a vCon."""
    _vouched: int = 0
    """Refusals since then that were about their vCons."""

    @property
    def _soon(self) -> int:
        """Nanoseconds between two tries that something new is a reason for."""
        return round(max(self.first, self.most / 10) * SECOND)

    def slots(self, now: int, busy: int) -> int:
        """How many deliveries may begin now, when ``busy`` are under way."""
        if not self.down:
            return max(0, self.concurrency - busy)
        return 1 if busy == 0 and self.wait(now) == 0 else 0

    def wait(self, now: int) -> int:
        """Nanoseconds until a sink that is down may be tried."""
        left = self._until - now if self.down else 0
        return left if 0 < left <= HORIZON else 0

    def probe(self) -> Probe:
        """What to try a sink that is down with: the oldest, the newest, any; not what tells nothing about the sink."""
        known = {seq for seq, one in self._alone.items() if _enough(one)}
        if self.doubted:
            return Probe("newest", frozenset(known | self._blamed.keys()), only=True)
        self._probes += 1
        return Probe(ORDERS[self._probes % len(ORDERS)], frozenset(known))

    def begins(self, seq: int) -> None:
        """A try of a vCon begins."""
        if self.doubted:
            self._witness = seq

    def confirm(self, now: int) -> None:
        """There is no other vCon to try the doubted sink with: it is held."""
        self._hold(now)

    def succeeded(self, now: int, seq: int) -> bool:
        """The sink took or judged a vCon; whether it was known to be down before."""
        self._taken, self._vouched = now, 0
        was_down = self.down and not self.doubted
        self.down = self.held = self.doubted = False
        self._blamed.pop(seq, None)
        self._alone.pop(seq, None)
        for blamed, held in self._blamed.items():
            one = self._alone.setdefault(blamed, _Alone())
            one.times += 1
            one.held |= held
        for old in list(self._alone)[:-REMEMBERED]:
            del self._alone[old]
        self._blamed.clear()
        self._until = self._not_before = self._troubles = self._probes = 0
        self._streak.clear()
        return was_down

    def alone(self, seq: int, *, held: bool) -> bool:
        """Whether the sink takes others, but not this one: the next such answer is about the vCon."""
        one = self._alone.get(seq)
        return not self.down and one is not None and _enough(one) and (held or one.times >= COINCIDENCES)

    def vouched(self, now: int, seq: int, waited_since: int) -> bool:
        """Whether a refusal that would hold the sink is about this vCon: others were taken while it waited."""
        if self.down or not waited_since <= self._taken <= now <= self._taken + RECENT or self._vouched >= VOUCHED:
            return False
        self._vouched += 1
        one = self._alone.setdefault(seq, _Alone())
        one.held, one.times = True, one.times + 1
        return True

    def refused_alone(self, seq: int) -> tuple[int, bool]:
        """Such an answer; nanoseconds until it is tried again, and whether it is the first."""
        one = self._alone[seq]
        one.refusals += 1
        return round(ALONE.wait(one.refusals, self.rng.uniform) * SECOND), one.refusals == 1

    def until(self, now: int) -> int:
        """When a sink that is down is tried again."""
        return now + self.wait(now)

    def failed(
        self,
        now: int,
        seq: int,
        *,
        whole_sink: bool,
        after: float | None,
        held: bool = False,
        about_all: bool = False,
    ) -> bool:
        """A try ended with Retry; whether the sink is known to be down since this one. Not for one that is ``alone``.

        ``about_all``: it cannot be the vCon, whatever the sink does with others.
        """
        self._streak.add(seq)
        if whole_sink and not about_all:
            self._blamed[seq] = self._blamed.get(seq, False) or held
        if not (whole_sink or self.down or len(self._streak) >= STREAK):
            return False
        was_down, self.down = self.down, True
        if after is not None:
            self._not_before = max(self._not_before, now + round(after * SECOND))
        if self.doubted and seq != self._witness:  # it began before the doubt
            return False
        if held and not was_down and not about_all:
            self.doubted, self._witness = True, None
            self._until = self._not_before
            return False
        if was_down and not self.doubted and now < self._until:  # it began before the sink was known to be down
            self._until = max(self._until, self._not_before)
            return False
        was_down, self.doubted = was_down and not self.doubted, False
        if held:
            self._hold(now)
            return not was_down
        self.held = False
        self._troubles += 1
        self._last = now
        self._until = max(now + self.backoff(self._troubles), self._not_before)
        return not was_down

    def backoff(self, failures: int) -> int:
        """Nanoseconds to wait after the n-th failure in a row."""
        return round(Backoff(self.first, self.most, steady=0.0).wait(failures, self.rng.uniform) * SECOND)

    def _hold(self, now: int) -> None:
        """It begins where news is a reason to look, and is never at once."""
        self.doubted, self.held = False, True
        self._troubles += 1
        self._last = now
        wait = Backoff(self._soon, self.most * SECOND).wait(self._troubles, self.rng.uniform)
        self._until = max(now + round(wait), self._not_before)

    def nudge(self, urgent: bool = False) -> None:
        """There is something new to send: a sink that is down is tried sooner, unless it asked us to wait.

        ``urgent``: the operator asked; now, and what is refused alone is news again.
        """
        if urgent:
            self._until = 0
            for one in self._alone.values():
                one.refusals = 0
        elif self.down and not self.held:
            self._until = max(self._not_before, min(self._until, self._last + self._soon))


def _enough(one: _Alone) -> bool:
    return one.times >= (1 if one.held else COINCIDENCES)
