"""Finds the place of frames on the call's clock.

A frame has a nominal position, counted by its source (stamps, or the samples so far), whose zero and speed are the
source's own. Its place in the track is ``nominal + offset``. The offset comes from arrivals: a frame that arrived at
``t`` holds audio of before ``t``, so the delay ``t - (nominal + length)`` is the offset plus what the frame lost on
its way, and the least delay of the last seconds is the offset.

- Frames that are late keep their place, because the least delay does not change.
- When a stream begins, begins anew (its stamps jump), or is late by more than its jitter, frames are held for up to
  one jitter until it is clear what happened: a burst that catches up (nothing was missing) or a steady flow that
  stays late (something was, and the offset moves).
- When the least delay moves slowly (skew, small slips), the offset follows in steps of at least 10 ms, in silence if
  some is near: a small gap is left, or samples are cut out.
- Where stamps are the source's time and nothing is lost on the way (``steady``), a flow that stays late is a slow way
  and nothing is missing: the offset moves only when not one frame of the whole window was less late, and no speech is
  cut because frames catch up.

Nothing here is later than its arrival by more than a second, and nothing goes back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from vcond.base.time import samples
from vcond.media.codecs import Pcm
from vcond.media.placement.at_offset import SECOND, AtOffset, Placed
from vcond.media.placement.reorder import MANY
from vcond.media.placement.sliding_min import SlidingMin

MAX_STEP: Final = 10
"""Seconds by which stamps may jump ahead in a stream's first burst."""
MAX_HELD: Final = 3
"""Seconds of audio that are held while the offset is not known."""
MAX_HELD_FRAMES: Final = 256
FIRST_BURST: Final = 10
"""Times as much is held before anything is placed: what stood since the first frame comes at once, and only the end of it
shows how late its beginning was."""
GIVE_UP: Final = 5 * SECOND
"""After this long without frames the time since is reported, though frames may still come."""


class _Held(NamedTuple):
    """A frame whose place is not decided."""

    nominal: int
    pcm: Pcm
    missing: int
    delay: int


class Placer(AtOffset):
    """Places frames that come in the order of their source, at the offset that it finds."""

    __slots__ = (
        "_anchored",
        "_carried",
        "_floor",
        "_held",
        "_held_samples",
        "_jitter",
        "_last",
        "_since",
        "_wait",
        "next",
        "resyncs",
        "sparse",
    )

    def __init__(self, rate: int, *, window: int, jitter: int, steady: bool = False) -> None:
        """``window`` of the least delay and ``jitter`` in ns; ``steady``: see the head of this module."""
        super().__init__(rate, steady=steady)
        self._wait = jitter
        self._jitter = jitter * rate // SECOND
        self._floor = SlidingMin(window)
        self._anchored = False
        self._held: list[_Held] = []
        self._carried = self._held_samples = self._since = self._last = self.resyncs = 0
        self.next = 0
        """Nominal position at which the frame after the latest begins, if none is missing."""
        self.sparse = False
        """Whether the source was seen to send nothing while it is silent."""

    def take(self, nominal: int, pcm: Pcm, arrived: int, missing: int, out: list[Placed]) -> None:
        """Take the next frame. ``missing`` frames were lost before it (negative: the source does not say)."""
        n = len(pcm)
        if not n:
            self._carried += max(missing, 0)
            return
        if self._carried:
            missing, self._carried = max(missing, 0) + self._carried, 0
        delay = (arrived * self._rate + SECOND // 2) // SECOND - n - nominal
        step = nominal - self.next
        if (step > self._snap or step < -self._snap) and self._jumped(step, delay, missing):
            self._release(out)
            self._anchored = False
            self.resyncs += 1
            missing = -1
        elif step > self._jitter and missing == 0:
            self.sparse = True
        self.next = nominal + n
        self._last = arrived
        floor = self._floor.add(arrived, delay)
        # a count that went back has no place by its stamps: what is there was placed before
        fits = self._steady and nominal + self._offset - self.end >= -self._snap
        late = floor if fits else delay
        if not self._anchored or self._held or late - self._offset > self._jitter:
            self._hold(_Held(nominal, pcm, missing, delay), arrived, out)
            return
        shift = floor - self._offset
        if shift >= self._snap or shift <= -self._snap:
            nominal, pcm = self._correct(shift, nominal, pcm, arrived)
        else:
            self._wanted = None
        self._put(nominal, pcm, missing, out)

    def idle(self, now: int, out: list[Placed]) -> None:
        """Time passes without frames."""
        if self._held:
            self._decide(now, out)
        elif self._started and now - self._last >= GIVE_UP:
            self.runs.expect(samples(now - self._wait, self._rate), self._absence())

    def finish(self, at: int, out: list[Placed]) -> None:
        """Nothing more comes: place what is held, account for the time up to ``at``."""
        self._release(out)
        stop = samples(at, self._rate)
        if stop > self.end:
            # a tail within the jitter was on its way when the line was cut: nothing is known of it
            flowed = self._started and stop - self.end > self._jitter
            self.runs.add(self.end, stop, self._absence() if flowed else "absent")
            self.end = stop

    def _absence(self) -> str:
        return "silent" if self.sparse else "lost"

    def _jumped(self, step: int, delay: int, missing: int) -> bool:
        """Whether the source's count went where numbers or arrivals say it cannot have gone."""
        if missing >= MANY:
            return True
        if step < 0:
            # the next number is new audio, whatever its stamp says; without numbers a little back is said twice, and
            # what goes on far back is so late that it is held until it is clear that it stays so
            return missing >= 0
        if not self._started:
            return step > MAX_STEP * self._rate
        usual = self._offset if self._anchored else self._held[-1].delay
        return delay - usual < -self._jitter

    def _hold(self, frame: _Held, arrived: int, out: list[Placed]) -> None:
        """Keep a frame until the offset is decided; see the head of this module."""
        if not self._held:
            self._since, self._held_samples = arrived, 0
        self._held.append(frame)
        self._held_samples += len(frame.pcm)
        most = 1 if self._started else FIRST_BURST
        full = len(self._held) >= most * MAX_HELD_FRAMES or self._held_samples >= most * MAX_HELD * self._rate
        late = frame.delay - self._offset
        caught_up = self._anchored and late <= self._jitter
        catching_up = self._anchored and self._held[0].delay - frame.delay >= self._jitter // 2
        if full or caught_up or catching_up:
            self._release(out)
        else:
            self._decide(arrived, out)

    def _decide(self, now: int, out: list[Placed]) -> None:
        """When frames are held for long enough: a flow that stayed late shows that something is missing before it."""
        waited = now - self._since
        if waited < self._wait:
            return
        if self._anchored and 2 * self._held_samples >= samples(waited, self._rate):
            self._anchor(now)
        self._release(out)

    def _anchor(self, now: int) -> None:
        """Take the least delay of the held frames as the offset."""
        self._anchored = True
        self._offset = min(frame.delay for frame in self._held)
        self._wanted = None
        self._floor.clear()
        self._floor.add(now, self._offset)

    def _release(self, out: list[Placed]) -> None:
        """Place all that is held."""
        if not self._held:
            return
        if not self._anchored:
            self._anchor(self._last)
            contiguous = self.end - self._held[0].nominal
            if self._started and abs(self._offset - contiguous) <= self._jitter:
                # a stream that goes on under new stamps: no hole and no cut; what is off is corrected in silence
                self._offset = contiguous
        held, self._held = self._held, []
        for frame in held:
            self._put(frame.nominal, frame.pcm, frame.missing, out)
