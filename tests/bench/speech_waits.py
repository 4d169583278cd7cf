"""An engine that waits instead of computing: what is left is what the way to it costs. For benches only."""

from __future__ import annotations

import time

from vcond.speech.engine import Caps, EngineOptions, Final, Heard, Hint, Partial, Pcm


class Waits:
    """Says one word of every utterance, the number that its first sample is. Its model is the seconds that a second of audio takes."""

    name, model, caps = "waits", "waits", Caps(streaming=False)

    def __init__(self, options: EngineOptions) -> None:
        self.factor = float(options.model)

    def open(self, hint: Hint) -> Waiting:
        return Waiting(self.factor, hint.rate)


class Waiting:
    def __init__(self, factor: float, rate: int) -> None:
        self.factor, self.rate, self.samples, self.first = factor, rate, 0, 0

    def feed(self, pcm: Pcm) -> None:
        if not self.samples:
            self.first = int(pcm[0])
        self.samples += len(pcm)

    def partial(self) -> Partial:
        return Partial("")

    def finish(self) -> Final:
        seconds = self.samples / self.rate
        time.sleep(self.factor * seconds)
        return Final(str(self.first), (Heard(0.0, seconds, str(self.first), 1.0),), "", 1.0)

    def reset(self) -> None:
        self.samples = 0
