"""What all kinds of taps are, and what they need of who keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from vcond.sdk.contract import AdapterHost, Instant
from vcond.sdk.tap import TapState
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.config import Config

PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before a tap is started again, by the times in a row that it had to be; the last one for ever."""


class Tap(Protocol):
    """Listens to one leg, in one of the ways there are."""

    leg: Leg
    heard: int
    """Bytes of audio that came."""
    state: TapState
    asked: bool
    """Whether FreeSWITCH was ever asked, so that something of it may be there."""

    @property
    def kind(self) -> str:
        """Which way that is: ``file``, ``stream``, ``fork``."""

    @property
    def hint(self) -> str:
        """What an operator looks at when nothing comes."""

    def start_command(self) -> str:
        """What starts it."""

    def stop_command(self) -> str:
        """What removes it."""

    def is_there(self, targets: list[str]) -> bool:
        """Whether it is among the taps of its channel, as ``uuid_buglist`` tells them."""

    def look(self, now: Instant) -> None:
        """Take what came since the last look."""

    def again(self, at: Instant) -> None:
        """It was stopped and will be started once more: take what is left of it."""

    def close(self, at: Instant, *, leave: bool = False) -> None:
        """No more: take what is left, close its tracks, let go of whatever it holds.

        ``leave`` = the switch still sends, and nobody could tell it to stop: the next run takes it up.
        """


class TapContext(Protocol):
    """Who keeps the taps."""

    host: AdapterHost
    config: Config

    def renew(self, tap: Tap, why: str) -> None:
        """What was set up works no longer: make it anew, for as long as its leg is there."""

    def trouble(self, tap: Tap, why: OSError) -> None:
        """A file of audio cannot be read."""

    def spent(self, path: Path) -> None:
        """A file was read to its end."""
