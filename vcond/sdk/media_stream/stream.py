"""One media stream, from its first message to its last. Bytes and moments in, audio and events out; no sockets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from vcond.sdk.contract import (
    BUTTONS,
    AdapterHost,
    Answered,
    Dtmf,
    Instant,
    MillisClock,
    ProtocolError,
    RecordingPaused,
    RecordingResumed,
)
from vcond.sdk.media_stream.calls import StreamedCalls
from vcond.sdk.media_stream.dialect import (
    GO_ON,
    HEARD,
    NORMAL,
    POLICY,
    Began,
    Closed,
    Counted,
    Dialect,
    Ended,
    Format,
    Frame,
    Opened,
    Pausing,
    PickedUp,
    Pressed,
    Refused,
    Reply,
    Said,
)
from vcond.sdk.media_stream.tracks import StreamTracks

MAX_GARBAGE: Final = 100
"""Messages that make no sense before the peer is hung up."""
BY: Final = "platform"
"""Who pauses."""


class Stream:
    """What a socket said so far. ``feed`` and ``gone`` never raise for what the peer sent."""

    def __init__(self, host: AdapterHost, calls: StreamedCalls, dialect: Dialect) -> None:
        self.replies: list[str] = []
        """What the peer waits for."""
        self._host = host
        self._calls = calls
        self._dialect = dialect
        self._tracks = StreamTracks(host, calls)
        self._garbage = 0
        self._over = False
        self._paused = False
        """What was said of pauses before the call began."""

    @property
    def started(self) -> bool:
        """Whether the stream began."""
        return self._tracks.call is not None

    @property
    def audio(self) -> bytes | tuple[bytes, ...]:
        """How texts begin that may wait a moment."""
        return self._dialect.audio

    @property
    def stamped(self) -> bool:
        """Whether all its audio says when it was spoken."""
        forms = self._tracks.carrier.forms.values() if self._tracks.carrier is not None else ()
        return bool(forms) and all(isinstance(form.clock, MillisClock) for form in forms)

    def feed(self, raw: bytes, arrived: Instant) -> int:
        """Take one text. Returns the close code when the socket is to be closed, else ``GO_ON``."""
        return self.feed_all([(raw, arrived)])

    def feed_all(self, messages: Iterable[tuple[bytes, Instant]]) -> int:
        """Take several, each with the moment of its arrival. Returns the close code, else ``GO_ON``."""
        code, frames, read = GO_ON, [], self._dialect.text
        for raw, arrived in messages:
            try:
                said = read(raw)
            except ProtocolError as why:
                code = self._make_nothing_of("malformed", str(why)) or code
                continue
            if type(said) is Frame:  # 99 of 100
                frames.append((said, arrived))
            elif said is not None:
                self._tracks.place(frames)
                frames = []
                code = self._take(said, arrived) or code
        self._tracks.place(frames)
        return code

    def feed_binary(self, raw: bytes, arrived: Instant) -> int:
        """Take one binary message; returns the same."""
        try:
            said = self._dialect.binary(raw)
        except ProtocolError as why:
            return self._make_nothing_of("binary", str(why))
        return GO_ON if said is None else self._take(said, arrived)

    def gone(self, at: Instant, *, clean: bool = False) -> None:
        """The socket is closed, ``clean`` by the peer in order. Without an end the call may come back on another one."""
        if not self._over:
            self._over = True
            self._tracks.leave(at, stopped=clean and self._dialect.ends_by_closing)

    def _take(self, said: Said | Sequence[Said], arrived: Instant) -> int:
        """One thing, or several."""
        code = GO_ON
        for one in said if isinstance(said, Sequence) else (said,):
            code = self._take_one(one, arrived) or code
        return code

    def _take_one(self, said: Said, arrived: Instant) -> int:
        match said:
            case Frame():
                self._tracks.place([(said, arrived)])
            case Began():
                return self._begin(said, arrived)
            case Ended():
                return self._end(arrived)
            case Opened():
                self._tracks.add(said, arrived)
            case Closed():
                self._tracks.close(said, arrived)
            case Pressed():
                self._press(said, arrived)
            case PickedUp() | Pausing():
                self._tell(said, arrived)
            case Counted():
                self._host.dropped(said.what, said.reason, said.count)
            case Reply():
                self.replies.append(said.text)
            case Refused():
                self._host.dropped("stream", said.reason)
                self._host.log.error("stream refused", error=said.why, hint=said.fix)
                return said.code
        return GO_ON

    def _make_nothing_of(self, reason: str, why: str) -> int:
        """Count a message that made no sense. Returns ``POLICY`` when there were too many."""
        self._host.dropped("message", reason)
        self._tracks.warn("a message was ignored", error=why)
        self._garbage += 1
        return POLICY if self._garbage >= MAX_GARBAGE else GO_ON

    def _begin(self, began: Began, arrived: Instant) -> int:
        if self.started:
            return self._make_nothing_of("second-start", "a second start on one socket")
        if began.told.refused:
            self._host.dropped("parameter", "limit", began.told.refused)
        self._tracks.begin(began, arrived)
        if self._paused:
            self._tell(Pausing(True), arrived)
        return GO_ON

    def _end(self, arrived: Instant) -> int:
        if self.started and not self._over:
            self._over = True
            self._tracks.leave(arrived, stopped=True)
        return NORMAL

    def _press(self, pressed: Pressed, arrived: Instant) -> None:
        call, carrier = self._tracks.call, self._tracks.carrier
        button = BUTTONS.get(pressed.button)
        if call is None or carrier is None or button is None:
            self._make_nothing_of("malformed", "a DTMF key without a call, or an invalid one")
            return
        self._calls.goes_on(call, at=arrived)
        party = self._calls.party(call, carrier.forms.get(pressed.track) or Format(HEARD), at=arrived)
        call.call.emit(Dtmf(at=arrived, party=party, button=button))

    def _tell(self, said: PickedUp | Pausing, arrived: Instant) -> None:
        """What happens to the call as a whole."""
        call = self._tracks.call
        if call is None:
            self._paused = said.on if isinstance(said, Pausing) else self._paused
            return
        if not self._calls.goes_on(call, at=arrived):
            return
        if isinstance(said, Pausing):
            if said.on:
                call.call.emit(RecordingPaused(at=arrived, by=BY))
            elif call.call.state.ending(BY, None):  # each may be told again, and on another socket than the one before
                call.call.emit(RecordingResumed(at=arrived, by=BY))
        elif call.call.state.answered is None:
            call.call.emit(Answered(at=arrived))
