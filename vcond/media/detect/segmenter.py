"""Cuts a track into utterances: where somebody speaks.

webrtcvad says of each 20 ms whether it sounds like speech. It is wrong about steady tones, about the first frames of
noise and about music, so a frame also has to stand out of the noise of the last seconds and must not be a tone. An
utterance begins when three of five frames are voiced, 200 ms before the sound they belong to, and ends after 500 ms
without. One that grows too long is cut where it was quietest, and the next begins there. Music is known for what it is
after two seconds: what had begun with it is taken back, and nothing begins until somebody speaks.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from vcond.base.errors import BadMediaError
from vcond.media.codecs import Pcm
from vcond.media.detect.music import Music
from vcond.media.detect.tones import is_steady_tone
from vcond.media.placement.sliding_min import SlidingMin

RATES: Final = (8000, 16000, 32000, 48000)
"""What webrtcvad takes, Hz. Of any rate between them it gets 8 kHz."""
JUDGE_RATE: Final = 8000
FRAME_8K: Final = 160
"""Samples of a frame at that rate."""
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
LEAST_SPEECH: Final = 25
"""Frames (500 ms) before music that are an utterance of their own; less is the music's own begin."""
CUT_FRAMES: Final = 100
"""Frames (2 s) in which the place to cut an utterance that is too long is looked for."""


class Begun(NamedTuple):
    """Somebody began to speak."""

    start: int
    """Position of the utterance's first sample."""


class Ended(NamedTuple):
    """The utterance that began at sample ``start`` is over; ``stop`` is the sample after its last."""

    start: int
    stop: int


class Dropped(NamedTuple):
    """What began at sample ``start`` was no speech: there is no such utterance."""

    start: int


Event = Begun | Ended | Dropped


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
        "_music",
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

        Raises BadMediaError for a rate below 8,000 or above 48,000.
        """
        if not RATES[0] <= rate <= RATES[-1]:
            raise BadMediaError(f"no voice detection at {rate} Hz: only from {RATES[0]} to {RATES[-1]} Hz")
        self._rate = rate
        self._frame = round(rate * FRAME_MS / 1000)
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
        self._noise = SlidingMin(NOISE_FRAMES * self._frame)
        self._judged: deque[int] = deque(maxlen=JUDGED)
        self._energies: deque[float] = deque(maxlen=CUT_FRAMES)
        self._rest: Pcm = np.zeros(0, np.int16)
        self._music = Music()
        self._first = self._position = self._voiced = position
        """Earliest position an utterance may begin at; end of what was judged; end of the last voiced frame."""
        self._sound = self._sounded = position
        """Begin and end of the latest sound, be it speech or a tone."""

    def feed(self, start: int, pcm: Pcm) -> list[Event]:
        """Take the samples at ``start``, shape (n,). A jump forward ends an utterance; what was fed before is skipped."""
        out: list[Event] = []
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
            narrow = at_8k(wide)
            if self._rate not in RATES:
                frames = narrow.clip(-32768, 32767).astype(np.int16)
            for i, energy in enumerate(energies.tolist()):
                self._judge(frames[i], wide[i], narrow[i], energy, out)
        return out

    def close(self) -> list[Event]:
        """No more audio, or none for a while: an utterance that goes on ends where the audio ended."""
        end = self._position + len(self._rest)
        if self._start is None:
            return []
        out: list[Event] = [Ended(self._start, end)]
        self._start = None
        self._reset(end)
        return out

    def _judge(
        self, frame: Pcm, wide: NDArray[np.float32], narrow: NDArray[np.float32], energy: float, out: list[Event]
    ) -> None:
        """Take one frame of 20 ms, as webrtcvad and as floats, and at 8 kHz; ``energy`` is its mean square."""
        begin = self._position
        self._position += self._frame
        self._energies.append(energy)
        vote = self._vote(frame, wide, narrow, energy)
        changed = self._music.take(narrow, begin, voiced=vote > 0)
        if changed or self._music.on:
            self._judged.clear()
            if changed:
                self._turn(out)
            return
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

    def _turn(self, out: list[Event]) -> None:
        """Music has begun, or somebody speaks after it."""
        if self._music.on:
            music, start = self._music.since, self._start
            if start is None:
                return
            self._start, self._first = None, max(start, music)
            spoken = music - start - self._pre_roll >= LEAST_SPEECH * self._frame
            out.append(Ended(start, music) if spoken else Dropped(start))
        elif self._music.known:
            self._voiced = self._sounded = self._position
            self._sound = self._music.since
            self._start = max(self._sound - self._pre_roll, self._first)
            out.append(Begun(self._start))

    def _vote(self, frame: Pcm, wide: NDArray[np.float32], narrow: NDArray[np.float32], energy: float) -> int:
        """1 for speech, -1 for a tone, 0 for neither."""
        noise = min(self._noise.add(self._position, int(energy)), MOST_NOISE)
        over = BEGIN_OVER_NOISE if self._start is None else STAY_OVER_NOISE
        if energy < INAUDIBLE or energy < over * noise:
            return 0
        known = self._rate in RATES
        if not self._vad.is_speech(frame.tobytes(), self._rate if known else JUDGE_RATE):
            return 0
        # the test for tones is made for 8 kHz, where they are; higher parts fold over and count against a tone
        return -1 if is_steady_tone(wide[:: self._rate // 8000] if known else narrow, noise / energy) else 1

    def _end(self, stop: int, out: list[Event]) -> None:
        assert self._start is not None
        out.append(Ended(self._start, stop))
        self._start, self._first = None, stop
        self._judged.clear()

    def _cut(self, out: list[Event]) -> None:
        """End the utterance at the quietest frame of the last two seconds, and begin the next there."""
        energies = list(self._energies)
        back = len(energies) - min(range(len(energies)), key=energies.__getitem__)
        stop = self._position - back * self._frame
        self._end(stop, out)
        if self._voiced > stop:
            self._start = stop
            out.append(Begun(stop))


def at_8k(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Frames of 20 ms, shape (count, n), as frames of 160 samples: each the mean of what it takes the place of.

    Enough to judge by; nobody listens to it.
    """
    count, n = frames.shape
    if n == FRAME_8K:
        return frames
    if n % FRAME_8K == 0:
        return np.asarray(frames.reshape(count, FRAME_8K, -1).mean(axis=2), np.float32)
    sums = np.concatenate((np.zeros((count, 1)), np.cumsum(frames, axis=1, dtype=np.float64)), axis=1)
    edges = np.linspace(0, n, FRAME_8K + 1)
    whole = np.minimum(edges.astype(int), n - 1)
    at_edges = sums[:, whole] + (edges - whole) * frames[:, whole]
    return np.asarray(np.diff(at_edges, axis=1) * (FRAME_8K / n), np.float32)
