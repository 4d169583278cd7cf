"""Places the frames of one track on the call's clock, and tells what each stretch of the track is.

Placed, not appended: where a frame belongs is found from its stamp or its count, anchored by arrivals (``placer``),
after frames with numbers were put back in order (``reorder``). Nothing a peer sends raises, and nothing makes this
keep more than the frames that wait: those of the reorder window, and up to 3 s of audio while a place is undecided.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from vcond.base.time import samples
from vcond.media.codecs import Pcm
from vcond.media.placement.at_offset import Placed
from vcond.media.placement.clocks import ArrivalClock, MillisClock, RtpClock, TrackClock
from vcond.media.placement.placer import Placer
from vcond.media.placement.reorder import Reorder

__all__ = ["Placed", "Timeline"]

UNKNOWN: Final = -1
"""Frames missing before one, when the source does not say."""
MILLI: Final = 1_000_000
STAMPED_WINDOW: Final = 8_000_000_000
"""How long the least delay counts where stamps show what is missing, ns."""
TIMED_WINDOW: Final = 60_000_000_000
"""The same where stamps are the source's time, ns: so long frames may all be late without anything missing."""
COUNTED_WINDOW: Final = 2_000_000_000
"""The same where only arrivals show it, ns."""
STAMPED_JITTER: Final = 200
"""Milliseconds that a stamped frame may be late before it is asked why."""
JITTER_BOUNDS: Final = (20, 2000)
STAMP_LIMIT: Final = 1 << 62
"""A stamp or number beyond this is none."""
SEQ_MODULUS: Final = 1 << 16
STAMP_MASK: Final = (1 << 32) - 1
HALF_RANGE: Final = 1 << 31
OLDEST: Final = 10
"""Seconds by which a late frame's stamp may lie behind."""
MILLIS_REORDER: Final = 16


class _Frame(NamedTuple):
    nominal: int
    pcm: Pcm
    arrived: int


