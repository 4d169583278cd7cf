"""A live call and its tracks, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, Literal, Protocol

import numpy as np

from vcond.base.time import SECOND
from vcond.call import events as ev
from vcond.call.merge import Merge
from vcond.call.recorder import NotMergedError, Recorder
from vcond.call.state import fold
from vcond.call.track_recorder import TAKEN_BACK, Owner, TrackRecorder
from vcond.media.codecs import Pcm, decode
from vcond.media.placement.put_aside import PutAside
from vcond.media.placement.timeline import Timeline
from vcond.sdk.contract import CaptionEvent, Codec, Instant, LiveCall, TrackClock
from vcond.testing.captions import Captions

LAWFUL: Final = (
    ev.AdapterState, ev.Answered, ev.Consent, ev.Dtmf, ev.Directed, ev.CallAttribute, ev.Held, ev.Muted, ev.PartyDescribed, ev.PartyLeft, ev.RecordingPaused, ev.Retrieved,
    ev.Tagged, ev.Transferred, ev.Unmuted, ev.RecordingResumed, ev.Warned,
)  # fmt: skip
"""What an adapter may emit; the core writes all other events itself."""


class Book(Protocol):
    """What a call tells its host."""

    unmergeable: str

    def now(self) -> Instant:
        """This moment."""

    def changed(self) -> None:
        """Something happened: whoever waits may look again."""

    def dropped(self, what: str, reason: str, count: int = 1) -> None:
        """Something was lost."""

    def fault(self, text: str) -> None:
        """The adapter broke the contract."""


class Sound:
    """Audio that is written at positions and is silent where nothing was written; a gap costs nothing."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, Pcm]] = []
        self.length = 0
        """Samples up to the last one written."""

    def write(self, position: int, pcm: Pcm) -> None:
        """Put samples at a position."""
        self._pieces.append((position, pcm))
        self.length = max(self.length, position + len(pcm))

    def read(self, length: int) -> Pcm:
        """The first ``length`` samples, silence after the end."""
        out = np.zeros(length, np.int16)
        for position, pcm in self._pieces:
            kept = pcm[: max(0, length - position)]
            out[position : position + len(kept)] = kept
        return out

    def moved(self, shift: int) -> Sound:
        """The same, later by ``shift`` samples (earlier when negative: what falls before 0 is cut off)."""
        sound = Sound()
        for position, pcm in self._pieces:
            start = position + shift
            if start + len(pcm) > 0:
                sound.write(max(0, start), pcm[max(0, -start) :])
        return sound

    def erase(self, position: int, stop: int) -> None:
        """Silence from that sample on, until another."""
        parts = [(at, pcm, max(0, position - at), max(0, stop - at)) for at, pcm in self._pieces]
        self._pieces = [one for at, pcm, a, b in parts for one in ((at, pcm[:a]), (at + b, pcm[b:]))]


class Sounding(Owner, Protocol):
    """The call of a track."""

    book: Book
    sounds: dict[int, Sound]


class MemoryTrack(TrackRecorder[Sounding]):
    """Audio of one party on its way into memory."""

    def __init__(
        self, call: Sounding, index: int, party: int, *, codec: Codec, rate: int, clock: TrackClock, at: Instant
    ) -> None:
        timeline = Timeline(rate, clock)
        decoding = partial(decode, codec)
        super().__init__(call, index, party, rate=rate, at=at, timeline=timeline, decode=decoding, aside=PutAside())

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """Take one frame as it came."""
        super().write(payload, arrived=arrived, stamp=stamp, seq=seq)
        self.owner.book.changed()

    def tick(self, now: Instant) -> None:
        """Time passes; what is settled is told at once, for tests to look at."""
        super().tick(now)
        if not self.closed:
            self.settle(everything=True)

    def keep(self, start: int, pcm: Pcm) -> None:
        """Put samples where they belong in the call; none lie before its zero."""
        start += self.shift
        if start + len(pcm) > 0:
            self.owner.sounds[self.index].write(max(0, start), pcm[max(0, -start) :])

    def hush(self, at: int) -> None:
        """Nobody listens here."""

    def take_back(self, since: Instant, until: Instant | None = None, *, most: int = TAKEN_BACK) -> None:  # noqa: ARG002 - the protocol's names
        """Silence from that sample on, until another."""
        sound = self.owner.sounds[self.index]
        stop = sound.length if until is None else self.position(until) + self.shift + 1
        sound.erase(max(0, self.position(since) + self.shift - 1), max(0, stop))


