"""Audio that a vCon is built from."""

from __future__ import annotations

from typing import Protocol

from vcond.vcon.pcm import Pcm


class Sound(Protocol):
    """Samples from which stretches are taken: an array of int16, or what reads one when it is asked."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, part: slice, /) -> Pcm:
        """Those of a stretch."""
