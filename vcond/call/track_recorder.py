"""What a track does with frames and with the time between them, wherever its samples are kept.

The daemon keeps them in a journal, ``vcond.testing`` in memory. Pure: what places the frames and what decodes them is
handed in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vcond.base.errors import BadMediaError
from vcond.base.time import MILLI, SECOND, Instant, nanos, samples
from vcond.call import events as ev
from vcond.call.consents import NEVER
from vcond.call.intervals import outside, passed
from vcond.call.merge import Merge
from vcond.call.state import Call
from vcond.policy.consent import Verdict

Pcm = NDArray[np.int16]
"""Shape (samples,): one channel of 16-bit audio."""

SETTLE_EVERY = 2 * SECOND
LONGEST_SPAN = 5 * SECOND
"""A span is written at least this often, so that a crash leaves little to guess."""
MISFITS = 50
"""Frames in a row without audio of the codec, after which it is another one: a second of usual ones."""
TAKEN_BACK = 60
"""Seconds that a pause which is told late takes back from the file; the vCon is silent from its beginning anyway."""
HUSH_AFTER = SECOND
"""A pause this old has begun for a track also when no frame comes that shows it."""


class Placed(Protocol):
    """Samples that have their place, in order."""

    @property
    def start(self) -> int:
        """Position of the first one."""

    @property
    def pcm(self) -> Pcm:
        """Shape (n,)."""


class Placing(Protocol):
    """What a track uses of ``vcond.media.placement.timeline.Timeline``; times are ns since the track's zero."""

    @property
    def end(self) -> int:
        """Position after the last placed sample; after ``close``, the length of the track."""

    def push(self, pcm: Pcm, *, arrived: int, stamp: int | None = None, seq: int | None = None) -> Sequence[Placed]:
        """Take one frame; return what has its place now."""

    def idle(self, now: int) -> Sequence[Placed]:
        """Time passes: return what need not wait any longer."""

    def mark(self, since: int, until: int, kind: str) -> None:
        """Say what a stretch is where no audio came."""

    def spans(self) -> Sequence[tuple[int, int, str]]:
        """What is known and was not told yet: (start, stop, kind)."""

    def close(self, at: int) -> Sequence[Placed]:
        """Nothing more comes: return all that waited."""


class Aside(Protocol):
    """What is kept when consent comes, and else by nobody; see ``vcond.media.placement.put_aside``."""

    @property
    def first(self) -> int | None:
        """The position of the first sample that is there."""

    def put(self, start: int, pcm: Pcm, most: int) -> None:
        """Add samples; of more than ``most`` the oldest are gone."""

    def take(self) -> Iterable[tuple[int, Pcm]]:
        """All of it, in order."""

    def drop(self) -> None:
        """Nothing of it is there any more."""


class Owner(Protocol):
    """The call of a track, as the track sees it."""

    state: Call

    def record(self, event: ev.Event) -> None:
        """Write an event."""

    def dropped(self, what: str, reason: str) -> None:
        """Count something lost."""


C = TypeVar("C", bound=Owner)