class MemoryCall(Recorder[MemoryTrack]):
    """A call that goes on, and all of it: events, state, audio."""

    def __init__(self, book: Book, events: Sequence[ev.Event]) -> None:
        """``events`` so far; the first is its ``CallOpened``."""
        super().__init__(fold(events))
        self.book = book
        self.events = list(events)
        """All that a journal would hold, in order."""
        self.watching = Captions()
        self.sounds: dict[int, Sound] = {}
        """Audio by track index, from the call's zero."""

    def emit(self, event: ev.Event) -> None:
        """Write an event of the adapter. What is not an adapter's to emit is a fault."""
        if not self.over and not isinstance(event, LAWFUL):
            self.book.fault(f"{type(event).__name__} is not an adapter's to emit")
        super().emit(event)

    def captions(self) -> AbstractContextManager[AsyncIterator[CaptionEvent]]:
        """What is said (see ``say``) and happens from now on."""
        return self.watching.watch(over=self.over)

    def track(
        self, party: int, *, at: Instant, codec: Codec, rate: int, clock: TrackClock, source: str = ""
    ) -> MemoryTrack:
        """Open a track of a party; a closed one when the call is over. ProtocolError for a rate out of bounds."""
        if not self.over and not 0 <= party < len(self.state.parties):
            self.book.fault("a track of a party that never joined")
        index = self.open_track(party, at=at, codec=source or codec.value, rate=rate)
        track = MemoryTrack(self, index, party, codec=codec, rate=rate, clock=clock, at=at)
        if index < 0:
            track.closed = True
        else:
            self.sounds[index] = Sound()
            self.tracks.append(track)
        return track

    def merge(self, other: LiveCall) -> bool:
        """Take another call in; its tracks write here from now on. False, and counted, when it is not possible."""
        if not isinstance(other, MemoryCall):
            self.dropped("merge", "not-possible")
            return False

        def adopt(change: Merge) -> None:
            for old, new in change.tracks.items():
                self.sounds[new] = other.sounds[old].moved(change.shifts[new] - other.state.tracks[old].shift)

        try:
            self.take_in(other, other.events, adopt, unless=self.book.unmergeable)
        except NotMergedError:
            return False
        other.sounds = {}
        self.watching.take(other.watching)
        return True

    def record(self, event: ev.Event) -> None:
        """Write an event, and let whoever waits look again."""
        super().record(event)
        self.book.changed()

    # What a test does.

    def say(
        self, party: int, text: str, *, kind: Literal["partial", "final"] = "final", start: float = 0, stop: float = 1
    ) -> None:
        """Speech understood something, seconds from the call's zero: shown to whoever watches."""
        since, until = (Instant(self.state.opened + round(at * SECOND)) for at in (start, stop))
        self.show_words(kind, party, since, until, text)

    def pause(self, at: Instant, *, on: bool = True) -> None:
        """Pause the recording, or let it go on, as the operator does."""
        self.emit(ev.RecordingPaused(at=at, by="operator") if on else ev.RecordingResumed(at=at, by="operator"))

    def tick(self, now: Instant) -> None:
        """Time passes for every open track."""
        for track in self.tracks:
            track.tick(now)

    # What a recorder asks of whoever keeps the call.

    def now(self) -> Instant:
        """This moment."""
        return self.book.now()

    def append(self, event: ev.Event) -> bool:
        """Memory takes everything."""
        self.events.append(event)
        return True

    def dropped(self, what: str, reason: str) -> None:
        """Count something lost."""
        self.book.dropped(what, reason)

    def odd(self, event: ev.Event, why: str, count: int = 1) -> None:  # noqa: ARG002 - the recorder's names
        """What an adapter told made no sense: a fault."""
        if isinstance(event, LAWFUL):
            self.book.fault(f"{type(event).__name__} {why}")

    def overflowed(self, what: str) -> None:
        """It was counted, and is in the record."""

    def ended(self) -> None:
        """The end was said."""
        self.watching.end()

    def tell(
        self, kind: Literal["partial", "final", "event"], text: str, party: int | None, name: str,
        start: float, stop: float,
    ) -> None:  # fmt: skip
        """Hand a line to whoever watches."""
        self.watching.show(CaptionEvent(self.uuid, kind, text, party, name, start, stop))
