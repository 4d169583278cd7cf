"""What people in a vCon are called and what they said, without reading the rest of it: recordings are passed over. Pure."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")
TYPE: Final = "wtf_transcription"
"""Of an analysis that is a transcript (draft-howe-vcon-wtf-extension)."""


class Segment(msgspec.Struct):
    """What somebody said in one go; times in seconds."""

    start: float
    end: float
    text: str
    speaker: int | str | None = None


class Spoken(msgspec.Struct):
    """The body of a transcript, as far as it is needed here."""

    segments: list[Segment]


class Person(msgspec.Struct):
    """A party; the members may be of any type, as others may write them."""

    type: Any = None
    name: Any = None
    tel: Any = None
    sip: Any = None
    mailto: Any = None


class Recorded(msgspec.Struct):
    """When a dialog was, as it says; seconds."""

    start: str = ""
    duration: float = 0.0


class _Analysis(msgspec.Struct):
    type: Any = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class Glance(msgspec.Struct):
    """The members that are looked at, each decoded when it is asked for."""

    raw_parties: msgspec.Raw = msgspec.field(name="parties", default=msgspec.Raw(b"[]"))
    raw_analysis: msgspec.Raw = msgspec.field(name="analysis", default=msgspec.Raw(b"[]"))
    raw_dialog: msgspec.Raw = msgspec.field(name="dialog", default=msgspec.Raw(b"[]"))

    def parties(self) -> list[Person]:
        """All, in their places."""
        return _each(self.raw_parties, Person)

    def dialogs(self) -> list[Recorded]:
        """All, in their places."""
        return _each(self.raw_dialog, Recorded)

    def spoken(self) -> list[Spoken]:
        """The transcripts."""
        found = []
        for one in _each(self.raw_analysis, _Analysis):
            if one.type == TYPE:
                with suppress(ValueError, RecursionError):
                    found.append(msgspec.json.decode(one.body, type=Spoken))
        return found


def glance(body: bytes) -> Glance:
    """Of a vCon as JSON. Raises msgspec.MsgspecError, RecursionError, UnicodeDecodeError for what is none."""
    return msgspec.json.decode(body, type=Glance)


def text_of(value: Any) -> str:
    """A text; nothing of what is none."""
    return value if isinstance(value, str) else ""


def _each(raw: msgspec.Raw, kind: type[T]) -> list[T]:
    """Of a list all, in their places; of one that is not as it should be, as others may write it, nothing is known."""
    found: list[T] = []
    with suppress(ValueError, RecursionError):
        for one in msgspec.json.decode(raw, type=list[msgspec.Raw]):
            try:
                found.append(msgspec.json.decode(one, type=kind))
            except (ValueError, RecursionError):
                found.append(kind())
    return found
