"""Numbers, for those who may know that somebody calls and not who."""

from __future__ import annotations

import re
from typing import Final

_DIGITS: Final = re.compile(r"\d(?:[\s().-]?\d){4,}")
"""What in a text may be a number: five digits and more, however they are grouped."""
_SHOWN: Final = 2
HIDDEN: Final = "\N{BULLET}"


def number(text: str) -> str:
    """A telephone number or SIP address: its last two characters are left, and the host. No host is left of what is none."""
    user, at, host = text.partition("@")
    return _covered(user) + at + (words(host) if at else "")


def words(text: str) -> str:
    """A text, as a name or a reason, in which numbers are covered, and what stands before an @."""
    if "@" in text:
        return " ".join(number(word) if "@" in word else words(word) for word in text.split(" "))
    return _DIGITS.sub(lambda found: _covered(found[0]), text)


def _covered(text: str) -> str:
    shown = text[-_SHOWN:] if len(text) > 2 * _SHOWN - 1 else ""
    return HIDDEN * min(len(text) - len(shown), 8) + shown
