"""The samples of a recording that is in a vCon, decoded where they are asked for: never all of them at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from vcond.base.errors import BadMediaError
from vcond.vcon import base64url
from vcond.vcon.building.in_memory import in_memory
from vcond.vcon.building.riff import Form, chunks, wav_format
from vcond.vcon.building.wav import expand

MOST: Final = 1 << 28
"""Samples of all channels: a recording with more is taken out whole."""
_PIECE: Final = 3 << 20
"""Bytes that are decoded at once: a multiple of three, so that each is whole characters."""
_FASTEST: Final = 768_000
"""Samples a second; more is no sound, and what is made for each second would be of any size."""
_MOST_CHANNELS: Final = 1024
_SKIPPED: Final = 60
"""Seconds that are decoded and thrown away, rather than looked for."""
Block = NDArray[np.int16]
"""Shape (frames, channels)."""


class Source(Protocol):
    """Of one recording."""

    rate: int
    channels: int
    frames: int

    def read(self, start: int, stop: int) -> Block:
        """Frames ``[start, stop)``. Raises BadMediaError."""

    def close(self) -> None:
        """Nothing is read any more."""


class Encoded:
    """The bytes that a base64url text stands for, decoded where they are asked for. Raises BadMediaError."""

    def __init__(self, text: str) -> None:
        self._text = text.rstrip("=")
        if len(text) - len(self._text) > 2 or len(self._text) % 4 == 1 or "=" in self._text:
            raise BadMediaError("not base64url")
        for _ in self.pieces():
            pass

    def __len__(self) -> int:
        return len(self._text) * 3 // 4

    def __getitem__(self, wanted: slice) -> bytes:
        start, stop, _ = wanted.indices(len(self))
        first = start // 3
        try:
            found = base64url.decoded(self._text[first * 4 : -(-stop // 3) * 4]) if stop > start else b""
        except ValueError:
            raise BadMediaError("not base64url") from None
        return found[start - first * 3 : stop - first * 3]

    def pieces(self) -> Iterator[bytes]:
        """All of it."""
        for at in range(0, len(self), _PIECE):
            yield self[at : at + _PIECE]


class WavSource:
    """A WAV of a form that vcond writes."""

    def __init__(self, data: Encoded) -> None:
        """Raises BadMediaError for another one."""
        self.form, self.channels, self.rate = wav_format(data)
        self._data, self._block = data, self.channels * self.form.width
        if len(data) // self._block * self.channels > MOST:
            raise BadMediaError("too long")
        found = next(((at, length) for name, at, length in chunks(data) if name == b"data"), None)
        if found is None:
            raise BadMediaError("WAV file without samples")
        self._at, self.frames = found[0], found[1] // self._block

    def read(self, start: int, stop: int) -> Block:
        """See ``Source``."""
        data = self._data[self._at + start * self._block : self._at + stop * self._block]
        return expand(self.form, data).reshape(-1, self.channels)

    def close(self) -> None:
        """See ``Source``."""


class LibrarySource:
    """Whatever else libsndfile reads: Ogg with Opus or Vorbis, FLAC, MP3, other forms of WAV.

    What follows one another, and overlaps what was read last, is as if all had been decoded at once; elsewhere about.
    """

    def __init__(self, data: Encoded) -> None:
        self._open, self._closed = ExitStack(), False
        self._memory = self._open.enter_context(in_memory(data.pieces()))
        self._file = self._opened()
        self.rate, self.channels, self.frames = self._file.samplerate, self._file.channels, self._file.frames
        self.lossy = self._file.format in {"OGG", "MP3"}
        self._first = 0
        """Where the window of what was decoded begins."""
        self._window: Block = np.empty((0, self.channels), np.int16)
        if self.frames < 0 or self.frames * self.channels > MOST:
            raise BadMediaError("too long")
        if not self.frames or not self.rate:
            raise BadMediaError("no samples")

    def read(self, start: int, stop: int) -> Block:
        """See ``Source``."""
        if self._closed:
            raise BadMediaError("closed")
        if not self._first <= start <= self._first + len(self._window) + _SKIPPED * self.rate:
            self._go_to(start)
        while (end := self._first + len(self._window)) < stop:
            kept = self._window[max(0, start - self._first) :]
            more = self._decoded(min(stop - end, _SKIPPED * self.rate))
            self._window = np.concatenate([kept, more])
            self._first = end + len(more) - len(self._window)
        self._window = self._window[start - self._first :]
        self._first = start
        return self._window[: stop - start].copy()

    def close(self) -> None:
        """See ``Source``."""
        self._closed = True
        self._file.close()
        self._open.close()

    def _decoded(self, count: int) -> Block:
        try:
            found: Block = self._file.read(count, dtype="int16", always_2d=True)
        except (soundfile.SoundFileError, RuntimeError) as why:
            raise BadMediaError("cannot be decoded") from why
        if len(found) != count:
            raise BadMediaError("ends too early")
        return found

    def _go_to(self, start: int) -> None:
        self._window = self._window[:0]
        if start < _SKIPPED * self.rate:  # from the beginning it is exact
            self._file.close()
            self._file, self._first = self._opened(), 0
            return
        try:
            self._first = self._file.seek(start)
        except (soundfile.SoundFileError, RuntimeError) as why:
            raise BadMediaError("cannot be decoded") from why

    def _opened(self) -> soundfile.SoundFile:
        self._memory.rewind()
        try:
            return soundfile.SoundFile(self._memory.descriptor, closefd=False)
        except (soundfile.SoundFileError, RuntimeError) as why:
            raise BadMediaError("cannot be decoded") from why


def source_of(text: str) -> tuple[Source, Form | None, float]:
    """The recording of a base64url text, its form if it is a WAV of ours, and bits a second of a channel of a lossy one, else 0.

    Raises BadMediaError.
    """
    data = Encoded(text)
    if data[:4] == b"RIFF":
        try:
            wav_format(data)
        except BadMediaError:
            pass
        else:
            found = WavSource(data)
            _check(found)
            return found, found.form, 0.0
    other = LibrarySource(data)
    _check(other)
    bits = len(data) * 8 * other.rate / other.frames / other.channels
    return other, None, bits if other.lossy else 0.0


def _check(source: Source) -> None:
    if not 0 < source.rate <= _FASTEST or source.channels > _MOST_CHANNELS:
        source.close()
        raise BadMediaError("no rate, or no number of channels, of a recording")
