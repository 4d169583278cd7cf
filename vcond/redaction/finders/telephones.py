"""Telephone numbers, national and international."""

from __future__ import annotations

from typing import ClassVar

from vcond.redaction.contract import TELEPHONE
from vcond.redaction.finders.spoken_numbers import Number, NumberFinder


class TelephoneFinder(NumberFinder):
    """``telephones``."""

    name: ClassVar[str] = "telephones"
    numbers = (Number(TELEPHONE, 3, lambda digits: len(digits) >= 10),)

    def bare(self, digits: str) -> tuple[str, float] | None:
        """Some nine digits (ITU-T E.164 has at most 15)."""
        return (TELEPHONE, 0.6) if 9 <= len(digits) <= 15 else None
