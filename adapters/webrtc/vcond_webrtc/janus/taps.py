"""Taps: ports of ours, and the forwards in Janus that send publishers' audio there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from random import randrange
from typing import Final
from zlib import crc32

from vcond.media.rtp.formats import STATIC, Format
from vcond.media.rtp.ports import RtpPorts, RtpSocket
from vcond.media.rtp.receiver import Pressed, RtpReceiver, Source, Stats, Stream, Writer
from vcond.sdk.contract import (
    AdapterHost,
    Answered,
    ConfigError,
    Instant,
    LiveCall,
    PeerError,
    UnreachableError,
    Warned,
)
from vcond.sdk.mistakes import mistake
from vcond.sdk.tap import TapState
from vcond_webrtc.channel import Channel, Packet
from vcond_webrtc.janus.client import Janus, together
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.wire import NO_SUCH_FEED, Forwards, Id, JanusError

OPUS_TYPE: Final = 111
TYPES: Final = {"opus": OPUS_TYPE, "pcmu": 0, "pcma": 8, "g722": 9}
"""The payload type that we have Janus write on each codec's packets."""
FORMATS: Final[Mapping[int, Format]] = {OPUS_TYPE: Format("opus", 48_000, 2), **STATIC}
MOST_STREAMS: Final = 4
"""Audio streams that are taken of one publisher."""
SILENCE: Final = 10.0
"""After so many seconds without a packet it is said."""
SERIAL: Final = 12
"""Bits of an SSRC that count; the rest is our mark."""
STOPPED_AFTER: Final = 60.0
"""Seconds without a packet after which the forwards of a publisher are made anew; who is muted may send none."""
PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds until a tap that failed is tried again, by its failures in a row; the last one for ever."""


class PublisherTrack:
    """Owner of one stream's receiver: packets to a channel of the party."""

    def __init__(self, host: AdapterHost, call: LiveCall, party: int, rate: int) -> None:
        self._host = host
        self._call = call
        self._party = party
        self._rate = rate
        self.heard: Instant | None = None
        self.until: Instant | None = None
        """What is closed is closed then at the latest."""

    def stream(self, stream: Stream[Instant]) -> Writer[Instant]:
        """A stream begins; the first of a call answers it: what is published is a conversation."""
        if self._call.state.answered is None:
            self._call.emit(Answered(at=stream.at))
        return _Writer(self, stream.format.name, Channel(self._host, self._call, self._party, self._rate))

    def pressed(self, key: Pressed[Instant]) -> None:
        """Janus writes one payload type on all packets of a stream: keys cannot be told."""

    def silent(self, since: Instant, until: Instant) -> None:
        """Neither is there comfort noise with Opus; that of other codecs is digital silence to the track."""

    def over(self, stream: Stream[Instant], at: Instant) -> None:
        """Janus forwards no RTCP."""


class _Writer:
    """One stream's packets."""

    def __init__(self, publisher_track: PublisherTrack, codec: str, channel: Channel) -> None:
        self._publisher_track = publisher_track
        self._codec = codec
        self._channel = channel

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """A packet in any order; those of RTP have both numbers."""
        if stamp is None or seq is None:
            return
        self._publisher_track.heard = max(arrived, self._publisher_track.heard or arrived)
        self._channel.write(Packet(self._codec, seq, stamp, payload), arrived)

    def close(self, *, at: Instant) -> None:
        """No more will come."""
        self._channel.close(at if self._publisher_track.until is None else min(at, self._publisher_track.until))


