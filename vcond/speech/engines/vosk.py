"""vosk (Kaldi): a streaming engine with the operator's model.

What was measured and decides the shape of this (vosk 0.3.45; docs/decisions/0009-speech-processes.md):

- A recognizer is expensive while it is cold: its first seconds cost 2 to 5 times as much, and some 50 MB. So recognizers
  are pooled and used again, for whatever utterance comes next, and warmed beforehand with sound like speech.
- A recognizer's clock is all audio it was ever fed, across ``Reset`` and ``FinalResult``. So each utterance keeps how
  much was fed before it, and takes that off every time.
- Only a ``FinalResult`` that finds audio since the last result throws away the adaptation to the voice. After an end of
  sentence in the last piece of audio it finds none, and ``Reset`` keeps it: the next caller would be decoded with the
  last one's voice in mind. So one sample of silence is fed then, and ``Reset`` is never used.
- 8 kHz is fed as it is; resampling before gains nothing.
- The loaded model has no thread and nothing open: a process that loaded it can be forked, and shares it.
- Two thirds of the time go into composing the graph while it is searched. So one that was composed beforehand is used
  where there is one (docs/decisions/0012-composed-graphs.md). It has every word, so utterances with a vocabulary of their own
  need the model as it came: it is loaded beside the other then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from vcond.base.errors import ConfigError, MissingExtraError, how_to_install
from vcond.speech.engine import Caps, EngineOptions, Final, Heard, Hint, Partial, Pcm
from vcond.speech.engine_choice import VOSK_CODES
from vcond.speech.engines.warmup_audio import warmup_audio
from vcond.speech.models.graph_cache import FOLDER, Look, fixed, look
from vcond.speech.models.layout import bounded, laid_out
from vcond.speech.vocabulary import OTHERS, Fitted, fit

MODEL_LANGUAGE = re.compile(r"^vosk-model-(?:small-|big-)?([a-z]{2,3})(?:-|$)")
"""``vosk-model-small-en-us-0.15``: what the usual models are called."""
WARM_MOST = 8
"""Recognizers that are warmed beforehand where each costs seconds; more are made when they are needed. With a composed graph
all are, for a fifth of a second each."""
WARM_SECONDS = 4.0
"""Seconds of warm-up audio for a new recognizer. It saves half of what its first ten seconds of speech would cost; more gains little."""
MOST_VOCABULARIES = 1000
WARM_RATE = 8000
"""Telephone calls. Others warm up with their first words."""
MOST_FED = 7200.0
"""Seconds of audio after which a recognizer is not used again: vosk's clock is a float32, which is wrong by 0.7 ms then,
by 63 ms after a week."""
NO_VOCABULARY = "the model does not accept a vocabulary: all words were recognized"
WARM_STEP = 800
"""Samples of warm-up audio at once: a tenth of a second, so that real work waits that long at most."""


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
        """Load the model: seconds, and 100 MB to some GB. Raises MissingExtraError and ConfigError."""
        try:
            import vosk
        except ImportError as why:
            raise MissingExtraError(f"vosk is not installed: {how_to_install('vosk')}") from why
        self._folder = Path(options.model)
        if not self._folder.is_dir():
            raise ConfigError(f"no folder {options.model}", "speech.model")
        vosk.SetLogLevel(-1)
        self._vosk = vosk
        self._max_active = options.max_active
        self._vocabulary = options.vocabulary
        self._models: dict[bool, Any] = {}
        """With the composed graph, and as it came."""
        found = Look(there=False) if options.vocabulary else look(self._folder)
        self._composed = found.ready
        """Whether what has no vocabulary is decoded with the graph that was composed beforehand."""
        unused = found.why
        if self._composed:
            try:
                self._models[True] = self._load(self._folder / FOLDER)
            except (ConfigError, OSError) as why:
                self._composed, unused = False, str(why)
        if options.vocabularies or not self._composed:
            self._models[False] = self._load(None)
        said = f"{self._folder / FOLDER} is not used ({unused}): vcond model compile {self._folder}, or remove it"
        self._pool = Pool(options.streams)
        self._fitted: dict[tuple[str, ...], Fitted] = {}
        unfit = self._unfit(options.vocabulary)
        bound = f" max-active={options.max_active}" if bounded(self._folder, options.max_active) else ""
        self.model = self._folder.name + bound  # records say what made a text
        self.language = language_of(self._folder.name)
        languages = (self.language,) if self.language else ()
        self.caps = Caps(
            streaming=True,
            languages=languages,
            forks=True,
            warning="; ".join(filter(None, (said if unused else "", unfit))),
        )

    def open(self, hint: Hint) -> VoskRecognition:
        """A recognition on a recognizer that is warm, if one is free."""
        fitted = self._fit(hint.vocabulary)
        key = (hint.rate, fitted.phrases)
        warm = self._pool.take(key) or self._new(key)
        note = (NO_VOCABULARY if fixed(self._folder) else fitted.note) if hint.vocabulary else ""
        return VoskRecognition(warm, self._pool, self.language or hint.language, others=fitted.others, note=note)

    def warm(self) -> Iterator[None]:
        """Fill the pool with warm recognizers for what most calls need, in steps of about a tenth of a second."""
        sound = warmup_audio(WARM_SECONDS, WARM_RATE)
        for _ in range(self._pool.room if self._composed else min(self._pool.room, WARM_MOST)):
            warm = self._new((WARM_RATE, self._fit(self._vocabulary).phrases))
            for at in range(0, len(sound), WARM_STEP):
                warm.feed(sound[at : at + WARM_STEP])
                yield
            warm.finish()
            self._pool.give(warm)

    def _fit(self, vocabulary: tuple[str, ...]) -> Fitted:
        """A vocabulary in the model's words. Those of routes come with their first utterance."""
        if not vocabulary or fixed(self._folder):
            return Fitted()
        if vocabulary not in self._fitted:
            if len(self._fitted) >= MOST_VOCABULARIES:
                self._fitted.clear()
            model = next(iter(self._models.values()))
            self._fitted[vocabulary] = fit(vocabulary, lambda word: model.vosk_model_find_word(word) >= 0)
        return self._fitted[vocabulary]

    def _unfit(self, vocabulary: tuple[str, ...]) -> str:
        """What the operator should know of a vocabulary."""
        if not vocabulary:
            return ""
        if fixed(self._folder):
            return "the model does not accept a vocabulary and recognizes all words"
        fitted = self._fit(vocabulary)
        return "; ".join(filter(None, (fitted.wrong, fitted.forced)))

    def _new(self, key: tuple[int, tuple[str, ...]]) -> Warm:
        rate, vocabulary = key
        grammar = (json.dumps(vocabulary, ensure_ascii=False),) if vocabulary else ()
        recognizer = self._vosk.KaldiRecognizer(self._model(worded=bool(vocabulary)), float(rate), *grammar)
        recognizer.SetWords(True)
        return Warm(recognizer, key)

    def _model(self, *, worded: bool) -> Any:
        """The loaded model: for utterances with a vocabulary, or for those without."""
        composed = self._composed and not worded
        if composed not in self._models:
            self._models[composed] = self._load(None)
        return self._models[composed]

    def _load(self, composed: Path | None) -> Any:
        """Raises ConfigError and OSError."""
        with laid_out(self._folder, max_active=self._max_active, composed=composed) as folder:
            try:
                return self._vosk.Model(str(folder))
            except Exception as why:  # vosk raises nothing more special
                text = "vosk cannot load it" if composed else f"{self._folder} is not a vosk model"
                raise ConfigError(text, "" if composed else "speech.model") from why


