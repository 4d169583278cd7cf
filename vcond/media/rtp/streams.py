"""The source that one receiver has: what its packets say, and the streams that begin and end with it.

Sound goes to the writer that the owner has for the stream, keys and silence to the owner. What was on its way when a
stream ended is still taken for a little while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, Protocol

from vcond.media.placement.clocks import Moment
from vcond.media.placement.reorder import WAIT
from vcond.media.rtp.coalesce import Joiner, Writer
from vcond.media.rtp.dtmf import Keys, Pressed
from vcond.media.rtp.formats import EVENTS, Format
from vcond.media.rtp.packets import Address, Packet
from vcond.media.rtp.sequence import Turn
from vcond.media.rtp.sources import NO_TYPE, SECOND, Feed, Stream

MAX_STREAMS: Final = 200
"""Streams of one receiver, one after another."""
TELL_SILENCE: Final = 4 * SECOND
"""How often a silence that goes on is told, ns."""


class Owner(Protocol[Moment]):
    """Who wants to have a stream. What it raises ends the batch of datagrams; only in ``over`` may it close the receiver."""

    def stream(self, stream: Stream[Moment]) -> Writer[Moment] | None:
        """A stream begins: the first one, a new SSRC, another format. Returns where its packets go; None = nowhere.

        The writer of the stream before is closed by the receiver, a little later: what was on its way still comes.
        """

    def pressed(self, key: Pressed[Moment]) -> None:
        """A key was pressed, and is up again."""

    def silent(self, since: Moment, until: Moment) -> None:
        """The latest stream's source said that it is silent (comfort noise), and sent nothing since."""

    def over(self, stream: Stream[Moment], at: Moment) -> None:
        """The source of the latest stream said goodbye."""


@dataclass(slots=True)
class Stats:
    """What a receiver saw so far. Lost, double and late ones are those of all sources that were received."""

    packets: int = 0
    """Of the sources received, without double ones."""
    lost: int = 0
    double: int = 0
    late: int = 0
    """Came after a later one."""
    odd: int = 0
    """Had a number far from all others, alone."""
    restarts: int = 0
    """Sources that numbered anew."""
    bad: int = 0
    """Datagrams that should be RTP or RTCP and are not."""
    foreign: int = 0
    """Packets of sources that are not received."""
    unknown: int = 0
    """Packets of payload types that were not agreed on."""
    refused: int = 0
    """Packets of streams that nobody wanted, or that were too many."""
    stun: int = 0
    other: int = 0
    """Datagrams that are neither RTP, RTCP nor STUN."""
    overflow: int = 0
    """Datagrams that the kernel dropped, as far as it says."""
    streams: int = 0
    jitter: float = 0.0
    """Of the present stream, seconds (RFC 3550 section 6.4.1)."""

    def add(self, feed: Feed[Any]) -> None:
        """Count what came from a source."""
        sequence = feed.sequence
        self.packets += sequence.received
        self.lost += sequence.lost
        self.double += sequence.double
        self.late += sequence.late
        self.odd += sequence.odd
        self.restarts += sequence.restarts
        self.bad += sum(keys.bad for keys in feed.keys.values())


class _Leaving(NamedTuple, Generic[Moment]):
    """A stream that ended: stragglers are still taken."""

    feed: Feed[Moment]
    pt: int
    joiner: Joiner[Moment]
    at: Moment
    """When it ended."""
    until: int


