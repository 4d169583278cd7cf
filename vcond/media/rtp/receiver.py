"""One RTP stream, as it comes on one port: told from strangers, put in words, handed to whoever keeps it.

What lies between the socket (``ports``) and a track, which puts frames in order and in their places by itself. The
receiver decides whose packets count, tells sound from keys and comfort noise, notices new streams, and counts. Pure:
datagrams and time come in, calls of the owner go out.

Whose packets count: the first packet of a known payload type decides (a source is an address and an SSRC). Another
source takes over when two packets of it came in a row and the one in use was silent: for 100 ms when the address is the
same (a new SSRC), for ``relatch`` seconds when it is not (a new path, or somebody else). Its packets wait until then, and
few are lost for it. So nobody is pushed aside while he sends, and ``MAX_STREAMS`` ends what changes for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol

from vcond.media.placement.clocks import Moment
from vcond.media.placement.reorder import WAIT
from vcond.media.rtp.coalesce import Joiner, Writer
from vcond.media.rtp.dtmf import Keys, Pressed
from vcond.media.rtp.formats import EVENTS, Format
from vcond.media.rtp.packets import Kind, Packet, kind_of, parse
from vcond.media.rtp.rtcp import Bye, read
from vcond.media.rtp.sequence import Turn
from vcond.media.rtp.sources import NO_TYPE, SECOND, Address, Feed, Source, Stranger, Stream, near

__all__ = ["Address", "Owner", "Pressed", "RtpReceiver", "Source", "Stats", "Stream", "Writer"]

MAX_STREAMS: Final = 200
"""Streams of one receiver, one after another."""
STRANGERS: Final = 4
"""Sources that may wait for their turn."""
NEW_SSRC: Final = SECOND // 10
"""Silence before a new SSRC from the same address counts, ns."""
TELL_SILENCE: Final = 4 * SECOND
"""How often a silence that goes on is told, ns."""


class Owner(Protocol[Moment]):
    """Who wants to have a stream. What it raises ends the batch of datagrams; only in ``over`` may it close the receiver."""

    def stream(self, stream: Stream[Moment]) -> Writer[Moment] | None:
        """A stream begins: the first one, a new SSRC, another format. Returns where its packets go; None = nowhere.

        The writer of the stream before is closed by the receiver, a little later: what was on its way still comes.
        """
        ...

    def pressed(self, key: Pressed[Moment]) -> None:
        """A key was pressed, and is up again."""
        ...

    def silent(self, since: Moment, until: Moment) -> None:
        """The latest stream's source said that it is silent (comfort noise), and sent nothing since."""
        ...

    def over(self, stream: Stream[Moment], at: Moment) -> None:
        """The source of the latest stream said goodbye."""
        ...


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


class _Leaving(NamedTuple, Generic[Moment]):
    """A stream that ended: stragglers are still taken."""

    feed: Feed[Moment]
    pt: int
    joiner: Joiner[Moment]
    at: Moment
    """When it ended."""
    until: int


