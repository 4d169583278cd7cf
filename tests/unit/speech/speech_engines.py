"""Small real engines that the tests run in real worker processes, as ``speech_engines:<Class>``.

What an utterance is, is in its samples: all have one value. Plain values are said back; some are orders, below. The
folder given as the model is where an engine writes down what it did and finds what it shall do.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vcond.base.errors import ConfigError, UnreachableError
from vcond.speech.engine import Caps, EngineOptions, Final, Heard, Hint, Partial, Pcm

CRASH = 901
"""Die, every time."""
HANG = 902
"""Tell the fifo who we are and never answer, the first time; every time if there is no fifo."""
RAISE = 903
RUBBISH = 904
"""Write something that is no frame."""
UNASKED = 905
"""Answer what was not asked."""
NOISY = 906
"""Print what was said, and crash."""
GROW = 907
"""Take much memory."""
SEGFAULT = 918
LEAVE = 919
"""Exit, as a library might."""
LOOP = 920
"""Work without end."""
AWAY = 908
"""Reach nobody, six times."""


class Scripted:
    """Works on whole utterances."""

    name, model, caps = "scripted", "whole", Caps(streaming=False, languages=("en",))

    def __init__(self, options: EngineOptions) -> None:
        self.folder = Path(options.model)
        self.kept: list[np.ndarray] = []

    def open(self, hint: Hint) -> Words:
        self.note(f"hint {hint.rate} {hint.language} {','.join(hint.vocabulary)}")
        return Words(self, hint)

    def note(self, line: str) -> None:
        with (self.folder / "log").open("a") as file:
            file.write(line + "\n")


class Streaming(Scripted):
    """Works while audio comes in."""

    model, caps = "streaming", Caps(streaming=True)


class Forking(Scripted):
    """Can be forked, and writes down each time it is loaded."""

    caps = Caps(streaming=False, forks=True)

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        self.note(f"load {os.getpid()}")


class Dumpable(Forking):
    """Writes down whether a core file could have what it hears: prctl(PR_GET_DUMPABLE), and the limit."""

    def open(self, hint: Hint) -> Words:
        self.note(f"core {ctypes.CDLL(None).prctl(3)} {resource.getrlimit(resource.RLIMIT_CORE)}")
        return super().open(hint)


class Threaded(Forking):
    """Says that it can be forked, and has a thread."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()


class Warming(Forking):
    """Gets warm in three steps, as soon as there is no file ``cold`` in its folder."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        self.steps = 0

    def warm(self) -> Iterator[None]:
        yield from self.cold()
        for _ in range(3):
            self.steps += 1
            yield

    def cold(self) -> Iterator[None]:
        while (self.folder / "cold").exists():
            time.sleep(0.01)  # what a step takes
            yield

    def open(self, hint: Hint) -> Words:
        self.note(f"open {self.steps}")
        return super().open(hint)


class StuckWhenWarmed(Warming):
    """Never comes back from being warmed."""

    def warm(self) -> Iterator[None]:
        yield from self.cold()
        self.note("stuck x")
        time.sleep(3600)


class BurnsWhenWarmed(Warming):
    """Dies of being warmed."""

    def warm(self) -> Iterator[None]:
        yield from self.cold()
        self.note("burn x")
        os.kill(os.getpid(), signal.SIGKILL)


class Broken(Scripted):
    """Cannot be loaded."""

    def __init__(self, options: EngineOptions) -> None:
        raise ConfigError("the model is cracked; glue it", "speech.model")


class DiesAtStart(Scripted):
    def __init__(self, options: EngineOptions) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Words:
    """Says back the values it was fed, each once, with the seconds at which they were."""

    def __init__(self, engine: Scripted, hint: Hint) -> None:
        self.engine, self.hint = engine, hint
        self.pcm = np.zeros(0, np.int16)

    def feed(self, pcm: Pcm) -> None:
        self.pcm = np.concatenate([self.pcm, pcm])
        self.engine.note(f"fed {len(pcm)}")

    def partial(self) -> Partial:
        self.engine.note(f"partial {self.text()}")
        if RAISE in self.pcm:
            raise RuntimeError(self.text())
        return Partial(self.text())

    def finish(self) -> Final:
        for value in dict.fromkeys(self.pcm.tolist()):
            self.obey(value)
        self.engine.note(f"final {self.text()}")
        words = []
        for value in dict.fromkeys(self.pcm.tolist()):
            at = np.flatnonzero(self.pcm == value)
            words.append(Heard(float(at[0]) / self.hint.rate, float(at[-1] + 1) / self.hint.rate, str(value), 0.9))
        return Final(self.text(), tuple(words), self.hint.language or "en", 0.9)

    def reset(self) -> None:
        self.engine.note(f"reset {self.text()}")

    def text(self) -> str:
        return " ".join(str(value) for value in dict.fromkeys(self.pcm.tolist()) if value)

    def obey(self, value: int) -> None:
        channel = int(sys.argv[-1])
        if value == CRASH:
            self.engine.note("crash")
            os.kill(os.getpid(), signal.SIGKILL)
        elif value == HANG:
            self.hang()
        elif value == RAISE:
            raise RuntimeError(f"what was said: {self.text()}")
        elif value == RUBBISH:
            os.write(channel, b"\xff\xff\xff\xffrubbish")
        elif value == UNASKED:
            os.write(channel, b"\x00\x00\x00\x03\x81\xa1t\xc0"[:7])
        elif value == NOISY:
            print("secret words", flush=True)
            print('  File "/somewhere/engine.py", line 12, in decode\n    secret = words', file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        elif value == AWAY and (self.engine.folder / "log").read_text().count("away") < 6:
            self.engine.note("away")
            raise UnreachableError("nobody there")
        elif value == GROW:
            self.engine.kept.append(np.ones(40 << 20, np.uint8))
        elif value == SEGFAULT:
            ctypes.string_at(0)
        elif value == LEAVE:
            os._exit(3)
        while value == LOOP:
            pass

    def hang(self) -> None:
        fifo, once = self.engine.folder / "fifo", self.engine.folder / "hung"
        if fifo.exists():
            if once.exists():
                return
            once.touch()
            fifo.write_text(str(os.getpid()))
        while True:
            time.sleep(3600)
