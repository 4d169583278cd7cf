"""libopus, called directly.

PyAV brings it, but its decoder (libavcodec's) always gives 48 kHz, and never what a packet holds of the one before it:
the in-band forward error correction of RFC 6716 section 2.1.7. Here libopus gives the rate that is kept, in one
channel, in a quarter of the time.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from pathlib import Path
from typing import Any, Final

import numpy as np

from vcond.media.codecs import Pcm
from vcond.sdk.contract import BadMediaError, ConfigError

LONGEST: Final = 0.12
"""Seconds that a packet may hold (RFC 6716 section 2.1.4)."""
SYSTEM: Final = "libopus.so.0"


@functools.cache
def library() -> Any:
    """The one that is beside PyAV, else the system's. Raises ConfigError."""
    import av

    beside = Path(av.__file__).parent
    found = [*beside.parent.glob("av.libs/libopus*"), *beside.glob(".dylibs/libopus*")]
    for name in [*map(str, sorted(found)), SYSTEM]:
        try:
            return _typed(ctypes.CDLL(name))
        except OSError:
            continue
    raise ConfigError("needs libopus, which is not installed: apt-get install libopus0")


class OpusDecoder:
    """One stream of packets to samples of one channel."""

    def __init__(self, rate: int) -> None:
        """``rate``: 8,000, 12,000, 16,000, 24,000 or 48,000 samples a second."""
        self._opus = library()
        self._rate = rate
        failed = ctypes.c_int()
        decoder = self._opus.opus_decoder_create(rate, 1, ctypes.byref(failed))
        if not decoder:
            raise MemoryError
        self._decoder = ctypes.c_void_p(decoder)
        weakref.finalize(self, self._opus.opus_decoder_destroy, self._decoder)
        self._room = np.zeros(round(rate * LONGEST), np.int16)
        self._address = self._room.ctypes.data

    def decode(self, payload: bytes) -> Pcm:
        """The samples of one packet, shape (n,); none of none. Raises BadMediaError."""
        if not payload:
            return np.zeros(0, np.int16)
        got = self._opus.opus_decode(self._decoder, payload, len(payload), self._address, len(self._room), 0)
        if got < 0:
            raise BadMediaError(f"cannot decode a packet (Opus error {got})")
        return self._room[:got].copy()

    def recover(self, payload: bytes, length: int) -> Pcm:
        """The packet of ``length`` samples that came before this one; to be asked for before ``decode`` of this one.

        None when this packet does not hold it, or only a part of it: libopus would make the rest up.
        """
        nothing = np.zeros(0, np.int16)
        if not payload or not self._opus.opus_packet_has_lbrr(payload, len(payload)) > 0:
            return nothing
        if self._opus.opus_packet_get_samples_per_frame(payload, self._rate) != length:
            return nothing
        got = self._opus.opus_decode(self._decoder, payload, len(payload), self._address, length, 1)
        return self._room[:got].copy() if got > 0 else nothing


def _typed(opus: Any) -> Any:
    """The functions with the types of opus.h; without the youngest (libopus 1.4) nothing is ever recovered."""
    opus.opus_decoder_create.restype = ctypes.c_void_p
    opus.opus_decoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    opus.opus_decoder_destroy.restype = None
    opus.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
    opus.opus_decode.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int, ctypes.c_int,
    ]  # fmt: skip
    opus.opus_packet_get_samples_per_frame.argtypes = [ctypes.c_char_p, ctypes.c_int32]
    if hasattr(opus, "opus_packet_has_lbrr"):
        opus.opus_packet_has_lbrr.argtypes = [ctypes.c_char_p, ctypes.c_int32]
    else:
        opus.opus_packet_has_lbrr = lambda *_: 0
    return opus
