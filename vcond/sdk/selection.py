"""What the configurations of PBX adapters share: which calls are wanted, who is ours; and texts from outside made fit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct, field

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


class Selection(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which calls of a PBX are recorded, and who is inside: what the configurations of all PBX adapters have."""

    internal: Patterns = []
    """Channels of our own people (``PJSIP/agent*``, ``sofia/internal/*``). They decide what is an inbound and what an
    outbound call."""
    trunks: Patterns = []
    """Channels of the outside world. With only one of ``internal`` and ``trunks`` the rest is the other."""
    domain: Annotated[str, Meta(max_length=128)] = ""
    """Domain of the ``sip`` address of extensions (``1001@domain``); default: the host of ``url`` (Asterisk), what the
    switch shows (FreeSWITCH)."""
    include: Patterns = field(default_factory=lambda: ["*"])
    """Channels whose calls are recorded."""
    exclude: Patterns = []
    """Channels whose calls are never recorded, even if other channels of the call are."""
    include_contexts: Patterns = field(default_factory=lambda: ["*"])
    """Dialplan contexts in which a recorded call may begin."""
    exclude_contexts: Patterns = []
    """Dialplan contexts in which a call that begins is not recorded."""
    record_supervisors: bool = False
    """Also record supervisors who listen in on others (``ChanSpy``, ``eavesdrop``), as a separate call."""
    variables: Variables = []
    """Channel variables that are kept as facts of the call (``variable.LANG``), and that ``[[speech.routes]]`` can match."""
    max_calls: Annotated[int, Meta(ge=1, le=100_000)] = 500
    """Calls recorded at the same time; more are not recorded, and are counted."""

    def inside(self, channel: str) -> bool | None:
        """Whether a channel is one of ours; None when nothing was configured. With only one list the rest is the other."""
        if matches(self.internal, channel):
            return True
        if matches(self.trunks, channel):
            return False
        return bool(self.trunks) if bool(self.trunks) != bool(self.internal) else None


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether a name fits one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


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
