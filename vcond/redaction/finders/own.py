"""The operator's own secrets: words, patterns, and numbers by what announces them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from vcond.base.errors import ConfigError
from vcond.redaction.contract import Conversation, FinderOptions, Secret, SpokenWord, Turn
from vcond.redaction.finders.spoken_numbers import Number, NumberFinder
from vcond.redaction.finding import FinderError
from vcond.redaction.reading import Part, Read, Sort, read, words_of

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
PATIENCE: Final = 2.0
"""Seconds that a pattern may take for a turn."""
Phrase = Annotated[str, Meta(min_length=1, max_length=200)]


class OwnSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[redaction.settings.own]``: each table by the kind that its secrets are called."""

    words: dict[Name, Annotated[list[Phrase], Meta(max_length=10_000)]] = {}
    """Words and phrases as they are said; case and punctuation do not count: ``project = ["blue heron"]``."""
    patterns: dict[Name, Annotated[str, Meta(min_length=1, max_length=500)]] = {}
    """Regular expressions over a turn in small letters without punctuation, its spoken digits written as digits and put
    together: ``policy = "kd \\d{6}"`` finds "K D four double one, two three six"."""
    numbers: dict[Name, Annotated[list[Phrase], Meta(max_length=100)]] = {}
    """What announces a number, said or asked: ``customer-number = ["customer number"]``. What follows goes, to the end of
    the turn where it is less than ``digits``."""
    digits: dict[Name, Annotated[int, Meta(ge=1, le=40)]] = {}
    """How many digits such a number has; 8 where nothing is said."""


class OwnFinder(NumberFinder):
    """``own``."""

    name: ClassVar[str] = "own"
    has_settings: ClassVar[bool] = True

    def __init__(self, options: FinderOptions) -> None:
        try:
            self._own = msgspec.convert(options.settings, OwnSettings)
        except msgspec.ValidationError as why:
            raise ConfigError(str(why), "redaction.settings.own") from None
        self._patterns = _compiled(self._own.patterns)
        self.numbers = tuple(self._number(name, phrases) for name, phrases in self._own.numbers.items())
        super().__init__(options)
        self._phrases: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for name, phrases in self._own.words.items():
            for phrase in phrases:
                said = self._said(phrase)
                if not said:
                    raise ConfigError(f"{name}: a phrase without a letter or digit", "redaction.settings.own.words")
                self._phrases.setdefault(said[0], []).append((name, said))

    def _said(self, phrase: str) -> tuple[str, ...]:
        said = Turn(0, 0, 0, 0.0, 0.0, (SpokenWord(0, 0, 0, 0, phrase),))
        return tuple(part.text for part in read(Conversation((said,)), {}, self._default)[0].parts)

    def _number(self, name: str, phrases: list[str]) -> Number:
        wanted = self._own.digits.get(name, 8)
        announced_by = tuple(re.escape(phrase.lower()).replace(r"\ ", " ") for phrase in phrases)
        return Number(name, 1, lambda digits: len(digits) >= wanted, announced_by)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those that the operator named."""
        return tuple(sorted({*self._own.words, *self._own.patterns, *self._own.numbers}))

    def find(self, conversation: Conversation) -> Iterable[Secret]:
        """All of them."""
        yield from super().find(conversation)
        for turn in read(conversation, self._languages, self._default):
            yield from self._words_of(turn)
            yield from self._patterns_of(turn)

    def _words_of(self, turn: Read) -> Iterator[Secret]:
        texts = tuple(part.text for part in turn.parts)
        for at, text in enumerate(texts):
            for name, phrase in self._phrases.get(text, ()):
                if texts[at : at + len(phrase)] == phrase:
                    yield _secret(name, turn.parts[at : at + len(phrase)])

    def _patterns_of(self, turn: Read) -> Iterator[Secret]:
        """Raises FinderError for one that takes too long."""
        if not self._patterns:
            return
        text, places = "", []
        for n, part in enumerate(turn.parts):
            number = part.sort is Sort.DIGITS and part.digits
            joined = number and n and turn.parts[n - 1].sort is Sort.DIGITS
            said = ("" if joined or not n else " ") + (number or part.text)
            places += [n] * len(said)
            text += said
        for name, wanted in self._patterns.items():
            try:  # it lets other threads run
                matches = list(wanted.finditer(text, timeout=PATIENCE))
            except TimeoutError:
                raise FinderError(
                    f"redaction.settings.own.patterns.{name} takes longer than {PATIENCE:.0f} s for a turn: nothing "
                    "is taken for redacted; make it simpler, without repetitions inside of repetitions"
                ) from None
            for match in matches:
                if match.end() > match.start():
                    yield _secret(name, turn.parts[places[match.start()] : places[match.end() - 1] + 1])


def _compiled(patterns: dict[str, str]) -> dict[str, Any]:
    """Raises ConfigError."""
    if not patterns:
        return {}
    import regex

    try:
        return {name: regex.compile(text) for name, text in patterns.items()}
    except regex.error as why:
        raise ConfigError(f"is no regular expression: {why}", "redaction.settings.own.patterns") from None


def _secret(kind: str, parts: tuple[Part, ...]) -> Secret:
    return Secret(kind, words_of(parts))
