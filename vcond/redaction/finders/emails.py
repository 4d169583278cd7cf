"""Addresses of e-mail, written by the engine or spoken out: ``john dot smith at example dot com``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from vcond.base.errors import ConfigError
from vcond.redaction.contract import EMAIL, Conversation, FinderOptions, Secret
from vcond.redaction.finders.spoken_numbers import languages
from vcond.redaction.numbers import ANSWER, pattern
from vcond.redaction.reading import Read, read, words_of

_WRITTEN = re.compile(r"[^\s@]@[^\s@]+\.\w")
BEFORE = 4
"""Parts before the ``at`` that are taken for the name, where nothing announces the address."""
HOST = 6
"""Parts between the ``at`` and the end."""


class EmailFinder:
    """``emails``."""

    name: ClassVar[str] = "emails"
    kinds = (EMAIL,)

    def __init__(self, options: FinderOptions) -> None:
        if options.settings:
            raise ConfigError("has no settings", f"redaction.settings.{self.name}")
        self._languages = languages(options)
        self._default = self._languages[options.languages[0]]
        self._leads = {tag: pattern(language.leads.get(EMAIL, ())) for tag, language in self._languages.items()}
        self._hints = {tag: pattern(language.hints.get(EMAIL, ())) for tag, language in self._languages.items()}
        self._asks = {tag: pattern(language.asks) for tag, language in self._languages.items()}

    def find(self, conversation: Conversation) -> Iterable[Secret]:
        """All of them."""
        reads = read(conversation, self._languages, self._default)
        for n, turn in enumerate(reads):
            yield from self._in(turn)
            begin = self._announced(turn, self._leads)
            if begin is None:
                continue
            asks = self._asks[turn.language.tag]
            if asks is None or not asks.search(turn.text):
                yield _secret(turn, begin, _end(turn, begin))
            elif (answer := _answer(reads, n)) is not None:
                yield _secret(answer, 0, _end(answer, 0))

    def _in(self, turn: Read) -> Iterator[Secret]:
        written = tuple(word for word in turn.turn.words if _WRITTEN.search(word.text))
        if written:
            yield Secret(EMAIL, written)
        hint = self._announced(turn, self._hints)
        for at in range(len(turn.parts)):
            if not _closes(turn, at):
                continue
            host = max(0, at - HOST)
            said = next((i for i in range(at - 1, host - 1, -1) if turn.parts[i].text in turn.language.at), None)
            if said is not None:
                begin = max(0, said - BEFORE) if hint is None or hint > said else hint
                yield _secret(turn, begin, at + 1, 0.8)
            elif hint is not None and hint < at:
                yield _secret(turn, hint, at + 1, 0.6)

    def _announced(self, turn: Read, phrases: Mapping[str, re.Pattern[str] | None]) -> int | None:
        wanted = phrases[turn.language.tag]
        match = wanted.search(turn.text) if wanted is not None else None
        return None if match is None else turn.after(match.end())


def _closes(turn: Read, at: int) -> bool:
    """Whether this part is the last of an address: ``dot com``, or ``com`` of ``example.com``."""
    if turn.parts[at].text not in turn.language.domains or not at:
        return False
    before = turn.parts[at - 1]
    return before.text in turn.language.dot or before.word is turn.parts[at].word


def _end(turn: Read, begin: int) -> int:
    """Where an address that begins here ends: with the last of its parts, else with the turn."""
    closing = [at for at in range(begin, min(len(turn.parts), begin + 30)) if _closes(turn, at)]
    return closing[-1] + 1 if closing else len(turn.parts)


def _answer(reads: Sequence[Read], n: int) -> Read | None:
    """What another party says next."""
    asked = reads[n].turn
    for m in range(n + 1, len(reads)):
        turn = reads[m]
        if turn.turn.start > asked.end + ANSWER:
            return None
        if turn.turn.party != asked.party:
            return turn
    return None


def _secret(turn: Read, begin: int, end: int, certainty: float = 0.9) -> Secret:
    words = words_of(turn.parts[begin:end])
    return Secret(EMAIL, words, (), () if words else (turn.turn.number,), certainty)