def language_of(name: str) -> str:
    """The BCP 47 subtag of what a model of such a name understands; empty = its name does not say."""
    named = MODEL_LANGUAGE.match(name)
    return VOSK_CODES.get(named[1], named[1]) if named else ""


class Warm:
    """A recognizer, what it is for, and how much it was ever fed."""

    def __init__(self, recognizer: Any, key: tuple[int, tuple[str, ...]]) -> None:
        self.key = key
        """Samples a second, and the vocabulary."""
        self._recognizer = recognizer
        self._fed = 0
        self._at_end = False
        """The last piece of audio had an end of sentence, and its result was taken."""

    @property
    def clock(self) -> float:
        """Seconds that it was ever fed: its own clock."""
        return self._fed / self.key[0]

    def feed(self, pcm: Pcm) -> VoskResult | None:
        """Take more audio. A result when vosk found an end of a sentence in it."""
        self._fed += len(pcm)
        self._at_end = bool(self._recognizer.AcceptWaveform(pcm.tobytes()))
        return _RESULT.decode(self._recognizer.Result()) if self._at_end else None

    def partial(self) -> str:
        """What was heard since the last result."""
        return _RESULT.decode(self._recognizer.PartialResult()).partial

    def finish(self) -> VoskResult:
        """The rest. It knows nothing more of what it was fed then, neither words nor voice."""
        if self._at_end:
            self._recognizer.AcceptWaveform(b"\0\0")
            self._fed += 1
        result = _RESULT.decode(self._recognizer.FinalResult())
        self._at_end = False
        return result


