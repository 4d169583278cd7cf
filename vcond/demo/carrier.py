"""How a recording reaches the daemon as a call: as a Twilio stream, or through a PBX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vcond.demo import player
from vcond.demo.call import Recording

Progress = Callable[[float], None]
"""Hears the position of the call in seconds."""


class Carrier(Protocol):
    """One way into the daemon."""

    title: str
    """For people: ``a Twilio media stream``."""
    adapter: str
    """The daemon's section for it, as TOML."""

    async def play(self, recording: Recording, url: str, token: str, progress: Progress) -> None:
        """Carry the whole call, from answer to hang-up. ``url``: the daemon's web port. Raises PeerError."""
        ...


class TwilioCarrier:
    """As Twilio does it. ``speed``: how many times faster than spoken."""

    title = "a Twilio media stream"
    adapter = "[adapters.twilio]"
    path = "/twilio/stream"

    def __init__(self, speed: float) -> None:
        self._speed = speed

    async def play(self, recording: Recording, url: str, token: str, progress: Progress) -> None:
        """Open the stream, send both tracks in time, stop."""
        stream = url.replace("http", "ws", 1).rstrip("/") + f"{self.path}/{token}"
        await player.play(stream, recording, speed=self._speed, progress=progress)
