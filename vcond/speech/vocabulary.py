"""What becomes of a vocabulary in a model that has only so many words. Pure, but for ``words_of``.

vosk leaves out a word that its model does not have and says so only on a stream that nobody reads. Whatever else is said
is then one of the words that are left: with high confidence, and wrong.
"""

from __future__ import annotations

import mmap
import struct
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from vcond.speech.models.graph_cache import LANGUAGE, WORDS

OTHERS: Final = "[unk]"
"""The word of a vocabulary that stands for all others, whatever the model calls it."""
_OTHERS: Final = (OTHERS, "<unk>", "<UNK>", "[UNK]")
_NAMED: Final = 20
"""Words that are named in a message."""
_FST, _TABLE = 2125659606, 2125658996
"""What files of OpenFst and the tables of words in them begin with."""
_INPUTS, _OUTPUTS = 1, 2
_MOST_NAME: Final = 4096


class Fitted(msgspec.Struct, frozen=True):
    """A vocabulary as a model can take it."""

    phrases: tuple[str, ...] = ()
    """In the model's own words; empty = nothing that could be heard is left, and every word is to be heard."""
    missing: tuple[str, ...] = ()
    """Words of the vocabulary that the model does not have, each once."""
    others: str = ""
    """What the model calls the word that stands for all others; empty = the vocabulary has none."""

    @property
    def named(self) -> str:
        """The missing words, for the operator who wrote them."""
        more = f" and {len(self.missing) - _NAMED} more" if len(self.missing) > _NAMED else ""
        return ", ".join(map(repr, self.missing[:_NAMED])) + more

    @property
    def wrong(self) -> str:
        """What is wrong with it, for the operator; empty = nothing."""
        if not self.phrases:
            return f"the model has none of the vocabulary's words, so it recognizes all words ({self.named or OTHERS})"
        if not self.missing:
            return ""
        return f"the model does not have these words of the vocabulary and cannot recognize them: {self.named}"

    @property
    def forced(self) -> str:
        """What it means that it has no word for others; empty = it has one, or does not count."""
        if self.others or not self.phrases:
            return ""
        return f"the vocabulary has no {OTHERS}: all other speech is transcribed as one of its words"

    @property
    def note(self) -> str:
        """What whoever reads a text should know; without the words."""
        if not self.phrases:
            return "the model has none of the vocabulary's words: all words were recognized"
        notes = [f"the model does not have {len(self.missing)} of the vocabulary's words"] if self.missing else []
        if not self.others:
            notes.append("the vocabulary has no word for other speech, which is transcribed as one of its words")
        return "; ".join(notes)


def fit(vocabulary: Iterable[str], has: Callable[[str], bool]) -> Fitted:
    """A vocabulary in the words of a model. ``has``: whether it has a word.

    A word that it does not have as it is written it may have composed (NFC), in small letters, in capitals or without
    the punctuation around it: then that is meant.
    """
    phrases: dict[str, None] = {}
    missing: dict[str, None] = {}
    others, heard = "", False
    for phrase in vocabulary:
        found = []
        for word in phrase.split():
            known = next(filter(has, _written(word)), "")
            if not known:
                missing[word] = None
            elif word in _OTHERS:
                others = known
            else:
                heard = True
            found += [known] if known else []
        if found:
            phrases[" ".join(found)] = None
    return Fitted(tuple(phrases) if heard else (), tuple(missing), others if heard else "")


def _written(word: str) -> Iterator[str]:
    """The ways in which a model may write a word, the likeliest first."""
    if word in _OTHERS:
        yield from (word, *_OTHERS)
        return
    forms = [word, unicodedata.normalize("NFC", word), unicodedata.normalize("NFKC", word)]
    bare = [form.strip("".join({c for c in form if unicodedata.category(c)[0] == "P"})) for form in forms]
    for form in filter(None, dict.fromkeys(forms + bare)):
        yield from (form, form.lower(), form.upper(), form.capitalize(), unicodedata.normalize("NFD", form.lower()))


def words_of(model: Path) -> Callable[[str], bool]:
    """Whether a vosk model that is not loaded has a word. A second of work for half a million words.

    They are in the graph of which word follows which, else beside it, as vosk takes them. Raises OSError and ValueError.
    """
    graph = model / "graph"
    found = _in_graph(graph / LANGUAGE) if (graph / LANGUAGE).is_file() else None
    if found is None:
        lines = (graph / WORDS).read_text("utf-8").splitlines()
        found = {line.split()[0] for line in lines if line.strip()}
    return found.__contains__


def _in_graph(path: Path) -> set[str] | None:
    """The words of a graph of OpenFst, from its table of outputs; None when it holds none."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            (magic,) = struct.unpack_from("<i", data)
            if magic != _FST:
                raise ValueError(f"{path} is not an OpenFst graph")
            at = _text(data, _text(data, 4)[1])[1] + 4  # kind and arcs; then the version
            flags = struct.unpack_from("<i", data, at)[0]
            at += 4 + 4 * 8
            if flags & _INPUTS:
                at = _table(data, at, None)
            if not flags & _OUTPUTS:
                return None
            words: set[str] = set()
            _table(data, at, words)
        except (struct.error, UnicodeDecodeError, OverflowError) as why:
            raise ValueError(f"{path} cannot be read") from why
    return words


def _text(data: mmap.mmap, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from("<i", data, at)
    if not 0 <= size <= min(_MOST_NAME, len(data) - at):
        raise ValueError("the graph has an invalid name")
    return data[at + 4 : at + 4 + size], at + 4 + size


def _table(data: mmap.mmap, at: int, words: set[str] | None) -> int:
    """Where a table of words ends; its words go into ``words``."""
    if struct.unpack_from("<i", data, at)[0] != _TABLE:
        raise ValueError("the graph has an invalid table")
    at = _text(data, at + 4)[1] + 8
    (size,) = struct.unpack_from("<q", data, at)
    at += 8
    for _ in range(size):
        word, at = _text(data, at)
        at += 8
        if words is not None:
            words.add(word.decode())
    return at
