"""A stream of a codec that ``vcond.media.codecs`` does not know, decoded by PyAV, which only some installations have."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from vcond.base.errors import BadMediaError
from vcond.media.codecs import Pcm

MOST: Final = 48_000 // 8
"""Samples of one frame: 120 ms, the longest of Opus (RFC 6716 section 3.2). Longer ones are left out."""


class AvDecoder:
    """Packets of one stream to samples of one channel."""

    def __init__(self, library: str, rate: int) -> None:
        """``library``: PyAV's name of the codec; ``rate``: samples a second that come out. Raises ImportError without PyAV."""
        import av

        self._error: type[Exception] = av.FFmpegError
        self._packet = av.Packet
        create: Any = av.CodecContext.create
        self._context = create(library, "r")
        self._context.sample_rate = rate
        self._context.layout = "mono"

    def decode(self, payload: bytes) -> Pcm:
        """The samples of one packet, shape (n,); none of an empty one. Raises BadMediaError."""
        if not payload:
            return np.zeros(0, np.int16)
        try:
            frames = self._context.decode(self._packet(payload))
        except self._error as why:
            raise BadMediaError(f"cannot decode a packet ({type(why).__name__})") from None
        parts = [_mono(frame) for frame in frames if frame.samples <= MOST]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _mono(frame: Any) -> Any:
    """Samples of one channel, whatever form the decoder gives them."""
    samples = frame.to_ndarray()
    if samples.dtype != np.int16:
        samples = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    channels = len(frame.layout.channels)
    apart = samples if frame.format.is_planar else samples.reshape(-1, channels).T
    return apart[0] if channels == 1 else apart.mean(axis=0).astype(np.int16)
