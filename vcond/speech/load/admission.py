"""Which calls speech has time for: measured cost against what comes in. Pure: no clock, no audio, no processes.

Every call is in one of three states. ``live``: texts, and words while they are spoken. ``finals``: texts only.
``deferred``: what is said waits in the journal and is transcribed when there is time.

What a second of audio costs is measured in seconds of a worker, as the wall clock has them: whatever else the machine
does is in it. What comes in is measured for each call in seconds of speech a second. Words while they are spoken go
first: nobody has them while some call is deferred, unless the engine follows speech anyway and only has to be asked for
them. Then calls are deferred, the youngest first, but before them one that
speaks without end (noise, music) far more than the others. Worse comes at once; better only after it would have lasted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal, get_args

State = Literal["live", "finals", "deferred"]
STATES: Final[tuple[State, ...]] = get_args(State)
"""From best to worst."""
Kind = Literal["final", "follow", "peek"]

MEMORY: Final = 20.0
"""Seconds over which speech and workers that run are averaged."""
EXPECTED: Final = 0.8
"""Seconds of speech a second, of a call that was not heard yet."""
FORGET: Final = 0.05
"""Weight of the newest step in what a kind of step costs."""
ENOUGH: Final = 10.0
"""Seconds of audio, or of a worker, from which on what was measured is believed: the first texts are of short utterances
and a cold model, and those that wait until then can still be deferred."""
FULL: Final = 0.9
"""Of the workers' time that live calls may take: the rest is for what was deferred, and for surprises."""
FULL_STREAMING: Final = 1.0
"""The same when the engine follows speech: it works in steps of a fifth of a second, so a surprise waits that long, and a
call that is deferred costs more than one that is followed. Measured: decision 0011."""
BETTER: Final = 0.9
"""Of that, which a call must fit into to get a better state than it has."""
DRAIN: Final = 10.0
"""Seconds in which the texts that live calls wait for should be there."""
SHOWN_EVERY: Final = 2.0
"""Seconds between two showings of what is being spoken that must be possible, else nothing is shown."""
TELLING: Final = 0.02
"""What asking a streaming engine for its words costs, of what following costs: 1 % was measured with vosk."""
QUIET: Final = 0.1
"""Seconds of speech a second below which a call is on hold, or rings, and is not counted with the others."""
GREEDY: Final = 1.6
"""A call that speaks so many times as much as the others' median is the first to be deferred."""
ABSENT: Final = 3600.0
"""Seconds that a call is remembered of which no track is open: recording may be paused."""
HOLD_FIRST, HOLD_MOST = 5.0, 60.0
"""Seconds that a better state must have been possible; doubles each time it did not last so long."""


@dataclass(slots=True)
class Cost:
    """What one kind of work costs: sums in which older steps count less."""

    worker: float = 0.0
    audio: float = 0.0
    steps: float = 0.0

    def add(self, worker: float, audio: float, steps: int = 1) -> None:
        """Work that took ``worker`` seconds; without ``audio`` and ``steps``, work that was lost with its worker."""
        if steps:
            self.worker, self.audio, self.steps = (
                value * (1 - FORGET) for value in (self.worker, self.audio, self.steps)
            )
        self.worker += worker
        self.audio += audio
        self.steps += steps

    @property
    def second(self) -> float:
        """Seconds of a worker for a second of audio; 0 = not measured yet."""
        return self.worker / self.audio if self.audio and max(self.audio, self.worker) >= ENOUGH else 0.0

    @property
    def each(self) -> float:
        """Seconds of a worker for one step; 0 = not measured yet."""
        return self.worker / self.steps if self.steps else 0.0


@dataclass(slots=True)
class Talk:
    """What is known of one call."""

    since: float
    at: float
    spoken: float = 0.0
    """Seconds of speech, in which older ones count less."""
    state: State = "live"
    better: float | None = None
    """Since when a better state would have been possible."""
    hold: float = HOLD_FIRST
    risen: float = -math.inf
    """When it got a better state last."""
    seen: float = 0.0
    """When it had an open track last."""

    def add(self, seconds: float, now: float) -> None:
        """So much was spoken."""
        self.spoken = self.spoken * math.exp((self.at - now) / MEMORY) + seconds
        self.at = now

    def rate(self, now: float) -> float:
        """Seconds of speech a second: expected at first, measured later."""
        faded = math.exp((self.since - now) / MEMORY)
        guess = 5.0 * faded
        spoken = max(0.0, self.spoken) * math.exp((self.at - now) / MEMORY)
        return (spoken + EXPECTED * guess) / (MEMORY * (1 - faded) + guess)


