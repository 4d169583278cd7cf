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
    found = [check_engine(config, environ)]
    for number, (route, wishes) in enumerate(Routes(config).all, 1):
        told = check_engine(models[wishes.model], environ)
        if told.level == "ok" and not _speaks(choose(models[wishes.model], environ), wishes.language):
            fix = f"give the route a model of its own; vcond model list --language {wishes.language.partition('-')[0]}"
            told = Checked("error", "speech", f"the model does not speak {wishes.language}: {told.detail}", fix)
        detail = f"{_named(route.match)}: {_wished(wishes, config)}{told.detail}"
        found.append(msgspec.structs.replace(told, what=f"speech route {number}", detail=detail))
    return found


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


def _wished(wishes: Wishes, config: SpeechConfig) -> str:
    words = config.vocabulary if wishes.vocabulary is None else wishes.vocabulary
    language = f"{wishes.language}, " if wishes.language else ""
    return language + (f"only {len(words)} phrases, " if words else "")
