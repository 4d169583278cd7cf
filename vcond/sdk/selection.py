"""What the configurations of PBX adapters share: which calls are wanted, who is ours; and texts from outside made fit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Protocol

from msgspec import Meta

from vcond.sdk.contract import ConfigError, Direction

Seconds = Annotated[float, Meta(gt=0, le=3600)]
Pattern = Annotated[str, Meta(min_length=1, max_length=128)]
Patterns = Annotated[list[Pattern], Meta(max_length=200)]
"""Names as a shell would write them: ``*``, ``?``, ``[abc]``; case counts."""

MAX_TEXT: Final = 256
TEL: Final = re.compile(r"\+?[0-9]{7,15}")
"""What is a telephone number, and no extension."""
USER: Final = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/#%]+")
"""The user part of a SIP address (RFC 3261 section 25.1)."""
Variables = Annotated[list[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_()]{1,80}\Z")]], Meta(max_length=20)]
"""Names of channel variables."""


class Selecting(Protocol):
    """Which calls an adapter's configuration wants."""

    @property
    def include(self) -> list[str]:
        """Legs whose calls are recorded."""

    @property
    def exclude(self) -> list[str]:
        """Legs whose calls are never recorded, whoever else is in them."""

    @property
    def include_contexts(self) -> list[str]:
        """Dialplan contexts in which a recorded call may begin."""

    @property
    def exclude_contexts(self) -> list[str]:
        """Dialplan contexts in which a call that begins is not recorded."""

    @property
    def record_supervisors(self) -> bool:
        """Whether who only listens in on others (``eavesdrop``, ``ChanSpy``) is recorded, as a call of his own."""

    @property
    def max_calls(self) -> int:
        """Calls recorded at the same time."""


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether a name fits one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def inside(internal: Sequence[str], trunks: Sequence[str], name: str) -> bool | None:
    """Whether a leg is one of ours; None when nothing was configured. With only one of the two the rest is the other."""
    if matches(internal, name):
        return True
    if matches(trunks, name):
        return False
    if internal and not trunks:
        return False
    return True if trunks and not internal else None


def secret(password: str, file: str, at: str) -> str:
    """A password, or what the file holds. Raises ConfigError, which names ``at``, when it cannot be read."""
    if not file:
        return password
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, ValueError) as why:
        raise ConfigError(f"cannot be read: {type(why).__name__}", at) from why


def clean(text: str) -> str:
    """A text from outside, fit for a record: no control characters, no surrounding space, at most ``MAX_TEXT``."""
    text = text[: 4 * MAX_TEXT]
    if not text.isprintable():
        text = "".join(c for c in text if c.isprintable())
    return text[:MAX_TEXT].strip()


def direction(first: bool | None, others: Sequence[bool | None]) -> Direction:
    """Which way a call goes, from whether its first leg and the others are ours (None = not known)."""
    if first is None:
        return "unknown"
    if not first:
        return "inbound"
    return "outbound" if False in others else "internal"
