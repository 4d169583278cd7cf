"""Datagrams that one system call brought, while they lie side by side where the kernel put them.

Nearly always they are plain packets of one stream that follow one another, and are looked at column by column, without an
object for each. Whoever wants them one by one has them as a sequence. Pure: ``reading`` has the sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final, Generic, TypeAlias, overload

from vcond.media.placement.clocks import Moment
from vcond.media.rtp.packets import HEADER, MAX_DATAGRAM, Address

SLOT: Final = MAX_DATAGRAM
"""Bytes from one datagram to the next."""
SHAPES: Final = 256
"""Lengths and counts whose way of being read is remembered."""
LATE: Final = "datagrams that were not looked at in time"

Opener: TypeAlias = Callable[[memoryview, Sequence[int], int], list[int]]
"""Decrypts datagrams where they lie, of these sizes and as many bytes apart; says what is left of each, -1 for what is none."""


class Together(Sequence[tuple[bytes, Address, Moment]], Generic[Moment]):
    """Each datagram, where it came from and when: as ``RtpReceiver.feed_all`` takes them."""

    __slots__ = ("_addresses", "_apart", "_buffer", "_sizes", "_slot", "address", "arrivals", "size")

    def __init__(
        self,
        buffer: memoryview,
        sizes: Sequence[int],
        addresses: Sequence[Address],
        arrivals: Sequence[Moment],
        *,
        slot: int = SLOT,
    ) -> None:
        """At least one. ``buffer``: they begin every ``slot`` bytes; it is somebody else's after ``over``."""
        self._buffer, self._sizes, self._addresses, self._slot = buffer, sizes, addresses, slot
        self._apart: list[tuple[bytes, Address, Moment]] | None = None
        self.arrivals = arrivals
        self.size = sizes[0] if sizes.count(sizes[0]) == len(sizes) else 0
        """Bytes of each, if all have as many; else 0."""
        self.address = addresses[0] if addresses.count(addresses[0]) == len(addresses) else None
        """Where all came from; None when that differs."""

    def columns(self) -> tuple[tuple[Any, ...], ...]:
        """Of packets of one ``size`` above that of a header: first byte, marker and payload type, number, stamp, SSRC, payload."""
        said = _packets(self.size, self._slot, len(self._sizes)).unpack_from(self._buffer)
        return said[::6], said[1::6], said[2::6], said[3::6], said[4::6], said[5::6]

    def seconds(self) -> bytes:
        """The second byte of each, which says what a packet is."""
        return bytes(self._buffer[1 : len(self._sizes) * self._slot : self._slot])

    def opened(self, opener: Opener) -> Sequence[tuple[bytes, Address, Moment]]:
        """The same after it was decrypted where it lies, without what ``opener`` could not open; as it was they are gone.

        Raises ValueError when they were not looked at in time.
        """
        if not self._buffer:
            raise ValueError(LATE)
        left = opener(self._buffer, self._sizes, self._slot)
        self._apart = None
        if -1 in left:
            self._sizes, self.size = [max(size, 0) for size in left], 0
            return [one for one, size in zip(self._each(), left, strict=True) if size >= 0]
        self._sizes, self.size = left, left[0] if left.count(left[0]) == len(left) else 0
        return self

    def over(self) -> None:
        """The buffer is used again: who did not look yet comes too late, and is told so by a ValueError."""
        self._buffer = memoryview(b"")

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[tuple[bytes, Address, Moment]]:
        return iter(self._each())

    @overload
    def __getitem__(self, index: int) -> tuple[bytes, Address, Moment]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[bytes, Address, Moment]]: ...

    def __getitem__(self, index: int | slice) -> Any:
        return self._each()[index]

    def _each(self) -> list[tuple[bytes, Address, Moment]]:
        """They, copied out of the buffer."""
        if self._apart is None:
            buffer, sizes, slot = self._buffer, self._sizes, self._slot
            if not buffer:
                raise ValueError(LATE)
            copies: Sequence[bytes]
            if 0 < self.size <= slot:
                copies = _datagrams(self.size, slot, len(sizes)).unpack_from(buffer)
            else:
                copies = [bytes(buffer[at * slot : at * slot + size]) for at, size in enumerate(sizes)]
            self._apart = list(zip(copies, self._addresses, self.arrivals, strict=True))
        return self._apart


def side_by_side(
    datagrams: Sequence[tuple[bytes, Address, Moment]],
) -> Sequence[tuple[bytes, Address, Moment]]:
    """The same where they are in hand, as after decryption: to be looked at by columns if all have one size."""
    if len(datagrams) < 2:
        return datagrams
    packets, addresses, arrivals = zip(*datagrams, strict=True)
    size = len(packets[0])
    sizes = tuple(map(len, packets))
    if not size or sizes.count(size) < len(sizes):
        return datagrams
    return Together(memoryview(b"".join(packets)), sizes, addresses, arrivals, slot=size)


@lru_cache(SHAPES)
def _packets(size: int, slot: int, count: int) -> Struct:
    return Struct("!" + f"BBHII{size - HEADER}s{slot - size}x" * count)


@lru_cache(SHAPES)
def _datagrams(size: int, slot: int, count: int) -> Struct:
    return Struct("!" + f"{size}s{slot - size}x" * count)
