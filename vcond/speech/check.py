"""What ``vcond check`` says of speech: the model of all calls, and every route with the model that hears its calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from vcond.call.matching import Match
from vcond.speech.config import SpeechConfig
from vcond.speech.engine_choice import Checked, Choice, check_engine, choose
from vcond.speech.engines.vosk import language_of
from vcond.speech.models import graph_cache
from vcond.speech.routes import RecognitionOptions, Routes, configurations
from vcond.speech.vocabulary import OTHERS, Fitted, fit, words_of

Looks = Callable[[Path], graph_cache.Look]


def check_speech(
    config: SpeechConfig, environ: Mapping[str, str] = os.environ, *, graphs: bool = True
) -> list[Checked]:
    """All of it; what is missing is said of each route that needs it. ``graphs``: read models, for what may be warned of."""
    models = configurations(config)
    look = cache(graph_cache.look) if graphs else None  # once for each model: it reads all of it
    found = [_checked(config, RecognitionOptions(config.language, tuple(config.vocabulary)), environ, look)]
    for number, (route, recognition_options) in enumerate(Routes(config).all, 1):
        words = tuple(config.vocabulary) if recognition_options.vocabulary is None else recognition_options.vocabulary
        wanted = RecognitionOptions(recognition_options.language, words)
        told = _checked(models[recognition_options.model], wanted, environ, look)
        detail = f"{_named(route.match)}: {_wished(wanted)}{told.detail}"
        found.append(msgspec.structs.replace(told, what=f"speech route {number}", detail=detail))
    return found


def _checked(
    config: SpeechConfig, wanted: RecognitionOptions, environ: Mapping[str, str], look: Looks | None
) -> Checked:
    """Whether there is a model, and whether it can do what is wanted of it."""
    told, choice = check_engine(config, environ), choose(config, environ)
    if told.level == "ok" and not _speaks(choice, wanted.language):
        fix = f"choose a model that does; vcond model list --language {wanted.language.partition('-')[0]}"
        return Checked("error", told.what, f"the model does not support {wanted.language}: {told.detail}", fix)
    if told.level == "ok" and wanted.vocabulary and choice.engine == "whisper":
        fix = 'set a vosk model or engine = "vosk", or remove the vocabulary'
        return Checked("warning", told.what, f"whisper recognizes all words: {told.detail}", fix)
    if told.level == "ok" and wanted.vocabulary and choice.engine == "remote":
        more = "the vocabulary is sent to it; only its own log shows which words its model does not have"
        return msgspec.structs.replace(told, detail=f"{told.detail}; {more}")
    if told.level == "ok" and config.max_active and choice.engine in {"whisper", "remote"}:
        return Checked(
            "warning", told.what, f"{choice.engine} does not support max_active: {told.detail}", "remove max_active"
        )
    if look is None or told.level != "ok" or choice.engine != "vosk":
        return told
    return _graph(told, Path(choice.model), wanted, look)


def _graph(told: Checked, model: Path, wanted: RecognitionOptions, look: Looks) -> Checked:
    """What the graph of a vosk model is good for."""
    if wanted.vocabulary and graph_cache.fixed(model):
        fix = f"choose a model that has graph/{graph_cache.SOUNDS}, or remove the vocabulary"
        return Checked(
            "warning", told.what, f"the model does not accept a vocabulary and recognizes all words: {told.detail}", fix
        )
    fitted = _fitted(model, wanted.vocabulary)
    if fitted is not None and fitted.wrong:
        fix = (
            f'spell them as the model does, or put words that it has and "{OTHERS}" into the vocabulary: docs/speech.md'
        )
        return Checked("warning", told.what, f"{fitted.wrong}: {told.detail}", fix)
    if fitted is not None and fitted.forced:
        told = msgspec.structs.replace(told, detail=f"{told.detail}; {fitted.forced}")
    found = look(model)
    if found.why:
        what = f"{model / graph_cache.FOLDER} is not used, {found.why}: {told.detail}"
        return Checked("warning", told.what, what, f"vcond model compile {model}, or remove it")
    if wanted.vocabulary:  # of which the graph is made anew each time
        return told
    if found.ready:
        return msgspec.structs.replace(told, detail=f"{told.detail}, with a compiled graph")
    if graph_cache.composable(model):
        more = f"for more calls on this machine: vcond model compile {model}"
        return msgspec.structs.replace(told, detail=f"{told.detail}; {more}")
    return told


def _fitted(model: Path, vocabulary: tuple[str, ...] | None) -> Fitted | None:
    """A vocabulary in the words of the model's files; None = there is none, or they cannot be read."""
    if not vocabulary:
        return None
    try:
        return fit(vocabulary, _words_of(model))
    except (OSError, ValueError):
        return None  # no model, which the daemon says when it loads it


_words_of = cache(words_of)
"""Once for each model: it reads all of its words."""


def _speaks(choice: Choice, language: str) -> bool:
    """Whether a model understands a language, as far as its name tells."""
    spoken = ""
    if choice.engine == "whisper" and not choice.model:
        spoken = "en"
    elif choice.engine == "vosk":
        spoken = language_of(Path(choice.model).name)
    return not spoken or language.partition("-")[0].lower() in {"", spoken}


def _named(match: Match) -> str:
    parts = [f"of {match.adapter}"] if match.adapter else []
    parts += [f"to {match.dialled}"] if match.dialled else []
    parts += [f"with {name} = {value}" for name, value in match.attributes.items()]
    return " ".join(["calls", *(parts or ["of every kind"])])


def _wished(wanted: RecognitionOptions) -> str:
    language = f"{wanted.language}, " if wanted.language else ""
    return language + (f"only {len(wanted.vocabulary)} phrases, " if wanted.vocabulary else "")
