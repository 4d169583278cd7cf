"""A track that is being captured: decoded, placed on the call's clock, kept, and listened to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vcond.base.errors import BadMediaError
from vcond.base.time import MILLI, SECOND, Instant, nanos, samples
from vcond.call import events as ev
from vcond.call.state import Track
from vcond.media.codecs import Codec, Pcm, decode
from vcond.media.placement.clocks import TrackClock
from vcond.media.placement.timeline import Placed, Timeline

if TYPE_CHECKING:
    from vcond.capture.live_call import CoreCall
    from vcond.speech.dispatcher import Ear

SETTLE_EVERY = 2 * SECOND
LONGEST_SPAN = 5 * SECOND
"""A span is written at least this often, so that a crash leaves little to guess."""
ADVANCE_EVERY = 100 * MILLI
HUSH_AFTER = SECOND
"""A pause this old has begun for a track also when no frame comes that shows it."""
TAKEN_BACK = 60
"""Seconds that a pause which is told late takes back from the file; the vCon is silent from its beginning anyway."""


class CoreTrack:
    """The core's ``Track`` and, for speech, its ``Source``.

    Positions inside (timeline, file, ear) count from the zero of the call that OPENED the track. They differ from
    those of the call it belongs to by ``shift`` samples once that call was merged into another; everything that
    leaves for the journal's events is moved by it.
    """

    def __init__(
        self, call: CoreCall, index: int, party: int, *, codec: Codec, rate: int, clock: TrackClock | None, at: Instant
    ) -> None:
        self.owner = call
        self.index = index
        self.party = party
        self.rate = rate
        self.shift = 0
        self.file = f"{index}.pcm"
        self.last_frame = at
        self._codec = codec
        self._zero = call.state.opened
        self._timeline = Timeline(rate, clock) if clock is not None else None
        self._ear: Ear | None = None
        self._told = 0
        self._written: int | None = None
        """Where the audio ends that was written last."""
        self._settled = at
        self._run: tuple[int, int, str] | None = None
        self._renumber: dict[int, int] | None = None
        self._closed = False

    # What an adapter uses.

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """Take one frame as it came; see ``vcond.sdk.contract.Track``."""
        if self._closed or self._timeline is None:
            self.owner.dropped("frame", "after-close")
            return
        try:
            pcm = decode(self._codec, payload)
        except BadMediaError:
            self.owner.dropped("frame", "bad-media")
            return
        self.last_frame = arrived
        self._keep(self._timeline.push(pcm, arrived=arrived - self._zero, stamp=stamp, seq=seq))
        if arrived - self._settled >= SETTLE_EVERY:
            self._settled = arrived
            self.settle()

    def absent(self, since: Instant, until: Instant, kind: ev.SpanKind) -> None:
        """Say what a stretch without frames is."""
        if self._timeline is not None and not self._closed:
            self._timeline.mark(since - self._zero, until - self._zero, kind.value)
            start, stop = (max(0, samples(at - self._zero, self.rate) + self.shift) for at in (since, until))
            if kind is ev.SpanKind.LOST and stop > start:  # a hold, told later, does not make it held
                self.owner.record(ev.Span(at=until, track=self.index, start=start, stop=stop, kind=kind, final=True))

    def close(self, *, at: Instant) -> None:
        """No more frames. The track is as long as the call until ``at``."""
        if self._closed:
            return
        if self._timeline is None:
            self._closed = True
            return
        self._keep(self._timeline.close(max(0, at - self._zero)))
        self._closed = True
        self.settle(everything=True)
        end = self._timeline.end
        if self._ear is not None:
            self._ear.close(end)
        self.owner.record(ev.TrackClosed(at=at, track=self.index, samples=max(0, end + self.shift)))

    # What the core uses.

    def restore(self, state: Track) -> None:
        """This is a track of an earlier run: its file, and where that lies in the call."""
        self.file, self.shift = state.file, state.shift
        self._zero = Instant(self._zero + nanos(state.shift, state.rate))

    def refuse(self) -> None:
        """Take nothing: this track is of no call."""
        self._closed = True

    def tick(self, now: Instant) -> None:
        """Time passes: what waited for reordering is released."""
        if self._timeline is not None and not self._closed:
            self._keep(self._timeline.idle(now - self._zero))
            paused = [pause.start for pause in self.owner.state.pauses if pause.stop is None]
            if paused and now - min(paused) > HUSH_AFTER:
                self._hush(self._position(min(paused)) - 1)
            if now - self._settled >= SETTLE_EVERY:
                self._settled = now
                self.settle()

    def take_back(self, since: Instant) -> None:
        """Recording is paused since then: what was kept in the meantime is silence now."""
        written = self._written or 0
        start = max(0, self._position(since) - 1, written - TAKEN_BACK * self.rate)
        for at in range(start, written, self.rate):
            silence = np.zeros(min(self.rate, written - at), np.int16)
            self.owner.journal.write(self.file, at, silence)

    def settle(self, *, everything: bool = False) -> None:
        """Write what is known of the track's stretches into the journal."""
        if self._timeline is None:
            return
        for start, stop, kind in self._timeline.spans():
            run = self._run
            if run is not None and run[2] == kind and run[1] == start:
                self._run = (run[0], stop, kind)
            else:
                self._write_run()
                self._run = (start, stop, kind)
            if stop - self._run[0] >= LONGEST_SPAN * self.rate // SECOND:
                self._write_run()
        if everything:
            self._write_run()

    def moved(self, owner: CoreCall, index: int, shift: int, utterances: dict[int, int]) -> None:
        """The call that opened this track is now part of ``owner``."""
        self.owner, self.index, self.shift = owner, index, shift
        self.party = owner.state.tracks[index].party
        self.file = owner.state.tracks[index].file
        self._renumber = dict(utterances)

    def resume_listening(self, since: int, upto: int) -> None:
        """Transcribe what an earlier run captured and did not cut into utterances: ``[since, upto)`` of this track."""
        since = max(since, self.shift)  # the file begins there
        if upto - since >= self.rate // 5:
            ear = self.owner.office.speech.listen(self, start=since - self.shift)
            ear.advance(upto - self.shift)
            ear.close(upto - self.shift)

    # What speech uses (``vcond.speech.dispatcher.Source``).

    @property
    def call(self) -> str:
        """The call's uuid."""
        return self.owner.uuid

    @property
    def track(self) -> int:
        """The track's index."""
        return self.index

    @property
    def language(self) -> str:
        """As the configuration wants calls like this one to be heard."""
        return self.owner.office.wishes(self.owner.state).language

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The same."""
        return self.owner.office.wishes(self.owner.state).vocabulary

    @property
    def model(self) -> int:
        """The same."""
        return self.owner.office.wishes(self.owner.state).model

    def read(self, start: int, stop: int) -> Pcm:
        """Samples of the journal."""
        return self.owner.journal.read(self.file, max(0, start), max(0, stop))

    def next_utterance(self) -> int:
        """A number no utterance of the call has."""
        return self.owner.next_utterance()

    def at(self, position: int) -> Instant:
        """The moment of a position."""
        return Instant(self._zero + nanos(position, self.rate))

    def emit(self, event: ev.Event) -> None:
        """Take what speech found out into the call."""
        by = self.shift
        if isinstance(event, ev.Utterance):
            event = msgspec.structs.replace(
                event, track=self.index, start=max(0, event.start + by), stop=max(1, event.stop + by)
            )
        elif isinstance(event, ev.Transcribed) and by:
            words = [msgspec.structs.replace(w, start=w.start + by, stop=w.stop + by) for w in event.words]
            event = msgspec.structs.replace(event, words=words)
        if self._renumber is not None and isinstance(event, ev.Utterance | ev.Transcribed | ev.Untranscribed):
            old = event.utterance
            if old not in self._renumber:
                self._renumber[old] = self.owner.next_utterance()
            event = msgspec.structs.replace(event, utterance=self._renumber[old])
        self.owner.heard(self, event)

    def partial(self, start: int, stop: int, text: str) -> None:
        """Show what is being said."""
        self.owner.say(self, "partial", start, stop, text)

    # Inside.

    def _keep(self, placed: list[Placed]) -> None:
        state = self.owner.state
        for piece in placed:
            if not state.pauses:
                self._take(piece.start, piece.pcm)
                continue
            at, stop, by = piece.start, piece.start + len(piece.pcm), self.shift
            for first, last in state.unpaused(at + by, stop + by, self.rate):
                if first - by > at:
                    self._hush(at)
                self._take(first - by, piece.pcm[first - by - piece.start : last - by - piece.start])
                at = last - by
            if at < stop:
                self._hush(at)

    def _take(self, start: int, pcm: Pcm) -> None:
        """Into the file with it, and on to speech.

        Where audio begins, at first and after a gap, is in the journal before the audio is: a crash does not make
        what was before it received.
        """
        before, stop = self._written, start + len(pcm)
        self._written = stop
        if before is None or start - before > self.rate:
            self._begins(start, stop)
        self.owner.journal.write(self.file, start, pcm)
        if self._ear is None:
            self._ear, self._told = self.owner.office.speech.listen(self, start=start), start
        if stop - self._told >= ADVANCE_EVERY * self.rate // SECOND:
            self._told = stop
            self._ear.advance(stop)

    def _begins(self, start: int, stop: int) -> None:
        first, last = max(0, start + self.shift), stop + self.shift
        if last > first:
            kind = ev.SpanKind.RECEIVED
            self.owner.record(ev.Span(at=self.at(stop), track=self.index, start=first, stop=last, kind=kind))

    def _hush(self, at: int) -> None:
        """Nothing is kept from here on: what is being said ends. The next audio that is kept is listened to anew."""
        if self._ear is not None:
            self._ear.close(at)
            self._ear = None

    def _position(self, at: Instant) -> int:
        return samples(at - self._zero, self.rate)

    def _write_run(self) -> None:
        if self._run is None:
            return
        start, stop, kind = self._run
        self._run = None
        start, stop = max(0, start + self.shift), stop + self.shift
        if stop > start:
            self.owner.record(
                ev.Span(at=self.at(stop - self.shift), track=self.index, start=start, stop=stop, kind=ev.SpanKind(kind))
            )
