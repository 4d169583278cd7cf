"""Codecs that a track does not take as they are, decoded by PyAV where that is installed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from vcond.media.av_decoder import AvDecoder
from vcond.media.codecs import encode
from vcond.sdk.contract import Codec

LIBRARY: Final = {"opus": ("libopus", 48_000), "g722": ("g722", 16_000), "g729": ("g729", 8_000)}
"""What PyAV calls a codec, and the samples a second that come out."""


@cache
def available() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


async def load() -> None:
    """Load PyAV in a thread, where it is installed: adapters do so before their first call, which would wait for it else."""
    if available():
        with suppress(ImportError):  # a broken one is the matter of who needs it
            await asyncio.to_thread(import_module, "av")


class Decoder:
    """A stream of one codec to 16-bit samples of one channel."""

    def __init__(self, library: str, rate: int) -> None:
        """``rate``: samples a second that come out."""
        self.rate = rate
        self._decoder = AvDecoder(library, rate)

    def decode(self, payload: bytes) -> bytes:
        """The samples of one packet, as ``Codec.L16``. None of an empty packet. Raises BadMediaError."""
        return encode(Codec.L16, self._decoder.decode(payload))


def decoder(name: str) -> Decoder | None:
    """A decoder for a stream of a codec, by its name in lower case; None when there is none for it here."""
    known = LIBRARY.get(name)
    if known is None or not available():
        return None
    return Decoder(*known)
