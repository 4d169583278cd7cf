"""One media stream, from its first message to its last. Bytes and moments in, audio and events out; no sockets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vcond.sdk.contract import Desk, Digit, Instant, ProtocolError
from vcond_twilio.calls import TRACKS, Conversation, Leg, Switchboard
from vcond_twilio.join import Joiner
from vcond_twilio.who import understand
from vcond_twilio.wire import Dtmf, Mark, Media, MediaBody, MediaFormat, Message, Start, Stop, decode

EARLY: Final = 250
"""Frames that wait for a late start: 2.5 s of both parties."""
MAX_GARBAGE: Final = 100
"""Messages that make no sense before the peer is hung up."""
LARGEST_GAP: Final = 1_000
"""Messages counted as lost at one gap; more is a peer that counts otherwise."""
BUTTONS: Final = frozenset("0123456789*#ABCD")

# Close codes, RFC 6455 section 7.4.1.
GO_ON: Final = 0
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
UNSUPPORTED: Final = 1003
POLICY: Final = 1008


class Stream:
    """What a socket said so far. ``feed`` and ``gone`` never raise for what the peer sent."""

    def __init__(self, desk: Desk, switchboard: Switchboard) -> None:
        self._desk = desk
        self._switchboard = switchboard
        self._conversation: Conversation | None = None
        self._leg = Leg("")
        self._early: list[tuple[MediaBody, Instant]] = []
        self._joiner = Joiner()
        self._expected = 0
        self._garbage = 0
        self._told: set[str] = set()
        self._opened: set[str] = set()
        self._over = False

    @property
    def started(self) -> bool:
        """Whether the start message came."""
        return self._conversation is not None

    def feed(self, raw: bytes, arrived: Instant) -> int:
        """Take one message. Returns the close code when the socket is to be closed, else ``GO_ON``."""
        return self.feed_all([(raw, arrived)])

    def feed_all(self, messages: Iterable[tuple[bytes, Instant]]) -> int:
        """Take several, each with the moment of its arrival. Returns the close code, else ``GO_ON``."""
        code, frames = GO_ON, []
        for raw, arrived in messages:
            try:
                message = decode(raw)
            except ProtocolError as why:
                code = self.garbage("malformed", str(why)) or code
                continue
            if type(message) is Media:  # 99 of 100
                if message.sequence_number == self._expected:
                    self._expected += 1
                else:
                    self._count(message.sequence_number)
                frames.append((message.media, arrived))
            else:
                self._place_all(frames)
                frames = []
                code = self._other(message, arrived) or code
        self._place_all(frames)
        return code

    def _other(self, message: Message | None, arrived: Instant) -> int:
        """Whatever is no audio."""
        match message:
            case Start():
                return self._start(message, arrived)
            case Stop():
                return self._stop(message, arrived)
            case Dtmf():
                self._count(message.sequence_number)
                self._digit(message, arrived)
            case Mark():
                self._count(message.sequence_number)
            case _:
                pass  # connected, or something that a later Twilio may say
        return GO_ON

    def garbage(self, reason: str, why: str) -> int:
        """Count a message that made no sense. Returns ``POLICY`` when there were too many."""
        self._desk.dropped("message", reason)
        self._warn("a message was ignored", why=why)
        self._garbage += 1
        return POLICY if self._garbage >= MAX_GARBAGE else GO_ON

    def gone(self, at: Instant) -> None:
        """The socket is closed. Without a stop message the call may come back on another one."""
        if self._over:
            return
        self._over = True
        if self._conversation is not None:
            self._switchboard.leave(self._conversation, self._leg, at=at, stopped=False)
        elif self._early:
            self._desk.dropped("frame", "no-start", len(self._early))
            self._warn("a stream with audio and without a start was lost")

    def _place_all(self, frames: list[tuple[MediaBody, Instant]]) -> None:
        if frames and self._conversation is not None:
            self._switchboard.goes_on(self._conversation, at=frames[0][1])
        for frame, arrived in self._joiner.join(frames):
            self._place(frame, arrived)

    def _place(self, frame: MediaBody, arrived: Instant) -> None:
        track = self._leg.tracks.get(frame.track)
        if track is not None:
            track.write(frame.payload, arrived=arrived, stamp=frame.timestamp, seq=frame.chunk)
        elif frame.track not in TRACKS:
            self._desk.dropped("frame", "unknown-track")
            self._warn("audio of an unknown track was dropped")
        elif self._conversation is None:
            self._wait(frame, arrived)
        elif frame.track in self._opened:
            self._desk.dropped("frame", "superseded")
        else:  # not announced, but here it is
            self._open(self._conversation, frame.track, arrived)
            self._place(frame, arrived)

    def _wait(self, frame: MediaBody, arrived: Instant) -> None:
        """Keep audio that came before the start."""
        if len(self._early) < EARLY:
            self._early.append((frame, arrived))
        else:
            self._desk.dropped("frame", "before-start")

    def _start(self, message: Start, arrived: Instant) -> int:
        if self._conversation is not None:
            return self.garbage("second-start", "a second start on one socket")
        body = message.start
        wrong = _wrong_format(body.media_format)
        if wrong:
            self._desk.dropped("stream", "encoding")
            self._desk.log.error(
                "stream refused: only 8 kHz mono mu-law can be taken", what=wrong, fix="use Twilio's default encoding"
            )
            return UNSUPPORTED
        told = understand(body.custom_parameters)
        if told.refused:
            self._desk.dropped("parameter", "limit", told.refused)
        at = min([arrived, *(when for _, when in self._early)])
        facts = {"callSid": body.call_sid, "accountSid": body.account_sid[:128], "streamSid": message.stream_sid}
        facts |= {f"parameter.{name}": value for name, value in told.others.items()}
        self._leg = Leg(message.stream_sid, told, facts)
        conversation = self._switchboard.join(body.call_sid, message.stream_sid, told, facts, at=at)
        conversation.legs.append(self._leg)
        self._conversation = conversation
        for name in TRACKS:
            if name in body.tracks:
                self._open(conversation, name, at)
        early, self._early = self._early, []
        for frame, when in early:
            self._place(frame, when)
        return GO_ON

    def _open(self, conversation: Conversation, name: str, at: Instant) -> None:
        self._opened.add(name)
        self._switchboard.track(conversation, self._leg, name, at=at)

    def _stop(self, message: Stop, arrived: Instant) -> int:
        self._count(message.sequence_number)
        if self._conversation is not None and not self._over:
            self._over = True
            self._switchboard.leave(self._conversation, self._leg, at=arrived, stopped=True)
        return NORMAL

    def _digit(self, message: Dtmf, arrived: Instant) -> None:
        if self._conversation is None or message.dtmf.digit not in BUTTONS:
            self.garbage("malformed", "a dtmf message without a call or a key")
            return
        self._switchboard.goes_on(self._conversation, at=arrived)
        name = message.dtmf.track.removesuffix("_track")
        party = self._conversation.parties.get(name, self._conversation.parties["inbound"])
        self._conversation.call.emit(Digit(at=arrived, party=party, button=message.dtmf.digit))  # type: ignore[arg-type]

    def _count(self, number: int) -> None:
        """Notice messages that never came. Twilio counts all messages of a stream; 0 = the peer does not count."""
        if not number:
            return
        if self._expected and number > self._expected:
            self._desk.dropped("message", "sequence-gap", min(number - self._expected, LARGEST_GAP))
        elif number < self._expected:
            self._desk.dropped("message", "out-of-order")
            return
        self._expected = number + 1

    def _warn(self, text: str, **more: str) -> None:
        """Log once a stream; the rest is counted."""
        if text not in self._told:
            self._told.add(text)
            call = None if self._conversation is None else self._conversation.call.uuid
            self._desk.log.warning(text, call=call, stream=self._leg.stream_sid, **more)


def _wrong_format(announced: MediaFormat) -> str:
    """What cannot be taken of an announced format; empty = it can. Nothing announced means Twilio's only format."""
    if announced.encoding not in {"", "audio/x-mulaw"}:
        return "encoding"
    if announced.sample_rate not in {0, 8000}:
        return "sample rate"
    return "" if announced.channels == 1 else "channels"
