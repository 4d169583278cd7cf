"""What ``vcond check`` says of speech: the model of all calls, and every route with the model that hears its calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from vcond.speech.choose import Checked, Choice, check_engine, choose
from vcond.speech.config import Match, SpeechConfig
from vcond.speech.engines.vosk import language_of
from vcond.speech.routes import Routes, Wishes, configurations


def check_speech(config: SpeechConfig, environ: Mapping[str, str] = os.environ) -> list[Checked]:
    """All of it; what is missing is said of each route that needs it."""
    models = configurations(config)
    found = [_checked(config, Wishes(config.language, tuple(config.vocabulary)), environ)]
    for number, (route, wishes) in enumerate(Routes(config).all, 1):
        words = tuple(config.vocabulary) if wishes.vocabulary is None else wishes.vocabulary
        wanted = Wishes(wishes.language, words)
        told = _checked(models[wishes.model], wanted, environ)
        detail = f"{_named(route.match)}: {_wished(wanted)}{told.detail}"
        found.append(msgspec.structs.replace(told, what=f"speech route {number}", detail=detail))
    return found


def _checked(config: SpeechConfig, wanted: Wishes, environ: Mapping[str, str]) -> Checked:
    """Whether there is a model, and whether it can do what is wanted of it."""
    told, choice = check_engine(config, environ), choose(config, environ)
    if told.level == "ok" and not _speaks(choice, wanted.language):
        fix = f"name a model that does; vcond model list --language {wanted.language.partition('-')[0]}"
        return Checked("error", told.what, f"the model does not speak {wanted.language}: {told.detail}", fix)
    if told.level == "ok" and wanted.vocabulary and choice.engine == "whisper":
        fix = 'name a vosk model, or engine = "vosk", or leave the vocabulary out'
        return Checked("warning", told.what, f"whisper hears every word: {told.detail}", fix)
    if told.level == "ok" and config.search and choice.engine in {"whisper", "remote"}:
        return Checked("warning", told.what, f"{choice.engine} has no search: {told.detail}", "leave search out")
    return told


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
    parts += [f"with {name} = {value}" for name, value in match.facts.items()]
    return " ".join(["calls", *(parts or ["of every kind"])])


def _wished(wanted: Wishes) -> str:
    language = f"{wanted.language}, " if wanted.language else ""
    return language + (f"only {len(wanted.vocabulary)} phrases, " if wanted.vocabulary else "")
