"""Puts frames at an offset: what lies between them is accounted for, and the offset follows the source slowly."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from vcond.media.codecs import Pcm
from vcond.media.placement.runs import Runs

SECOND: Final = 1_000_000_000
MAX_AHEAD: Final = 1
"""Seconds by which audio may be placed after its arrival (bursts whose start was late)."""
RAISE_AFTER: Final = SECOND // 2
"""How long all frames must be later than before until the offset follows."""
STALE: Final = SECOND
"""After this long without frames, what was known of their delays is not."""
PATIENCE: Final = 2 * SECOND
"""How long a correction waits for silence."""
SMALL_PATIENCE: Final = 10 * SECOND
"""How long one of less than 30 ms waits."""
QUIET: Final = 184.0
"""Root mean square below which a frame may be cut or moved unheard (-45 dBFS)."""
SILENCE: Final = 8
"""A frame of one value up to this is digital silence: what mu-law, A-law and linear zeros decode to."""
SETTLE: Final = 2
"""Seconds after which a run that still grows is reported."""


class Placed(NamedTuple):
    """Audio and where it belongs."""

    start: int
    """Samples from the call's zero."""
    pcm: Pcm
    """Shape (n,), n > 0."""


def is_digital_silence(pcm: Pcm) -> bool:
    """Whether all samples are the same and as small as silence decodes to. ``pcm`` is not empty."""
    first = pcm.item(0)
    if not -SILENCE <= first <= SILENCE or pcm.item(-1) != first or pcm.item(len(pcm) >> 1) != first:
        return False
    return int(np.count_nonzero(pcm != first)) == 0  # a third of the cost of all()


def is_quiet(pcm: Pcm) -> bool:
    """Whether nobody would miss a piece of it."""
    wide = pcm.astype(np.float64)
    return float(wide @ wide) < QUIET * QUIET * len(pcm)


class AtOffset:
    """Frames at ``nominal + offset``. Times are ns, positions and lengths samples."""

    __slots__ = (
        "_offset",
        "_rate",
        "_seen",
        "_snap",
        "_started",
        "_steady",
        "_wanted",
        "corrected",
        "end",
        "late",
        "overflow",
        "runs",
        "trimmed",
    )

    def __init__(self, rate: int, *, steady: bool) -> None:
        """``steady``: stamps are the source's time, and nothing is lost on the way."""
        self._rate = rate
        self._snap = rate // 100
        self._steady = steady
        self._offset = self._seen = 0
        self._wanted: int | None = None
        self._started = False
        self.runs = Runs(SETTLE * rate)
        self.end = 0
        """Position after the last placed sample, or after the tail that was accounted for."""
        self.late = self.overflow = 0
        self.trimmed = 0
        """Samples that were cut out: doubly stamped, before the call's zero, or to correct the offset."""
        self.corrected = 0
        """Net samples by which slow corrections moved the track: positive when the source's clock is slow."""

    def _correct(self, shift: int, nominal: int, pcm: Pcm, arrived: int) -> tuple[int, Pcm]:
        """Move the offset by ``shift``, or by a part of it, when it is time; return what is left of the frame."""
        if self._wanted is None or arrived - self._seen > STALE:
            # what was wanted before a stall or a pause says nothing about the delays after it
            self._wanted = arrived
        self._seen = arrived
        waited = arrived - self._wanted
        small = abs(shift) < 3 * self._snap
        overdue = waited >= (SMALL_PATIENCE if small else PATIENCE)
        room = nominal + self._offset - self.end
        if shift > 0:
            gap = room > 0 and (small or waited >= RAISE_AFTER)
            if gap or overdue or (waited >= RAISE_AFTER and is_quiet(pcm)):
                self._offset += shift
                self.corrected += shift
                self._wanted = None
            return nominal, pcm
        room = min(room, -shift)
        if room > 0:
            self._offset -= room
            self.corrected -= room
            shift += room
        far = -shift > MAX_AHEAD * self._rate
        if shift <= -self._snap and (far or (overdue and (small or not self._steady)) or is_quiet(pcm)):
            cut = min(len(pcm), -shift)
            self._offset -= cut
            self.corrected -= cut
            self.trimmed += cut
            self.overflow += far
            return nominal + cut, pcm[cut:]
        return nominal, pcm

    def _put(self, nominal: int, pcm: Pcm, missing: int, out: list[Placed]) -> None:
        """Place a frame at its offset, after a gap or cut where it must be."""
        n = len(pcm)
        if not n:
            return
        start = nominal + self._offset
        gap = start - self.end
        if gap:
            if self._started and -self._snap <= gap <= (self._snap if missing <= 0 else 0):
                start = self.end
            elif gap > 0:
                self._leave(start, n, missing)
            else:
                cut = min(n, -gap)
                self.trimmed += cut
                self.late += self._started and cut == n
                start, pcm = start + cut, pcm[cut:]
                n -= cut
        if not n:
            return
        self._started = True
        self.end = start + n
        self.runs.add(start, self.end, "silent" if is_digital_silence(pcm) else "received")
        out.append(Placed(start, pcm))

    def _leave(self, start: int, n: int, missing: int) -> None:
        """Account for the gap before ``start``, and a frame of ``n`` samples with ``missing`` ones before it."""
        if not self._started:
            self.runs.add(self.end, start, "absent")
            return
        lost = start if missing < 0 else min(self.end + missing * n, start)
        if lost > self.end:
            self.runs.add(self.end, lost, "lost")
        if start > lost:
            self.runs.add(lost, start, "silent")
