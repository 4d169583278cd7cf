"""From the packets of one stream to its writer. Payloads that follow one another are handed on as one, where they can be.

Decoding, placing and writing cost the same for 100 ms of sound as for 20. A joined frame takes one number, so that those
after it are numbered anew: only what is missing leaves a gap. What follows a gap is not joined until all that was
missing is there or too late: the count of missing frames, and how long each would have been, stays what it is.
"""

from __future__ import annotations

from typing import Final, Generic, Protocol, TypeVar

from vcond.media.clocks import Moment
from vcond.media.reorder import WAIT
from vcond.media.rtpsequence import MASK

Moment_contra = TypeVar("Moment_contra", bound=int, contravariant=True)

LONGEST: Final = 16
"""Packets in one frame."""
STAMPS: Final = (1 << 32) - 1
SECOND: Final = 1_000_000_000


class Writer(Protocol[Moment_contra]):
    """Where the packets of a stream go: a ``vcond.adapter.Track``, or what decodes before one."""

    def write(
        self, payload: bytes, *, arrived: Moment_contra, stamp: int | None = None, seq: int | None = None
    ) -> None:
        """Take one frame. An empty payload only takes its number: a key, comfort noise, a keep-alive."""
        ...

    def close(self, *, at: Moment_contra) -> None:
        """No more frames will come."""
        ...


class Joiner(Generic[Moment]):
    """Feeds one writer. ``take`` is called in the order of arrival; ``flush`` after each batch."""

    __slots__ = (
        "_absorbed",
        "_arrived",
        "_joins",
        "_next",
        "_octets",
        "_parts",
        "_seq",
        "_settled",
        "_stamp",
        "_tick",
        "writer",
    )

    def __init__(self, writer: Writer[Moment], octets: int, rate: int) -> None:
        """``octets``: bytes of one tick of ``rate`` a second, 0 where frames cannot be joined."""
        self.writer = writer
        self._octets = octets
        self._tick = SECOND // max(rate * octets, 1)
        """Nanoseconds of one byte."""
        self._joins = octets > 0
        self._absorbed = 0
        self._settled = 0
        self._parts: list[bytes] = []
        self._seq = self._stamp = self._next = 0
        self._arrived: Moment | None = None

    def take(self, payload: bytes, stamp: int, seq: int, arrived: Moment) -> None:
        """The next packet of the stream, with sound."""
        if not self._joins or len(payload) % self._octets:
            self.single(payload, stamp, seq, arrived)
            self._joins = self._octets > 0 and arrived >= self._settled
            return
        parts = self._parts
        if parts and stamp == self._next and len(parts) < LONGEST:
            parts.append(payload)
            # the frame is as late as the least late of its parts
            due = self._arrived + len(payload) * self._tick  # type: ignore[operator]
            self._arrived = arrived if arrived <= due else type(arrived)(due)
        else:
            if parts:
                self.flush()
            self._parts = [payload]
            self._seq, self._stamp, self._arrived = seq, stamp, arrived
        self._next = (stamp + len(payload) // self._octets) & STAMPS

    def gap(self, arrived: Moment) -> None:
        """Something is missing before the packet that is taken next."""
        self.flush()
        self._joins = False
        self._settled = arrived + WAIT

    def single(self, payload: bytes, stamp: int, seq: int, arrived: Moment) -> None:
        """A packet that was missing, or one without sound that only takes its number."""
        self.flush()
        self._write(payload, stamp, seq, arrived)

    def flush(self) -> None:
        """Hand on what waits."""
        parts = self._parts
        if not parts:
            return
        assert self._arrived is not None
        payload = parts[0] if len(parts) == 1 else b"".join(parts)
        seq = (self._seq - self._absorbed) & MASK
        self._absorbed += len(parts) - 1
        self._parts = []
        self.writer.write(payload, arrived=self._arrived, stamp=self._stamp, seq=seq)

    def close(self, at: Moment) -> None:
        """No more packets."""
        self.flush()
        self.writer.close(at=at)

    def _write(self, payload: bytes, stamp: int, seq: int, arrived: Moment) -> None:
        self.writer.write(payload, arrived=arrived, stamp=stamp, seq=(seq - self._absorbed) & MASK)