class RtpReceiver(Generic[Moment]):
    """Receives one stream after another from one port. Nothing here raises for what a peer sent."""

    def __init__(
        self,
        formats: Mapping[int, Format],
        owner: Owner[Moment],
        *,
        expect: Source = Source(),  # noqa: B008 - a frozen value
        relatch: float = 1.0,
    ) -> None:
        """``formats`` by payload type. ``relatch``: seconds of silence after which another address may take over."""
        self._formats = dict(formats)
        self._owner = owner
        self._expect = expect
        self._relatch = round(relatch * SECOND)
        self._feed: Feed[Moment] | None = None
        self._leaving: _Leaving[Moment] | None = None
        self._strangers: dict[tuple[Address, int], Stranger[Moment]] = {}
        self._count = Stats()
        self._closed = False

    @property
    def stats(self) -> Stats:
        """What was seen so far; a copy."""
        now = Stats(**{name: getattr(self._count, name) for name in Stats.__slots__})
        if self._feed is not None:
            _add(now, self._feed)
            now.jitter = self._feed.jitter / SECOND
        return now

    @property
    def stream(self) -> Stream[Moment] | None:
        """The present stream."""
        return None if self._feed is None else self._feed.stream

    def wall(self, stamp: int) -> int | None:
        """The sender's wall clock at a timestamp of the present stream, ns since 1970; None while it said nothing.

        Streams of one sender, received here or elsewhere, share that clock.
        """
        return None if self._feed is None else self._feed.clock.wall(stamp)

    @property
    def skew(self) -> float | None:
        """How much faster than its wall clock the sender samples, in millionths; None while that is not known."""
        return None if self._feed is None else self._feed.clock.ppm

    def agree(self, formats: Mapping[int, Format]) -> None:
        """Other payload types were agreed on; the stream goes on."""
        self._formats = dict(formats)

    def feed(self, datagram: bytes, address: Address, arrived: Moment) -> None:
        """Take one datagram."""
        self.feed_all(((datagram, address, arrived),))

    def feed_all(self, datagrams: Sequence[tuple[bytes, Address, Moment]]) -> None:
        """Take several in the order of their arrival; what can be joined is."""
        done = 0
        while done < len(datagrams) and not self._closed:
            # Nearly all are plain packets that follow one another.
            run = 0 if self._feed is None else self._feed.run(datagrams, done)
            if not run:
                run = 1
                self._other(*datagrams[done])
            done += run

    def control(self, datagram: bytes, address: Address, arrived: Moment) -> None:
        """Take a datagram of the port for RTCP. Those that come to the one for RTP are recognised there."""
        said = read(datagram)
        if said is None:
            self._count.bad += 1
            return
        feed = self._feed
        if feed is None or feed.over or address[0] != feed.address[0]:
            return
        for item in said:
            if item.ssrc != feed.ssrc:
                continue
            if isinstance(item, Bye):
                self._goodbye(feed, arrived)
                return
            feed.clock.take(item)

    def overflow(self, count: int) -> None:
        """The kernel dropped so many datagrams in all."""
        self._count.overflow = count

    def tick(self, now: Moment) -> None:
        """Time passes. Call it ten times a second or so."""
        if self._leaving is not None and now >= self._leaving.until:
            self._let_go()
        feed = self._feed
        if feed is None:
            return
        for keys in feed.keys.values():
            self._press(keys.tick(now))
        if feed.is_silent:
            self._tell_silence(feed, now, TELL_SILENCE)
        for key, stranger in list(self._strangers.items()):
            if not self._consider(stranger, now) and now - stranger.last > self._relatch + SECOND:
                self._forget(key)

    def close(self, at: Moment) -> None:
        """Nothing more is wanted: the writers are closed. A second close does nothing."""
        if self._closed:
            return
        self._closed = True
        self._end(at)
        self._let_go()
        for key in list(self._strangers):
            self._forget(key)

    # Whose packet it is.

    def _other(self, datagram: bytes, address: Address, arrived: Moment) -> None:
        """Whatever is not the next plain packet of the stream."""
        kind = kind_of(datagram)
        if kind is Kind.RTCP:
            self.control(datagram, address, arrived)
        elif kind is Kind.STUN:
            self._count.stun += 1
        elif kind is Kind.OTHER:
            self._count.other += 1
        elif (packet := parse(datagram)) is None:
            self._count.bad += 1
        elif not self._expect.takes(address, packet.ssrc):
            self._count.foreign += 1
        else:
            self._packet(packet, address, arrived)

    def _packet(self, packet: Packet, address: Address, arrived: Moment) -> None:
        feed, leaving = self._feed, self._leaving
        if feed is not None and not feed.over and packet.ssrc == feed.ssrc and address == feed.address:
            self._take(feed, packet, arrived)
        elif (
            leaving is not None
            and arrived < leaving.until
            and packet.ssrc == leaving.feed.ssrc
            and address == leaving.feed.address
        ):
            self._straggle(leaving, packet, arrived)
        elif packet.pt not in self._formats:
            self._count.unknown += 1
        elif feed is None:
            self._take(self._begin(packet, address, arrived), packet, arrived)
        else:
            self._strange(packet, address, arrived)

    def _strange(self, packet: Packet, address: Address, arrived: Moment) -> None:
        """A packet of another source."""
        key = (address, packet.ssrc)
        stranger = self._strangers.get(key)
        if stranger is None:
            if len(self._strangers) >= STRANGERS:
                self._forget(min(self._strangers, key=self._worth))
            stranger = self._strangers[key] = Stranger(address, packet.ssrc, arrived)
        self._count.foreign += stranger.take(packet, arrived)
        self._consider(stranger, arrived)

    def _worth(self, key: tuple[Address, int]) -> tuple[bool, bool, int]:
        """Of several strangers those are kept that proved to be a stream, then those from where sound comes now."""
        stranger = self._strangers[key]
        near = self._feed is not None and stranger.address[0] == self._feed.address[0]
        return stranger.proven, near, stranger.last

    def _consider(self, stranger: Stranger[Moment], now: Moment) -> bool:
        """Let a source take over, if it is time."""
        feed = self._feed
        assert feed is not None
        needed = NEW_SSRC if stranger.address == feed.address else self._relatch
        if not stranger.proven or (not feed.over and now - feed.last < needed):
            return False
        del self._strangers[stranger.address, stranger.ssrc]
        first = stranger.waiting[0]
        if stranger.ssrc == feed.ssrc and not feed.over and near(first.packet.seq, feed.sequence.next):
            feed.address = stranger.address  # the same stream by another path
        else:
            self._end(first.arrived)
            feed = self._begin(first.packet, stranger.address, first.arrived)
        for packet, arrived in stranger.waiting:
            self._take(feed, packet, arrived)
        return True

    def _forget(self, key: tuple[Address, int]) -> None:
        self._count.foreign += len(self._strangers.pop(key).waiting)

    def _begin(self, packet: Packet, address: Address, arrived: Moment) -> Feed[Moment]:
        self._feed = feed = Feed(packet, self._formats[packet.pt], address, arrived)
        return feed

    # What a packet of the source says.

    def _take(self, feed: Feed[Moment], packet: Packet, arrived: Moment) -> None:
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
        kind = self._formats.get(packet.pt)
        if kind is not None and kind.is_audio:
            self._sound(feed, packet, kind, arrived, late=late)
            return
        if kind is None:
            self._count.unknown += 1
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
            self._count.refused += 1

    def _late(self, feed: Feed[Moment], packet: Packet, arrived: Moment) -> None:
        """A packet that was missing: to the stream that it is of."""
        leaving = self._leaving
        if packet.pt == feed.pt and feed.joiner is not None:
            feed.joiner.single(packet.payload, packet.stamp, packet.seq, arrived)
        elif leaving is not None and leaving.feed is feed and leaving.pt == packet.pt:
            leaving.joiner.single(packet.payload, packet.stamp, packet.seq, arrived)
        else:
            self._count.refused += 1

    def _straggle(self, leaving: _Leaving[Moment], packet: Packet, arrived: Moment) -> None:
        """A packet of a source that was followed by another one."""
        turn = leaving.feed.sequence.take(packet.seq)
        if packet.pt == leaving.pt and turn in {Turn.NEXT, Turn.LATE}:
            leaving.joiner.single(packet.payload, packet.stamp, packet.seq, arrived)
        else:
            self._count.foreign += 1

    def _press(self, keys: list[Pressed[Moment]]) -> None:
        for key in keys:
            self._owner.pressed(key)

    def _tell_silence(self, feed: Feed[Moment], now: Moment, every: int) -> None:
        """Say that nothing came because the source is silent."""
        if now - feed.told >= every and feed.stream is not None:
            self._owner.silent(feed.told, now)
            feed.told = now

    # Streams begin and end.

    def _change(self, feed: Feed[Moment], packet: Packet, kind: Format, arrived: Moment) -> None:
        """The sound is in another format from here on."""
        self._leave(feed, arrived)
        stream = Stream(self._count.streams, feed.ssrc, packet.pt, kind, arrived, feed.address)
        writer = None
        if self._count.streams < MAX_STREAMS:
            self._count.streams += 1
            writer = self._owner.stream(stream)
        joiner = None if writer is None else Joiner(writer, kind.octets)
        feed.turn_to(stream, joiner, packet.stamp)

    def _leave(self, feed: Feed[Moment], at: Moment) -> None:
        """The present stream is over, but for what is on its way."""
        if feed.joiner is None:
            return
        self._let_go()
        self._leaving = _Leaving(feed, feed.pt, feed.joiner, at, at + WAIT)
        feed.joiner, feed.pt = None, NO_TYPE

    def _let_go(self) -> None:
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.joiner.writer.close(at=leaving.at)

    def _goodbye(self, feed: Feed[Moment], at: Moment) -> None:
        feed.over = True
        stream = feed.stream
        self._finish(feed, at)
        self._leave(feed, at)
        if stream is not None:
            self._owner.over(stream, at)

    def _end(self, at: Moment) -> None:
        """The present source is over, whether it said so or not."""
        feed = self._feed
        if feed is None:
            return
        if not feed.over:
            self._finish(feed, at)
            self._leave(feed, at)
        _add(self._count, feed)
        self._feed = None

    def _finish(self, feed: Feed[Moment], at: Moment) -> None:
        """Say what is not said of a source yet."""
        for keys in feed.keys.values():
            self._press(keys.flush())
        if feed.is_silent:
            self._tell_silence(feed, at, 1)


def _add(stats: Stats, feed: Feed[Moment]) -> None:
    """Count what came from a source."""
    sequence = feed.sequence
    stats.packets += sequence.received
    stats.lost += sequence.lost
    stats.double += sequence.double
    stats.late += sequence.late
    stats.odd += sequence.odd
    stats.restarts += sequence.restarts
    stats.bad += sum(keys.bad for keys in feed.keys.values())
