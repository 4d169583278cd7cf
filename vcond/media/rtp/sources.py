"""What is known of RTP sources: the one that is received, and strangers that would like to be."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Items
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import islice
from typing import Final, Generic, NamedTuple

from vcond.base.errors import ProtocolError
from vcond.media.placement.clocks import Moment
from vcond.media.placement.reorder import MAX_DROPOUT, WAIT
from vcond.media.rtp.coalesce import Joiner
from vcond.media.rtp.dtmf import Keys
from vcond.media.rtp.formats import Format
from vcond.media.rtp.packets import HEADER, MAX_DATAGRAM, PLAIN, TYPE, Address, Packet, unpack
from vcond.media.rtp.rtcp import SenderClock
from vcond.media.rtp.sequence import HALF, MASK, Sequence
from vcond.media.rtp.together import Together

STAMPS: Final = (1 << 32) - 1
HALF_STAMPS: Final = 1 << 31
SECOND: Final = 1_000_000_000
WAITING: Final = 64
"""Packets of a stranger that are kept until it is clear whether they count: 1.3 s of 20 ms."""
NO_TYPE: Final = -1


@dataclass(frozen=True, slots=True)
class Source:
    """Where packets are expected from. What is None may be anything."""

    host: str | None = None
    """An address, not a name."""
    port: int | None = None
    ssrc: int | None = None

    def __post_init__(self) -> None:
        """Bring the address into the form that sockets use. Raises ProtocolError when it is none."""
        if self.host is not None:
            try:
                object.__setattr__(self, "host", str(ip_address(self.host)))
            except ValueError:
                raise ProtocolError("media from an invalid address") from None

    def takes(self, address: Address, ssrc: int) -> bool:
        """Whether a packet may come from there."""
        return self.host in {None, address[0]} and self.port in {None, address[1]} and self.ssrc in {None, ssrc}


@dataclass(frozen=True, slots=True)
class Stream(Generic[Moment]):
    """Sound of one source in one format."""

    number: int
    """0 is the first of the receiver."""
    ssrc: int
    pt: int
    format: Format
    at: Moment
    """When its first packet came."""
    address: Address


class Feed(Generic[Moment]):
    """The source that is received. One a receiver at a time; each new SSRC is a new one."""

    __slots__ = (
        "address", "clock", "control", "heard", "jitter", "joiner", "keys", "noise", "odd", "over", "pt", "rate", "reported",
        "sequence", "sound", "ssrc", "stamp", "stream", "told",
    )  # fmt: skip

    def __init__(self, packet: Packet, format: Format, address: Address, arrived: Moment) -> None:  # noqa: A002 - what RTP calls it
        self.ssrc = packet.ssrc
        self.address = address
        self.sequence = Sequence(packet.seq)
        self.clock = SenderClock(format.rate)
        self.control = 0
        """The port from which its latest RTCP came; 0 when none did."""
        self.reported: tuple[int, Moment] | None = None
        """Of its latest report ``Report.middle``, and when it came."""
        self.keys: dict[int, Keys[Moment]] = {}
        """By payload type."""
        self.odd: tuple[Packet, Moment] | None = None
        """The latest packet with a number far from all others."""
        self.over = False
        """It said goodbye."""
        self.heard = arrived
        """When its latest packet without sound came."""
        self.sound = arrived
        """When its latest packet with sound came."""
        self.noise: Moment | None = None
        """When it first said that it is silent; void once sound comes after it."""
        self.told = arrived
        """Until when its silence was told."""
        # Of its sound in the present format:
        self.pt = NO_TYPE
        """Its payload type, while somebody takes it."""
        self.stream: Stream[Moment] | None = None
        self.joiner: Joiner[Moment] | None = None
        self.stamp = packet.stamp
        self.rate = 1
        """Ticks a second."""
        self.jitter = 0.0
        """Nanoseconds."""

    @property
    def last(self) -> Moment:
        """When its latest packet came."""
        return max(self.sound, self.heard)

    @property
    def is_silent(self) -> bool:
        """Whether it said so, and no sound came since."""
        return self.noise is not None and self.noise >= self.sound

    def fall_silent(self, arrived: Moment) -> None:
        """Comfort noise came."""
        if self.is_silent:
            return
        # Silence begins where the sound ended. The latest packet may have been late: what lies before its arrival is
        # said too, if all that there was came, and changes nothing of what was received.
        self.told = type(arrived)(self.sound - WAIT) if self.sequence.is_whole else arrived
        self.noise = arrived

    def turn_to(self, stream: Stream[Moment], joiner: Joiner[Moment] | None, stamp: int) -> None:
        """From now on, the RTP timestamp ``stamp``, the sound is in another format."""
        self.stream, self.joiner = stream, joiner
        self.pt = NO_TYPE if joiner is None else stream.pt
        self.rate = stream.format.rate
        if self.rate != self.clock.rate:
            self.clock = SenderClock(self.rate)
        self.stamp, self.sound = stamp, stream.at

    def run(self, datagrams: Items[tuple[bytes, Address, Moment]], first: int) -> int:
        """Hand on the plain packets from the ``first`` datagram on that follow one another; how many they were.

        All in one loop over local names: this is the way of nearly every packet of every leg.
        """
        joiner = self.joiner
        if joiner is None:
            return 0
        octets, expected, following, sound = joiner.octets or 1, self.sequence.next, self.stamp, self.sound
        pt, source, sender, jitter = self.pt, self.ssrc, self.address, self.jitter
        payloads: list[bytes] = []
        fit, lasts, ticks, began, due, stamp = -1, 0, 0, 0, 0, 0
        for datagram, address, arrived in islice(datagrams, first, first + joiner.longest(datagrams[first][2])):
            if (size := len(datagram)) != fit:
                if not HEADER < size < MAX_DATAGRAM or (size - HEADER) % octets:
                    break
                before, fit, ticks = lasts, size, (size - HEADER) // octets
                lasts = ticks * SECOND // self.rate
            else:
                before = lasts
            kind, second, seq, at, ssrc = unpack(datagram)
            if seq != expected or second & TYPE != pt or kind != PLAIN or ssrc != source or address != sender:
                break
            if payloads:
                if at != following:
                    break
                jitter += (abs(arrived - sound - before) - jitter) / 16
            else:
                began = at
                self._uneven(began - self.stamp, arrived - sound)
                jitter = self.jitter
            payloads.append(datagram[HEADER:])
            expected, stamp, following, sound = (seq + 1) & MASK, at, (at + ticks) & STAMPS, arrived
            due += lasts
            if due > arrived or len(payloads) == 1:
                due = arrived  # the frame is as late as the least late of its packets
        if payloads:
            self.stamp, self.sound, self.jitter = stamp, sound, jitter
            seq = self.sequence.next
            self.sequence.step(len(payloads))
            joiner.join(payloads, began, seq, type(sound)(due))
        return len(payloads)

    def whole(self, came: Together[Moment]) -> bool:
        """Hand on what came together, if all of it is plain packets that follow one another: ``run`` in short, column by column.

        Otherwise nothing is done, and it is to be looked at one by one.
        """
        joiner, count, ticks = self.joiner, len(came), 0
        if joiner is not None and came.address == self.address and HEADER < came.size < MAX_DATAGRAM and joiner.octets:
            ticks, rest = divmod(came.size - HEADER, joiner.octets)
            ticks = 0 if rest or count > joiner.longest(came.arrivals[0]) else ticks
        if joiner is None or not ticks:
            return False
        kinds, types, numbers, stamps, sources, payloads = came.columns()
        seq, began = self.sequence.next, stamps[0]
        if not (
            numbers == tuple(range(seq, seq + count))
            and stamps == tuple(range(began, began + count * ticks, ticks))
            and kinds.count(PLAIN) == types.count(self.pt) == sources.count(self.ssrc) == count
        ):
            return False
        self._uneven(began - self.stamp, came.arrivals[0] - self.sound)
        jitter, lasts, sound = self.jitter, ticks * SECOND // self.rate, came.arrivals[0]
        due = int(sound)
        for arrived in islice(came.arrivals, 1, None):
            jitter += (abs(arrived - sound - lasts) - jitter) / 16
            sound = arrived
            due += lasts
            if due > arrived:  # noqa: PLR1730 - a call for each packet would cost more than the rest of the loop
                due = arrived
        self.stamp, self.sound, self.jitter = stamps[-1], sound, jitter
        self.sequence.step(count)
        joiner.join(payloads, began, seq, type(sound)(due))
        return True

    def measure(self, stamp: int, arrived: Moment) -> None:
        """A packet with sound that is no part of a run."""
        self._uneven(stamp - self.stamp, arrived - self.sound)
        self.stamp, self.sound = stamp, arrived

    def _uneven(self, ticks: int, passed: int) -> None:
        """How evenly packets come (RFC 3550 section 6.4.1 and appendix A.8, in ns)."""
        if not -HALF_STAMPS < ticks < HALF_STAMPS:
            ticks = ((ticks + HALF_STAMPS) & STAMPS) - HALF_STAMPS
        self.jitter += (abs(passed - ticks * SECOND // self.rate) - self.jitter) / 16


class Waiting(NamedTuple, Generic[Moment]):
    """A packet of a stranger."""

    packet: Packet
    arrived: Moment


class Stranger(Generic[Moment]):
    """A source that is not received, and may be."""

    __slots__ = ("_next", "address", "last", "proven", "ssrc", "waiting")

    def __init__(self, address: Address, ssrc: int, arrived: Moment) -> None:
        self.address, self.ssrc = address, ssrc
        self.waiting: deque[Waiting[Moment]] = deque(maxlen=WAITING)
        self.proven = False
        """Whether two packets came in a row."""
        self.last = arrived
        self._next = -1

    def take(self, packet: Packet, arrived: Moment) -> bool:
        """Keep a packet; whether an older one had to go for it."""
        self.proven = self.proven or packet.seq == self._next
        self._next = (packet.seq + 1) & MASK
        self.last = arrived
        full = len(self.waiting) == WAITING
        self.waiting.append(Waiting(packet, arrived))
        return full


def near(one: int, other: int) -> bool:
    """Whether two numbers can be of the same count."""
    return abs(((one - other + HALF) & MASK) - HALF) <= MAX_DROPOUT
