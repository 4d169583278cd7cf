"""Janus: a VideoRoom that is looked at every 200 ms, its forwards as packets every 20 ms, on a clock moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from golden_kit import FRAME, FRAME_NS, RATE, TONES, tone

from vcond.base.time import SECOND
from vcond.media.codecs import Codec, encode
from vcond.sdk.contract import Instant, LiveCall, RtpClock
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.rooms import RoomTracker
from vcond_webrtc.janus.wire import Id, Participant

ROOM = 1234
LOOK = 10
"""Frames between two looks."""


class Forward:
    """The audio of one publisher, in a codec of which the bytes are the same everywhere."""

    def __init__(self, call: LiveCall, party: int, hertz: int, at: Instant) -> None:
        self.track = call.track(party, at=at, codec=Codec.PCMU, rate=RATE, clock=RtpClock(RATE))
        self.hertz, self.sent = hertz, 0
        self.heard: Instant | None = None
        self.over = False

    def send(self, at: Instant, *, lost: bool) -> None:
        frame = tone(self.hertz, FRAME / RATE, first=self.sent * FRAME)
        if not lost:
            self.heard = at
            payload = encode(Codec.PCMU, frame)
            self.track.write(payload, arrived=at, stamp=self.sent * FRAME % 2**32, seq=self.sent % 2**16)
        self.sent += 1

    def end(self, at: Instant, *, gone: bool) -> None:
        self.over = True
        self.track.close(at=at)


class Room:
    """Who is in it, and vcond that looks."""

    def __init__(self, host: MemoryHost | None = None) -> None:
        self.clock = ManualClock(host.clock.now()) if host else ManualClock()
        self.host = host or MemoryHost("janus", clock=self.clock)
        self.host.clock = self.clock
        self.forwards: list[Forward] = []
        self.tracker = RoomTracker(self.host, JanusConfig(grace=2.0), self)
        self.people: dict[Id, Participant] = {}
        self.frames = 0

    def open(self, room: Id, publisher: Id, call: LiveCall, party: int) -> Forward:
        self.forwards.append(Forward(call, party, TONES[len(self.forwards) % len(TONES)], self.clock.now()))
        return self.forwards[-1]

    def put(self, *names: str, publishes: bool = True) -> None:
        for name in names:
            self.people[name] = Participant(name, name.title(), publishes)

    def drop(self, *names: str) -> None:
        for name in names:
            del self.people[name]

    def on(self, seconds: float, *, losing: Sequence[int] = ()) -> None:
        """Time passes; everybody speaks. ``losing``: which forwards bring nothing."""
        for _ in range(round(seconds * RATE / FRAME)):
            at = self.clock.advance(FRAME_NS)
            for index, forward in enumerate(self.forwards):
                if not forward.over:
                    forward.send(at, lost=index in losing)
            self.frames += 1
            if self.frames % LOOK == 0:
                self.tracker.look(ROOM, list(self.people.values()), at)
                self.tracker.round_ends(at)
            if self.frames % 25 == 0:
                self.host.tick()

    def away(self, seconds: float) -> None:
        self.clock.advance(round(seconds * SECOND))


def script(main: Callable[[Room], Room | None]) -> MemoryHost:
    room = Room()
    last = main(room) or room
    last.drop(*list(last.people))
    last.on(3.0)
    return last.host


def plain(room: Room) -> None:
    room.put("ann", "ben")
    room.on(2.0)
    room.drop("ben")
    room.on(0.4)


def conference(room: Room) -> None:
    """Three speak; one leaves and comes back; another one only listens."""
    room.put("ann", "ben", "cleo")
    room.put("dan", publishes=False)
    room.on(1.0)
    room.drop("cleo")
    room.on(1.0)
    room.put("cleo")
    room.on(1.0)


def loss(room: Room) -> None:
    room.put("ann", "ben")
    room.on(1.0)
    room.on(0.5, losing=(0,))
    room.on(1.0)


def crash(room: Room) -> Room:
    """vcond is killed in the middle, and looks again two seconds later; one has left meanwhile."""
    room.put("ann", "ben", "cleo")
    room.on(2.0)
    again = Room(MemoryHost.after_crash(room.host))
    again.people = dict(room.people)
    again.drop("cleo")
    again.away(2.0)
    again.on(1.0)
    return again


SCENARIOS: dict[str, Callable[[], MemoryHost]] = {
    "plain": partial(script, plain),
    "conference": partial(script, conference),
    "loss": partial(script, loss),
    "crash": partial(script, crash),
}
