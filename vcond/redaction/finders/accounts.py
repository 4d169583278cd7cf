"""Bank accounts and the numbers that states give to people."""

from __future__ import annotations

from typing import ClassVar

from vcond.redaction.contract import IBAN, NATIONAL_NUMBER
from vcond.redaction.finders.spoken_numbers import Number, NumberFinder


class AccountFinder(NumberFinder):
    """``accounts``."""

    name: ClassVar[str] = "accounts"
    numbers = (
        Number(IBAN, 4, lambda digits: len(digits) >= 16),
        Number(NATIONAL_NUMBER, 4, lambda digits: len(digits) >= 9),
    )
