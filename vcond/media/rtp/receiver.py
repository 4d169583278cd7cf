"""One RTP stream, as it comes on one port: told from strangers, put in words, handed to whoever keeps it.

What lies between the socket (``ports``) and a track, which puts frames in order and in their places by itself. The
receiver decides whose packets count, and ``streams`` what they say: sound, keys, comfort noise, where streams begin.
Pure: datagrams and time come in, calls of the owner go out.

Whose packets count: the first packet of a known payload type decides (a source is an address and an SSRC). Another
source takes over when two packets of it came in a row and the one in use was silent: for 100 ms when the address is the
same (a new SSRC), for ``relatch`` seconds when it is not (a new path, or somebody else). Its packets wait until then, and
few are lost for it. So nobody is pushed aside while he sends, and ``MAX_STREAMS`` ends what changes for ever. But who
comes from the address that the sender named himself takes over at once from somebody who does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Final, Generic

from vcond.media.placement.clocks import Moment
from vcond.media.rtp.coalesce import Writer
from vcond.media.rtp.dtmf import Pressed
from vcond.media.rtp.formats import Format
from vcond.media.rtp.packets import Address, Kind, Packet, kind_of, parse
from vcond.media.rtp.rtcp import Bye, read
from vcond.media.rtp.sources import SECOND, Feed, Source, Stranger, Stream, near
from vcond.media.rtp.streams import Owner, Stats, Streams
from vcond.media.rtp.together import Together

__all__ = ["Address", "Owner", "Pressed", "RtpReceiver", "Source", "Stats", "Stream", "Writer"]

STRANGERS: Final = 4
"""Sources that may wait for their turn."""
NEW_SSRC: Final = SECOND // 10
"""Silence before a new SSRC from the same address counts, ns."""


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
        self._streams = Streams(formats, owner)
        self._expect = expect
        self._relatch = round(relatch * SECOND)
        self._strangers: dict[tuple[Address, int], Stranger[Moment]] = {}
        self._closed = False
        self._named = ""
        """The address that the sender named, as sockets say it."""

    @property
    def stats(self) -> Stats:
        """What was seen so far; a copy."""
        now, feed = replace(self._streams.count), self._streams.feed
        if feed is not None:
            now.add(feed)
            now.jitter = feed.jitter / SECOND
        return now

    @property
    def stream(self) -> Stream[Moment] | None:
        """The present stream."""
        feed = self._streams.feed
        return None if feed is None else feed.stream

    @property
    def source(self) -> Feed[Moment] | None:
        """The source that is received; None before the first and after the last."""
        return self._streams.feed

    def wall(self, stamp: int) -> int | None:
        """The sender's wall clock at a timestamp of the present stream, ns since 1970; None while it said nothing.

        Streams of one sender, received here or elsewhere, share that clock.
        """
        feed = self._streams.feed
        return None if feed is None else feed.clock.wall(stamp)

    @property
    def skew(self) -> float | None:
        """How much faster than its wall clock the sender samples, in millionths; None while that is not known."""
        feed = self._streams.feed
        return None if feed is None else feed.clock.ppm

    def agree(self, formats: Mapping[int, Format]) -> None:
        """Other payload types were agreed on; the stream goes on."""
        self._streams.formats = dict(formats)

    def name(self, host: str) -> None:
        """The sender says that he is there. He may be behind NAT: while nobody comes from there, others are heard.

        What is no address says nothing.
        """
        try:
            self._named = str(ip_address(host))
        except ValueError:
            self._named = ""

    def feed(self, datagram: bytes, address: Address, arrived: Moment) -> None:
        """Take one datagram."""
        self.feed_all(((datagram, address, arrived),))

    def feed_all(self, datagrams: Sequence[tuple[bytes, Address, Moment]]) -> None:
        """Take several in the order of their arrival; what can be joined is."""
        done, streams = 0, self._streams
        if type(datagrams) is Together and streams.feed is not None and streams.feed.whole(datagrams):
            return
        while done < len(datagrams) and not self._closed:
            # Nearly all are plain packets that follow one another.
            run = 0 if streams.feed is None else streams.feed.run(datagrams, done)
            if not run:
                run = 1
                self._other(*datagrams[done])
            done += run

    def control(self, datagram: bytes, address: Address, arrived: Moment) -> None:
        """Take a datagram of the port for RTCP. Those that come to the one for RTP are recognised there."""
        said = read(datagram)
        if said is None:
            self._streams.count.bad += 1
            return
        feed = self._streams.feed
        if feed is None or feed.over or address[0] != feed.address[0]:
            return
        for item in said:
            if item.ssrc != feed.ssrc:
                continue
            if isinstance(item, Bye):
                self._streams.goodbye(feed, arrived)
                return
            feed.clock.take(item)
            feed.control, feed.reported = address[1], (item.middle, arrived)

    def overflow(self, count: int) -> None:
        """The kernel dropped so many datagrams in all."""
        self._streams.count.overflow = count

    def tick(self, now: Moment) -> None:
        """Time passes. Call it ten times a second or so."""
        self._streams.tick(now)
        if self._streams.feed is None:
            return
        for key, stranger in list(self._strangers.items()):
            if not self._consider(stranger, now) and now - stranger.last > self._relatch + SECOND:
                self._forget(key)

    def close(self, at: Moment) -> None:
        """Nothing more is wanted: the writers are closed. A second close does nothing."""
        if self._closed:
            return
        self._closed = True
        self._streams.end(at)
        self._streams.let_go()
        for key in list(self._strangers):
            self._forget(key)

    # Whose packet it is.

    def _other(self, datagram: bytes, address: Address, arrived: Moment) -> None:
        """Whatever is not the next plain packet of the stream."""
        kind = kind_of(datagram)
        if kind is Kind.RTCP:
            self.control(datagram, address, arrived)
        elif kind is Kind.STUN:
            self._streams.count.stun += 1
        elif kind is Kind.OTHER:
            self._streams.count.other += 1
        elif (packet := parse(datagram)) is None:
            self._streams.count.bad += 1
        elif not self._expect.takes(address, packet.ssrc):
            self._streams.count.foreign += 1
        else:
            self._packet(packet, address, arrived)

    def _packet(self, packet: Packet, address: Address, arrived: Moment) -> None:
        streams = self._streams
        feed = streams.feed
        if feed is not None and not feed.over and packet.ssrc == feed.ssrc and address == feed.address:
            streams.take(feed, packet, arrived)
        elif streams.straggle(packet, address, arrived):
            pass
        elif packet.pt not in streams.formats:
            streams.count.unknown += 1
        elif feed is None:
            streams.take(streams.begin(packet, address, arrived), packet, arrived)
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
        self._streams.count.foreign += stranger.take(packet, arrived)
        self._consider(stranger, arrived)

    def _worth(self, key: tuple[Address, int]) -> tuple[bool, bool, bool, int]:
        """Of several strangers those are kept that were named, then streams, then those from where sound comes now."""
        stranger = self._strangers[key]
        feed, host = self._streams.feed, stranger.address[0]
        return host == self._named, stranger.proven, feed is not None and host == feed.address[0], stranger.last

    def _consider(self, stranger: Stranger[Moment], now: Moment) -> bool:
        """Let a source take over, if it is time."""
        streams = self._streams
        feed = streams.feed
        assert feed is not None
        needed = NEW_SSRC if stranger.address == feed.address else self._relatch
        if stranger.address[0] == self._named != feed.address[0]:
            needed = 0
        if not stranger.proven or (not feed.over and now - feed.last < needed):
            return False
        del self._strangers[stranger.address, stranger.ssrc]
        first = stranger.waiting[0]
        if stranger.ssrc == feed.ssrc and not feed.over and near(first.packet.seq, feed.sequence.next):
            feed.address = stranger.address  # the same stream by another path
        else:
            streams.end(first.arrived)
            feed = streams.begin(first.packet, stranger.address, first.arrived)
        for packet, arrived in stranger.waiting:
            streams.take(feed, packet, arrived)
        return True

    def _forget(self, key: tuple[Address, int]) -> None:
        self._streams.count.foreign += len(self._strangers.pop(key).waiting)
