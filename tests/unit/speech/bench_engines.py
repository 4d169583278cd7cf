"""Engines of known speed for the capacity bench, run in real workers as ``bench_engines:<Class>``."""

from __future__ import annotations

import time

from vcond.speech.engine import Caps, EngineOptions, Final, Hint, Partial, Pcm


class Quick:
    """Understands everything at once."""

    name, model, caps = "quick", "test", Caps(streaming=True)
    seconds = 0.0

    def __init__(self, options: EngineOptions) -> None:
        pass

    def open(self, hint: Hint) -> Quick:
        return self

    def feed(self, pcm: Pcm) -> None:
        pass

    def partial(self) -> Partial:
        return Partial("so far")

    def finish(self) -> Final:
        time.sleep(self.seconds)
        return Final("said")

    def reset(self) -> None:
        pass


class Slow(Quick):
    """Needs longer for a text than anybody waits."""

    seconds = 4.0
