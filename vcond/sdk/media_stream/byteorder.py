"""Which byte of a 16-bit sample comes first, measured: platforms document it wrongly, or not at all.

Sound changes little from sample to sample. With its bytes the wrong way round it is noise near full scale: the sum of
its steps is many times that of the right way. Loud tones of a telephone line (A-law) have next to nothing in their lower
bytes, and look smoother the wrong way round: but only the higher bytes of sound that goes above and below zero are both 0 and
-1, which the lower ones of what was G.711 never are. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

import numpy as np

from vcond.sdk.contract import Instant, SpanKind, Track

CLEAR: Final = 2.0
"""The ratio by which the steps of one order must be larger than those of the other."""
FEWEST: Final = 400
"""Samples on which something is said: 50 ms at 8 kHz."""

PATIENCE: Final = 1.5
"""Seconds that sound waits at most when too little of it comes."""

Order = Literal["little", "big"]


def steps(payload: bytes) -> tuple[int, int]:
    """The sums of the steps from sample to sample: read as little endian, and as big endian."""
    whole = payload[: len(payload) // 2 * 2]
    little, big = (int(np.abs(np.diff(np.frombuffer(whole, kind).astype(np.int32))).sum()) for kind in ("<i2", ">i2"))
    return little, big


def order_of(payload: bytes) -> Order | None:
    """Which byte comes first in these samples; None when they do not say."""
    if len(payload) < 2 * FEWEST:
        return None
    little, big = steps(payload)
    if big > CLEAR * little and {0, 0xFF} <= set(payload[1::2]):
        return "little"
    if little > CLEAR * big and {0, 0xFF} <= set(payload[::2]):
        return "big"
    return None


def swapped(payload: bytes) -> bytes:
    """The same with the bytes of each sample exchanged."""
    return np.frombuffer(payload[: len(payload) // 2 * 2], "<i2").byteswap().tobytes()


class OrderedTrack:
    """A track of little-endian samples for whose source it is measured which byte comes first.

    Up to a second of what is no silence waits until that is known, and no longer than ``PATIENCE``, whether more comes or
    not; what says nothing either way (silence, noise) is then taken as declared, and the next second is looked at. A daemon
    that is killed loses what waits, and its record says nothing of that stretch.
    """

    def __init__(
        self,
        track: Track,
        declared: Order,
        rate: int,
        told: Callable[[str], None],
        later: Callable[[float, Callable[[], None]], object] = lambda _after, _call: None,
    ) -> None:
        """``told`` is told once what is known of the order, in words. ``later`` calls after so many seconds."""
        self._track = track
        self._declared: Order = declared
        self._second = 2 * rate
        self._told = told
        self._later = later
        self._order: Order | None = None
        self._size = self._batch = 0
        self._waiting: list[tuple[bytes, Instant, int | None, int | None]] = []

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """As ``Track.write``."""
        if self._order is not None:
            self._hand_on(payload, arrived, stamp, seq)
            return
        if not self._waiting:
            if payload.count(0) == len(payload):
                self._hand_on(payload, arrived, stamp, seq)
                return
            self._batch += 1
            self._later(PATIENCE, partial(self._due, self._batch))
        self._size += len(payload)
        self._waiting.append((payload, arrived, stamp, seq))
        if self._size >= self._second:
            self._decide()

    def absent(self, since: Instant, until: Instant, kind: SpanKind) -> None:
        """As ``Track.absent``."""
        self._track.absent(since, until, kind)

    def close(self, *, at: Instant) -> None:
        """As ``Track.close``; what waits is handed on."""
        self._decide()
        self._track.close(at=at)

    def _due(self, batch: int) -> None:
        if batch == self._batch:
            self._decide()

    def _decide(self) -> None:
        self._order = self._order or order_of(b"".join(payload for payload, *_ in self._waiting))
        if self._waiting and self._order is not None:
            agrees = "as expected" if self._order == self._declared else f"though {self._declared} was expected"
            self._told(f"{self._order} endian, measured, {agrees}")
        self._size = 0
        waiting, self._waiting = self._waiting, []
        for payload, arrived, stamp, seq in waiting:
            self._hand_on(payload, arrived, stamp, seq)

    def _hand_on(self, payload: bytes, arrived: Instant, stamp: int | None, seq: int | None) -> None:
        big = (self._order or self._declared) == "big"
        self._track.write(swapped(payload) if big else payload, arrived=arrived, stamp=stamp, seq=seq)