class PublisherTap:
    """One publisher's audio, as a task that makes the forwards and makes them again when they are gone."""

    def __init__(self, manager: TapManager, room: Id, publisher: Id, call: LiveCall, party: int) -> None:
        self.room = room
        self.publisher = publisher
        self.targets: set[tuple[int, int]] = set()
        """SSRC and port of its forwards, also of those that are about to be made."""
        self.state = TapState(PAUSES)
        """It stands when all its forwards are made."""
        self._manager = manager
        self._call = call
        self._party = party
        self._publisher_tracks: list[PublisherTrack] = []
        self._sockets: list[RtpSocket[Instant]] = []
        self._gone = asyncio.Event()
        self._heard: Instant | None = None
        """Before the ports were closed last."""
        self._task: asyncio.Task[None] | None = None

    @property
    def made(self) -> bool:
        """Whether all its forwards are made."""
        return self.state.since is not None

    @property
    def heard(self) -> Instant | None:
        """When the latest packet came. What waits at the ports is read for it: two tenths of a second at most, up to then."""
        for socket in self._sockets:
            socket.flush()
        return max(
            (publisher_track.heard for publisher_track in self._publisher_tracks if publisher_track.heard is not None),
            default=self._heard,
        )

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin; the task is the group's."""
        self._task = group.create_task(self._run(), name="janus-tap")

    def end(self, at: Instant, *, gone: bool) -> None:
        """No more is wanted. A second end does nothing."""
        if not self._manager.forget(self, gone=gone):
            return
        self._shut(at)
        if self._task is not None:
            self._task.cancel()

    def belongs_to(self, call: LiveCall, party: int) -> bool:
        """Whether it brings that party's audio."""
        return self._call is call and self._party == party

    def missing(self) -> None:
        """Janus does not have our forwards any more: published anew between two looks, or stopped by somebody."""
        self._gone.set()

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._make()
                    await self._gone.wait()
                except Exception as why:  # noqa: BLE001 - a mistake with one publisher must not cost all the others
                    mistake(self._manager.host, "a publisher", why)
                    self._shut(self._manager.host.clock.now())
                    self._warn()
                    await asyncio.sleep(PAUSES[-1])
                self._shut(self._manager.host.clock.now())
        finally:
            self._shut(self._manager.host.clock.now())

    def _shut(self, at: Instant) -> None:
        """Close the ports; what came until ``at`` is kept."""
        for publisher_track in self._publisher_tracks:
            publisher_track.until = at
        for socket in self._sockets:
            socket.close()
            self._count(socket.receiver.stats)
        self._heard = self.heard
        self._publisher_tracks.clear()
        self._sockets.clear()
        self.targets.clear()
        self.state.since = None
        self._gone.clear()

    def _count(self, seen: Stats) -> None:
        """Tell what came to a port and was not taken."""
        reasons = ("overflow", "foreign", "unknown", "refused", "bad", "other")
        for reason in reasons:
            if number := getattr(seen, reason):
                self._manager.host.dropped("packet", reason, number)

    async def _make(self) -> None:
        """Make the forwards, however often it takes."""
        self.state.failures, told = 0, False
        while True:
            janus = await self._manager.attached()
            try:
                await self._try(janus)
            except UnreachableError:  # told by who keeps the connection
                self._shut(self._manager.host.clock.now())
                await asyncio.sleep(PAUSES[0])
            except (PeerError, ConfigError) as why:
                self._shut(self._manager.host.clock.now())
                publishes = not (isinstance(why, JanusError) and why.code == NO_SUCH_FEED)
                if publishes and not told:
                    told = True
                    self._complain(why)
                await asyncio.sleep(self.state.pause)
                self.state.failures = self.state.failures + 1 if publishes else 0
            else:
                return

    def _complain(self, why: Exception) -> None:
        host = self._manager.host
        host.log.error("cannot tap a publisher", call=self._call.uuid, error=str(why), hint="run: vcond check")
        self._warn()

    def _warn(self) -> None:
        """Say it in the record, once a call."""
        if not any(warning.code == "tap-failed" for warning in self._call.state.warnings):
            text = "a publisher could not be heard for a while, or at all"
            self._call.emit(Warned(at=self._manager.host.clock.now(), code="tap-failed", text=text))

    async def _try(self, janus: Janus) -> None:
        streams = await janus.streams(self.room, self.publisher)
        audio = [stream for stream in streams if stream.type == "audio" and stream.feed_mid]
        for stream in audio[:MOST_STREAMS]:
            if stream.codec not in TYPES:
                self._manager.host.dropped("stream", "codec")
                continue
            await self._forward(janus, stream.feed_mid, stream.codec)
        if len(audio) > MOST_STREAMS:
            self._manager.host.dropped("stream", "too-many", len(audio) - MOST_STREAMS)
        self.state.since = self._manager.host.clock.now()

    def listen(self, now: Instant) -> None:
        """Say it, once, when nothing was ever heard of a publisher whose audio is forwarded."""
        silent = self.targets and self.heard is None and self.state.stalled(now, SILENCE)
        if not silent or not self.state.first("no-audio"):
            return
        text = "no audio of a publisher arrives although Janus forwards it"
        self._call.emit(Warned(at=now, code="no-audio", text=text))
        fix = "check bind, advertise, ports and the firewall to Janus; or the publisher was muted from the start"
        self._manager.host.log.warning("no audio from Janus", call=self._call.uuid, hint=fix)

    async def _forward(self, janus: Janus, mid: str, codec: str) -> None:
        manager = self._manager
        ssrc = manager.next_ssrc()
        publisher_track = PublisherTrack(manager.host, self._call, self._party, manager.config.rate)
        receiver = RtpReceiver(FORMATS, publisher_track, expect=Source(ssrc=ssrc))
        socket = await manager.ports.open(receiver)
        self._publisher_tracks.append(publisher_track)
        self._sockets.append(socket)
        port = socket.address[1]
        self.targets.add((ssrc, port))
        made = await janus.forward(self.room, self.publisher, mid=mid, port=port, pt=TYPES[codec], ssrc=ssrc)
        if not made:  # renegotiated in between: no stream of that mid
            raise JanusError("forward", NO_SUCH_FEED)


