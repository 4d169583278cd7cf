"""Dates of birth."""

from __future__ import annotations

from typing import ClassVar

from vcond.redaction.contract import BIRTH_DATE
from vcond.redaction.finders.spoken_numbers import Number, NumberFinder


class BirthDateFinder(NumberFinder):
    """``birth-dates``."""

    name: ClassVar[str] = "birth-dates"
    numbers = (Number(BIRTH_DATE, 1, lambda digits: len(digits) >= 6),)
