"""Where speech comes from: a track, as the core shows it to speech."""

from __future__ import annotations

from typing import Protocol

from vcond.base.time import Instant
from vcond.call.events import Event
from vcond.speech.engine import Pcm


class Clock(Protocol):
    """The one clock."""

    def now(self) -> Instant:
        """This moment."""


class Source(Protocol):
    """One track of a call, as the core shows it to speech.

    Positions are samples of the track, as ``read`` counts them. Everything but ``read`` is called in the event loop;
    ``read`` is called in other threads too. ``call`` and ``track`` may change when a call is merged into another.
    """

    @property
    def call(self) -> str:
        """The call's uuid."""

    @property
    def track(self) -> int:
        """The track's index in the call."""

    @property
    def rate(self) -> int:
        """Samples a second."""

    @property
    def language(self) -> str:
        """BCP 47 of an utterance that begins now; empty = not known."""

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The only words and phrases of an utterance that begins now; empty = all; None = the configuration's."""

    def read(self, start: int, stop: int) -> Pcm:
        """Samples ``[start, stop)`` of the journal; zeros where nothing is. Raises StorageError."""

    def emit(self, event: Event) -> None:
        """Take what was found out into the call's journal. Never waits."""

    def next_utterance(self) -> int:
        """A number that no utterance of the call has."""

    def partial(self, start: int, stop: int, text: str) -> None:
        """Show what is being said. Never waits."""

    def at(self, position: int) -> Instant:
        """The moment of a position."""
