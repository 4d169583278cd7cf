"""vosk (Kaldi): a streaming engine with the operator's model.

What was measured and decides the shape of this (vosk 0.3.45):

- A recognizer is expensive while it is cold: its first seconds cost 2 to 5 times as much, and some 50 MB. So recognizers
  are pooled and used again, for whatever utterance comes next.
- A recognizer's clock is all audio it was ever fed, across ``Reset`` and ``FinalResult``. So each utterance keeps how
  much was fed before it, and takes that off every time.
- ``Reset`` alone keeps the audio that is not decoded yet, and the adaptation to the voice; ``FinalResult`` frees both. So
  nothing goes back to the pool without it: no caller's voice reaches another caller's text.
- 8 kHz is fed as it is; resampling before gains nothing.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from vcond.errors import ConfigError, MissingExtraError
from vcond.speech.engine import Caps, EngineOptions, Final, Heard, Hint, Partial, Pcm

MODEL_LANGUAGE = re.compile(r"^vosk-model-(?:small-|big-)?([a-z]{2,3})(?:-|$)")
"""``vosk-model-small-en-us-0.15``: what the usual models are called."""


class VoskWord(msgspec.Struct):
    """One word as vosk writes it; seconds on the recognizer's clock."""

    word: str
    start: float
    end: float
    conf: float = 0.0


class VoskResult(msgspec.Struct):
    """What ``Result``, ``FinalResult`` and ``PartialResult`` answer."""

    text: str = ""
    partial: str = ""
    result: list[VoskWord] = []


_RESULT = msgspec.json.Decoder(VoskResult)


class VoskEngine:
    """A vosk model in a folder, with its pool of warm recognizers."""

    name = "vosk"

    def __init__(self, options: EngineOptions) -> None:
        """Load the model: seconds, and some 100 to 600 MB. Raises MissingExtraError and ConfigError."""
        try:
            import vosk
        except ImportError as why:
            raise MissingExtraError("vosk is not installed: pip install vosk") from why
        if not Path(options.model).is_dir():
            raise ConfigError(f"no folder {options.model}", "speech.model")
        vosk.SetLogLevel(-1)
        try:
            self._model = vosk.Model(options.model)
        except Exception as why:  # vosk raises nothing more special
            raise ConfigError(f"{options.model} is no vosk model", "speech.model") from why
        self._make = vosk.KaldiRecognizer
        self._pool: dict[tuple[int, tuple[str, ...]], list[Warm]] = defaultdict(list)
        self.model = Path(options.model).name
        named = MODEL_LANGUAGE.match(self.model)
        self.language = named[1] if named else ""
        self.caps = Caps(streaming=True, languages=(self.language,) if self.language else ())

    def open(self, hint: Hint) -> VoskRecognition:
        """A recognition on a recognizer that is warm, if one is free."""
        idle = self._pool[hint.rate, hint.vocabulary]
        warm = idle.pop() if idle else Warm(self._recognizer(hint), hint.rate)
        return VoskRecognition(warm, idle, self.language or hint.language)

    def _recognizer(self, hint: Hint) -> Any:
        grammar = (json.dumps(hint.vocabulary, ensure_ascii=False),) if hint.vocabulary else ()
        recognizer = self._make(self._model, float(hint.rate), *grammar)
        recognizer.SetWords(True)
        return recognizer


class Warm:
    """A recognizer and how much it was ever fed."""

    def __init__(self, recognizer: Any, rate: int) -> None:
        self.recognizer = recognizer
        self.rate = rate
        self.fed = 0
        """Samples, over all utterances: its clock."""


class VoskRecognition:
    """One utterance on a recognizer, which goes back to the pool at the end of it."""

    def __init__(self, warm: Warm, idle: list[Warm], language: str) -> None:
        self._warm: Warm | None = warm
        self._idle = idle
        self._language = language
        self._zero = warm.fed / warm.rate
        self._words: list[VoskWord] = []
        self._texts: list[str] = []

    def feed(self, pcm: Pcm) -> None:
        """Take more audio. vosk may find ends of sentences in it; they are parts of the same utterance here."""
        warm = self._held()
        warm.fed += len(pcm)
        if warm.recognizer.AcceptWaveform(pcm.tobytes()):
            self._take(_RESULT.decode(warm.recognizer.Result()))

    def partial(self) -> Partial:
        """What was heard so far."""
        more = _RESULT.decode(self._held().recognizer.PartialResult()).partial
        return Partial(" ".join([*self._texts, more]).strip())

    def finish(self) -> Final:
        """All of it."""
        self._take(_RESULT.decode(self._held().recognizer.FinalResult()))
        words = tuple(
            Heard(word.start - self._zero, word.end - self._zero, word.word, word.conf) for word in self._words
        )
        confidence = sum(word.confidence for word in words) / len(words) if words else 0.0
        final = Final(" ".join(self._texts), words, self._language, confidence)
        self._give_back()
        return final

    def reset(self) -> None:
        """Forget everything; the recognizer goes back to the pool."""
        if self._warm is not None:
            self._warm.recognizer.FinalResult()
            self._give_back()

    def _held(self) -> Warm:
        assert self._warm is not None, "the recognition is over"
        return self._warm

    def _give_back(self) -> None:
        warm = self._held()
        warm.recognizer.Reset()
        self._idle.append(warm)
        self._warm = None
        self._words, self._texts = [], []

    def _take(self, result: VoskResult) -> None:
        if result.text:
            self._texts.append(result.text)
            self._words += result.result
