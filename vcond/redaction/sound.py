"""Recordings with stretches taken out: decoded, silenced or toned, and written again as vcond writes recordings.

A recording keeps its length, so that every time in the vCon stays true. What of a file is not sound (chunks with titles
and notes) does not come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from vcond.base.errors import BadMediaError
from vcond.vcon import base64url
from vcond.vcon.building.audio_forms import OPUS, flac, opus
from vcond.vcon.building.audio_forms import base64url as written
from vcond.vcon.building.in_memory import in_memory
from vcond.vcon.building.opus_pieces import SECONDS
from vcond.vcon.building.wav import CHUNK, Form, read_wav, wav, wav_format
from vcond.vcon.model import Pcm
from vcond.vcon.validation.findings import indices

MOST: Final = 1 << 28
"""Samples of all channels: a recording with more is taken out whole."""
WIDEN: Final = 1.0
"""Seconds beyond the margin in which silence is looked for; where there is none, all of them go."""
_STEP: Final = 0.02
"""Seconds of which loudness is taken."""
_AT_ONCE: Final = 4096
"""Steps: no more of a recording is in memory twice."""
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


@dataclass(frozen=True, slots=True)
class _Channel:
    """One channel of samples in memory, which need not lie beside one another."""

    pcm: Pcm

    @property
    def frames(self) -> int:
        """Its length in samples."""
        return len(self.pcm)

    def read(self, start: int, stop: int) -> Pcm:
        """Samples ``[start, stop)``."""
        return np.ascontiguousarray(self.pcm[start:stop])


@dataclass(slots=True)
class Recording:
    """A decoded one, and how it was written."""

    rate: int
    samples: NDArray[np.int16]
    """Shape (frames, channels)."""
    form: Form | None = None
    """Of a WAV that is written as it was."""
    kbps: int = 0
    """Of a compressed one, kbit/s a channel. Zero and no form: FLAC."""

    @property
    def channels(self) -> int:
        """How many."""
        return int(self.samples.shape[1])

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.rate


def decoded(item: dict[str, Any]) -> Recording:
    """The recording of a dialog. Raises BadMediaError for what cannot be read to its end."""
    body = item.get("body")
    if item.get("encoding") != "base64url" or not isinstance(body, str):
        raise BadMediaError("no recording")
    try:
        data = base64url.decoded(body)
    except ValueError:
        raise BadMediaError("not base64url") from None
    if data[:4] == b"RIFF":
        try:
            form, channels, _ = wav_format(data)
        except BadMediaError:
            return _by_library(data)
        if len(data) // (form.width * channels) * channels > MOST:
            raise BadMediaError("too long")
        rate, samples = read_wav(data)
        return Recording(rate, samples, form)
    return _by_library(data)


def _by_library(data: bytes) -> Recording:
    """Whatever else libsndfile reads: Ogg with Opus or Vorbis, FLAC, MP3, other forms of WAV."""
    with in_memory(data) as file:
        try:
            with soundfile.SoundFile(file.descriptor, closefd=False) as opened:
                if opened.frames < 0 or opened.frames * opened.channels > MOST:
                    raise BadMediaError("too long")
                samples = opened.read(opened.frames, dtype="int16", always_2d=True)
                if len(samples) != opened.frames:
                    raise BadMediaError("ends too early")
                rate, lossy = opened.samplerate, opened.format in {"OGG", "MP3"}
        except (soundfile.SoundFileError, RuntimeError) as why:
            raise BadMediaError("cannot be decoded") from why
    if not len(samples) or not rate:
        raise BadMediaError("no samples")
    each = len(data) * 8 * rate / 1000 / len(samples) / samples.shape[1]
    kbps = min(OPUS, key=lambda known: abs(known - each)) if lossy else 0
    return Recording(rate, np.ascontiguousarray(samples), None, kbps)


def encoded(made: Recording, told: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
    """The members of a dialog that say it. ``told`` hears what share is written."""
    channels = [_Channel(made.samples[:, at]) for at in range(made.channels)]
    if made.form is not None:
        kind, parts, whole = "audio/x-wav", wav(made.form, channels, made.rate), -(-len(made.samples) // CHUNK) + 1
    elif made.kbps:
        kind, parts, whole = "audio/ogg", opus(channels, made.rate, made.kbps), int(made.seconds / SECONDS) + 1
    else:
        kind, parts, whole = "audio/flac", iter([flac(channels, made.rate)]), 1
    return {"mediatype": kind, "encoding": "base64url", "body": written(_counted(parts, told, whole))}


def _counted(parts: Iterable[bytes], told: Callable[[float], None], whole: int) -> Iterator[bytes]:
    for count, part in enumerate(parts, start=1):
        yield part
        told(min(1.0, count / whole))


def keep_only(made: Recording, channel: int, kept: Iterable[Stretch]) -> float:
    """Silence in a channel what is in none of the stretches; how many seconds of it were not silent."""
    heard, at, frames = 0, 0, len(made.samples)
    for start, end in [*sorted(kept), (made.seconds, made.seconds)]:
        first = min(max(at, int(start * made.rate)), frames)
        gone = made.samples[at:first, channel]
        heard += int(np.count_nonzero((gone > _FLOOR) | (gone < -_FLOOR)))
        made.samples[at:first, channel] = 0
        at = min(max(first, at, int(end * made.rate) + 1), frames)
    return heard / made.rate


def take_out(made: Recording, stretches: Iterable[Stretch], *, tone: bool) -> None:
    """Silence, or a tone, in all channels: a voice is heard on the other's too."""
    for first, last in _frames(made, stretches):
        made.samples[first:last] = 0
        if tone:
            at = np.arange(first, last) * (_TONE_HZ / made.rate)
            made.samples[first:last] = (np.sin(at * 2 * np.pi) * _TONE).astype(np.int16)[:, None]


def _frames(made: Recording, stretches: Iterable[Stretch]) -> list[tuple[int, int]]:
    """Each widened to the silence around it. All are looked at before anything is silenced."""
    step = max(1, round(made.rate * _STEP))
    loud = loudness(made.samples, step)
    quiet = loud <= max(_FLOOR, _QUIET * float(np.max(loud, initial=0.0)))
    reach = round(WIDEN / _STEP)
    found = []
    for start, end in stretches:
        if end <= 0 or start >= made.seconds:
            continue
        first = _pause(quiet[::-1], len(quiet) - max(0, int(start * made.rate) // step), reach)
        last = _pause(quiet, -(-int(end * made.rate) // step), reach)
        found.append((max(0, (len(quiet) - first) * step), min(len(made.samples), last * step)))
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


def loudness(samples: NDArray[np.int16], step: int) -> NDArray[np.float32]:
    """The root mean square of each step, of the loudest channel."""
    loud = np.zeros(-(-len(samples) // step), np.float32)
    for first in range(0, len(loud), _AT_ONCE):
        part = samples[first * step : (first + _AT_ONCE) * step].astype(np.float32)
        part = np.pad(part, ((0, -len(part) % step), (0, 0))).reshape(-1, step, samples.shape[1])
        loud[first : first + len(part)] = np.sqrt(np.mean(part**2, axis=1)).max(axis=1)
    return loud


def of_channels(parties: object, count: int) -> Sequence[frozenset[int] | None]:
    """Who may be heard in each channel; None = anybody."""
    if isinstance(parties, list) and len(parties) == count > 1:
        return [frozenset(indices(one)) or None for one in parties]
    return [(frozenset(indices(parties)) or None) if count == 1 else None] * count
