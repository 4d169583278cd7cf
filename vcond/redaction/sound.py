"""Recordings with stretches taken out: decoded, silenced or toned, and written again as vcond writes recordings.

It is read twice, in pieces: to find the pauses around what goes, and to write it. A recording keeps its length, so that every time in the vCon stays true. What of a file is not sound (chunks with titles
and notes) does not come back.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from vcond.base.errors import BadMediaError
from vcond.redaction.sources import Block, Source, source_of
from vcond.vcon.building.audio_forms import OPUS, flac, opus
from vcond.vcon.building.audio_forms import base64url as written
from vcond.vcon.building.opus_pieces import SECONDS
from vcond.vcon.building.riff import Form
from vcond.vcon.building.wav import CHUNK, pieces, wav
from vcond.vcon.pcm import Pcm
from vcond.vcon.validation.findings import indices

WIDEN: Final = 1.0
"""Seconds beyond the margin in which silence is looked for; where there is none, all of them go."""
_STEP: Final = 0.02
"""Seconds of which loudness is taken."""
_AT_ONCE: Final = 4096
"""Steps: no more of a recording is in memory."""
_QUIET_STEPS: Final = 3
"""So many in a row are a pause between words."""
_QUIET: Final = 0.05
"""Of the loudest step of a recording; below it nobody speaks."""
_FLOOR: Final = 40.0
"""Of 16-bit samples: below it nobody is heard at all."""
_TONE_HZ: Final = 1000
_TONE: Final = 1500
"""The tone in place of what went, and how loud (16-bit samples)."""
Stretch = tuple[float, float]
"""Seconds from the beginning of a recording."""
Frames = tuple[int, int]
"""Frames ``[first, end)``."""


@dataclass(frozen=True, slots=True)
class _Channel:
    """One channel of a recording, as it is written."""

    made: Recording
    channel: int

    @property
    def frames(self) -> int:
        """Its length in samples."""
        return self.made.frames

    def read(self, start: int, stop: int) -> Pcm:
        """Samples ``[start, stop)``."""
        return np.ascontiguousarray(self.made.read(start, stop)[:, self.channel])


class _NoPieces:
    """Pieces of an Opus file that are made once: none is kept."""

    def get(self, _name: str, /) -> bytes | None:
        """See ``vcond.vcon.building.opus_pieces.Pieces``."""
        return None

    def put(self, _name: str, _body: bytes, /) -> None:
        """Likewise."""


class Recording:
    """One in a vCon, how it was written, and what is taken out of it. No more than some seconds of it are in memory."""

    def __init__(self, source: Source, form: Form | None = None, kbps: int = 0) -> None:
        """``form``: of a WAV that is written as it was. ``kbps``: of a compressed one, kbit/s a channel. Zero and no form: FLAC."""
        self.rate, self.channels, self.frames = source.rate, source.channels, source.frames
        self.form, self.kbps = form, kbps
        self._source = source
        self.silent: list[list[Frames]] = [[] for _ in range(source.channels)]
        """By channel, in their order: silence."""
        self.unchecked: list[list[Frames]] = [[] for _ in range(source.channels)]
        """Likewise what of it no text tells of."""
        self.gone: list[Frames] = []
        """Of all channels: silence, or a tone."""
        self.tone = False
        self._last: tuple[int, int, Block] | None = None

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.frames / self.rate

    def read(self, start: int, stop: int) -> Block:
        """Frames ``[start, stop)`` as they are to be, not to be changed. Raises BadMediaError."""
        if (last := self._last) is not None and last[:2] == (start, stop):  # channels are read one after another
            return last[2]
        block = self._source.read(start, stop)
        self.hush(block, start)
        for first, end in self.gone:
            a, b = max(first, start), min(end, stop)
            if a < b:
                at = np.arange(a, b) * (_TONE_HZ / self.rate)
                block[a - start : b - start] = (
                    (np.sin(at * 2 * np.pi) * _TONE).astype(np.int16)[:, None] if self.tone else 0
                )
        self._last = start, stop, block
        return block

    def unchanged(self, start: int, stop: int) -> Block:
        """As ``read``, with nothing taken out."""
        return self._source.read(start, stop)

    def hush(self, block: Block, start: int) -> list[int]:
        """Silence in each channel what is to be silent; how many samples of it were not, of which no text tells."""
        heard = []
        for channel, (silent, unchecked) in enumerate(zip(self.silent, self.unchecked, strict=True)):
            sound = [block[first:end, channel] for first, end in _within(unchecked, start, len(block))]
            heard.append(sum(int(np.count_nonzero((one > _FLOOR) | (one < -_FLOOR))) for one in sound))
            for first, end in _within(silent, start, len(block)):
                block[first:end, channel] = 0
        return heard

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is read any more."""
        self._source.close()


def decoded(item: dict[str, Any]) -> Recording:
    """The recording of a dialog; close it. Raises BadMediaError for what is none; what cannot be read to its end says so there."""
    body = item.get("body")
    if item.get("encoding") != "base64url" or not isinstance(body, str):
        raise BadMediaError("no recording")
    source, form, bits = source_of(body)
    return Recording(source, form, min(OPUS, key=lambda known: abs(known - bits / 1000)) if bits else 0)


