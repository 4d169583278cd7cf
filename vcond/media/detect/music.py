"""Tells music from speech: in music the spectrum stays, in speech it is another one a tenth of a second later.

Compared are the log spectra (150 to 3,400 Hz) of 40 ms of sound and of the 40 ms a tenth of a second before, as a
correlation. Its median over some two seconds was measured (G.711, 8 kHz): 600 s of recorded prompts with noise from
hiss to 12 dB below the voice: 0.59 at most, half under 0.36; a synthetic voice 0.48; five pieces of music on hold, loud
and quiet: half over 0.63, nine of ten over 0.53 (docs/decisions/0005).
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

FRAMES: Final = 5
"""Frames of 20 ms between two spectra."""
VOICED: Final = 3
"""Of these, how many must sound like a voice for the spectrum to count."""
JUDGED: Final = ((20, 0.62), (40, 0.57))
"""So many values, two seconds and four, whose median is at least this: it is music. No speech that was measured came
there: with more values both come closer to their middle."""
LAST: Final = 10
"""Latest values that show that the music is over."""
CHANGES: Final = 0.47
"""Median of these, 0 to 1, below which somebody speaks."""
PAUSE: Final = 30
"""Frames (600 ms) without a sound that end a remark, however short it was."""
REMARK: Final = 3
"""Values that a remark in a pause of the music has at least."""
FORGET: Final = 150
"""Frames (3 s) without a sound after which nothing is known."""
LOW_HZ, HIGH_HZ = 150, 3400
QUIET: Final = 10.0
"""Amplitude of a spectral line below which it is not looked at."""

Floats = NDArray[np.float32]


class Music:
    """Listens to the frames of a track, at 8 kHz. Costs a transform of 320 samples every tenth of a second."""

    __slots__ = (
        "_before",
        "_begin",
        "_begins",
        "_count",
        "_first",
        "_idle",
        "_last",
        "_remark",
        "_values",
        "_voiced",
        "on",
    )

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing is known."""
        most = JUDGED[-1][0]
        self.on = False
        """Whether what is heard is music."""
        self._values: deque[float] = deque(maxlen=most)
        self._begins: deque[int] = deque(maxlen=most)
        self._before: Floats | None = None
        self._last: Floats | None = None
        self._count = self._voiced = self._idle = self._first = self._begin = self._remark = 0

    @property
    def known(self) -> bool:
        """Whether there is any sound to tell the begin of."""
        return bool(self._begins)

    @property
    def since(self) -> int:
        """Where the sound begins that the verdict was made from."""
        return self._begins[0]

    def take(self, frame: Floats, position: int, *, voiced: bool) -> bool:
        """One frame of 160 samples that begins at ``position``. True when ``on`` changed."""
        if not self._count:
            self._first = position
        self._count += 1
        self._voiced += voiced
        self._idle = 0 if voiced else self._idle + 1
        changed = self._pause() if self._idle in {PAUSE, FORGET} else False
        if self._count < FRAMES:
            self._last = frame
            return changed
        counts, self._count, self._voiced = self._voiced >= VOICED, 0, 0
        if not counts:
            self._before = None
            return changed
        return self._compare(frame) or changed

    def _compare(self, frame: Floats) -> bool:
        assert self._last is not None
        spectrum = _shape(np.concatenate((self._last, frame)))
        before, self._before = self._before, spectrum
        begin, self._begin = self._begin, self._first
        if before is None:
            return False
        self._values.append(float(spectrum @ before))
        self._begins.append(begin)
        self._remark += 1
        if self.on:
            return self._remark >= LAST and self._speaks(LAST)
        for count, stays in JUDGED:
            if len(self._values) >= count and self._median(count) >= stays:
                self.on = True
                self._keep(count)
                return True
        return False

    def _pause(self) -> bool:
        """Nothing was heard for a while: what was said since the last pause may have been a word."""
        if self._idle == FORGET:
            changed = self.on
            self.forget()
            return changed
        changed = self.on and self._remark >= REMARK and self._speaks(min(LAST, self._remark))
        self._remark = 0
        return changed

    def _speaks(self, count: int) -> bool:
        """Whether the latest values are those of speech; the music is over then, and they are all that is known."""
        if self._median(count) >= CHANGES:
            return False
        self.on = False
        self._keep(count)
        return True

    def _keep(self, count: int) -> None:
        while len(self._values) > count:
            self._values.popleft()
            self._begins.popleft()

    def _median(self, count: int) -> float:
        return sorted(list(self._values)[-count:])[count // 2]


_HANN = np.hanning(320).astype(np.float32)
_LINES = slice(LOW_HZ * 320 // 8000, HIGH_HZ * 320 // 8000)


def _shape(sound: Floats) -> Floats:
    """The log spectrum of 320 samples without its mean, of length 1."""
    lines = np.log(np.abs(np.fft.rfft(sound * _HANN))[_LINES] + QUIET).astype(np.float32)
    lines -= lines.mean()
    return np.asarray(lines / max(float(np.sqrt(lines @ lines)), 1e-6), np.float32)