class Pool:
    """Recognizers that are free, the one that was used last at the end; no more than ``most``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._free: list[Warm] = []

    def __len__(self) -> int:
        return len(self._free)

    @property
    def room(self) -> int:
        """How many more it would keep."""
        return self._most - len(self._free)

    def take(self, key: tuple[int, tuple[str, ...]]) -> Warm | None:
        """The one that was used last of those for this rate and vocabulary."""
        for at in reversed(range(len(self._free))):
            if self._free[at].key == key:
                return self._free.pop(at)
        return None

    def give(self, warm: Warm) -> None:
        """Keep it, unless its clock is too old; the one that was not used for the longest time goes when there are too many, whatever it was for."""
        if warm.clock > MOST_FED:
            return
        self._free.append(warm)
        if len(self._free) > self._most:
            del self._free[0]


class VoskRecognition:
    """One utterance on a recognizer, which goes back to the pool at the end of it."""

    def __init__(self, warm: Warm, pool: Pool, language: str, *, others: str = "", note: str = "") -> None:
        """``others``: what the model calls the word for all others, when the vocabulary has one."""
        self._warm: Warm | None = warm
        self._others = others
        self._note = note
        self._pool = pool
        self._language = language
        self._zero = warm.clock
        self._words: list[VoskWord] = []
        self._texts: list[str] = []

    def feed(self, pcm: Pcm) -> None:
        """Take more audio. vosk may find ends of sentences in it; they are parts of the same utterance here."""
        result = self._held().feed(pcm)
        if result is not None:
            self._take(result)

    def partial(self) -> Partial:
        """What was heard so far."""
        return Partial(self._plain(" ".join([*self._texts, self._held().partial()]).strip()))

    def finish(self) -> Final:
        """All of it."""
        self._take(self._let_go())
        words = tuple(Heard(*self._times(word), self._plain(word.word), word.conf) for word in self._words)
        confidence = sum(word.confidence for word in words) / len(words) if words else 0.0
        return Final(self._plain(" ".join(self._texts)), words, self._language, confidence, self._note)

    def _times(self, word: VoskWord) -> tuple[float, float]:
        """Seconds from the first sample; the clock is a little off, and nothing was said before that."""
        start = max(0.0, word.start - self._zero)
        return start, max(start, word.end - self._zero)

    def _plain(self, text: str) -> str:
        """Words of the vocabulary's own for words of the model's."""
        if not self._others or self._others == OTHERS:
            return text
        return " ".join(OTHERS if word == self._others else word for word in text.split(" "))

    def reset(self) -> None:
        """Forget everything; the recognizer goes back to the pool."""
        if self._warm is not None:
            self._let_go()
        self._words, self._texts = [], []

    def _held(self) -> Warm:
        assert self._warm is not None, "the recognition is over"
        return self._warm

    def _let_go(self) -> VoskResult:
        warm = self._held()
        result = warm.finish()
        self._warm = None
        self._pool.give(warm)
        return result

    def _take(self, result: VoskResult) -> None:
        if result.text:
            self._texts.append(result.text)
            self._words += result.result