def encoded(made: Recording, told: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
    """The members of a dialog that say it. ``told`` hears what share is written. Raises BadMediaError."""
    channels = [_Channel(made, at) for at in range(made.channels)]
    if made.form is not None:
        kind, parts, whole = "audio/x-wav", wav(made.form, channels, made.rate), -(-made.frames // CHUNK) + 1
    elif made.kbps:
        opus_file = opus(channels, made.rate, made.kbps, kept=_NoPieces())
        kind, parts, whole = "audio/ogg", opus_file, int(made.seconds / SECONDS) + 1
    else:
        kind, parts, whole = "audio/flac", iter([flac(channels, made.rate)]), 1
    return {"mediatype": kind, "encoding": "base64url", "body": written(_counted(parts, told, whole))}


def _counted(parts: Iterable[bytes], told: Callable[[float], None], whole: int) -> Iterator[bytes]:
    for count, part in enumerate(parts, start=1):
        yield part
        told(min(1.0, count / whole))


def keep_only(made: Recording, channel: int, kept: Iterable[Stretch], told: Iterable[Stretch] = ()) -> None:
    """Silence in a channel what is in none of the stretches. ``told``: what goes although a text tells of it."""
    stays = list(kept)
    made.silent[channel] += _between(made, stays)
    made.unchecked[channel] += _between(made, [*stays, *told])


def _between(made: Recording, stretches: Iterable[Stretch]) -> Iterator[Frames]:
    """What is in none of them."""
    at, frames = 0, made.frames
    for start, end in sorted(stretches):
        first = min(max(at, int(start * made.rate)), frames)
        if first > at:
            yield at, first
        at = min(max(first, at, int(end * made.rate) + 1), frames)
    if at < frames:
        yield at, frames


def _within(stretches: Sequence[Frames], start: int, length: int) -> Iterator[Frames]:
    """Of some in their order what is in a block of frames, counted from its beginning."""
    for first, end in stretches[max(0, bisect_right(stretches, (start, start)) - 1) :]:
        if first >= start + length:
            break
        yield max(0, first - start), max(0, end - start)


def take_out(made: Recording, stretches: Iterable[Stretch], *, tone: bool) -> list[float]:
    """Silence, or a tone, in all channels: a voice is heard on the other's too. Each is widened to the silence around it.

    How many seconds of each channel were not silent where nothing of it is kept and no text tells of it. All of it is read. Raises BadMediaError.
    """
    step, heard = max(1, round(made.rate * _STEP)), np.zeros(made.channels, np.int64)
    loud = np.zeros(-(-made.frames // step), np.float32)
    for start, stop in pieces(made.frames, step * _AT_ONCE):
        block = made.unchanged(start, stop)
        heard += made.hush(block, start)
        loud[start // step : -(-stop // step)] = loudness(block, step)
    made.gone, made.tone = _frames(made, loud, step, stretches), tone
    return [int(one) / made.rate for one in heard]


def silent(made: Recording) -> bool:
    """Whether nothing is heard in it as it is to be. Raises BadMediaError."""
    return not any(made.read(start, stop).any() for start, stop in pieces(made.frames, CHUNK))


def _frames(made: Recording, loud: NDArray[np.float32], step: int, stretches: Iterable[Stretch]) -> list[Frames]:
    quiet = loud <= max(_FLOOR, _QUIET * float(np.max(loud, initial=0.0)))
    reach = round(WIDEN / _STEP)
    found = []
    for start, end in stretches:
        if end <= 0 or start >= made.seconds:
            continue
        first = _pause(quiet[::-1], len(quiet) - max(0, int(start * made.rate) // step), reach)
        last = _pause(quiet, -(-int(end * made.rate) // step), reach)
        found.append((max(0, (len(quiet) - first) * step), min(made.frames, last * step)))
    return found


def _pause(quiet: NDArray[np.bool_], begin: int, reach: int) -> int:
    """From a step on the first at which it has been quiet long enough; ``reach`` steps at most."""
    row = 0
    for at in range(max(0, begin - _QUIET_STEPS), begin + reach):
        if at >= len(quiet):
            return len(quiet)
        row = row + 1 if quiet[at] else 0
        if row >= _QUIET_STEPS and at + 1 >= begin:
            return at + 1
    return begin + reach


def loudness(samples: Block, step: int) -> NDArray[np.float32]:
    """The root mean square of each step, of the loudest channel."""
    part = samples.astype(np.float32)
    part = np.pad(part, ((0, -len(part) % step), (0, 0))).reshape(-1, step, samples.shape[1])
    loud: NDArray[np.float32] = np.sqrt(np.mean(part**2, axis=1)).max(axis=1)
    return loud


def of_channels(parties: object, count: int) -> Sequence[frozenset[int] | None]:
    """Who may be heard in each channel; None = anybody."""
    if isinstance(parties, list) and len(parties) == count > 1:
        return [frozenset(indices(one)) or None for one in parties]
    return [(frozenset(indices(parties)) or None) if count == 1 else None] * count