@dataclass(slots=True)
class Admission:
    """Decides. ``now`` is a monotonic time in seconds."""

    workers: int
    streaming: bool = False
    partials: bool = True
    costs: dict[Kind, Cost] = field(default_factory=lambda: {"final": Cost(), "follow": Cost(), "peek": Cost()})
    load: float = 0.0
    """What live texts of all calls would take of what they may; over 1 something is deferred."""
    best: State = "live"
    """No call is in a better state, whatever there is time for: the machine is short of something else."""
    stalled: bool = False
    """Nobody transcribes now: every call is deferred."""
    _calls: dict[str, Talk] = field(default_factory=dict)
    _running: float = -1.0
    _judged: float = 0.0

    def state(self, call: str) -> State:
        """The state of a call; the best for one that is not judged."""
        known = self._calls.get(call)
        return _worse(known.state, self._most) if known is not None else self._most

    def spoke(self, call: str, seconds: float, now: float) -> None:
        """So much speech of a call came in; negative when an utterance turned out shorter."""
        self._calls.setdefault(call, Talk(now, now, seen=now)).add(seconds, now)

    def judge(self, calls: Iterable[str], waiting: Mapping[str, float], running: int, now: float) -> dict[str, State]:
        """The states that changed. ``calls`` go on; ``waiting``: seconds of audio for which a live call has no text.

        ``running``: workers that are there now.
        """
        going = dict.fromkeys(calls)
        for call in going:
            self._calls.setdefault(call, Talk(now, now)).seen = now
        self._calls = {call: talk for call, talk in self._calls.items() if now - talk.seen < ABSENT}
        rates = {call: talk.rate(now) for call, talk in self._calls.items() if call in going}
        budget = (FULL_STREAMING if self.streaming else FULL) * self._capacity(running, now)
        wanted = self._finals(rates, waiting, budget, now)
        if self.partials and (self.streaming or "deferred" not in wanted.values()):
            self._partials(wanted, rates, waiting, budget)
        moved = {call: _moved(self._calls[call], _worse(wanted[call], self._most), now) for call in rates}
        return {call: state for call, state in moved.items() if state}

    @property
    def _most(self) -> State:
        return "deferred" if self.stalled else self.best

    def _capacity(self, running: int, now: float) -> float:
        """Workers that run, averaged: one that dies every few seconds counts for what it does in between."""
        if self._running < 0:
            self._running, self._judged = float(self.workers), now
        faded = math.exp((self._judged - now) / MEMORY)
        self._running, self._judged = running + (self._running - running) * faded, now
        return self._running

    def _finals(
        self, rates: Mapping[str, float], waiting: Mapping[str, float], budget: float, now: float
    ) -> dict[str, State]:
        second = self.costs["final"].second
        usual = median([rate for rate in rates.values() if rate > QUIET] or [0.0])
        used = total = 0.0
        wanted: dict[str, State] = {}
        for call in sorted(rates, key=lambda one: (rates[one] > GREEDY * usual, self._calls[one].since)):
            demand = second * (rates[call] + waiting.get(call, 0.0) / DRAIN)
            total += demand
            talk = self._calls[call]
            stays = talk.state != "deferred" and now - talk.since >= HOLD_FIRST
            fits = used + demand <= budget * (1.0 if stays else BETTER)
            wanted[call] = "finals" if fits else "deferred"
            used += demand if fits else 0.0
        self.load = total / budget if budget > 0 else 0.0
        return wanted

    def _partials(
        self, wanted: dict[str, State], rates: Mapping[str, float], waiting: Mapping[str, float], budget: float
    ) -> None:
        """What the texts leave is for showing words, the oldest call first."""
        second = self.costs["final"].second
        served = {call: rate for call, rate in rates.items() if wanted[call] != "deferred"}
        used = sum(second * (rate + waiting.get(call, 0.0) / DRAIN) for call, rate in served.items())
        shown = TELLING * second if self.streaming else self.costs["peek"].each / SHOWN_EVERY
        for call in sorted(served, key=lambda one: self._calls[one].since):
            used += shown * rates[call]
            if used <= budget * (1.0 if self._calls[call].state == "live" else BETTER):
                wanted[call] = "live"


def _worse(one: State, other: State) -> State:
    return max(one, other, key=STATES.index)


def _moved(talk: Talk, wanted: State, now: float) -> State | None:
    """The new state of a call, if it changes: worse at once, better when it was possible for a while."""
    if wanted == talk.state:
        talk.better = None
        return None
    if STATES.index(wanted) > STATES.index(talk.state):
        talk.hold = min(HOLD_MOST, 2 * talk.hold) if now - talk.risen < HOLD_MOST else HOLD_FIRST
        talk.better = None
    else:
        talk.better = now if talk.better is None else talk.better
        if now - talk.better < talk.hold:
            return None
        talk.better, talk.risen = None, now
    talk.state = wanted
    return wanted
