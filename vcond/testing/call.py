"""A live call and its tracks, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from typing import Final, Literal, Protocol

import msgspec
import numpy as np

from vcond.base.errors import BadMediaError, ProtocolError
from vcond.base.time import SECOND, samples, seconds
from vcond.call import events as ev
from vcond.call.causes import NO_CAUSE, disposition
from vcond.call.merge import merge
from vcond.call.state import Call, Window, fold
from vcond.media.codecs import Pcm, decode
from vcond.media.placement.timeline import Placed, Timeline
from vcond.sdk.contract import Cause, Codec, Instant, Line, LiveCall, TrackClock
from vcond.testing.captions import Captions

LAWFUL: Final = (
    ev.Answered, ev.Digit, ev.Directed, ev.Fact, ev.Held, ev.Muted, ev.PartyDescribed, ev.PartyLeft, ev.Paused, ev.Resumed,
    ev.Tagged, ev.Transferred, ev.Unmuted, ev.Unpaused, ev.Warned,
)  # fmt: skip
"""What an adapter may emit; the core writes all other events itself."""

NOBODY: Final = ev.Who()

FUTURE: Final = 10 * SECOND
"""How far an event's moment may be ahead of our clock, ns."""


class Book(Protocol):
    """What a call tells its desk."""

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

    def erase(self, position: int) -> None:
        """Silence from there on."""
        self._pieces = [(start, pcm[: max(0, position - start)]) for start, pcm in self._pieces]


class MemoryTrack:
    """Audio of one party on its way into memory."""

    def __init__(self, call: MemoryCall, index: int, codec: Codec, rate: int, clock: TrackClock) -> None:
        self.call = call
        """The call it writes to; another one after a merge."""
        self.index = index
        self.codec = codec
        self.rate = rate
        self.timeline = Timeline(rate, clock)
        self.zero = call.state.opened
        """The zero of the timeline; that of the call it was opened in."""
        self.shift = 0
        """Samples from the timeline's zero to the zero of ``call``."""
        self.closed = call.over

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """Take one frame as it came."""
        if self.closed:
            self.call.book.dropped("frame", "after-close")
            return
        try:
            pcm = decode(self.codec, payload)
        except BadMediaError:
            self.call.book.dropped("frame", "bad-media")
            return
        self._keep(self.timeline.push(pcm, arrived=arrived - self.zero, stamp=stamp, seq=seq))
        self.call.book.changed()

    def absent(self, since: Instant, until: Instant, kind: ev.SpanKind) -> None:
        """Say what a stretch without frames is."""
        if not self.closed:
            self.timeline.mark(since - self.zero, until - self.zero, kind.value)
            start, stop = (max(0, samples(at - self.zero, self.rate) + self.shift) for at in (since, until))
            if kind is ev.SpanKind.LOST and stop > start:
                self.call.record(ev.Span(at=until, track=self.index, start=start, stop=stop, kind=kind, final=True))

    def tick(self, now: Instant) -> None:
        """Time passes: what waited for reordering is placed, and what is settled is told."""
        if not self.closed:
            self._keep(self.timeline.idle(now - self.zero))
            self.settle()

    def close(self, *, at: Instant) -> None:
        """No more frames will come."""
        if self.closed:
            return
        self.closed = True
        self._keep(self.timeline.close(max(0, at - self.zero)))
        self.settle()
        end = max(0, self.timeline.end + self.shift)
        self.call.record(ev.TrackClosed(at=at, track=self.index, samples=end))

    def settle(self) -> None:
        """Write the spans that are settled, with the pauses of the recording cut out of them."""
        for start, stop, kind in self.timeline.spans():
            for first, last, paused in self._cut(start + self.shift, stop + self.shift):
                told = ev.SpanKind.PAUSED if paused else ev.SpanKind(kind)
                at = self.call.state.at(last, self.rate)
                self.call.record(ev.Span(at=at, track=self.index, start=first, stop=last, kind=told))

    def _keep(self, placed: list[Placed]) -> None:
        sound = self.call.sounds[self.index]
        for piece in placed:
            if not self.call.state.pauses and piece.start + self.shift >= 0:
                sound.write(piece.start + self.shift, piece.pcm)
                continue
            begin = piece.start + self.shift
            for first, last in self.call.state.unpaused(max(0, begin), begin + len(piece.pcm), self.rate):
                sound.write(first, piece.pcm[first - begin : last - begin])

    def _cut(self, start: int, stop: int) -> Iterator[tuple[int, int, bool]]:
        """The stretch in pieces, each within or without a pause; what lies before the call's zero is left out."""
        at = max(0, start)
        for window in self.call.state.pauses:
            first, last = self._window(window, stop)
            first, last = max(at, first), min(stop, last)
            if last > first:
                if first > at:
                    yield at, first, False
                yield first, last, True
                at = last
        if stop > at:
            yield at, stop, False

    def _window(self, window: Window, open_end: int) -> tuple[int, int]:
        start = self.call.state.position(window.start, self.rate)
        return start, open_end if window.stop is None else self.call.state.position(window.stop, self.rate)


