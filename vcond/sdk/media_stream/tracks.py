"""Where the audio of one stream goes: what came early waits, what follows on is joined, each frame to its track."""

from __future__ import annotations

from typing import Final

from vcond.sdk.contract import MILLI, AdapterHost, Instant
from vcond.sdk.media_stream.calls import Carrier, StreamedCall, StreamedCalls
from vcond.sdk.media_stream.dialect import Began, Closed, Frame, Opened
from vcond.sdk.media_stream.early import Early
from vcond.sdk.media_stream.join import G711, Joiner

EARLY: Final = 250
"""Frames that wait for a late start: 2.5 s of both parties."""
EARLY_SIZE: Final = 1 << 19
"""Bytes of them."""
MOST_TRACKS: Final = 16
"""Of one stream."""


class StreamTracks:
    """The tracks of one stream, once it began."""

    def __init__(self, host: AdapterHost, calls: StreamedCalls) -> None:
        self.call: StreamedCall | None = None
        self.carrier: Carrier | None = None
        self._host = host
        self._calls = calls
        self._early: Early[tuple[Frame, Instant]] = Early(EARLY, EARLY_SIZE)
        self._joiner = Joiner()
        self._opened: set[str] = set()
        self._told: set[str] = set()

    def begin(self, began: Began, arrived: Instant) -> None:
        """The stream is of this call; what waited has its place now."""
        early = self._early.take()
        self.carrier = Carrier(began)
        per_ms = self._joiner.per_ms = {name: form.per_ms for name, form in began.tracks.items()}
        spoken = (when - len(frame.payload) * MILLI // per_ms.get(frame.track, G711) for frame, when in early)
        at = Instant(min([arrived, *spoken]))
        self.call = self._calls.join(self.carrier, at=at)
        for name in began.tracks:
            if name in began.announced:
                self._open(self.call, self.carrier, name, at)
        for frame, when in early:
            self._place(frame, when)

    def place(self, frames: list[tuple[Frame, Instant]]) -> None:
        """Write frames, each with the moment of its arrival."""
        if frames and self.call is not None:
            self._calls.goes_on(self.call, at=frames[0][1])
        for frame, arrived in self._joiner.join(frames):
            self._place(frame, arrived)

    def add(self, opened: Opened, arrived: Instant) -> None:
        """One more track."""
        call, carrier = self.call, self.carrier
        if call is None or carrier is None or len(carrier.forms) >= MOST_TRACKS:
            self._host.dropped("track", "limit")
            return
        self.close(Closed(opened.track), arrived)
        carrier.forms[opened.track] = opened.form
        self._joiner.per_ms[opened.track] = opened.form.per_ms
        if self._calls.goes_on(call, at=arrived):
            self._open(call, carrier, opened.track, arrived)

    def close(self, closed: Closed, arrived: Instant) -> None:
        """A track is over."""
        track = None if self.carrier is None else self.carrier.tracks.pop(closed.track, None)
        if track is not None:
            track.close(at=arrived)

    def leave(self, at: Instant, *, stopped: bool) -> None:
        """The stream is over."""
        if self.call is not None and self.carrier is not None:
            self._calls.leave(self.call, self.carrier, at=at, stopped=stopped)
        elif self._early:
            self._host.dropped("frame", "no-start", len(self._early))
            self.warn("a stream with audio but without a start message was lost")

    def warn(self, text: str, **more: str) -> None:
        """Log once a stream; the rest is counted."""
        if text not in self._told:
            self._told.add(text)
            call = None if self.call is None else self.call.call.uuid
            stream = "" if self.carrier is None else self.carrier.began.stream
            self._host.log.warning(text, call=call, stream=stream, **more)

    def _place(self, frame: Frame, arrived: Instant) -> None:
        carrier, call = self.carrier, self.call
        if carrier is None or call is None:
            self._wait(frame, arrived)
            return
        track = carrier.tracks.get(frame.track)
        if track is not None:
            track.write(frame.payload, arrived=arrived, stamp=frame.timestamp, seq=frame.chunk or None)
        elif frame.track not in carrier.forms:
            self._host.dropped("frame", "unknown-track")
            self.warn("audio of an unknown track was dropped")
        elif frame.track in self._opened:
            self._host.dropped("frame", "superseded")
        else:  # not announced, but here it is
            self._open(call, carrier, frame.track, arrived)
            self._place(frame, arrived)

    def _wait(self, frame: Frame, arrived: Instant) -> None:
        """Keep audio that came before the start."""
        if not self._early.keep((frame, arrived), len(frame.payload)):
            self._host.dropped("frame", "before-start")

    def _open(self, call: StreamedCall, carrier: Carrier, name: str, at: Instant) -> None:
        self._opened.add(name)
        self._calls.track(call, carrier, name, at=at)
