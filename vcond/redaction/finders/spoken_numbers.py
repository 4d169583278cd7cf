"""What finders of numbers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import msgspec

from vcond.base.errors import ConfigError
from vcond.redaction.contract import Conversation, FinderOptions, KeyPressed, Secret
from vcond.redaction.language import Language
from vcond.redaction.languages import LANGUAGES
from vcond.redaction.numbers import Kind, announced, echoes, keyed, keys_after, pattern, runs, spoken
from vcond.redaction.reading import Read, read


class Number(msgspec.Struct, frozen=True):
    """A kind of number, whatever the language."""

    kind: str
    least: int
    """Digits after a hint that make it one."""
    complete: Callable[[str], bool]
    """Whether these digits are all of such a number."""
    announced_by: tuple[str, ...] = ()
    """Patterns besides those of the languages."""


def languages(options: FinderOptions) -> dict[str, Language]:
    """Those that numbers are read in; the first is that of turns of no known language. Raises ConfigError."""
    unknown = [tag for tag in options.languages if tag not in LANGUAGES]
    if unknown or not options.languages:
        known = ", ".join(sorted(LANGUAGES))
        raise ConfigError(f"numbers are read in {known}, not in {', '.join(unknown) or 'none'}", "redaction.languages")
    return {tag: LANGUAGES[tag] for tag in options.languages}


class NumberFinder:
    """Finds kinds of numbers by what announces them, and by ``bare`` what looks like one without that."""

    name: ClassVar[str]
    numbers: tuple[Number, ...]
    has_settings: ClassVar[bool] = False

    def __init__(self, options: FinderOptions) -> None:
        if options.settings and not self.has_settings:
            raise ConfigError("has no settings", f"redaction.settings.{self.name}")
        self._languages = languages(options)
        self._default = self._languages[options.languages[0]]
        self._asked = [self._kind(number) for number in self.numbers]

    def _kind(self, number: Number) -> Kind:
        spoken_in = self._languages.items()
        name, more = number.kind, number.announced_by
        return Kind(
            name,
            {tag: pattern((*language.leads.get(name, ()), *more)) for tag, language in spoken_in},
            {tag: pattern(language.hints.get(name, ())) for tag, language in spoken_in},
            {tag: pattern(language.asks) for tag, language in spoken_in},
            number.least,
            number.complete,
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it finds."""
        return tuple(number.kind for number in self.numbers)

    def bare(self, digits: str, certain: int) -> tuple[str, float] | None:
        """What digits in a row are that nobody announced, spoken or keyed, and how certainly; so many of them are digits
        for certain.
        """

    def beside(self, _reads: Sequence[Read], _found: Sequence[tuple[Secret, str]]) -> Iterable[Secret]:
        """What belongs to what was found."""
        return ()

    def find(self, conversation: Conversation) -> Iterable[Secret]:
        """All of them."""
        reads = read(conversation, self._languages, self._default)
        found = [one for kind in self._asked for one in announced(reads, kind)]
        for run in runs(reads):
            what = self.bare(run.digits, run.certain)
            if what is not None:
                found.append((spoken(what[0], run, what[1]), run.digits))
        yield from (secret for secret, _ in found)
        yield from echoes(reads, found)
        yield from self.beside(reads, found)
        yield from self._keys(reads, conversation.keys)

    def _keys(self, reads: Sequence[Read], keys: Sequence[KeyPressed]) -> Iterator[Secret]:
        for run in keyed(keys):
            digits = "".join(key.digit for key in run if key.digit.isdecimal())
            what = self.bare(digits, len(digits))
            if what is not None:
                yield Secret(what[0], keys=run, certainty=what[1])
        for kind in self._asked if keys else ():
            for turn in reads:
                lead = kind.leads[turn.language.tag]
                pressed = keys_after(keys, turn.turn.start) if lead is not None and lead.search(turn.text) else ()
                if pressed:
                    yield Secret(kind.name, keys=pressed, certainty=0.9)
