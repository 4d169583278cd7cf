"""Ogg/Opus (RFC 7845) in pieces of a fixed grid, each made by itself and the same whenever it is made.

A file is its pieces one after another: each is ``PACKETS`` packets of 20 ms, a second a page, with their numbers and
positions in the file. An encoder is started anew for each piece, ``PRIMING`` packets early, so that what a decoder
remembers at the seam is near what the encoder does; a decoder needs 80 ms for that (RFC 7845 section 4.6). So what is
made during a call and what is made at its end is the same file, byte for byte. See docs/decisions/0025.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from vcond.vcon.building.in_memory import in_memory
from vcond.vcon.building.wav import CHUNK, Channel, interleaved, pieces, rounded

SECONDS: Final = 20
"""Of a piece."""
_PAGE: Final = 50
"""Packets of a page: a second. Even of the largest packets the table of a page holds so many (51)."""
PACKETS: Final = SECONDS * _PAGE
PRIMING: Final = 20
"""Packets that are made before a piece and thrown away."""
SAMPLED, FIRST_SAMPLED, MOST_SAMPLED = 8, 4, 12
"""Each eighth piece, from the fifth on, tells how large a file becomes; of a longer one each 16th, 32nd and so on."""
_TICKS: Final = 960
"""Of 48 kHz, in which Ogg counts, in a packet."""
_RATES: Final = (8000, 12000, 16000, 24000, 48000)
_SERIAL: Final = 1
_FORMAT: Final = b"vcond opus piece 1"
_HEADERS: Final = 2
"""Pages, and packets, before the first audio."""


class Pieces(Protocol):
    """Where pieces are kept, by name. What is not there is made."""

    def get(self, name: str, /) -> bytes | None:
        """A piece that is whole; None when it is not there or is damaged."""

    def put(self, name: str, body: bytes, /) -> None:
        """Keep one."""


class InMemory:
    """Pieces of one build: those that were kept elsewhere, and what is made now."""

    def __init__(self, elsewhere: Callable[[str], bytes | None] | None = None) -> None:
        self._elsewhere, self._made = elsewhere, dict[str, bytes]()
        self.asked: set[str] = set()
        """Names of all that belong to the call as it is now."""

    def get(self, name: str) -> bytes | None:
        """See ``Pieces``."""
        self.asked.add(name)
        found = self._made.get(name)
        return self._elsewhere(name) if found is None and self._elsewhere is not None else found

    def put(self, name: str, body: bytes) -> None:
        """See ``Pieces``."""
        self._made[name] = body


@dataclass(frozen=True, slots=True)
class OpusFile:
    """A file of about ``kbps`` a channel. A rate that Opus has not is raised to the next that it has."""

    channels: Sequence[Channel]
    rate: int
    kbps: int

    @property
    def frames(self) -> int:
        """Its length in samples."""
        return self.channels[0].frames

    @property
    def count(self) -> int:
        """How many pieces it has; the last one may be shorter."""
        return max(1, -(-self.frames // (SECONDS * self.rate)))

    def piece(self, number: int, kept: Pieces) -> bytes:
        """One piece, from where it is kept or made and put there."""
        begin, stop = self.needs(number)
        sound = interleaved(self.channels, begin, min(stop, self.frames))
        name = self._name(number, sound)
        body = kept.get(name)
        if body is None:
            body = self._made(number, sound)
            kept.put(name, body)
        return body

    def needs(self, number: int) -> tuple[int, int]:
        """The samples ``[start, stop)`` that a piece is made of, had the file no end: its own, and what is around it."""
        length = SECONDS * self.rate
        return max(0, number * length - PRIMING * self.rate // _PAGE), (number + 1) * length + self._ahead

    @property
    def settled(self) -> int:
        """How many pieces stay as they are, however long the file becomes."""
        return max(0, (self.frames - self._ahead - 1) // (SECONDS * self.rate))

    def write(self, kept: Pieces) -> Iterator[bytes]:
        """The file."""
        return (self.piece(number, kept) for number in range(self.count))

    def sampled(self, kept: Pieces) -> int:
        """About how many bytes it has, by some of its pieces; 0 for a file that is too short for that."""
        step = SAMPLED
        while self.count > MOST_SAMPLED * step:
            step *= 2
        sizes = [len(self.piece(number, kept)) for number in range(FIRST_SAMPLED, self.count - 1, step)]
        return sum(sizes) * self.frames // (len(sizes) * SECONDS * self.rate) if sizes else 0

    @property
    def _target(self) -> int:
        return next(known for known in _RATES if known >= min(self.rate, 48000))

    @property
    def _ahead(self) -> int:
        """How far a filter between rates looks beyond a piece."""
        return 0 if self._target == self.rate else self.rate // 10

    def _name(self, number: int, sound: NDArray[np.int16]) -> str:
        what = (soundfile.__libsndfile_version__, self.rate, self.kbps, number, number == self.count - 1, sound.shape)
        digest = hashlib.blake2b(_FORMAT + repr(what).encode(), digest_size=32)
        digest.update(np.ascontiguousarray(sound, "<i2").data)
        return digest.hexdigest()

    def _made(self, number: int, sound: NDArray[np.int16]) -> bytes:
        last = number == self.count - 1
        packets, skipped = _packets(_encoded(sound, self.rate, self._target, self.kbps))
        headers, audio = packets[:_HEADERS], packets[_HEADERS + (PRIMING if number else 0) :]
        first = number * PACKETS
        pages = [] if number else [_page([packet], i, 0, 2 * (not i)) for i, packet in enumerate(headers)]
        if not last:
            audio = audio[:PACKETS]
        end = min(skipped + self.frames * 48000 // self.rate, (first + len(audio)) * _TICKS)
        for at in range(0, len(audio), _PAGE):
            group = audio[at : at + _PAGE]
            final = last and at + _PAGE >= len(audio)
            ticks = end if final else (first + at + len(group)) * _TICKS
            pages.append(_page(group, _HEADERS + (first + at) // _PAGE, ticks, 4 * final))
        return b"".join(pages)


def _encoded(sound: NDArray[np.int16], rate: int, target: int, kbps: int) -> bytes:
    """An Ogg/Opus file of its own."""
    # libsndfile counts from 256 (level 0) down to 6 kbit/s a channel (level 1)
    form: dict[str, Any] = {"subtype": "OPUS", "format": "OGG", "compression_level": 1 - (kbps - 6) / 250}
    with in_memory() as out:
        with soundfile.SoundFile(out.descriptor, "w", target, sound.shape[1], **form, closefd=False) as file:
            for block in _resampled(sound, rate, target):
                file.write(block)
        return out.content()


def _resampled(sound: NDArray[np.int16], rate: int, target: int) -> Iterator[NDArray[np.int16]]:
    """Blocks of shape (frames, channels) at the target rate. In floats: soxr adds noise to 16-bit samples."""
    stream = soxr.ResampleStream(rate, target, sound.shape[1], dtype="float32") if target != rate else None
    for start, stop in pieces(len(sound), CHUNK):
        block = sound[start:stop]
        if stream is None:
            yield block
        else:
            yield rounded(stream.resample_chunk(block.astype(np.float32), last=stop == len(sound)))


def _packets(data: bytes) -> tuple[list[bytes], int]:
    """The packets of an Ogg file of one stream (RFC 3533 section 6), and the samples that a decoder skips."""
    found: list[bytes] = []
    at, part = 0, b""
    while at < len(data):
        table = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(table)
        for size in table:
            part += data[at : at + size]
            at += size
            if size < 255:
                found.append(part)
                part = b""
    return found, int.from_bytes(found[0][10:12], "little")


def _page(packets: Sequence[bytes], number: int, ticks: int, flags: int) -> bytes:
    """A page of whole packets. ``flags``: 2 = the first page, 4 = the last."""
    table = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    page = bytearray(struct.pack("<4sBBqIIIB", b"OggS", 0, flags, ticks, _SERIAL, number, 0, len(table)))
    page += table + b"".join(packets)
    struct.pack_into("<I", page, 22, ogg_checksum(bytes(page)))
    return bytes(page)


_MIRROR: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_checksum(page: bytes) -> int:
    """The CRC of an Ogg page whose checksum field is zero (RFC 3533 section 6): zlib's polynomial, bits mirrored."""
    mirrored = zlib.crc32(page.translate(_MIRROR), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
