"""Codecs that a track does not take as they are, decoded by PyAV where that is installed."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from vcond.media.codecs import encode
from vcond.media.rtp.formats import Format
from vcond.sdk.contract import BadMediaError, Codec

LIBRARY: Final = {"opus": ("libopus", 48_000), "g722": ("g722", 16_000), "g729": ("g729", 8_000)}
"""What PyAV calls a codec, and the samples a second that come out."""
MOST: Final = 48_000 // 8
"""Samples of one packet: 120 ms, the longest of Opus (RFC 6716 section 3.2)."""


@cache
def available() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


class Decoder:
    """A stream of one codec to 16-bit samples of one channel."""

    def __init__(self, library: str, rate: int) -> None:
        """``rate``: samples a second that come out."""
        import av

        self.rate = rate
        self._error: type[Exception] = av.FFmpegError
        self._packet = av.Packet
        create: Any = av.CodecContext.create
        self._context = create(library, "r")
        self._context.sample_rate = rate
        self._context.layout = "mono"

    def decode(self, payload: bytes) -> bytes:
        """The samples of one packet, as ``Codec.L16``. Raises BadMediaError."""
        try:
            frames = self._context.decode(self._packet(payload))
        except self._error as why:
            raise BadMediaError(f"cannot decode a packet ({type(why).__name__})") from None
        parts = [_mono(frame) for frame in frames if frame.samples <= MOST]
        return encode(Codec.L16, np.concatenate(parts)) if parts else b""


def _mono(frame: Any) -> Any:
    """Samples of one channel, whatever form the decoder gives them."""
    samples = frame.to_ndarray()
    if samples.dtype != np.int16:
        samples = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    planar = frame.format.is_planar
    channels = len(frame.layout.channels)
    apart = samples if planar else samples.reshape(-1, channels).T
    return apart[0] if channels == 1 else apart.mean(axis=0).astype(np.int16)


def decoder(format: Format) -> Decoder | None:  # noqa: A002
    """A decoder for a stream; None when there is none for it here."""
    known = LIBRARY.get(format.name)
    if known is None or not available():
        return None
    return Decoder(*known)
