"""How a recording reaches the daemon as a call: as a Twilio stream, or through a PBX (``pbx.py``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from vcond.demo import player
from vcond.demo.call import Recording

Progress = Callable[[float], None]
"""Hears the position of the call in seconds."""


class Player(Protocol):
    """One way into the daemon."""

    title: str
    """For people: ``as a Twilio media stream``."""
    waiting: str
    """For people, while it starts; empty when there is nothing to wait for."""
    daemon: Sequence[str] | None
    """The command that runs the daemon, before its configuration; None = the usual one."""

    async def start(self, folder: Path) -> str:
        """Start what is needed, in a folder with a short path. Returns the daemon's section for it, as TOML."""

    async def play(self, recording: Recording, url: str, token: str, progress: Progress) -> None:
        """Carry the whole call, from answer to hang-up. ``url``: the daemon's web port. Raises DemoError, PeerError."""

    async def stop(self) -> None:
        """Stop what was started, also when starting failed half-way."""


class MediaStreamPlayer:
    """As Twilio does it. ``speed``: how many times faster than spoken."""

    title = "as a Twilio media stream"
    waiting = ""
    path = "/twilio/stream"
    daemon: Sequence[str] | None

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self.daemon = (
            None if speed == 1 else (sys.executable, "-m", "vcond", "run", "--clock-speed", str(speed), "--config")
        )

    async def start(self, folder: Path) -> str:  # noqa: ARG002 - nothing is made
        """There is nothing to start."""
        return (
            f'[adapters.twilio]\npath = "{self.path}"\ngrace = 0  # the demo does not resume a call whose stream ended'
        )

    async def play(self, recording: Recording, url: str, token: str, progress: Progress) -> None:
        """Open the stream, send both tracks in time, stop."""
        stream = url.replace("http", "ws", 1).rstrip("/") + f"{self.path}/{token}"
        await player.play(stream, recording, speed=self._speed, progress=progress)

    async def stop(self) -> None:
        """There is nothing to stop."""
