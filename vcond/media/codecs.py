"""Telephone codecs: bytes on the wire to 16-bit samples and back, by table look-up."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vcond.base.errors import BadMediaError

Pcm = NDArray[np.int16]
"""Mono samples, one dimension, native byte order."""

MAX_PAYLOAD: Final = 1 << 20
"""Bytes of one frame. More than any peer sends (20 ms are 160 to 3,840 bytes), less than what hurts."""


class Codec(StrEnum):
    """How the samples of a track are written on the wire."""

    PCMU = "PCMU"
    """G.711 mu-law, RFC 3551 section 4.5.14. One byte a sample."""
    PCMA = "PCMA"
    """G.711 A-law, RFC 3551 section 4.5.14. One byte a sample."""
    L16 = "L16"
    """16-bit signed, little endian, as AudioSocket and most WebSocket peers send it."""
    L16BE = "L16BE"
    """16-bit signed, network order: L16 of RFC 3551 section 4.5.11."""


def _mulaw_to_linear() -> Pcm:
    """The 256 values of mu-law (ITU-T G.711 table 2, scaled to 16 bits)."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = ((code >> 4) & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_to_linear() -> Pcm:
    """The 256 values of A-law (ITU-T G.711 table 1, scaled to 16 bits)."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = ((code >> 4) & 7).astype(np.int32), (code & 15).astype(np.int32)
    linear = (mantissa << 4) + 8
    magnitude = np.where(exponent == 0, linear, (linear + 256) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _nearest(values: Pcm, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The code of the nearest value for each 16-bit sample, indexed by the sample's bits read as unsigned.

    ``values`` are the decoded codes in rising order. The decision values of G.711 lie half-way between them; a
    sample exactly half-way takes the value farther from zero, as in the tables of the recommendation.
    """
    wide = values.astype(np.int32)
    middle = (wide[:-1] + wide[1:]) / 2
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    rising = np.searchsorted(middle, samples, side="right")
    falling = np.searchsorted(middle, samples, side="left")
    return codes[np.where(samples >= 0, rising, falling)]


def _encoder(table: Pcm, zero: int) -> NDArray[np.uint8]:
    """The 65,536 codes that undo ``table``; ``zero`` is the code to use of several that decode alike."""
    order = np.argsort(table, kind="stable")
    keep = np.append(np.diff(table[order].astype(np.int32)) > 0, True)
    codes = order[keep].astype(np.uint8)
    codes[table[codes] == table[zero]] = zero
    return _nearest(table[codes], codes)


_MULAW: Final = _mulaw_to_linear()
_ALAW: Final = _alaw_to_linear()
_TO_MULAW: Final = _encoder(_MULAW, zero=0xFF)
_TO_ALAW: Final = _encoder(_ALAW, zero=0xD5)


def _decode_mulaw(payload: bytes) -> Pcm:
    return _MULAW.take(np.frombuffer(payload, np.uint8), mode="clip")  # no code is outside: it only takes half as long


def _decode_alaw(payload: bytes) -> Pcm:
    return _ALAW.take(np.frombuffer(payload, np.uint8), mode="clip")


def _decode_little(payload: bytes) -> Pcm:
    return np.frombuffer(payload, "<i2").astype(np.int16, copy=False)


def _decode_big(payload: bytes) -> Pcm:
    return np.frombuffer(payload, ">i2").astype(np.int16)


_DECODERS: Final[dict[Codec, Callable[[bytes], Pcm]]] = {
    Codec.PCMU: _decode_mulaw,
    Codec.PCMA: _decode_alaw,
    Codec.L16: _decode_little,
    Codec.L16BE: _decode_big,
}


def decode(codec: Codec, payload: bytes) -> Pcm:
    """The samples of one frame; read-only where they share memory with ``payload``. Nothing in, nothing out.

    Raises BadMediaError when ``payload`` is longer than ``MAX_PAYLOAD`` or is half a sample too long.
    """
    if len(payload) > MAX_PAYLOAD:
        raise BadMediaError(f"frame of {len(payload)} bytes; the limit is {MAX_PAYLOAD}")
    try:
        return _DECODERS[codec](payload)
    except ValueError as exc:
        raise BadMediaError(f"{codec} frame of {len(payload)} bytes ends in half a sample") from exc


def encode(codec: Codec, pcm: Pcm) -> bytes:
    """The bytes of ``pcm``, shape (n,), in ``codec``."""
    if codec is Codec.PCMU:
        return _TO_MULAW.take(pcm.view(np.uint16)).tobytes()
    if codec is Codec.PCMA:
        return _TO_ALAW.take(pcm.view(np.uint16)).tobytes()
    return pcm.astype("<i2" if codec is Codec.L16 else ">i2").tobytes()