class TrackRecorder(ABC, Generic[C]):
    """A track of a live call.

    Positions inside (timeline, file, listener) count from the zero of the call that OPENED the track. They differ from
    those of the call it belongs to by ``shift`` samples once that call was merged into another; everything that
    leaves for the call's events is moved by it.
    """

    def __init__(
        self, owner: C, index: int, party: int, *, rate: int, at: Instant,
        timeline: Placing | None, decode: Callable[[bytes], Pcm], aside: Aside,
    ) -> None:  # fmt: skip
        """``decode`` may raise BadMediaError. Without a ``timeline`` the track takes nothing."""
        self.owner = owner
        self.index = index
        self.party = party
        self.rate = rate
        self.shift = 0
        self.last_frame = at
        self.closed = False
        self.aside = aside
        self._written: int | None = None
        """Where the audio ends that was kept last."""
        self._zero = owner.state.opened
        self._timeline = timeline
        self._decode = decode
        self._settled = at
        self._misfits = 0
        """Frames in a row that were no audio of the codec."""
        self._run: tuple[int, int, str] | None = None

    # What an adapter uses.

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """Take one frame as it came; see ``vcond.sdk.contract.Track``."""
        if self.closed or self._timeline is None:
            self.owner.dropped("frame", "after-close")
            return
        self.last_frame = arrived
        try:
            pcm = self._decode(payload)
        except BadMediaError:
            self.owner.dropped("frame", "bad-media")
            self._unfit(arrived)
            return
        self._misfits = 0
        self._keep(self._timeline.push(pcm, arrived=arrived - self._zero, stamp=stamp, seq=seq))
        if arrived - self._settled >= SETTLE_EVERY:
            self._settled = arrived
            self.settle()

    def _unfit(self, arrived: Instant) -> None:
        """A frame was no audio of the codec; many in a row are another codec, and the record says so once."""
        self._misfits += 1
        if self._misfits == MISFITS and not any(one.code == "wrong-codec" for one in self.owner.state.warnings):
            text = "frames came that are none of the codec that was agreed on"
            self.owner.record(ev.Warned(at=arrived, code="wrong-codec", text=text))

    def absent(self, since: Instant, until: Instant, kind: ev.SpanKind) -> None:
        """Say what a stretch without frames is."""
        if self._timeline is not None and not self.closed:
            self._timeline.mark(since - self._zero, until - self._zero, kind.value)
            start, stop = (max(0, self.position(at) + self.shift) for at in (since, until))
            if kind is not ev.SpanKind.LOST:
                self.last_frame = max(self.last_frame, until)  # who is known to be silent, or held, is not missed
            elif stop > start:  # a hold, told later, does not make it held
                self.owner.record(ev.Span(at=until, track=self.index, start=start, stop=stop, kind=kind, final=True))

    def close(self, *, at: Instant) -> None:
        """No more frames. The track is as long as the call until ``at``."""
        if self.closed:
            return
        self.closed = True
        if self._timeline is None:
            return
        self._keep(self._timeline.close(max(0, at - self._zero)))
        self.settle(everything=True)
        end = self._timeline.end
        self.hush(end)
        self.owner.record(ev.TrackClosed(at=at, track=self.index, samples=max(0, end + self.shift)))

    # What its call uses.

    def tick(self, now: Instant) -> None:
        """Time passes: what waited for reordering is released."""
        if self._timeline is not None and not self.closed:
            self._keep(self._timeline.idle(now - self._zero))
            paused = [pause.start for pause in self.owner.state.pauses if pause.stop is None]
            if paused and now - min(paused) > HUSH_AFTER:
                self.hush(self.position(min(paused)) - 1)
            if now - self._settled >= SETTLE_EVERY:
                self._settled = now
                self.settle()

    def consented(self) -> None:
        """Whether its party's voice may be kept is known better: what was put aside is kept now, waits on, or is gone."""
        verdict = self.owner.state.consents.verdict(self.party, "recording")
        if verdict is not Verdict.BUFFER:
            for start, pcm in self.aside.take() if verdict is Verdict.KEEP else ():
                self._sift(start, pcm)
            self.aside.drop()
            if self.closed and self._timeline is not None:
                self.hush(self._timeline.end)

    def settle(self, *, everything: bool = False) -> None:
        """Write what is known of the track's stretches as events."""
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

    def moved(self, owner: C, change: Merge) -> None:
        """The call that opened this track is now part of ``owner``, whose state has the change."""
        self.owner, self.index = owner, change.tracks[self.index]
        self.shift, self.party = change.shifts[self.index], owner.state.tracks[self.index].party

    def at(self, position: int) -> Instant:
        """The moment of a position."""
        return Instant(self._zero + nanos(position, self.rate))

    def position(self, at: Instant) -> int:
        """The position of a moment."""
        return samples(at - self._zero, self.rate)

    # What is done with the samples.

    @abstractmethod
    def keep(self, start: int, pcm: Pcm) -> None:
        """Samples that no pause touches, from a position on."""

    @abstractmethod
    def hush(self, at: int) -> None:
        """Nothing is kept from here on; what is kept next begins anew."""

    @abstractmethod
    def take_back(self, since: Instant, until: Instant | None = None, *, most: int = TAKEN_BACK) -> None:
        """Nothing was to be kept since then, or between these: what was is silence now."""

    def _keep(self, placed: Iterable[Placed]) -> None:
        state = self.owner.state
        for piece in placed:
            free = passed(state.pauses, since := Instant(self.at(piece.start) - MILLI))
            if free and state.consents.over(self.party, "recording", since):
                self._take(piece.start, piece.pcm)
            elif free and state.consents.waiting.get(self.party, NEVER) <= since:
                self.hush(piece.start)
                self.aside.put(piece.start, piece.pcm, self.rate * state.consents.buffer_seconds)
            else:
                self._sift(piece.start, piece.pcm)

    def _sift(self, start: int, pcm: Pcm) -> None:
        """Keep what may be kept of it; what only lacks consent that may still come is put aside."""
        state, at, stop, by = self.owner.state, start, start + len(pcm), self.shift
        open_parts = state.unpaused(at + by, stop + by, self.rate)
        withheld = state.consents.withheld(self.party, "recording", after=Instant(self.at(start) - MILLI))
        for first, last in outside(withheld, state.opened, open_parts, self.rate):
            if first - by > at:
                self.hush(at)
            self._take(first - by, pcm[first - by - start : last - by - start])
            at = last - by
        if at < stop:
            self.hush(at)
            most = self.rate * state.consents.buffer_seconds
            if withheld and state.consents.verdict(self.party, "recording") is Verdict.BUFFER:
                for first, last in open_parts:
                    a = max(first - by, at)
                    if a < last - by:
                        self.aside.put(a, pcm[a - start : last - by - start], most)

    def _take(self, start: int, pcm: Pcm) -> None:
        """Where audio begins, at first and after a gap, is told before the audio is kept.

        A crash does not make what was before it received.
        """
        before, stop = self._written, start + len(pcm)
        self._written = stop
        first, last = max(0, start + self.shift), stop + self.shift
        if (before is None or start - before > self.rate) and last > first:
            kind = ev.SpanKind.RECEIVED
            self.owner.record(ev.Span(at=self.at(stop), track=self.index, start=first, stop=last, kind=kind))
        self.keep(start, pcm)

    def _write_run(self) -> None:
        if self._run is None:
            return
        start, stop, kind = self._run
        self._run = None
        start, stop = max(0, start + self.shift), stop + self.shift
        if stop > start:
            at = self.at(stop - self.shift)
            self.owner.record(ev.Span(at=at, track=self.index, start=start, stop=stop, kind=ev.SpanKind(kind)))
