"""An engine that writes down all that it is given to hear. Found by path."""

from __future__ import annotations

from pathlib import Path

from vcond.speech.engine import Caps, EngineOptions, Final, Hint, Partial, Pcm


class Ears:
    """Hears everything, understands nothing. The model is the folder that it writes into."""

    name, model, caps = "ears", "test", Caps(streaming=False)

    def __init__(self, options: EngineOptions) -> None:
        self.file = Path(options.model) / "heard.pcm"

    def open(self, _: Hint) -> Hearing:
        return Hearing(self.file)


class Hearing:
    """One utterance."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def feed(self, pcm: Pcm) -> None:
        with self._file.open("ab") as file:
            file.write(pcm.astype("<i2").tobytes())

    def partial(self) -> Partial:
        return Partial("")

    def finish(self) -> Final:
        return Final("")

    def reset(self) -> None:
        """Nothing is kept between utterances."""