class Streams(Generic[Moment]):
    """The present source of a receiver, and the stream before it while packets of that still come."""

    def __init__(self, formats: Mapping[int, Format], owner: Owner[Moment]) -> None:
        self.formats = dict(formats)
        self.count = Stats()
        """Without what the present source counts."""
        self.feed: Feed[Moment] | None = None
        self._owner = owner
        self._leaving: _Leaving[Moment] | None = None

    def begin(self, packet: Packet, address: Address, arrived: Moment) -> Feed[Moment]:
        """A source is received from its first packet on, whose payload type is known."""
        self.feed = feed = Feed(packet, self.formats[packet.pt], address, arrived)
        return feed

    def take(self, feed: Feed[Moment], packet: Packet, arrived: Moment) -> None:
        """A packet of the source that is received."""
        gap = packet.seq != feed.sequence.next
        turn = feed.sequence.take(packet.seq)
        if turn is Turn.ODD:
            feed.odd = (packet, arrived)
        elif turn is not Turn.DOUBLE:
            late = turn is Turn.LATE
            if gap and not late and feed.joiner is not None:
                feed.joiner.gap(arrived)
            if turn is Turn.RESTART and feed.odd is not None:
                self._deliver(feed, *feed.odd, late=False)
            self._deliver(feed, packet, arrived, late=late)

    def _deliver(self, feed: Feed[Moment], packet: Packet, arrived: Moment, *, late: bool) -> None:
        kind = self.formats.get(packet.pt)
        if kind is not None and kind.is_audio:
            self._sound(feed, packet, kind, arrived, late=late)
            return
        if kind is None:
            self.count.unknown += 1
        elif kind.name == EVENTS:
            keys = feed.keys.get(packet.pt) or feed.keys.setdefault(packet.pt, Keys(kind.rate))
            self._press(keys.take(packet.payload, packet.stamp, arrived))
        elif not late:
            feed.fall_silent(arrived)
        feed.heard = arrived
        if feed.joiner is not None:
            feed.joiner.single(b"", feed.stamp, packet.seq, arrived)

    def _sound(self, feed: Feed[Moment], packet: Packet, kind: Format, arrived: Moment, *, late: bool) -> None:
        if late:
            self._late(feed, packet, arrived)
            return
        if feed.stream is None or feed.stream.format != kind:
            self._change(feed, packet, kind, arrived)
        elif feed.joiner is not None:
            feed.pt = packet.pt
        feed.measure(packet.stamp, arrived)
        if feed.joiner is not None:
            feed.joiner.single(packet.payload, packet.stamp, packet.seq, arrived)
        else:
            self.count.refused += 1

    def _late(self, feed: Feed[Moment], packet: Packet, arrived: Moment) -> None:
        """A packet that was missing: to the stream that it is of."""
        leaving = self._leaving
        if packet.pt == feed.pt and feed.joiner is not None:
            feed.joiner.single(packet.payload, packet.stamp, packet.seq, arrived)
        elif leaving is not None and leaving.feed is feed and leaving.pt == packet.pt:
            leaving.joiner.single(packet.payload, packet.stamp, packet.seq, arrived)
        else:
            self.count.refused += 1

    def straggle(self, packet: Packet, address: Address, arrived: Moment) -> bool:
        """A packet of another source than that of now: whether it was of the one before, and on its way still."""
        leaving = self._leaving
        if (
            leaving is None
            or arrived >= leaving.until
            or packet.ssrc != leaving.feed.ssrc
            or address != leaving.feed.address
        ):
            return False
        turn = leaving.feed.sequence.take(packet.seq)
        if packet.pt == leaving.pt and turn in {Turn.NEXT, Turn.LATE}:
            leaving.joiner.single(packet.payload, packet.stamp, packet.seq, arrived)
        else:
            self.count.foreign += 1
        return True

    def tick(self, now: Moment) -> None:
        """Time passes."""
        if self._leaving is not None and now >= self._leaving.until:
            self.let_go()
        feed = self.feed
        if feed is None:
            return
        for keys in feed.keys.values():
            self._press(keys.tick(now))
        if feed.is_silent:
            self._tell_silence(feed, now, TELL_SILENCE)

    def _press(self, keys: list[Pressed[Moment]]) -> None:
        for key in keys:
            self._owner.pressed(key)

    def _tell_silence(self, feed: Feed[Moment], now: Moment, every: int) -> None:
        """Say that nothing came because the source is silent."""
        if now - feed.told >= every and feed.stream is not None:
            self._owner.silent(feed.told, now)
            feed.told = now

    def _change(self, feed: Feed[Moment], packet: Packet, kind: Format, arrived: Moment) -> None:
        """The sound is in another format from here on."""
        self._leave(feed, arrived)
        stream = Stream(self.count.streams, feed.ssrc, packet.pt, kind, arrived, feed.address)
        writer = None
        if self.count.streams < MAX_STREAMS:
            self.count.streams += 1
            writer = self._owner.stream(stream)
        joiner = None if writer is None else Joiner(writer, kind.octets)
        feed.turn_to(stream, joiner, packet.stamp)

    def _leave(self, feed: Feed[Moment], at: Moment) -> None:
        """The present stream is over, but for what is on its way."""
        if feed.joiner is None:
            return
        self.let_go()
        self._leaving = _Leaving(feed, feed.pt, feed.joiner, at, at + WAIT)
        feed.joiner, feed.pt = None, NO_TYPE

    def let_go(self) -> None:
        """Nothing more is taken for the stream that ended."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.joiner.writer.close(at=leaving.at)

    def goodbye(self, feed: Feed[Moment], at: Moment) -> None:
        """The source said that it is over."""
        feed.over = True
        stream = feed.stream
        self._finish(feed, at)
        self._leave(feed, at)
        if stream is not None:
            self._owner.over(stream, at)

    def end(self, at: Moment) -> None:
        """The present source is over, whether it said so or not."""
        feed = self.feed
        if feed is None:
            return
        if not feed.over:
            self._finish(feed, at)
            self._leave(feed, at)
        self.count.add(feed)
        self.feed = None

    def _finish(self, feed: Feed[Moment], at: Moment) -> None:
        """Say what is not said of a source yet."""
        for keys in feed.keys.values():
            self._press(keys.flush())
        if feed.is_silent:
            self._tell_silence(feed, at, 1)
