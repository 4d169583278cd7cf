"""Cuts a track into utterances: where somebody speaks.

webrtcvad says of each 20 ms whether it sounds like speech. It is wrong about steady tones and about the first frames
of noise, so a frame also has to stand out of the noise of the last seconds and must not be a tone. An utterance
begins when three of five frames are voiced, 200 ms before the sound they belong to, and ends after 500 ms without. One that
grows too long is cut where it was quietest, and the next begins there.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from vcond.errors import BadMediaError
from vcond.media.codecs import Pcm
from vcond.media.floor import Floor
from vcond.media.tones import is_steady_tone

RATES: Final = (8000, 16000, 32000, 48000)
"""What webrtcvad takes, Hz."""
FRAME_MS: Final = 20
JUDGED: Final = 5
"""Frames that are looked at to begin."""
ENOUGH: Final = 3
"""Voiced frames of these, each tone counted off."""
NOISE_FRAMES: Final = 150
"""Frames (3 s) whose quietest is taken as the noise."""
MOST_NOISE: Final = 700.0**2
"""Mean square of the loudest noise that is believed in (-33 dBFS): who speaks on without a pause is not noise."""
BEGIN_OVER_NOISE: Final = 4.0
"""Energy over the noise of a frame that may begin an utterance: 6 dB."""
STAY_OVER_NOISE: Final = 2.0
"""The same to keep one going: 3 dB."""
INAUDIBLE: Final = 24.0**2
"""Mean square below which nothing is speech (-63 dBFS)."""
LOOK_BACK: Final = 25
"""Frames (500 ms) that a sound may last before it is known for speech: some vowels are smooth like tones."""
PAUSE: Final = 8
"""Frames (160 ms) without any sound that part one sound from the next: more than a plosive takes."""
CUT_FRAMES: Final = 100
"""Frames (2 s) in which the place to cut an utterance that is too long is looked for."""


class Begun(NamedTuple):
    """Somebody began to speak."""

    start: int
    """Position of the utterance's first sample."""


class Ended(NamedTuple):
    """The utterance that began at ``start`` is over."""

    start: int
    stop: int


class Segmenter:
    """One track. Positions are samples of it; the same audio gives the same utterances however it is cut."""

    __slots__ = (
        "_aggressiveness",
        "_energies",
        "_first",
        "_frame",
        "_hangover",
        "_judged",
        "_longest",
        "_noise",
        "_position",
        "_pre_roll",
        "_rate",
        "_rest",
        "_sound",
        "_sounded",
        "_start",
        "_vad",
        "_voiced",
    )

    def __init__(
        self,
        rate: int,
        *,
        aggressiveness: int = 2,
        pre_roll_ms: int = 200,
        hangover_ms: int = 500,
        longest_seconds: int = 15,
    ) -> None:
        """``rate`` of the track, Hz; ``aggressiveness`` 0 to 3 as webrtcvad has it; ``longest_seconds`` above 2.

        Raises BadMediaError for a rate that webrtcvad does not know.
        """
        if rate not in RATES:
            raise BadMediaError(f"no voice detection at {rate} Hz, only at {', '.join(map(str, RATES))}")
        self._rate = rate
        self._frame = rate * FRAME_MS // 1000
        self._aggressiveness = aggressiveness
        self._pre_roll = pre_roll_ms * rate // 1000
        self._hangover = hangover_ms * rate // 1000
        self._longest = max(longest_seconds, 3) * rate
        self._start: int | None = None
        self._first = self._position = 0
        self._reset(0)

    def _reset(self, position: int) -> None:
        """Audio begins at ``position``; nothing is known of what was before."""
        self._vad = webrtcvad.Vad(self._aggressiveness)
        self._noise = Floor(NOISE_FRAMES * self._frame)
        self._judged: deque[int] = deque(maxlen=JUDGED)
        self._energies: deque[float] = deque(maxlen=CUT_FRAMES)
        self._rest: Pcm = np.zeros(0, np.int16)
        self._first = self._position = self._voiced = position
        """Earliest position an utterance may begin at; end of what was judged; end of the last voiced frame."""
        self._sound = self._sounded = position
        """Begin and end of the latest sound, be it speech or a tone."""

    def feed(self, start: int, pcm: Pcm) -> list[Begun | Ended]:
        """Take the samples at ``start``, shape (n,). A jump forward ends an utterance; what was fed before is skipped."""
        out: list[Begun | Ended] = []
        end = self._position + len(self._rest)
        if start > end:
            out.extend(self.close())
            self._reset(start)
        elif start < end:
            pcm = pcm[end - start :]
        samples = np.concatenate((self._rest, pcm)) if len(self._rest) else pcm
        count = len(samples) // self._frame
        self._rest = samples[count * self._frame :].copy()
        if count:
            frames = samples[: count * self._frame].reshape(count, self._frame)
            wide = frames.astype(np.float32)
            energies = np.einsum("ij,ij->i", wide, wide) / self._frame
            for i, energy in enumerate(energies.tolist()):
                self._judge(frames[i], wide[i], energy, out)
        return out

    def close(self) -> list[Begun | Ended]:
        """No more audio, or none for a while: an utterance that goes on ends where the audio ended."""
        end = self._position + len(self._rest)
        if self._start is None:
            return []
        out: list[Begun | Ended] = [Ended(self._start, end)]
        self._start = None
        self._reset(end)
        return out

    def _judge(self, frame: Pcm, wide: NDArray[np.float32], energy: float, out: list[Begun | Ended]) -> None:
        """Take one frame of 20 ms; ``energy`` is its mean square."""
        begin = self._position
        self._position += self._frame
        self._energies.append(energy)
        vote = self._vote(frame, wide, energy)
        if vote:
            if begin - self._sounded >= PAUSE * self._frame:
                self._sound = begin
            self._sounded = self._position
        if vote > 0:
            self._voiced = self._position
        self._judged.append(vote)
        if self._start is None:
            if vote > 0 and sum(self._judged) >= ENOUGH:
                first = max(self._sound, begin - LOOK_BACK * self._frame)
                self._start = max(first - self._pre_roll, self._first)
                out.append(Begun(self._start))
        elif self._position - self._voiced >= self._hangover:
            self._end(self._position, out)
        elif self._position - self._start >= self._longest:
            self._cut(out)

    def _vote(self, frame: Pcm, wide: NDArray[np.float32], energy: float) -> int:
        """1 for speech, -1 for a tone, 0 for neither."""
        noise = min(self._noise.add(self._position, int(energy)), MOST_NOISE)
        over = BEGIN_OVER_NOISE if self._start is None else STAY_OVER_NOISE
        if energy < INAUDIBLE or energy < over * noise:
            return 0
        if not self._vad.is_speech(frame.tobytes(), self._rate):
            return 0
        # the test for tones is made for 8 kHz, where they are; higher parts fold over and count against a tone
        return -1 if is_steady_tone(wide[:: self._rate // 8000], noise / energy) else 1

    def _end(self, stop: int, out: list[Begun | Ended]) -> None:
        assert self._start is not None
        out.append(Ended(self._start, stop))
        self._start, self._first = None, stop
        self._judged.clear()

    def _cut(self, out: list[Begun | Ended]) -> None:
        """End the utterance at the quietest frame of the last two seconds, and begin the next there."""
        energies = list(self._energies)
        back = len(energies) - min(range(len(energies)), key=energies.__getitem__)
        stop = self._position - back * self._frame
        self._end(stop, out)
        if self._voiced > stop:
            self._start = stop
            out.append(Begun(stop))