class Timeline:
    """One track. Times are ns since the call's zero, positions samples since then at ``rate`` Hz."""

    __slots__ = (
        "_closed",
        "_counted",
        "_now",
        "_placer",
        "_rate",
        "_reorder",
        "_stamp",
        "_ticks",
        "_tps",
        "_wraps",
        "frames",
    )

    def __init__(self, rate: int, clock: TrackClock) -> None:
        """``rate`` is that of the audio, 8,000 to 48,000 Hz; ``clock`` says what stamps and numbers mean."""
        self._rate = rate
        self._counted = isinstance(clock, ArrivalClock)
        self._wraps = isinstance(clock, RtpClock)
        self._tps = max(clock.rate, 1) if isinstance(clock, RtpClock) else 1000
        timed = isinstance(clock, MillisClock)
        jitter = clock.jitter_ms if isinstance(clock, ArrivalClock) else STAMPED_JITTER
        self._placer = Placer(
            rate,
            window=COUNTED_WINDOW if self._counted else TIMED_WINDOW if timed else STAMPED_WINDOW,
            jitter=min(max(jitter, JITTER_BOUNDS[0]), JITTER_BOUNDS[1]) * MILLI,
            steady=timed,
        )
        reorder = clock.reorder if isinstance(clock, RtpClock) else MILLIS_REORDER
        self._reorder: Reorder[_Frame] = Reorder(reorder, SEQ_MODULUS if self._wraps else 0)
        self._stamp: int | None = None
        self._ticks = 0
        self._now: int | None = None
        self._closed = False
        self.frames = 0
        """Frames pushed."""

    @property
    def end(self) -> int:
        """Position after the last placed sample; after ``close``, the length of the track."""
        return self._placer.end

    @property
    def late(self) -> int:
        """Frames whose time was over when they came."""
        return self._reorder.late + self._placer.late

    @property
    def duplicates(self) -> int:
        """Frames that came again."""
        return self._reorder.duplicates

    @property
    def reordered(self) -> int:
        """Frames that came after a later one, and in time."""
        return self._reorder.reordered

    @property
    def resyncs(self) -> int:
        """How often stamps or numbers began anew, and arrivals had to say where."""
        return self._reorder.resyncs + self._placer.resyncs

    @property
    def overflow(self) -> int:
        """Frames cut because they came faster than time passes."""
        return self._placer.overflow

    @property
    def trimmed(self) -> int:
        """Samples cut out: stamped twice, before the call's zero, or to follow the source's clock."""
        return self._placer.trimmed

    @property
    def corrected(self) -> int:
        """Net samples by which the track was moved to follow the source's clock; positive when that is slow."""
        return self._placer.corrected

    def push(self, pcm: Pcm, *, arrived: int, stamp: int | None = None, seq: int | None = None) -> list[Placed]:
        """Take one frame, shape (n,); return what has its place now, in order, never overlapping, never before 0.

        A frame without samples only takes its number (RTP keep-alives, comfort noise, events).
        """
        out: list[Placed] = []
        if self._closed:
            return out
        self.frames += 1
        if self._now is None or arrived > self._now:
            self._now = arrived
        else:
            arrived = self._now
        placer = self._placer
        if self._counted:
            placer.take(placer.next, pcm, arrived, UNKNOWN, out)
            return out
        nominal = self._nominal(stamp)
        if seq is None or not -STAMP_LIMIT < seq < STAMP_LIMIT:
            placer.take(nominal, pcm, arrived, UNKNOWN, out)
        elif self._reorder.expected(seq):
            placer.take(nominal, pcm, arrived, 0, out)
        else:
            older = 0 < placer.next - nominal < OLDEST * self._rate
            self._place(self._reorder.push(seq, _Frame(nominal, pcm, arrived), arrived, older=older), out)
        return out

    def idle(self, now: int) -> list[Placed]:
        """Time passes without frames: return what need not wait any longer. Call it every 100 ms or so."""
        out: list[Placed] = []
        if self._closed:
            return out
        # What arrived before and is pushed later (frames that were taken together) keeps its moment.
        now = now if self._now is None else max(now, self._now)
        self._place(self._reorder.tick(now), out)
        self._placer.idle(now, out)
        return out

    def mark(self, since: int, until: int, kind: str) -> None:
        """Say what ``[since, until)`` is where no audio came: ``held``, ``silent``, ``lost`` (a value of SpanKind).

        Past (as far back as about a thousand spans) or future; changes gaps and digital silence, never what was
        received. The latest of 32 marks of the future count.
        """
        self._placer.runs.mark(samples(since, self._rate), samples(until, self._rate), kind)

    def spans(self) -> list[tuple[int, int, str]]:
        """What is known and was not told yet: (start, stop, kind). Call it at least every few seconds.

        In order, and without overlap but where ``mark`` or frames that come after 5 s of nothing change what was
        told; the later span is right. A span that grows is told every 2 s. After ``close``, all that is left.
        """
        return self._placer.runs.settled(final=self._closed)

    def close(self, at: int) -> list[Placed]:
        """Nothing more comes: return all that waited; ``end`` is then the position of ``at``, or of the last sample."""
        out: list[Placed] = []
        if not self._closed:
            self._closed = True
            self._place(self._reorder.flush(), out)
            self._placer.finish(at, out)
        return out

    def _place(self, ready: list[tuple[int, _Frame]], out: list[Placed]) -> None:
        for missing, (nominal, pcm, arrived) in ready:
            self._placer.take(nominal, pcm, arrived, missing, out)

    def _nominal(self, stamp: int | None) -> int:
        """A stamp as samples since the first one; one that is no stamp continues where the last frame ended."""
        if stamp is None or not -STAMP_LIMIT < stamp < STAMP_LIMIT:
            return self._placer.next
        if self._stamp is None:
            self._stamp = stamp
        ticks = stamp - self._stamp
        if self._wraps:
            ticks = ((ticks + HALF_RANGE) & STAMP_MASK) - HALF_RANGE
        self._stamp = stamp
        self._ticks += ticks
        return self._ticks * self._rate // self._tps
