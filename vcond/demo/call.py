"""The call that the demo plays: its own one, which comes with the package, or one of the user's.

The demo call is synthesized by ``tools/make_demo_call.py``; its description, ``call.json``, says who speaks when and
every word with its time, so that a transcript can be judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

RATE = 8000
"""Samples a second of every track: G.711."""
FRAME_MS = 20
FRAME = RATE * FRAME_MS // 1000
"""Samples, and mu-law bytes, of one frame."""
SILENCE = b"\xff"
"""Mu-law zero."""


class Word(msgspec.Struct, frozen=True):
    """One word as it is spoken. Times are seconds from the call's zero."""

    text: str
    start: float
    end: float


class Turn(msgspec.Struct, frozen=True):
    """One party speaks without the other having its turn."""

    party: int
    start: float
    end: float
    text: str
    words: tuple[Word, ...]


class Cue(msgspec.Struct, frozen=True):
    """What happens beside speech, at seconds from the call's zero."""

    at: float
    kind: Literal["hold", "unhold", "digit"]
    party: int
    button: str = ""
    ms: int = 0
    """How long the button is down; 0 when it is no digit."""


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """One party."""

    role: Literal["caller", "agent"]
    name: str
    tel: str = ""
    org: str = ""


class _Description(msgspec.Struct, frozen=True):
    """``call.json``."""

    title: str
    parties: tuple[Person, Person]
    rate: int
    samples: int
    turns: tuple[Turn, ...]
    events: tuple[Cue, ...]
    licence: str


@dataclass(frozen=True)
class Recording:
    """A call to be played: caller first, agent second."""

    title: str
    parties: tuple[Person, Person]
    tracks: tuple[bytes, bytes]
    """PCMU of each party, of equal length, whole frames."""
    cues: tuple[Cue, ...] = ()
    turns: tuple[Turn, ...] = ()
    """What is said; empty when nobody wrote it down."""

    @property
    def frames(self) -> int:
        """How many frames of 20 ms each track has."""
        return len(self.tracks[0]) // FRAME

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.tracks[0]) / RATE


@cache
def demo_call() -> Recording:
    """The demo's own call."""
    folder = files(__package__)
    told = msgspec.json.decode((folder / "call.json").read_bytes(), type=_Description)
    caller, agent = ((folder / f"{person.role}.ulaw").read_bytes() for person in told.parties)
    return Recording(told.title, told.parties, (caller, agent), told.events, told.turns)
