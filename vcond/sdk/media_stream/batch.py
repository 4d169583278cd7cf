"""Takes the audio of a stream a tenth of a second at a time.

A message that is worked through alone finds cold caches, and costs two to three times what it costs in a row; five frames
of a track cost together what one does (``join``; tests/bench/bench_twilio.py). So audio waits up to ``HOLD`` with the
moment of its arrival, and then all streams of a turn are worked through one after another; whatever is not audio is
taken at once, after what waits. A daemon that is killed loses what waits. Streams have their beats in ``TURNS``, lest
all of them together keep the loop from anything else (decision 0055).

To be woken up for a message costs more than all the work on it (decision 0024). Where audio says itself when it was
spoken, only the least delay of the last minute is asked of its arrivals (``vcond.media.placement``). So once that is
known, audio waits in the socket: it is read with the beat, and as it comes only for one beat of ``LISTEN_EVERY``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import cycle, islice
from math import ceil
from typing import Final

from vcond.sdk.contract import Instant
from vcond.sdk.media_stream.dialect import GO_ON
from vcond.sdk.media_stream.stream import Stream

HOLD: Final = 0.1
"""Seconds."""
MOST: Final = 64
"""Messages that wait for one stream; 10 in normal operation."""
TURNS: Final = 10
"""Moments of each ``HOLD``, over which streams are spread: all read at once keep the loop from anything else for as long as they take."""
TOGETHER: Final = 32
"""Streams that are worked through before others are heard again: about a millisecond."""
LISTEN_FIRST: Final = 20
"""Beats of a stream that is read as it comes, at its beginning."""
LISTEN_EVERY: Final = 20
"""One beat of so many is read as it comes later on: 200 moments of arrival in the minute of which the least delay counts."""


class Pulse:
    """The beat at which batches are worked through. Streams have it in turns: who is due for another waits for a few of them."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._turns = cycle([Turn(loop, begun - HOLD * turn / TURNS) for turn in range(TURNS)])

    def turn(self) -> Turn:
        """That of one more stream."""
        return next(self._turns)


class Turn:
    """The streams that are worked through at one moment of each ``HOLD``.

    The moment stays where it is, however late the loop comes: streams that were late together are apart with the next beat.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """``due``: one of those moments, by the loop's clock."""
        self._loop, self._due = loop, due
        self._waiting: list[Batch] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, batch: Batch) -> None:
        """Work through this one with the next beat."""
        self._waiting.append(batch)
        if self._timer is None:
            # a timer may come early by its resolution: the beat after this one is the next all the same
            self._due += HOLD * max(1, ceil((self._loop.time() - self._due) / HOLD))
            self._timer = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, []
        self._work(waiting)

    def _work(self, waiting: Sequence[Batch]) -> None:
        rest = iter(waiting)
        try:
            for batch in islice(rest, TOGETHER):
                batch.beat()
        finally:  # a fault in one holds no other up
            if later := list(rest):
                self._loop.call_soon(self._work, later)


class Batch:
    """The messages of one socket on their way to its stream."""

    def __init__(self, stream: Stream, pulse: Pulse, socket: asyncio.ReadTransport | None = None) -> None:
        """``socket``: where the messages come from. Without it they are never made to wait there."""
        self.replies = stream.replies
        self._stream = stream
        self._turn = pulse.turn()
        self._socket = socket
        self._beats = 0
        self._waiting: list[tuple[bytes, Instant]] = []
        self._expected = False
        """Whether the next beat comes here."""
        self._audio: bytes | tuple[bytes, ...] = ()
        """How texts begin that may wait: none before the stream began."""
        self._stamped = False
        self._code = GO_ON
        self._look()

    @property
    def started(self) -> bool:
        """Whether the stream began."""
        return self._stream.started

    def text(self, raw: bytes, arrived: Instant) -> int:
        """Take a text. Returns the close code when the socket is to be closed, else ``GO_ON``."""
        if not raw.startswith(self._audio):
            self.flush()
            code = self._code or self._stream.feed(raw, arrived)
            self._look()
            return code
        self._waiting.append((raw, arrived))
        if not self._expected:
            self._expected = True
            self._turn.add(self)
            if self._stamped and self._beats > LISTEN_FIRST and self._beats % LISTEN_EVERY:
                self._read_on(now=False)
                asyncio.get_running_loop().call_soon(self.flush)  # after all that was read with it
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
        self._beats += 1
        self._read_on(now=True)
        self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._code = self._stream.feed_all(waiting) or self._code

    def gone(self, at: Instant, *, clean: bool = False) -> None:
        """The socket is gone, or is read to its end by others."""
        self._stamped = False
        self._read_on(now=True)
        self.flush()
        self._stream.gone(at, clean=clean)

    def _look(self) -> None:
        """What is known of the stream by now."""
        if self._stream.started:
            self._audio, self._stamped = self._stream.audio, self._stream.stamped

    def _read_on(self, *, now: bool) -> None:
        """Read the socket, or let it wait for the next beat."""
        if self._socket is not None and not self._socket.is_closing():
            (self._socket.resume_reading if now else self._socket.pause_reading)()
