"""The graph of a vosk model, composed beforehand: what of it lies in the model's folder, and whether it is this model's.

Small vosk models come as two graphs, ``graph/HCLr.fst`` (sounds to words) and ``graph/Gr.fst`` (which word follows which).
The decoder composes them while it searches, every recognizer for itself, and that takes two thirds of its time
(docs/decisions/0012-composed-graphs.md). ``vcond model compile`` does it once, for good, into ``composed/`` of the model's folder:

- ``HCLG.fst``: the graph, as Kaldi and vosk call it.
- ``words.txt``: its words, from ``Gr.fst`` or, where that holds none, ``graph/words.txt``, as vosk takes them.
- ``composed.json``: the files that it was made of and the files that were made, with their hashes.

A graph that was made of other files than lie there now is not used. The folder ``composed`` may be removed at any time, or be
copied to another machine with the same model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from vcond.speech.models.fingerprint import Fingerprint, same

FOLDER = "composed"
TOLD = "composed.json"
WORK = ".composing"
"""Folder in which it is made, until it is whole."""
GRAPH, WORDS = "HCLG.fst", "words.txt"
SOUNDS, LANGUAGE, MARKS = "HCLr.fst", "Gr.fst", "disambig_tid.int"
PARTS = (SOUNDS, LANGUAGE, MARKS)
"""Files below ``graph`` that it is made of. ``disambig_tid.int``: labels that only keep words apart that sound the same; the
decoder takes them for nothing. A fourth is ``graph/words.txt``, where there is one."""
MADE = (GRAPH, WORDS)
MOST_TOLD = 1 << 16
"""Bytes of ``composed.json``."""


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``composed.json``. Other names than those above are refused."""

    of: dict[Literal["HCLr.fst", "Gr.fst", "disambig_tid.int", "words.txt"], Fingerprint]
    """By name below ``graph``."""
    files: dict[Literal["HCLG.fst", "words.txt"], Fingerprint]
    """By name below ``composed``."""
    made_at: Annotated[str, Meta(max_length=64)]


class Look(msgspec.Struct, frozen=True):
    """What there is of a composed graph."""

    there: bool
    why: str = ""
    """Why it is not used."""

    @property
    def ready(self) -> bool:
        """It is used."""
        return self.there and not self.why


def composable(model: Path) -> bool:
    """Whether a model's graph is composed while it decodes, and could be beforehand."""
    graph = model / "graph"
    return not (graph / GRAPH).is_file() and all((graph / name).is_file() for name in PARTS)


def fixed(model: Path) -> bool:
    """Whether a model came with one graph of every word only, so that it takes no vocabulary."""
    return (model / "graph" / GRAPH).is_file() or (model / GRAPH).is_file()


def told(model: Path) -> Told:
    """What was composed of a model. Raises OSError and ValueError (msgspec's errors are)."""
    with (model / FOLDER / TOLD).open("rb") as file:
        return msgspec.json.decode(file.read(MOST_TOLD), type=Told)


def look(model: Path, *, hashes: bool = True) -> Look:
    """Whether there is a composed graph, and whether it is of this model: by all that it was made of, or by sizes only."""
    if not (model / FOLDER).is_dir():
        return Look(there=False)
    if not composable(model):
        return Look(there=True, why="the model has nothing to compile")
    try:
        found = told(model)
        missing = [name for name in MADE if name not in found.files or not _plain(model / FOLDER / name)]
        if missing or any(_size(model / FOLDER / name) != kept.size for name, kept in found.files.items()):
            return Look(there=True, why="it is not whole")
        of = [(model / "graph" / name, kept) for name, kept in found.of.items()]
        ours = all(same(path, kept) if hashes else _size(path) == kept.size for path, kept in of)
        if not ours or not found.of.keys() >= set(PARTS):
            return Look(there=True, why="it was compiled from other files")
    except (OSError, ValueError) as why:
        return Look(there=True, why=f"it cannot be read: {getattr(why, 'strerror', None) or type(why).__name__}")
    return Look(there=True)


def wrong(model: Path) -> list[str]:
    """What is wrong with the composed graph of a model; empty = nothing, or there is none. Reads all of it."""
    left = [f"{WORK} is left of an interrupted compile: compile again, or remove it"] if (model / WORK).exists() else []
    now = look(model)
    if not now.there:
        return left
    if now.why:
        return [*left, f"{FOLDER}/ is not used, {now.why}: vcond model compile, or remove it"]
    try:
        there = {path.name for path in (model / FOLDER).iterdir()} - {TOLD, *MADE}
        odd = [f"{FOLDER}/{name} was not made with it" for name in sorted(there)]
        files = told(model).files.items()
        return (
            left
            + odd
            + [f"{FOLDER}/{name} has changed" for name, kept in files if not same(model / FOLDER / name, kept)]
        )
    except (OSError, ValueError) as why:
        return [*left, f"{FOLDER}/ cannot be read: {getattr(why, 'strerror', None) or type(why).__name__}"]


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _size(path: Path) -> int:
    return path.stat().st_size
