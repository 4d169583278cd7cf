"""The contract of a finder: it is shown a conversation and says which words and keys are secret.

A third party registers its class in the entry point group ``vcond.finders``. The class is called once, with
``FinderOptions``; then ``find`` for each conversation, from any thread, and it keeps nothing of one for the next.

A finder is shown what an engine wrote, which is not what was said: numbers are written as digits or as words, cut and joined
anywhere, with words in between that only sound alike. So it says generously what goes: a word too many costs a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from vcond.call.events import Button

GROUP = "vcond.finders"

CARD = "card"
"""Number of a payment card."""
SECURITY_CODE = "security-code"
"""The three or four digits beside it."""
CARD_EXPIRY = "card-expiry"
IBAN = "iban"
"""Number of a bank account, as written internationally."""
NATIONAL_NUMBER = "national-number"
"""What a state or its tax office calls a person."""
TELEPHONE = "telephone"
EMAIL = "email"
BIRTH_DATE = "birth-date"


class SpokenWord(msgspec.Struct, frozen=True):
    """One word as the engine wrote it, punctuation included. May hold several digits, or none."""

    dialog: int
    """Index of the dialog in the vCon."""
    party: int
    """Index of who said it."""
    turn: int
    """``Turn.number``."""
    index: int
    """Its place among the words of the turn, from 0."""
    text: str
    start: float | None = None
    """Seconds from the beginning of the dialog; None where the engine gives no times."""
    end: float | None = None


class KeyPressed(msgspec.Struct, frozen=True):
    """A key of a telephone."""

    party: int
    index: int
    """Its place among the keys of the party, from 0."""
    at: float
    """Seconds, on the same scale as ``Turn.start``."""
    digit: Button


class Turn(msgspec.Struct, frozen=True):
    """What one party says in one go."""

    number: int
    """Its place in ``Conversation.turns``, from 0."""
    dialog: int
    party: int
    start: float
    """Seconds from the beginning of the conversation, which is that of its first dialog."""
    end: float
    words: tuple[SpokenWord, ...] = ()
    """None when nothing was understood."""
    language: str = ""
    """BCP 47; empty = not known, which is taken for the first of ``FinderOptions.languages``."""


class Conversation(msgspec.Struct, frozen=True):
    """All that can be looked at."""

    turns: tuple[Turn, ...] = ()
    """By ``start``."""
    keys: tuple[KeyPressed, ...] = ()
    """By ``at``."""


class Secret(msgspec.Struct, frozen=True):
    """What goes, and why. It never holds the value."""

    kind: str
    """One of the kinds above or of the finder's own: lower-case letters, digits and ``-``, at most 40. It is written into
    vCons in place of the secret."""
    words: tuple[SpokenWord, ...] = ()
    """Exactly the words to take out, from the conversation, of one turn or several."""
    keys: tuple[KeyPressed, ...] = ()
    """Exactly the keys to take out."""
    turns: tuple[int, ...] = ()
    """Numbers of turns that go as a whole, their sound included, whether or not words of theirs are known."""
    certainty: float = 1.0
    """0 to 1: how sure it is that this is a secret of the kind. It goes in any case; a margin may grow as this falls."""


class FinderOptions(msgspec.Struct, frozen=True):
    """What a finder is made with."""

    languages: tuple[str, ...] = ("en",)
    """Primary BCP 47 subtags in which numbers and questions are read; the first is that of turns of no known language."""
    settings: Mapping[str, Any] = {}
    """``[redaction.settings.<name>]`` of the configuration, for the finder of that name."""


class Finder(Protocol):
    """Made with ``FinderOptions``; raises ConfigError for settings that are wrong, MissingExtraError for lack of a package."""

    @property
    def name(self) -> str:
        """As it is registered; a class attribute will do."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind that it may say."""

    def find(self, conversation: Conversation) -> Iterable[Secret]:
        """All secrets of the conversation. They may overlap, also those of other finders. Costs a time that grows with the
        number of words and not with its square.
        """
