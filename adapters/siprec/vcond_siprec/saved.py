"""What is written down of a recording session, so that a restarted vcond goes on with it. Pure.

No key is: a session with encrypted lines has none of its lines here, and cannot go on.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec

from vcond.sdk.contract import ProtocolError
from vcond_siprec.participants import Participants, Speakers
from vcond_siprec.sdp import Line

DIALOG: Final = "dialog "
SESSION: Final = "session "
"""Before a dialog's tag: the names of the two parts that are written down, of which one changes far more often."""
LARGEST: Final = 256 * 1024
"""Characters. A session of which more is to be said cannot go on."""


class SavedPeople(msgspec.Struct, frozen=True):
    """``people.People``: parties by their keys."""

    name: str
    named: dict[str, str]
    unnamed: dict[str, str]
    heard: list[tuple[str, Speakers | None]]
    """By line: whose track it is, and by what that is known."""


class SavedSession(msgspec.Struct, frozen=True):
    """One session and what was agreed in its dialog."""

    call_id: str
    number: int
    version: int
    offered: bool
    renewed: str
    numbers: tuple[int, ...]
    headers: list[tuple[str, str]]
    documented: bool
    participants: Participants
    people: SavedPeople
    lines: list[tuple[Line, int]]
    """What the latest offer says of each, and our port."""

    def text(self) -> str:
        """As ``parsed`` takes it; empty when it is too large."""
        found = json.dumps(msgspec.to_builtins(self))  # unlike msgspec's it takes bytes that are no UTF-8
        return found if len(found) <= LARGEST else ""


def parsed(text: str) -> SavedSession:
    """What another process wrote down. Raises ProtocolError when it is not that."""
    try:
        return msgspec.convert(json.loads(text), SavedSession)
    except (ValueError, RecursionError, msgspec.ValidationError):
        raise ProtocolError("saved recording session cannot be read") from None
