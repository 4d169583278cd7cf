"""Audio files inside a vCon: G.711 and 16-bit PCM in RIFF WAVE (``riff``), written and read in pieces.

µ-law and A-law are ITU-T G.711, with the decision values of the reference code in ITU-T G.191.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vcond.base.errors import BadMediaError
from vcond.vcon.building.riff import Form, chunks, wav_format, wav_header
from vcond.vcon.pcm import Pcm

CHUNK: Final = 3 << 14
"""Frames encoded at once: a multiple of three, so that base64 needs no padding in between."""


class Channel(Protocol):
    """One channel of a recording, read in pieces."""

    @property
    def frames(self) -> int:
        """Its length in samples."""

    def read(self, start: int, stop: int) -> Pcm:
        """Samples ``[start, stop)``, exactly that many."""


def _mulaw_decoded() -> Pcm:
    """The 256 values of G.711 table 2, scaled from 14 to 16 bit."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    size = (((code & 0x0F) * 2 + 33) << ((code >> 4) & 7)) - 33
    return np.where(code & 0x80, -size, size).astype(np.int16) * np.int16(4)


def _alaw_decoded() -> Pcm:
    """The 256 values of G.711 table 1, scaled from 13 to 16 bit."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = (code >> 4) & 7, code & 0x0F
    size = np.where(segment == 0, step * 2 + 1, (step * 2 + 33) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, size, -size).astype(np.int16) * np.int16(8)


def _magnitudes(bits: int) -> NDArray[np.int32]:
    """Sizes of the 65,536 samples (in the order of uint16) cut to ``bits``, one's complement as in ITU-T G.191."""
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    return np.where(samples < 0, ~samples, samples) >> (16 - bits)


_NEGATIVE: Final = np.arange(65536) >= 32768


def _mulaw_encoded() -> NDArray[np.uint8]:
    """The code of each sample (in the order of uint16), as G.191's ``ulaw_compress``."""
    biased = np.minimum(_magnitudes(14) + 33, 0x1FFF)
    segment = np.searchsorted(np.array([0x40 << n for n in range(8)]), biased, side="right")
    code = ~(segment << 4 | (biased >> (segment + 1)) & 0x0F)
    return np.where(_NEGATIVE, code & 0x7F, code | 0x80).astype(np.uint8)


def _alaw_encoded() -> NDArray[np.uint8]:
    """The code of each sample (in the order of uint16), as G.191's ``alaw_compress``."""
    size = _magnitudes(12)
    segment = np.searchsorted(np.array([0x10 << n for n in range(8)]), size, side="right")
    code = segment << 4 | (size >> np.maximum(segment - 1, 0)) & 0x0F
    return (np.where(_NEGATIVE, code, code | 0x80) ^ 0x55).astype(np.uint8)


DECODED: Final = {Form.MULAW: _mulaw_decoded(), Form.ALAW: _alaw_decoded()}
_ENCODED: Final = {Form.MULAW: _mulaw_encoded(), Form.ALAW: _alaw_encoded()}


def compand(form: Form, pcm: Pcm) -> bytes:
    """Samples (any shape, C order) as the bytes of a form."""
    if form is Form.PCM16:
        return np.ascontiguousarray(pcm, dtype="<i2").tobytes()
    return _ENCODED[form].take(np.ascontiguousarray(pcm, dtype=np.int16).view(np.uint16)).tobytes()


def expand(form: Form, data: bytes) -> Pcm:
    """The samples of bytes of a form; an odd last byte of 16-bit samples is left out."""
    if form is Form.PCM16:
        return np.frombuffer(data, dtype="<i2", count=len(data) // 2).astype(np.int16)
    coded = np.frombuffer(data, dtype=np.uint8)
    made = np.empty(len(coded), np.int16)
    for start, stop in pieces(len(coded)):  # numpy takes eight bytes for each index while it looks them up
        DECODED[form].take(coded[start:stop], out=made[start:stop], mode="clip")
    return made


def interleaved(channels: Sequence[Channel], start: int, stop: int) -> NDArray[np.int16]:
    """Frames ``[start, stop)`` of all channels, shape (frames, channels), int16."""
    if len(channels) == 1:
        return channels[0].read(start, stop).reshape(-1, 1)
    out = np.empty((stop - start, len(channels)), np.int16)
    for column, channel in enumerate(channels):
        out[:, column] = channel.read(start, stop)
    return out


def rounded(signal: NDArray[np.float32]) -> Pcm:
    """A signal in units of 16-bit samples as such, cut off at full scale."""
    return np.clip(np.rint(signal), -32768, 32767).astype(np.int16)


def pieces(frames: int, size: int = CHUNK) -> Iterator[tuple[int, int]]:
    """``[0, frames)`` in stretches of at most ``size``."""
    for start in range(0, frames, size):
        yield start, min(start + size, frames)


def wav(form: Form, channels: Sequence[Channel], rate: int) -> Iterator[bytes]:
    """A WAV file in pieces: header, then frames of all channels (of equal length), then the pad byte if need be."""
    frames = channels[0].frames
    yield wav_header(form, len(channels), rate, frames)
    for start, stop in pieces(frames):
        yield compand(form, interleaved(channels, start, stop))
    if frames * len(channels) * form.width & 1:
        yield b"\0"


def read_wav(data: bytes) -> tuple[int, NDArray[np.int16]]:
    """Rate and samples of shape (frames, channels) of a WAV file.

    Raises BadMediaError for what is no WAV file or a form that we do not write.
    """
    form, channels, rate = wav_format(data)
    for name, at, length in chunks(data):
        if name == b"data":
            whole = length - length % (channels * form.width)
            return rate, expand(form, data[at : at + whole]).reshape(-1, channels)
    raise BadMediaError("WAV file without samples")
