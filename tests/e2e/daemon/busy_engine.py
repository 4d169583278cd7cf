"""An engine that is as slow as a file says: seconds for a second of audio. It says back how much it heard."""

from __future__ import annotations

import time
from pathlib import Path

from vcond.speech.engine import Caps, EngineOptions, Final, Hint, Partial, Pcm


class Busy:
    """Works on whole utterances. The model's folder holds ``cost``."""

    name, model, caps = "busy", "test", Caps(streaming=False)

    def __init__(self, options: EngineOptions) -> None:
        self.cost = Path(options.model) / "cost"

    def open(self, _: Hint) -> Hearing:
        return Hearing(self)


class Hearing:
    """One utterance."""

    def __init__(self, engine: Busy) -> None:
        self.engine, self.heard = engine, 0

    def feed(self, pcm: Pcm) -> None:
        self.heard += len(pcm)

    def partial(self) -> Partial:
        self._work()
        return Partial(f"heard {self.heard}")

    def finish(self) -> Final:
        self._work()
        return Final(f"heard {self.heard}")

    def reset(self) -> None:
        self.heard = 0

    def _work(self) -> None:
        time.sleep(self.heard / 8000 * float(self.engine.cost.read_text()))
