"""AudioSocket on the wire: frames of ``type u8 | length u16 big endian | payload``. No sockets.

Asterisk's ``include/asterisk/res_audiosocket.h``; types 0x11 to 0x18 from about 20.16, 22.7, 23.1. Asterisk sends no
hangup frame at the end of a call, only the end of the connection.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from vcond.sdk.contract import ProtocolError

HEADER: Final = 3
HANGUP: Final = 0x00
IDENTITY: Final = 0x01
ERROR: Final = 0xFF
RATES: Final = {
    0x10: 8000, 0x11: 12000, 0x12: 16000, 0x13: 24000, 0x14: 32000, 0x15: 44100, 0x16: 48000, 0x17: 96000, 0x18: 192000,
}  # fmt: skip
"""Samples a second of each audio type; samples are signed, 16 bit, little endian."""
LONGEST: Final = 0.2
"""Seconds of audio in one frame at most; real ones have 0.02."""


class Frame(msgspec.Struct, frozen=True):
    """One frame as it came."""

    kind: int
    payload: bytes


class Framer:
    """Cuts a stream of bytes into frames, by length, however it was chunked."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """All frames that are complete now. At most 64 KiB + 2 wait for their rest: a length cannot say more."""
        data = self._rest + data if self._rest else data
        frames: list[Frame] = []
        at, size = 0, len(data)
        while size - at >= HEADER:
            stop = at + HEADER + (data[at + 1] << 8 | data[at + 2])
            if stop > size:
                break
            frames.append(Frame(data[at], data[at + HEADER : stop]))
            at = stop
        self._rest = data[at:]
        return frames

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._rest)


def identity(frame: Frame) -> UUID:
    """The UUID that the first frame must carry. Raises ProtocolError when it does not."""
    if frame.kind != IDENTITY or len(frame.payload) != 16:
        raise ProtocolError(
            f"AudioSocket began with an unexpected frame: type {frame.kind:#04x}, {len(frame.payload)} bytes"
        )
    return UUID(bytes=frame.payload)


def silence(rate: int) -> bytes:
    """One frame of 20 ms of silence, as Asterisk takes it: 323 bytes at 8,000 samples a second."""
    kind = next(kind for kind, known in RATES.items() if known == rate)
    payload = bytes(rate // 50 * 2)
    return bytes((kind, *len(payload).to_bytes(2, "big"))) + payload


def is_audio(frame: Frame, rate: int) -> bool:
    """Whether a frame holds audio of ``rate`` as asked for: whole 10 ms of 16-bit samples, not too long.

    Asterisk before 22.7 or so labels every format 0x10, and has sent Opus and mu-law under it: what is not linear
    PCM of the rate shows in its length.
    """
    unit = rate // 100 * 2
    size = len(frame.payload)
    return RATES.get(frame.kind) == rate and 0 < size <= LONGEST * rate * 2 and size % unit == 0
