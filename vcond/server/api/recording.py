"""The audio of a vCon's dialog, in a form that every browser plays: 16-bit PCM in WAV, made piece by piece as it is asked for.

What a record holds (µ-law, A-law and PCM in WAV, FLAC, Ogg/Opus) plays in some browsers and not in others. Blocks.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import soundfile

from vcond.vcon import Document, base64url

HEADER: Final = 44
"""Bytes before the samples (RIFF, fmt, data)."""
PIECE: Final = 1 << 18
"""Frames that are decoded at a time."""
LONGEST: Final = (1 << 32) - HEADER
"""Bytes of samples that a WAV can say."""
FORMS: Final = {
    "audio/x-wav": "audio/wav",
    "audio/wav": "audio/wav",
    "audio/flac": "audio/flac",
    "audio/ogg": "audio/ogg",
}
"""Media types of vCons to those that browsers know."""


def plays(mediatype: Any) -> bool:
    """Whether browsers play it, as it is or made into WAV."""
    return isinstance(mediatype, str) and mediatype in FORMS


class Recording:
    """One, which is in the document."""

    def __init__(self, document: Document, dialog: int) -> None:
        """Raises LookupError when there is no audio in that dialog, ValueError when it cannot be read."""
        try:
            found = document["dialog"][dialog]
            body, mediatype, encoding = found["body"], found["mediatype"], found["encoding"]
        except (LookupError, TypeError):
            raise LookupError("this dialog has no recording inside") from None
        if not plays(mediatype) or encoding != "base64url" or not isinstance(body, str):
            raise LookupError("this dialog has no recording that can be played")
        self.mediatype = FORMS[mediatype]
        try:
            self.file = base64url.decoded(body)
            with self._opened() as sound:
                self.rate, self.channels, self.frames = int(sound.samplerate), int(sound.channels), int(sound.frames)
        except (ValueError, soundfile.SoundFileError):
            raise ValueError("the recording in this dialog cannot be read") from None
        if self.size > LONGEST:
            raise ValueError("the recording is too long for a WAV file: take form=original")

    @property
    def size(self) -> int:
        """Bytes as WAV."""
        return HEADER + self.frames * self.channels * 2

    def wav(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of the WAV file from ``start`` to ``stop``, in pieces."""
        if start < HEADER:
            yield self._header()[start:stop]
        frame = self.channels * 2
        at = max(start - HEADER, 0)
        until = stop - HEADER
        if at >= until:
            return
        with self._opened() as sound:
            first = at // frame
            sound.seek(first)
            skip, left = at - first * frame, until - at
            while left > 0:
                block = sound.read(PIECE, dtype="int16", always_2d=True).astype("<i2").tobytes()
                if not block:  # it holds less than it says: silence, as the length was told
                    block = bytes(min(left + skip, PIECE * frame))
                piece = block[skip : skip + left]
                skip, left = 0, left - len(piece)
                yield piece

    def peaks(self, count: int) -> list[list[float]]:
        """For each channel the loudest sample of ``count`` equal stretches, 0 to 1."""
        edges = np.linspace(0, self.frames, count + 1).astype(np.int64)
        found = np.zeros((self.channels, count))
        with self._opened() as sound:
            at = 0
            while len(block := sound.read(PIECE, dtype="float32", always_2d=True)):
                first = int(np.searchsorted(edges, at, "right")) - 1
                last = min(int(np.searchsorted(edges, at + len(block), "left")), count)
                for place in range(max(first, 0), last):
                    part = block[max(edges[place] - at, 0) : edges[place + 1] - at]
                    if len(part):
                        found[:, place] = np.maximum(found[:, place], np.abs(part).max(axis=0))
                at += len(block)
        return [[round(min(float(one), 1.0), 3) for one in channel] for channel in found]

    def _opened(self) -> Any:
        return soundfile.SoundFile(io.BytesIO(self.file))

    def _header(self) -> bytes:
        data, width = self.size - HEADER, self.channels * 2
        return struct.pack(
            "<4sI4s4sIHHIIHH4sI", b"RIFF", data + HEADER - 8, b"WAVE", b"fmt ", 16, 1, self.channels, self.rate,
            self.rate * width, width, 16, b"data", data,
        )  # fmt: skip
