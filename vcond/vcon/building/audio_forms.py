"""The forms in which audio can ride in a vCon, from exact to small, and which of them fits.

WAV with G.711 inside keeps what telephony delivered, bit for bit; FLAC keeps 16-bit samples; Ogg/Opus (RFC 7845)
keeps what can be heard. All are deterministic: the same samples give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pybase64
import soundfile

from vcond.call.state import Track
from vcond.vcon.building.in_memory import MemoryFile, in_memory
from vcond.vcon.building.opus_pieces import InMemory, OpusFile, Pieces
from vcond.vcon.building.riff import Form, wav_size
from vcond.vcon.building.wav import Channel, interleaved, pieces, wav
from vcond.vcon.model import FileOf
from vcond.vcon.pcm import Pcm

_SAMPLES: Final = 24
_SAMPLE_SECONDS: Final = 5
"""Two minutes, spread over the call, tell how large FLAC makes it."""
_SHORT: Final = 2 * _SAMPLES * _SAMPLE_SECONDS


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to write a recording."""

    name: str
    mediatype: FileOf
    extension: str
    form: Form | None = None
    """Of a WAV."""
    kbps: int = 0
    """Of Opus, kbit/s a channel. Zero and no form: FLAC."""

    def least(self, channels: int, rate: int, frames: int) -> int:
        """Bytes that a file will have: exact for WAV, about right for Opus, the least to hope for of FLAC."""
        if self.form is not None:
            return wav_size(self.form, channels, frames)
        if self.kbps:
            return 2000 + (channels * self.kbps + 2) * 125 * frames // rate
        return channels * frames // 8

    def floor(self, rate: int, frames: int) -> int:
        """Bytes that no file is below: of Opus a packet's one and its entry for each 20 ms, and a page's 27 a second."""
        return frames // rate * 127 if self.kbps else 0

    def expected(self, channels: Sequence[Channel], rate: int, kept: Pieces | None = None) -> int:
        """Bytes that a file will have, about: of a compressed one, which spends less on silence, by parts of this call.

        Raises BadMediaError.
        """
        frames = channels[0].frames
        if self.form is not None:
            return self.least(len(channels), rate, frames)
        if self.kbps:
            sampled = OpusFile(channels, rate, self.kbps).sampled(kept if kept is not None else InMemory())
            return sampled or self.least(len(channels), rate, frames) // 2
        if frames <= _SHORT * rate:  # is sooner tried than estimated
            return self.least(len(channels), rate, frames)
        return flac_size(channels, rate)

    def write(
        self, channels: Sequence[Channel], rate: int, most: int | None = None, kept: Pieces | None = None
    ) -> Iterable[bytes]:
        """The file in parts.

        Raises BadMediaError when it would be longer than the form can hold, and TooLargeError as soon as a
        compressed one passes ``most`` bytes; when Opus is read, not before.
        """
        if self.form is not None:
            return wav(self.form, channels, rate)
        return opus(channels, rate, self.kbps, most, kept) if self.kbps else [flac(channels, rate, most)]


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


def smaller(rate: int, *, apart: bool) -> Sequence[Recipe]:
    """The compressed forms of a recording, the largest first; ``apart`` = of one with a file a party.

    Of telephone speech, which has 8,000 samples a second, Opus keeps all with 8 to 12 kbit/s and all that there is above
    (RFC 7587 section 3.1.1), so 24 are for wider speech only. Below 16 kbit/s a channel Opus lets one channel into the other.
    """
    wide = (OPUS[24],) if rate > 8000 else ()
    return (FLAC, *wide, OPUS[16], *(LEAST if apart else ()))


LEAST: Final = (OPUS[12], OPUS[8])
"""Forms for one file a party only."""


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


def base64url(parts: Iterable[bytes]) -> str:
    """Pieces as one unpadded base64url string. It is in memory once, and not once more as it is put together."""
    out, rest = "", b""
    for part in parts:
        whole = rest + part if rest else part
        cut = len(whole) - len(whole) % 3
        rest = whole[cut:]
        out += pybase64.b64encode(whole[:cut] if rest else whole, b"-_").decode("ascii")  # grows where it is
    out += base64.urlsafe_b64encode(rest).rstrip(b"=").decode("ascii")
    return out


def content_hash(parts: Iterable[bytes]) -> str:
    """The ContentHash of a file (core-04 section 2.2): SHA-512."""
    digest = hashlib.sha512()
    for part in parts:
        digest.update(part)
    return "sha512-" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode("ascii")


def flac(channels: Sequence[Channel], rate: int, most: int | None = None) -> bytes:
    """A FLAC file of 16-bit samples. Raises TooLargeError beyond ``most`` bytes."""
    with in_memory() as out:
        written = out.descriptor
        with soundfile.SoundFile(written, "w", rate, len(channels), "PCM_16", format="FLAC", closefd=False) as file:
            for start, stop in pieces(channels[0].frames):
                file.write(interleaved(channels, start, stop))
                _fits(out, most)
        _fits(out, most)
        return out.content()


def flac_size(channels: Sequence[Channel], rate: int) -> int:
    """Bytes of a FLAC file, about; of a short one exactly."""
    frames = channels[0].frames
    if frames <= _SHORT * rate:
        return len(flac(channels, rate))
    taken = _Sampled(channels, frames, _SAMPLE_SECONDS * rate)
    return len(flac(taken.channels, rate)) * frames // taken.frames


def _fits(out: MemoryFile, most: int | None) -> None:
    if most is not None and out.size > most:
        raise TooLargeError


def opus(
    channels: Sequence[Channel], rate: int, kbps: int, most: int | None = None, kept: Pieces | None = None
) -> Iterator[bytes]:
    """An Ogg/Opus file of about ``kbps`` a channel; what is not among the pieces that are ``kept`` is made.

    Raises TooLargeError as soon as it passes ``most`` bytes.
    """
    size = 0
    for piece in OpusFile(channels, rate, kbps).write(kept if kept is not None else InMemory()):
        size += len(piece)
        if most is not None and size > most:
            raise TooLargeError
        yield piece
