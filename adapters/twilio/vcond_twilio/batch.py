"""Takes the audio of a stream a tenth of a second at a time.

A message that is worked through alone finds cold caches, and costs two to three times what it costs in a row; five frames
of a track cost together what one does (``join``; tests/bench/bench_twilio.py). So audio waits up to ``HOLD`` with the
moment of its arrival; whatever is not audio is taken at once, after what waits. A daemon that is killed loses what
waits.
"""

from __future__ import annotations

import asyncio
from typing import Final

from vcond.adapter import Instant
from vcond_twilio.stream import GO_ON, Stream

HOLD: Final = 0.1
"""Seconds."""
MOST: Final = 64
"""Messages that wait for one stream; 10 in normal operation."""
AUDIO: Final = b'{"event":"media"'
"""How Twilio begins a message with audio. One that begins otherwise is taken at once, which is as right."""


class Batch:
    """The messages of one stream on their way to it. Must be closed."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting: list[tuple[bytes, Instant]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._code = GO_ON
        self._loop = asyncio.get_running_loop()

    def hear(self, raw: bytes, arrived: Instant) -> int:
        """Take one message. Returns the close code when the socket is to be closed, else ``GO_ON``."""
        if not raw.startswith(AUDIO) or not self._stream.started:
            self.flush()
            return self._code or self._stream.feed(raw, arrived)
        self._waiting.append((raw, arrived))
        if self._timer is None:
            self._timer = self._loop.call_later(HOLD, self.flush)
        elif len(self._waiting) >= MOST:
            self.flush()
        return self._code

    def flush(self) -> None:
        """Hand on what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        self._code = self._stream.feed_all(waiting) or self._code

    def close(self, at: Instant) -> None:
        """The socket is gone."""
        self.flush()
        self._stream.gone(at)
