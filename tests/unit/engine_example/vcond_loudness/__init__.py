"""An engine as a third party would write it: it has no model, and says of every half second whether it was loud."""

from __future__ import annotations

import numpy as np

from vcond.speech.engine import Caps, EngineOptions, Final, Heard, Hint, Partial, Pcm

LOUD = 1000
"""Root mean square of samples."""
STEP = 0.5
"""Seconds of a word."""


class LoudnessEngine:
    """Loads nothing, so that a process with it may be forked."""

    name, model = "loudness", "half-seconds"
    caps = Caps(streaming=True, forks=True)

    def __init__(self, options: EngineOptions) -> None:
        pass  # ``options.model`` would be the folder of a model: load it here, in the worker

    def open(self, hint: Hint) -> Listening:
        return Listening(hint)


class Listening:
    """One utterance."""

    def __init__(self, hint: Hint) -> None:
        self.hint, self.pcm = hint, np.zeros(0, np.int16)

    def feed(self, pcm: Pcm) -> None:
        self.pcm = np.concatenate([self.pcm, pcm])

    def words(self) -> tuple[Heard, ...]:
        length = round(STEP * self.hint.rate)
        found = []
        for start in range(0, len(self.pcm), length):
            part = self.pcm[start : start + length].astype(np.float64)
            word = "loud" if np.sqrt((part**2).mean()) > LOUD else "quiet"
            found.append(Heard(start / self.hint.rate, (start + len(part)) / self.hint.rate, word, 1.0))
        return tuple(found)

    def partial(self) -> Partial:
        return Partial(" ".join(word.text for word in self.words()))

    def finish(self) -> Final:
        words = self.words()
        note = "the engine knows no vocabulary" if self.hint.vocabulary else ""
        text = " ".join(word.text for word in words)
        return Final(text, words, language="en", confidence=1.0 if words else 0.0, note=note)

    def reset(self) -> None:
        self.pcm = self.pcm[:0]
