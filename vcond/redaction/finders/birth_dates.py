"""Dates of birth: those that are announced, and days of years in which people were born."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import ClassVar

from vcond.redaction.contract import BIRTH_DATE, Secret
from vcond.redaction.finders.spoken_numbers import Number, NumberFinder
from vcond.redaction.reading import Read, Sort, words_of

BEFORE, AFTER = 3, 6
"""Parts around a month in which its day and its year are."""
_DAY_AND_YEAR = re.compile(r"\d(?:19\d\d|200\d|201[0-2])|(?:19\d\d|200\d|201[0-2])\d")
"""Of whoever is old enough to be asked for a date of birth."""


class BirthDateFinder(NumberFinder):
    """``birth-dates``."""

    name: ClassVar[str] = "birth-dates"
    numbers = (Number(BIRTH_DATE, 1, lambda digits: len(digits) >= 6),)

    def beside(self, reads: Sequence[Read], _found: Sequence[tuple[Secret, str]]) -> Iterable[Secret]:
        """Whole dates of long ago."""
        for turn in reads:
            for at, part in enumerate(turn.parts):
                if part.text not in turn.language.months:
                    continue
                around = range(max(0, at - BEFORE), min(len(turn.parts), at + AFTER + 1))
                said = [n for n in around if turn.parts[n].digits and turn.parts[n].sort is not Sort.AMOUNT]
                if _DAY_AND_YEAR.search("".join(turn.parts[n].digits for n in said)):
                    yield Secret(BIRTH_DATE, words_of(turn.parts[min(at, *said) : max(at, *said) + 1]), certainty=0.6)