class TapManager:
    """All taps, and the forwards that nobody of ours knows."""

    def __init__(
        self, host: AdapterHost, config: JanusConfig, ports: RtpPorts[Instant], group: asyncio.TaskGroup
    ) -> None:
        self.host = host
        self.config = config
        self.ports = ports
        self._group = group
        self._serials = count(randrange(1 << SERIAL))  # noqa: S311 - no secret; another run counts from elsewhere
        self._taps: set[PublisherTap] = set()
        self._janus: Janus | None = None
        self._back = asyncio.Event()
        self.stray: set[Id] = set()
        """Rooms in which Janus may still have forwards of ours that are not wanted."""

    # Rooms.

    def open(self, room: Id, publisher: Id, call: LiveCall, party: int) -> PublisherTap:
        """Have a publisher's audio sent to us, now or as soon as that is possible."""
        tap = PublisherTap(self, room, publisher, call, party)
        self._taps.add(tap)
        tap.start(self._group)
        return tap

    def forget(self, tap: PublisherTap, *, gone: bool) -> bool:
        """A tap is over; False when it was before."""
        if tap not in self._taps:
            return False
        self._taps.discard(tap)
        if not gone or not tap.made:
            self.stray.add(tap.room)
        return True

    def again(self, call: LiveCall, party: int) -> bool:
        """Make the forwards of a publisher anew whose audio has stopped."""
        taps = [tap for tap in self._taps if tap.made and tap.belongs_to(call, party)]
        for tap in taps:
            tap.missing()
        return bool(taps)

    # Janus.

    def attach(self, janus: Janus | None) -> None:
        """There is a connection, or none any more. Forwards do not depend on it."""
        self._janus = janus
        if janus is None:
            self._back.clear()
        else:
            self._back.set()

    async def attached(self) -> Janus:
        """The connection, once there is one."""
        while self._janus is None:
            await self._back.wait()
        return self._janus

    def next_ssrc(self) -> int:
        """An SSRC for a forward; its upper bits say that it is ours."""
        return self._mark << SERIAL | next(self._serials) % (1 << SERIAL)

    @property
    def _mark(self) -> int:
        return crc32(f"{self.config.name} {self.config.host}".encode()) >> SERIAL or 1

    async def sweep(self, janus: Janus, room: Id) -> int:
        """Make Janus's forwards of a room and our taps agree; how many were stopped that are not of this run."""
        self.stray.discard(room)
        made = [tap for tap in self._taps if tap.room == room and tap.made]
        there = await janus.forwards(room)
        targets = {(forward.ssrc, forward.port) for publisher in there for forward in publisher.forwarders}
        for tap in made:
            tap.listen(self.host.clock.now())
            if tap in self._taps and not tap.targets <= targets:
                tap.missing()
        return await self._stop_unknown(janus, room, there)

    async def _stop_unknown(self, janus: Janus, room: Id, there: list[Forwards]) -> int:
        known = set().union(*(tap.targets for tap in self._taps))
        unknown = [
            (publisher.publisher_id, forward.stream_id)
            for publisher in there
            for forward in publisher.forwarders
            if forward.ssrc >> SERIAL == self._mark and (forward.ssrc, forward.port) not in known
        ]
        await together(*(janus.stop_forward(room, publisher, stream) for publisher, stream in unknown))
        return len(unknown)

    async def close(self, janus: Janus) -> None:
        """Remove all forwards of ours; no tap is left."""
        rooms = {tap.room for tap in self._taps} | self.stray
        self._taps.clear()
        await together(*(self.sweep(janus, room) for room in rooms))

    @property
    def leaves_traces(self) -> bool:
        """Whether Janus may have forwards of ours."""
        return bool(self._taps or self.stray)