class MemoryCall:
    """A call that goes on, and all of it: events, state, audio."""

    def __init__(self, book: Book, opened: ev.CallOpened) -> None:
        self.book = book
        self.events: list[ev.Event] = [opened]
        """All that a journal would hold, in order."""
        self._state = fold(self.events)
        self.watching = Captions()
        self.sounds: dict[int, Sound] = {}
        """Audio by track index, from the call's zero."""
        self.tracks: dict[int, MemoryTrack] = {}
        """Tracks of this run by index."""

    @property
    def uuid(self) -> str:
        """The uuid of the call and of its vCon."""
        return self._state.uuid

    @property
    def key(self) -> str:
        """The adapter's name for it."""
        return self._state.key

    @property
    def state(self) -> Call:
        """What is known of it now."""
        return self._state

    @property
    def over(self) -> bool:
        """Whether it has ended, or became part of another call."""
        return self._state.ended is not None

    def record(self, event: ev.Event) -> None:
        """Write an event of the core's own."""
        self.events.append(event)
        self._state.apply(event)
        self.book.changed()

    def party(self, key: str, *, at: Instant, who: ev.Who = NOBODY) -> int:
        """The index of a party; it joins when it is not here. -1 for a stranger to a call that is over."""
        known = self._state.party_by_key(key)
        if self.over:
            self.book.dropped("event", "after-end")
            return -1 if known is None else known.index
        if known is None or not known.here:
            index = len(self._state.parties) if known is None else known.index
            self._tell(ev.PartyJoined(at=at, party=index, key=key, who=who))
            return index
        if any(value and value != getattr(known.told, name) for name, value in msgspec.structs.asdict(who).items()):
            self._tell(ev.PartyDescribed(at=at, party=known.index, who=who))
        return known.index

    def emit(self, event: ev.Event) -> None:
        """Write an event of the adapter. What was pressed while recording is paused is not kept."""
        if self.over:
            self.book.dropped("event", "after-end")
            return
        if not isinstance(event, LAWFUL):
            self.book.fault(f"{type(event).__name__} is not an adapter's to emit")
        if isinstance(event, ev.Digit) and self._state.secret(event.at):
            return
        if event.at > self.book.now() + FUTURE:
            self.book.fault(f"{type(event).__name__} lies in the future")
        if isinstance(event, ev.Unpaused):
            event = msgspec.structs.replace(event, at=max(event.at, self.book.now()))
        if isinstance(event, ev.Paused) and self._state.paused_by(event.by, event.party):
            return
        if isinstance(event, ev.Resumed):
            self._label_hold(event.party, event.at)
        odd = self._state.odd
        self._tell(event)
        if self._state.odd > odd:
            self.book.fault(f"{type(event).__name__} made no sense")
        if isinstance(event, ev.Paused):
            for index, sound in self.sounds.items():
                sound.erase(self._state.position(event.at, self._state.tracks[index].rate) - 1)

    def captions(self) -> AbstractContextManager[AsyncIterator[Line]]:
        """What is said (see ``say``) and happens from now on."""
        return self.watching.watch(over=self.over)

    def say(
        self, party: int, text: str, *, kind: Literal["partial", "final"] = "final", start: float = 0, stop: float = 1
    ) -> None:
        """Speech understood something, seconds from the call's zero: shown to whoever watches."""
        since, until = (Instant(self._state.opened + round(at * SECOND)) for at in (start, stop))
        text = "" if self._state.paused_in(since, until) else text
        who = self._state.parties[party].who
        if text or kind == "final":
            self.watching.show(Line(self.uuid, kind, text, party, who.name or who.tel or who.sip, start, stop))

    def track(
        self, party: int, *, at: Instant, codec: Codec, rate: int, clock: TrackClock, source: str = ""
    ) -> MemoryTrack:
        """Open a track of a party; a closed one when the call is over. ProtocolError for a rate out of bounds."""
        if not 8_000 <= rate <= 48_000:
            raise ProtocolError(f"audio at {rate} Hz cannot be taken: 8,000 to 48,000 can")
        track = MemoryTrack(self, len(self._state.tracks), codec, rate, clock)
        if self.over:
            self.book.dropped("tracks", "limit")
            return track
        if not 0 <= party < len(self._state.parties):
            self.book.fault("a track of a party that never joined")
        self.record(ev.TrackOpened(at=at, track=track.index, party=party, codec=source or codec.value, rate=rate))
        self.sounds[track.index] = Sound()
        self.tracks[track.index] = track
        return track

    def merge(self, other: LiveCall) -> bool:
        """Take another call in; its tracks write here from now on. False, and counted, when it is not possible."""
        if not isinstance(other, MemoryCall) or other is self or other.over or self.over:
            self.book.dropped("merge", "not-possible")
            return False
        if self.book.unmergeable:
            self.book.dropped("merge", self.book.unmergeable)
            return False
        for track in other.tracks.values():
            track.settle()
        at = self.book.now()
        change = merge(self._state, other.state, other.events, at=at)
        self.record(change.event)
        for old, new in change.tracks.items():
            by = change.shifts[new] - other.state.tracks[old].shift
            self.sounds[new] = other.sounds[old].moved(by)
            if old in other.tracks:
                track = self.tracks[new] = other.tracks[old]
                track.call, track.index, track.shift = self, new, track.shift + by
        other.tracks, other.sounds = {}, {}
        self.watching.take(other.watching)
        other.record(ev.MergedInto(at=at, call=self.uuid))
        return True

    def end(self, *, at: Instant, cause: Cause = NO_CAUSE, by: int | None = None) -> None:
        """The conversation is over: tracks and parties still open are closed at ``at``."""
        if self.over:
            return
        at = Instant(max(at, self._state.opened))
        here = [party.index for party in self._state.parties if party.here]
        for party in here:
            self._label_hold(party, at)
        for track in list(self.tracks.values()):
            track.close(at=at)
        self._label_hold_edges(at)
        self._label_pauses(at)
        for party in here:
            self.record(ev.PartyLeft(at=at, party=party, cause=cause))
        heard = any(kind is ev.SpanKind.RECEIVED for track in self._state.tracks for _, _, kind in track.spans)
        why = None if heard or self._state.answered is not None else disposition(cause)
        self._tell(ev.CallEnded(at=at, cause=cause, disposition=why, by=by))
        self.watching.end()

    def _label_hold(self, party: int, until: Instant) -> None:
        """What did not come while a party held the others is held."""
        moments = [m for m in self._state.history if m.party == party and m.event in {"hold", "unhold"}]
        if not moments or moments[-1].event != "hold":
            return
        for index, track in self.tracks.items():
            if self._state.tracks[index].party == party:
                track.absent(moments[-1].at, until, ev.SpanKind.HELD)

    def _label_hold_edges(self, at: Instant) -> None:
        """What is missing between the last frame and the hold is held too."""
        for track in self._state.tracks:
            for start, stop in track.spans.hold_edges(track.rate):
                self.record(ev.Span(at=at, track=track.index, start=start, stop=stop, kind=ev.SpanKind.HELD))

    def _label_pauses(self, at: Instant) -> None:
        """What was told before its pause was is paused too."""
        for pause in self._state.pauses:
            for track in self._state.tracks:
                start = max(0, self._state.position(pause.start, track.rate))
                stop = self._state.position(pause.stop or at, track.rate)
                if stop > start:
                    kind = ev.SpanKind.PAUSED
                    self.record(ev.Span(at=at, track=track.index, start=start, stop=stop, kind=kind))

    def pause(self, at: Instant, *, on: bool = True) -> None:
        """Pause the recording, or let it go on, as the operator does."""
        self.emit(ev.Paused(at=at, by="operator") if on else ev.Unpaused(at=at, by="operator"))

    def _tell(self, event: ev.Event) -> None:
        """Write an event that whoever watches is shown."""
        self.record(event)
        if not isinstance(event, ev.Span | ev.Fact):
            party, start = getattr(event, "party", None), round(seconds(event.at - self._state.opened), 2)
            self.watching.show(Line(self.uuid, "event", type(event).__name__.lower(), party, start=start, stop=start))

    def tick(self, now: Instant) -> None:
        """Time passes for every open track."""
        for track in list(self.tracks.values()):
            track.tick(now)
