"""Audio that FreeSWITCH sends over a WebSocket: mod_audio_stream, mod_audio_fork.

Both open one connection a leg. The first message is our metadata, ``{"tap":"..."}``, which says whose audio it is;
then come binary messages of 16-bit little endian samples, any multiple of 20 ms, without number or time, and nothing
at all while the party holds. Other texts say nothing to us. Audio that comes before the metadata is kept until it says
whose it is. Each start has a metadata of its own, and the latest connection of the latest start counts: the one before
may be one of which the network forgot the other end, and nothing that still comes of it is taken.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal
from uuid import uuid4

from vcond.sdk.contract import AdapterHost, Instant, Track
from vcond.sdk.media_stream import GO_ON, POLICY, Early, HangUp, Limits, MediaStreams
from vcond.sdk.tap import TapState
from vcond_freeswitch import commands
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.config import Config
from vcond_freeswitch.tap import PAUSES, Tap, TapContext
from vcond_freeswitch.taps import TapManager

MAX_MESSAGE: Final = 1 << 20
"""Bytes of one message; the modules send 320 to 64,000."""
HELLO: Final = 10.0
"""Seconds that a peer may take to say whose audio it sends."""
EARLY: Final = 1 << 19
"""Bytes that are kept of audio which comes before the metadata: 16 s of one party at 16 kHz."""
STARTS: Final = 8
"""Starts of a tap whose connection may still come."""
MOST: Final = 8_192
"""Messages of it."""
PROTOCOL: Final = "audio.drachtio.org"
"""What mod_audio_fork offers; mod_audio_stream offers none."""
GARBAGE: Final = 20
"""Messages that are no audio before the peer is hung up."""


class StreamTap:
    """FreeSWITCH sends the audio to us: works from another machine, needs a module there."""

    def __init__(
        self,
        leg: Leg,
        manager: TapContext,
        kind: Literal["stream", "fork"],
        media_sockets: MediaSocketServer,
    ) -> None:
        self.leg = leg
        self.id = ""
        """What the connection of its latest start says."""
        self.kind = kind
        self.heard = 0
        self.state = TapState(PAUSES)
        self.asked = False
        self.socket: TapListener | None = None
        """Its connection, while there is one."""
        self.garbage = 0
        """Messages of that connection that were no audio."""
        self._starts = 0
        self._connected = 0
        """Which start that connection is of."""
        self._manager = manager
        self._media_sockets = media_sockets
        self._track: Track | None = None
        self._name()

    def _name(self) -> None:
        self.id, self._starts = uuid4().hex, self._starts + 1
        self._media_sockets.expect(self, self._starts)

    def start_command(self) -> str:
        """What starts it."""
        config, metadata = self._manager.config, json.dumps({"tap": self.id}, separators=(",", ":"))
        make = commands.stream_start if self.kind == "stream" else commands.fork_start
        return make(self.leg.channel, config.url, config.rate, metadata)

    def stop_command(self) -> str:
        """What removes it."""
        stop = commands.stream_stop if self.kind == "stream" else commands.fork_stop
        return stop(self.leg.channel)

    def is_there(self, targets: list[str]) -> bool:
        """Whether it works: a module whose connection broke leaves its bug, and sends nothing any more."""
        del targets
        return self.socket is not None

    @property
    def hint(self) -> str:
        """What to look at when nothing comes."""
        return "check adapters.freeswitch.url (address of this machine, path, ingress token); run: vcond check"

    def look(self, now: Instant) -> None:
        """Audio comes by itself."""

    def frame(self, payload: bytes, arrived: Instant) -> None:
        """Some audio."""
        if self.state.gone:
            return
        if len(payload) % 2:
            self.garbage += 1
            self._manager.host.dropped("frame", "malformed")
            return
        if self._track is None:
            self._track = self.leg.open_track(arrived, self._manager.config.rate)
        if self._track is not None and payload:
            self.heard += len(payload)
            self.state.last = arrived
            self._track.write(payload, arrived=arrived)

    def connected(self, socket: TapListener, start: int) -> TapListener | None:
        """A connection of one of its starts is there; the one that is of no use now, which may be this one."""
        if self.socket is not None and start < self._connected:
            return socket
        before, self.socket, self._connected, self.garbage = self.socket, socket, start, 0
        return before

    def disconnected(self, socket: TapListener) -> None:
        """A connection is over. The modules do not connect again by themselves."""
        if self.socket is socket:
            self.socket = None
            if not self.state.gone:
                self._manager.renew(self, "its connection was closed")

    def again(self, at: Instant) -> None:
        """Another start follows; whatever is left of the connection is of no use."""
        del at
        socket, self.socket = self.socket, None
        if socket is not None:
            self._media_sockets.drop(socket)
        self._name()

    def close(self, at: Instant, *, leave: bool = False) -> None:
        """No more."""
        del leave
        self.state.gone = True
        if self._track is not None:
            self._track.close(at=at)


class TapListener:
    """One connection: it says whose audio comes, and then comes the audio. Audio until then is kept."""

    def __init__(self, media_sockets: MediaSocketServer, host: AdapterHost, hang_up: HangUp) -> None:
        self.replies: list[str] = []
        self.hang_up = hang_up
        self._media_sockets = media_sockets
        self._host = host
        self._tap: StreamTap | None = None
        self._early: Early[tuple[bytes, Instant]] = Early(MOST, EARLY)
        self._texts = 0

    @property
    def started(self) -> bool:
        """Whether it said whose audio it is."""
        return self._tap is not None

    def text(self, raw: bytes, arrived: Instant) -> int:
        """Metadata, or nothing to us."""
        del arrived
        if self._tap is not None:
            return GO_ON
        self._texts += 1
        found = self._media_sockets.named(raw)
        if found is None:
            return POLICY if self._texts >= GARBAGE else GO_ON
        self._tap, start = found
        useless = self._tap.connected(self, start)
        if useless is not None:
            self._media_sockets.drop(useless)
        for payload, when in self._early.take():
            self._hear(self._tap, payload, when)
        return GO_ON

    def binary(self, raw: bytes, arrived: Instant) -> int:
        """Audio."""
        if self._tap is None:
            self._early.keep((raw, arrived), len(raw))
            return GO_ON
        self._hear(self._tap, raw, arrived)
        return POLICY if self._tap.garbage >= GARBAGE else GO_ON

    def gone(self, at: Instant, *, clean: bool) -> None:
        """The connection is over."""
        del at, clean
        if self._tap is None:
            self._host.dropped("stream", "unknown")
        else:
            self._media_sockets.forget(self._tap)
            self._tap.disconnected(self)

    def _hear(self, tap: StreamTap, payload: bytes, arrived: Instant) -> None:
        """What a connection that another one replaced still sends is not taken."""
        if tap.socket is self:
            tap.frame(payload, arrived)


class MediaSocketServer:
    """The route that FreeSWITCH connects to, and who is expected there."""

    def __init__(self, host: AdapterHost, config: Config) -> None:
        self._host = host
        self._config = config
        self._expected: dict[str, tuple[StreamTap, int]] = {}
        """By what a connection says first: whose it is, and of which start."""
        limits = Limits(4 * config.max_calls, HELLO, message=MAX_MESSAGE, protocols=(PROTOCOL,), compress=True)
        self._streams = MediaStreams(host, limits, lambda _request, hang_up: TapListener(self, host, hang_up))

    def serve(self, manager: TapManager) -> None:
        """Take audio for the taps of this manager, when the configuration has a way for it to come. Raises ConfigError."""
        if not self._config.url:
            return
        self._host.ingress.route("GET", self._config.path, self._streams.answer)

        def stream(leg: Leg, manager: TapManager, _both: bool, /) -> Tap:
            return StreamTap(leg, manager, "stream", self)

        def fork(leg: Leg, manager: TapManager, _both: bool, /) -> Tap:
            return StreamTap(leg, manager, "fork", self)

        manager.make = {**manager.make, "stream": stream, "fork": fork}

    def expect(self, tap: StreamTap, start: int) -> None:
        """A connection of this start of a tap may come. One of an earlier start is better than none."""
        for name, (one, number) in list(self._expected.items()):
            gone = one.leg.left is not None and one.socket is None
            if gone or (one is tap and number <= start - STARTS):
                del self._expected[name]
        self._expected[tap.id] = tap, start

    def forget(self, tap: StreamTap) -> None:
        """Nothing comes of a leg that is gone."""
        if tap.leg.left is not None:
            for name in [name for name, (one, _) in self._expected.items() if one is tap]:
                del self._expected[name]

    def named(self, text: bytes) -> tuple[StreamTap, int] | None:
        """The tap that metadata names, and which of its starts; None when it names none, or nobody waits for it."""
        try:
            said: Any = json.loads(text)
            return self._expected[said["tap"]]
        except (ValueError, RecursionError, LookupError, TypeError):
            return None

    def drop(self, connection: TapListener) -> None:
        """Hang up on a connection that another one replaces; its other end may not be there."""
        connection.hang_up("replaced")

    async def close(self) -> None:
        """Say goodbye to every peer."""
        await self._streams.close()
