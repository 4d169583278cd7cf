"""Two-party calls whose every word is known: people, pauses, noise, some of it at the same time."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcond.demo.call import Person, Recording
from vcond.media.codecs import Codec, decode, encode

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "peers" / "sounds"))

import prompts

RATE = prompts.RATE
NOISE = (12.0, 40.0, 80.0)
"""Root mean square of the noise on a line, which lies under everything that its party says."""
PAUSES = (0.7, 2.5)
"""Seconds between two sentences of one party or of both; one in ten is digital silence."""
TALK_OVER = 0.25
"""How many turns begin before the other party's has ended."""
LONGEST = 14.0
"""Seconds of one sentence."""


@dataclass(frozen=True)
class Spoken:
    """A sentence in a call."""

    party: int
    start: int
    """Sample of the track."""
    prompt: prompts.Prompt


@dataclass(frozen=True)
class Scripted:
    """A call and what is said in it."""

    recording: Recording
    spoken: tuple[Spoken, ...]

    def text(self, party: int) -> str:
        """Everything that a party says."""
        return " ".join(one.prompt.text for one in self.spoken if one.party == party)

    def clip(self, one: Spoken, before: float = 0.2, after: float = 0.5) -> np.ndarray:
        """A sentence as it sounds in the call, coded and with its noise."""
        pcm = decode(Codec.PCMU, self.recording.tracks[one.party])
        start = max(0, one.start - round(before * RATE))
        return pcm[start : one.start + len(one.prompt.pcm) + round(after * RATE)]


def scripted(sentences: int, calls: int, seed: int = 1) -> list[Scripted]:
    """So many sentences spread over so many calls. The same ones for the same seed."""
    rng = np.random.default_rng(seed)
    fit = [one for one in prompts.sentences() if one.seconds <= LONGEST]
    chosen = [fit[index] for index in rng.permutation(len(fit))[:sentences]]
    assert len(chosen) == sentences
    return [_call(chosen[number::calls], number, rng) for number in range(calls)]


def _call(said: list[prompts.Prompt], number: int, rng: np.random.Generator) -> Scripted:
    spoken: list[Spoken] = []
    free = [round(0.8 * RATE)] * 2
    """From where on each party may speak."""
    party = 0
    for prompt in said:
        over = rng.random() < TALK_OVER
        at = free[party] if over else max(free)
        start = at + round(rng.uniform(*PAUSES) * RATE)
        spoken.append(Spoken(party, start, prompt))
        free[party] = start + len(prompt.pcm)
        party = 1 - party if rng.random() < 0.8 else party
    total = (max(free) + RATE) // 160 * 160
    legs = [rng.normal(0, rng.choice(NOISE), total) for _ in range(2)]
    for one in spoken:
        if rng.random() < 0.1:
            legs[one.party][max(0, one.start - 5000) : one.start - 1600] = 0
        legs[one.party][one.start : one.start + len(one.prompt.pcm)] += one.prompt.pcm
    tracks = [encode(Codec.PCMU, leg.clip(-32768, 32767).astype(np.int16)) for leg in legs]
    people = (Person("caller", f"caller {number}", "+15550100"), Person("agent", f"agent {number}", "+15550101"))
    return Scripted(Recording(f"call {number}", people, (tracks[0], tracks[1])), tuple(spoken))
