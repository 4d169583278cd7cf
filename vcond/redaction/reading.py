"""The digits in what was said, each with the word that it is in."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum

import msgspec

from vcond.redaction.contract import Conversation, SpokenWord, Turn
from vcond.redaction.language import Language

_PART = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:st|nd|rd|th)\b|\d+|@")
"""What words are made of: ``1-0-4`` is three parts, ``it's`` is one."""
_AMOUNT = re.compile(r"[$£€¥%]|\d:\d\d\b|^\d{1,3}(?:,\d{3})+\W*$")
"""A word that says how much or when."""
MOST = 2_000
"""Characters of a word that are looked at."""


class Sort(IntEnum):
    """What a part of a word is to a number."""

    DIGITS = 0
    SOUND = 1
    """May be a digit that sounds alike."""
    FILLER = 2
    OTHER = 3
    AMOUNT = 4
    """Digits that are no part of a longer number."""


class Part(msgspec.Struct, frozen=True):
    """One part of a word."""

    word: SpokenWord
    sort: Sort
    text: str
    digits: str = ""


class Read(msgspec.Struct, frozen=True):
    """A turn, read."""

    turn: Turn
    language: Language
    parts: tuple[Part, ...]
    text: str
    """The parts, one space apart."""
    starts: tuple[int, ...]
    """Where in the text each part begins."""

    def after(self, position: int) -> int:
        """The number of the first part that begins at this position of the text or later."""
        return bisect_left(self.starts, position)


def read(conversation: Conversation, languages: Mapping[str, Language], default: Language) -> list[Read]:
    """Every turn, in the language that it is in; ``default`` where that is not known."""
    return [_read(turn, languages.get(turn.language.partition("-")[0].lower(), default)) for turn in conversation.turns]


def _read(turn: Turn, language: Language) -> Read:
    parts = tuple(_valued([*_parts(turn, language)], language))
    starts, at = [], 0
    for part in parts:
        starts.append(at)
        at += len(part.text) + 1
    return Read(turn, language, parts, " ".join(part.text for part in parts), tuple(starts))


def _parts(turn: Turn, language: Language) -> Iterator[Part]:
    for word in turn.words:
        text = word.text[:MOST].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        amount = _AMOUNT.search(text) is not None
        for found in _PART.findall(text):
            if found in language.digits:
                yield Part(word, Sort.DIGITS, found, language.digits[found])
            elif found[0].isdigit():
                digits = "".join(str(int(c)) for c in found if c.isdecimal())
                plain = found[-1].isdigit()
                yield Part(word, Sort.AMOUNT if amount else Sort.DIGITS if plain else Sort.SOUND, found, digits)
            elif found in language.ordinals:
                yield Part(word, Sort.SOUND, found, language.ordinals[found])
            elif found in language.sounds:
                yield Part(word, Sort.SOUND, found, language.sounds[found])
            else:
                yield Part(word, Sort.FILLER if found in language.fillers else Sort.OTHER, found)


def _valued(parts: list[Part], language: Language) -> Iterator[Part]:
    """Words that mean digits only together: ``forty five``, ``double oh``, ``nine hundred``. Each keeps its word."""
    times = 1
    for at, part in enumerate(parts):
        after = parts[at + 1] if at + 1 < len(parts) else None
        if part.text in language.counts:
            times = language.counts[part.text]
            yield Part(part.word, Sort.SOUND if after is not None and after.digits else Sort.OTHER, part.text)
            continue
        if times > 1 and part.digits:
            yield Part(part.word, Sort.DIGITS, part.text, part.digits[0] * (times - 1) + part.digits)
        elif part.text in language.scales and at and parts[at - 1].sort is Sort.DIGITS:
            yield Part(part.word, Sort.DIGITS, part.text, _zeros(language.scales[part.text], parts[at + 1 : at + 3]))
        elif after is not None and _tens(part, language) and language.digits.get(after.text, "") in _ONES:
            yield Part(part.word, part.sort, part.text, part.digits[0])
        elif part.sort is Sort.AMOUNT and at and parts[at - 1].sort is Sort.DIGITS and "," in part.word.text:
            yield Part(part.word, Sort.DIGITS, part.text, part.digits)  # 020 314,000 is no amount
        else:
            yield part
        times = 1


_ONES = frozenset("123456789")


def _tens(part: Part, language: Language) -> bool:
    return part.text in language.digits and len(part.digits) == 2 and part.digits[0] >= "2" and part.digits[1] == "0"


def _zeros(zeros: str, follow: list[Part]) -> str:
    """``two hundred forty`` and ``two hundred and five`` fill the zeros; ``nine hundred one two three`` keeps them."""
    joined = bool(follow) and follow[0].sort is Sort.FILLER
    after = next(iter(follow[joined:]), None)
    if after is None or after.sort is not Sort.DIGITS or not (joined or len(after.digits) == 2):
        return zeros
    return zeros[: max(0, len(zeros) - len(after.digits))]


def words_of(parts: Iterable[Part]) -> tuple[SpokenWord, ...]:
    """The words that these parts are in, each once."""
    words: list[SpokenWord] = []
    for part in parts:
        if not words or words[-1] is not part.word:
            words.append(part.word)
    return tuple(words)
