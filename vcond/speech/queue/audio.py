"""Audio of a job: FLAC of 16-bit samples, one channel, no faster than an engine hears. Exact both ways at 8 and 16 kHz."""

from __future__ import annotations

import os
from typing import Final

import numpy as np
import soundfile

from vcond.base.errors import BadMediaError
from vcond.speech.engine import Pcm

RATE: Final = 16_000
"""Samples a second at most: engines make no more of it, and half a minute fits into NATS's message of 1 MiB."""
MOST_SECONDS: Final = 300
"""Of an utterance, which has half a minute."""


def encoded(pcm: Pcm, rate: int) -> tuple[bytes, int]:
    """FLAC of samples, shape (samples,), and its rate: theirs, or ``RATE``."""
    if rate > RATE:
        import soxr  # heavy, and no PBX with calls of a telephone band needs it

        pcm, rate = np.asarray(soxr.resample(pcm, rate, RATE), np.int16), RATE
    descriptor = os.memfd_create("vcond-utterance")  # a file of Python's would need memory that is written and executed
    try:
        with soundfile.SoundFile(descriptor, "w", rate, 1, "PCM_16", format="FLAC", closefd=False) as file:
            file.write(pcm)
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0), rate
    finally:
        os.close(descriptor)


def decoded(flac: bytes, rate: int) -> Pcm:
    """Its samples, shape (samples,), int16. Raises BadMediaError for what is not such a file, or is too long."""
    descriptor = os.memfd_create("vcond-utterance")
    try:
        os.pwrite(descriptor, flac, 0)
        with soundfile.SoundFile(descriptor, closefd=False) as file:
            if (file.format, file.channels, file.samplerate) != ("FLAC", 1, rate):
                raise BadMediaError("not FLAC of one channel at the rate of its job")
            if not 0 < file.frames <= MOST_SECONDS * rate:
                raise BadMediaError("an utterance of no length that one has")
            pcm = file.read(file.frames, dtype="int16")
    except (soundfile.LibsndfileError, RuntimeError) as why:
        raise BadMediaError("not FLAC") from why
    finally:
        os.close(descriptor)
    return np.ascontiguousarray(pcm)
