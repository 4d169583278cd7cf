"""A track's samples from the call's zero, read when they are asked for: a long call is never in memory as a whole."""

from __future__ import annotations

import numpy as np

from vcond.call.state import Track
from vcond.journal import CallJournal
from vcond.media.codecs import Pcm


class StoredAudio:
    """What a journal has of a track; zeros where nothing is."""

    def __init__(self, journal: CallJournal, track: Track, stop: int | None = None) -> None:
        """Up to the position ``stop``; None = all of it."""
        whole = min(max(track.samples, track.shift), max(0, journal.length(track.file) + track.shift))
        self._journal, self._file, self._shift = journal, track.file, track.shift
        self._stop = whole if stop is None else stop

    def __len__(self) -> int:
        return self._stop

    def __getitem__(self, part: slice, /) -> Pcm:
        start, stop, _ = part.indices(self._stop)
        first, last = max(0, start - self._shift), max(0, stop - self._shift)
        pcm = self._journal.read(self._file, first, last)
        before = stop - start - len(pcm)  # where the track's call had not begun
        return np.concatenate([np.zeros(before, np.int16), pcm]) if before > 0 else pcm
