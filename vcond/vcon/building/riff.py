"""What is around the samples of a WAV file: its chunks and its form. Apart from ``wav``: who looks at it needs no numpy.

RIFF is the "Multimedia Programming Interface and Data Specifications 1.0"; format tags 1, 6 and 7 are of RFC 2361. A
companded file carries a ``fact`` chunk, as that specification demands of every form but PCM.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum
from typing import Protocol

from vcond.base.errors import BadMediaError


class Form(Enum):
    """How samples are written into a WAV: the format tag of RFC 2361 and bytes a sample."""

    PCM16 = (1, 2)
    ALAW = (6, 1)
    MULAW = (7, 1)

    @property
    def tag(self) -> int:
        """The format tag."""
        return self.value[0]

    @property
    def width(self) -> int:
        """Bytes a sample."""
        return self.value[1]


def wav_header(form: Form, channels: int, rate: int, frames: int) -> bytes:
    """The bytes before the samples.

    Raises BadMediaError when the file would pass the 4 GB that RIFF can count.
    """
    block = channels * form.width
    size = frames * block
    kind = struct.pack("<HHIIHH", form.tag, channels, rate, rate * block, block, form.width * 8)
    fact = b""
    if form is not Form.PCM16:
        kind += b"\0\0"
        fact = b"fact" + struct.pack("<II", 4, frames)
    body = 4 + 8 + len(kind) + len(fact) + 8 + size + (size & 1)
    if body > 0xFFFFFFFF:
        raise BadMediaError("recording too long for a WAV file")
    return (
        b"RIFF" + struct.pack("<I", body) + b"WAVE"
        + b"fmt " + struct.pack("<I", len(kind)) + kind + fact
        + b"data" + struct.pack("<I", size)
    )  # fmt: skip


def wav_size(form: Form, channels: int, frames: int) -> int:
    """The length of the file in bytes, header and padding included."""
    size = frames * channels * form.width
    return (44 if form is Form.PCM16 else 58) + size + (size & 1)


class Sliced(Protocol):
    """Bytes, or what gives stretches of them."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, wanted: slice, /) -> bytes | memoryview:
        """A stretch."""


def chunks(data: Sliced) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a RIFF WAVE file: id, offset and length of what they hold, cut to what is there.

    Raises BadMediaError when it is no RIFF WAVE file.
    """
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"WAVE":
        raise BadMediaError("not a RIFF WAVE file")
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack("<I", data[at + 4 : at + 8])
        yield bytes(data[at : at + 4]), at + 8, min(length, len(data) - at - 8)
        at += 8 + length + (length & 1)


def wav_format(data: Sliced) -> tuple[Form, int, int]:
    """Form, channels and rate from the first bytes of a WAV file.

    Raises BadMediaError for what is no WAV file or a form that we do not write.
    """
    for name, at, length in chunks(data):
        if name == b"fmt " and length >= 16:
            tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", data[at : at + 16])
            form = next((form for form in Form if form.tag == tag and form.width * 8 == bits), None)
            if form is None or not channels or not rate:
                break
            return form, channels, rate
    raise BadMediaError("unsupported form of WAV file")
