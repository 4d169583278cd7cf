"""The forms in which audio can ride in a vCon, from exact to small, and which of them fits.

WAV with G.711 inside keeps what telephony delivered, bit for bit; FLAC keeps 16-bit samples; Ogg/Opus (RFC 7845)
keeps what can be heard. All are deterministic: the same samples give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pybase64
import soundfile
import soxr
from numpy.typing import NDArray

from vcond.call.state import Track
from vcond.vcon.building.wav import CHUNK, Channel, Form, interleaved, pieces, rounded, wav, wav_size
from vcond.vcon.model import FileOf, Pcm

_OPUS_RATES: Final = (8000, 12000, 16000, 24000, 48000)
_SERIAL: Final = 1
_SAMPLES: Final = 24
_SAMPLE_SECONDS: Final = 5
"""Two minutes, spread over the call, tell how large Opus makes it."""
_OPUS_HEAD: Final = 300
"""Bytes before the first audio: identification and comment headers, each in a page of its own."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to write a recording."""

    name: str
    mediatype: FileOf
    extension: str
    form: Form | None = None
    """Of a WAV."""
    kbps: int = 0
    """Of Opus, a channel. Zero and no form: FLAC."""

    def least(self, channels: int, rate: int, frames: int) -> int:
        """Bytes that a file will have: exact for WAV, about right for Opus, the least to hope for of FLAC."""
        if self.form is not None:
            return wav_size(self.form, channels, frames)
        if self.kbps:
            return 2000 + (channels * self.kbps + 2) * 125 * frames // rate
        return channels * frames // 8

    def expected(self, channels: Sequence[Channel], rate: int) -> int:
        """Bytes that a file will have, about: for Opus, which spends less on silence, by pieces of this very call.

        Raises BadMediaError.
        """
        frames = channels[0].frames
        if not self.kbps:
            return self.least(len(channels), rate, frames)
        if frames <= 2 * _SAMPLES * _SAMPLE_SECONDS * rate:  # is sooner tried than estimated
            return self.least(len(channels), rate, frames) // 2
        taken = _Sampled(channels, frames, _SAMPLE_SECONDS * rate)
        size = len(opus(taken.channels, rate, self.kbps)) - _OPUS_HEAD
        return _OPUS_HEAD + size * frames // taken.frames

    def write(self, channels: Sequence[Channel], rate: int, most: int | None = None) -> Iterable[bytes]:
        """The file in pieces.

        Raises BadMediaError when it would be longer than the form can hold, and TooLargeError as soon as a
        compressed one passes ``most`` bytes.
        """
        if self.form is not None:
            return wav(self.form, channels, rate)
        return [opus(channels, rate, self.kbps, most)] if self.kbps else [flac(channels, rate, most)]


class _Sampled:
    """Pieces of some channels, at equal distances, one after another."""

    def __init__(self, channels: Sequence[Channel], frames: int, each: int) -> None:
        step = (frames - each) // (_SAMPLES - 1)
        self.frames = each * _SAMPLES
        self.channels = [
            _Samples(np.concatenate([one.read(at * step, at * step + each) for at in range(_SAMPLES)]))
            for one in channels
        ]


@dataclass(frozen=True, slots=True)
class _Samples:
    """A channel in memory."""

    pcm: Pcm

    @property
    def frames(self) -> int:
        return len(self.pcm)

    def read(self, start: int, stop: int) -> Pcm:
        return self.pcm[start:stop]


class TooLargeError(Exception):
    """A compressed file that does not fit; it is caught where the next form is tried."""


WAV_MULAW: Final = Recipe("wav-mulaw", "audio/x-wav", "wav", Form.MULAW)
WAV_ALAW: Final = Recipe("wav-alaw", "audio/x-wav", "wav", Form.ALAW)
WAV_PCM: Final = Recipe("wav-pcm16", "audio/x-wav", "wav", Form.PCM16)
FLAC: Final = Recipe("flac", "audio/flac", "flac")
OPUS: Final = {kbps: Recipe(f"opus-{kbps}", "audio/ogg", "ogg", kbps=kbps) for kbps in (24, 16, 12, 8)}

TOGETHER: Final = (FLAC, OPUS[24], OPUS[16])
"""Smaller forms for two channels in one file. Below 16 kbit/s a channel Opus lets one channel into the other."""
APART: Final = (FLAC, OPUS[24], OPUS[16], OPUS[12], OPUS[8])
"""Smaller forms for one file a party."""


def exact(tracks: Sequence[Track], rate: int) -> Recipe:
    """The WAV that loses nothing: A-law when that is all that came, else µ-law at 8,000 Hz, else 16-bit PCM.

    16-bit audio at 8,000 Hz is written as µ-law too: an 8,000 Hz stream has been through G.711 in nearly every
    PBX, whose decoded samples come back unchanged.
    """
    if rate != 8000:
        return WAV_PCM
    return WAV_ALAW if tracks and all(track.codec == "PCMA" for track in tracks) else WAV_MULAW


