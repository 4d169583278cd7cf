"""From the packets of one stream to its writer. Payloads that follow one another are handed on as one, where they can be.

Decoding, placing and writing cost the same for 100 ms of sound as for 20. A joined frame takes one number, so that those
after it are numbered anew: only what is missing leaves a gap. What follows a gap is not joined until all that was
missing is there or too late: the count of missing frames, and how long each would have been, stays what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from vcond.media.placement.clocks import Moment
from vcond.media.placement.reorder import WAIT
from vcond.media.rtp.sequence import MASK

Moment_contra = TypeVar("Moment_contra", bound=int, contravariant=True)

LONGEST: Final = 16
"""Packets in one frame."""


class Writer(Protocol[Moment_contra]):
    """Where the packets of a stream go: a ``vcond.sdk.contract.Track``, or what decodes before one."""

    def write(
        self, payload: bytes, *, arrived: Moment_contra, stamp: int | None = None, seq: int | None = None
    ) -> None:
        """Take one frame. An empty payload only takes its number: a key, comfort noise, a keep-alive."""

    def close(self, *, at: Moment_contra) -> None:
        """No more frames will come."""


class Joiner(Generic[Moment]):
    """Feeds one writer, in the order of arrival."""

    __slots__ = ("_absorbed", "_longest", "_settled", "octets", "writer")

    def __init__(self, writer: Writer[Moment], octets: int) -> None:
        """``octets``: bytes of one tick of the timestamp, 0 where frames cannot be joined."""
        self.writer = writer
        self.octets = octets
        self._longest = LONGEST if octets else 1
        self._absorbed = 0
        self._settled: int | None = None

    def longest(self, arrived: Moment) -> int:
        """How many packets may be joined now."""
        if self._settled is not None:
            if arrived < self._settled:
                return 1
            self._settled = None
        return self._longest

    def join(self, payloads: Sequence[bytes], stamp: int, seq: int, arrived: Moment) -> None:
        """Packets that follow one another; stamp and number of the first. ``arrived``: as late as the least late."""
        number = (seq - self._absorbed) & MASK
        self._absorbed += len(payloads) - 1
        self.writer.write(b"".join(payloads), arrived=arrived, stamp=stamp, seq=number)

    def single(self, payload: bytes, stamp: int, seq: int, arrived: Moment) -> None:
        """One packet."""
        self.writer.write(payload, arrived=arrived, stamp=stamp, seq=(seq - self._absorbed) & MASK)

    def gap(self, arrived: Moment) -> None:
        """Something is missing before the packet that comes next."""
        self._settled = arrived + WAIT
