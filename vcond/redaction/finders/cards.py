"""Payment cards: their numbers, security codes and when they expire, spoken and keyed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from vcond.redaction.contract import CARD, CARD_EXPIRY, SECURITY_CODE, Secret
from vcond.redaction.finders.spoken_numbers import Number, NumberFinder
from vcond.redaction.numbers import LONG, beside
from vcond.redaction.reading import Read

SHORTEST, LONGEST = 13, 19
"""Digits of a card's number (ISO/IEC 7812-1, with the shorter ones of old)."""


def luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, Annex B. One random number in ten passes."""
    total = sum(sum(divmod(int(digit) * (1 + at % 2), 10)) for at, digit in enumerate(reversed(digits)))
    return bool(digits) and total % 10 == 0


def whole(digits: str) -> bool:
    """All of a card's number. Sixteen digits are, whatever Luhn says: it names, and lets nothing pass."""
    return len(digits) >= 16 or (len(digits) >= SHORTEST and luhn(digits))


class CardFinder(NumberFinder):
    """``cards``."""

    name: ClassVar[str] = "cards"
    numbers = (
        Number(CARD, 3, whole),
        Number(SECURITY_CODE, 2, lambda digits: len(digits) >= 3),
        Number(CARD_EXPIRY, 2, lambda digits: len(digits) >= 4),
    )

    def bare(self, digits: str, certain: int) -> tuple[str, float] | None:
        """Long ones, for certain where Luhn agrees."""
        if len(digits) < LONG or 2 * certain < len(digits):
            return None
        return CARD, 0.5 if len(digits) < SHORTEST else 1.0 if len(digits) <= LONGEST and luhn(digits) else 0.8

    def beside(self, reads: Sequence[Read], found: Sequence[tuple[Secret, str]]) -> Iterable[Secret]:
        """Codes and dates are said soon after the number."""
        return beside(reads, [one for one in found if one[0].kind == CARD], SECURITY_CODE)
