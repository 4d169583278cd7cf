"""A call of the user's own: a stereo file, left = caller, right = agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from vcond.demo.call import FRAME, RATE, SILENCE, Person, Recording
from vcond.demo.errors import DemoError
from vcond.media.codecs import Codec, encode

MAX_SECONDS = 2 * 3600
MIN_RATE, MAX_RATE = 4_000, 192_000
BLOCK = 1 << 16
"""Frames read at once, so that a long file is never in memory at its own rate."""

PEOPLE = (Person("caller", "Caller"), Person("agent", "Agent"))


def stereo_wav(path: Path, option: str = "--wav") -> tuple[bytes, bytes]:
    """Left and right as PCMU at 8 kHz, whole frames of 20 ms, of equal length.

    Reads what libsndfile reads (WAV, FLAC, Ogg, ...) at any usual rate. Raises DemoError when the file cannot be
    read, is not stereo, is empty, too long, or breaks off; its text begins with the ``option`` that named the file.
    """
    try:
        with soundfile.SoundFile(path) as file:
            _check(path, file, option)
            left, right = bytearray(), bytearray()
            for block in _resampled(file, option):
                left += encode(Codec.PCMU, block[:, 0])
                right += encode(Codec.PCMU, block[:, 1])
    except soundfile.LibsndfileError as why:
        reason = "no such file" if not path.exists() else why.error_string
        raise DemoError(f"{option} {path}: cannot be read as audio: {reason}") from None
    padding = SILENCE * (-len(left) % FRAME)
    return bytes(left + padding), bytes(right + padding)


def own_call(path: Path, option: str = "--wav") -> Recording:
    """A stereo file as a call to be played. Raises DemoError as ``stereo_wav``."""
    return Recording(path.name, PEOPLE, stereo_wav(path, option))


def _check(path: Path, file: soundfile.SoundFile, option: str) -> None:
    if file.channels != 2:
        raise DemoError(
            f"{option} {path}: needs 2 channels (left = caller, right = agent), this file has {file.channels}"
        )
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise DemoError(f"{option} {path}: {file.samplerate} Hz is not between {MIN_RATE} and {MAX_RATE} Hz")
    if not 0 < file.frames <= MAX_SECONDS * file.samplerate:
        length = file.frames / file.samplerate
        raise DemoError(
            f"{option} {path}: {length:.0f} s long; it must have audio and last at most {MAX_SECONDS // 3600} hours"
        )


def _resampled(file: soundfile.SoundFile, option: str) -> Iterator[NDArray[np.int16]]:
    """Blocks of shape (samples, 2) at 8 kHz. A float file may hold more than full scale, or no numbers at all."""
    stream = soxr.ResampleStream(file.samplerate, RATE, 2, dtype="float32", quality="HQ")
    left = file.frames
    while left > 0:
        block = file.read(min(BLOCK, left), dtype="float32", always_2d=True)
        if len(block) == 0:
            raise DemoError(f"{option} {file.name}: is cut off {left / file.samplerate:.1f} s before its end")
        left -= len(block)
        out = stream.resample_chunk(np.nan_to_num(block), last=left == 0)
        yield np.round(np.clip(out, -1, 1) * 32767).astype(np.int16)
