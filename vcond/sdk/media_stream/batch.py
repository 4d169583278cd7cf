"""Takes the audio of a stream a tenth of a second at a time.

A message that is worked through alone finds cold caches, and costs two to three times what it costs in a row; five frames
of a track cost together what one does (``join``; tests/bench/bench_twilio.py). So audio waits up to ``HOLD`` with the
moment of its arrival, and then all streams are worked through one after another; whatever is not audio is taken at
once, after what waits. A daemon that is killed loses what waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from vcond.sdk.contract import Instant
from vcond.sdk.media_stream.dialect import GO_ON
from vcond.sdk.media_stream.stream import Stream

HOLD: Final = 0.1
"""Seconds."""
MOST: Final = 64
"""Messages that wait for one stream; 10 in normal operation."""
TOGETHER: Final = 32
"""Streams that are worked through before others are heard again: about a millisecond."""


class Pulse:
    """The beat at which batches are worked through."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Batch] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, batch: Batch) -> None:
        """Work through this one with the next beat."""
        self._waiting.append(batch)
        if self._timer is None:
            self._timer = self._loop.call_later(HOLD, self._beat)

    def _beat(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, []
        self._work(waiting)

    def _work(self, waiting: Sequence[Batch]) -> None:
        if len(waiting) > TOGETHER:
            self._loop.call_soon(self._work, waiting[TOGETHER:])
        with ExitStack() as stack:  # a fault in one holds no other up
            for batch in waiting[:TOGETHER]:
                stack.callback(batch.beat)


class Batch:
    """The messages of one socket on their way to its stream."""

    def __init__(self, stream: Stream, pulse: Pulse) -> None:
        self.replies = stream.replies
        self._stream = stream
        self._pulse = pulse
        self._waiting: list[tuple[bytes, Instant]] = []
        self._expected = False
        """Whether the next beat comes here."""
        self._audio: bytes | tuple[bytes, ...] = self._stream.audio if self._stream.started else ()
        """How texts begin that may wait: none before the stream began."""
        self._code = GO_ON

    @property
    def started(self) -> bool:
        """Whether the stream began."""
        return self._stream.started

    def text(self, raw: bytes, arrived: Instant) -> int:
        """Take a text. Returns the close code when the socket is to be closed, else ``GO_ON``."""
        if not raw.startswith(self._audio):
            self.flush()
            code = self._code or self._stream.feed(raw, arrived)
            self._audio = self._stream.audio if self._stream.started else ()
            return code
        self._waiting.append((raw, arrived))
        if not self._expected:
            self._expected = True
            self._pulse.add(self)
        elif len(self._waiting) >= MOST:
            self.flush()
        return self._code

    def binary(self, raw: bytes, arrived: Instant) -> int:
        """Take a binary message; returns the same."""
        self.flush()
        return self._code or self._stream.feed_binary(raw, arrived)

    def beat(self) -> None:
        """The moment for what waits has come."""
        self._expected = False
        self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._code = self._stream.feed_all(waiting) or self._code

    def gone(self, at: Instant, *, clean: bool = False) -> None:
        """The socket is gone."""
        self.flush()
        self._stream.gone(at, clean=clean)