def base64_size(size: int) -> int:
    """Characters of unpadded base64 for so many bytes."""
    return -(-size * 4 // 3)


def base64url(parts: Iterable[bytes], size: int = 0) -> str:
    """Pieces as one unpadded base64url string; ``size`` is the expected number of bytes, to allocate once."""
    out = bytearray(base64_size(size))
    at, rest = 0, b""
    for part in parts:
        whole = rest + part if rest else part
        cut = len(whole) - len(whole) % 3
        rest = whole[cut:]
        text = pybase64.b64encode(whole[:cut] if rest else whole, b"-_")
        out[at : at + len(text)] = text
        at += len(text)
    tail = base64.urlsafe_b64encode(rest).rstrip(b"=")
    out[at:] = tail
    return out.decode("ascii")


def content_hash(parts: Iterable[bytes]) -> str:
    """The ContentHash of a file (core-04 section 2.2): SHA-512."""
    digest = hashlib.sha512()
    for part in parts:
        digest.update(part)
    return "sha512-" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode("ascii")


def flac(channels: Sequence[Channel], rate: int, most: int | None = None) -> bytes:
    """A FLAC file of 16-bit samples. Raises TooLargeError beyond ``most`` bytes."""
    with _memory() as out:
        with soundfile.SoundFile(out, "w", rate, len(channels), "PCM_16", format="FLAC", closefd=False) as file:
            for start, stop in pieces(channels[0].frames):
                file.write(interleaved(channels, start, stop))
                _fits(out, most)
        return _content(out, most)


def opus(channels: Sequence[Channel], rate: int, kbps: int, most: int | None = None) -> bytes:
    """An Ogg/Opus file of about ``kbps`` a channel. A rate that Opus has not is raised to the next that it has.

    Raises TooLargeError beyond ``most`` bytes.
    """
    target = next(known for known in _OPUS_RATES if known >= min(rate, 48000))
    # libsndfile counts from 256 (level 0) down to 6 kbit/s a channel (level 1)
    level = 1 - (kbps - 6) / 250
    form: dict[str, Any] = {"subtype": "OPUS", "format": "OGG", "compression_level": level}
    with _memory() as out:
        with soundfile.SoundFile(out, "w", target, len(channels), **form, closefd=False) as file:
            for block in _resampled(channels, rate, target):
                file.write(block)
                _fits(out, most)
        return reserialled(_content(out, most), _SERIAL)


@contextmanager
def _memory() -> Iterator[int]:
    """A file that is only in memory. With one of Python's, soundfile needs callbacks in memory that is written and then
    executed, which the unit forbids (MemoryDenyWriteExecute=).
    """
    descriptor = os.memfd_create("vcond-recording")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _content(out: int, most: int | None) -> bytes:
    _fits(out, most)
    with mmap.mmap(out, 0, prot=mmap.PROT_READ) as whole:
        return whole[:]


def _fits(out: int, most: int | None) -> None:
    if most is not None and os.fstat(out).st_size > most:
        raise TooLargeError


def _resampled(channels: Sequence[Channel], rate: int, target: int) -> Iterator[NDArray[np.int16]]:
    """Blocks of shape (frames, channels) at the target rate. In floats: soxr adds noise to 16-bit samples."""
    stream = soxr.ResampleStream(rate, target, len(channels), dtype="float32") if target != rate else None
    frames = channels[0].frames
    for start, stop in pieces(frames, CHUNK):
        block = interleaved(channels, start, stop)
        if stream is None:
            yield block
        else:
            yield rounded(stream.resample_chunk(block.astype(np.float32), last=stop == frames))


_MIRROR: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_checksum(page: bytes) -> int:
    """The CRC of an Ogg page whose checksum field is zero (RFC 3533 section 6): zlib's polynomial, bits mirrored."""
    mirrored = zlib.crc32(page.translate(_MIRROR), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def reserialled(data: bytes, serial: int) -> bytes:
    """An Ogg file of one stream with another serial number: libsndfile takes a random one, we must be repeatable."""
    out = bytearray(data)
    at = 0
    while at + 27 <= len(out) and out[at : at + 4] == b"OggS":
        table = out[at + 27 : at + 27 + out[at + 26]]
        end = at + 27 + len(table) + sum(table)
        struct.pack_into("<I", out, at + 14, serial)
        struct.pack_into("<I", out, at + 22, 0)
        struct.pack_into("<I", out, at + 22, ogg_checksum(bytes(out[at:end])))
        at = end
    return bytes(out)
