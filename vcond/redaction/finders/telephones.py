"""Telephone numbers, national and international."""

from __future__ import annotations

from typing import ClassVar

from vcond.redaction.contract import TELEPHONE
from vcond.redaction.finders.spoken_numbers import Number, NumberFinder

SHORTEST = 6
"""Digits in a row that are taken for a number of the neighbourhood, or for a part of a longer one."""


class TelephoneFinder(NumberFinder):
    """``telephones``."""

    name: ClassVar[str] = "telephones"
    numbers = (Number(TELEPHONE, 3, lambda digits: len(digits) >= 10),)

    def bare(self, digits: str, certain: int) -> tuple[str, float] | None:
        """Six digits and more (ITU-T E.164 has at most 15), also where most of them only sound like digits."""
        if certain < 2 or not SHORTEST <= len(digits) <= 15:
            return None
        return TELEPHONE, 0.6 if len(digits) >= 9 else 0.4
