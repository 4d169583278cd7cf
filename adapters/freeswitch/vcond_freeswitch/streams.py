"""Audio that FreeSWITCH sends over a WebSocket: mod_audio_stream, mod_audio_fork.

Both open one connection a leg. The first message is our metadata, ``{"tap":"..."}``, which says whose audio it is;
then come binary messages of 16-bit little endian samples, any multiple of 20 ms, without number or time, and nothing
at all while the party holds. Other texts say nothing to us. Audio that comes before the metadata is kept until it says
whose it is. Each start has a metadata of its own, and the latest connection of the latest start counts: the one before
may be one of which the network forgot the other end, and nothing that still comes of it is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Final, Literal
from uuid import uuid4

from aiohttp import WSMsgType, web

from vcond.sdk.contract import Desk, Instant, Track
from vcond.sdk.tap import TapState
from vcond_freeswitch import commands
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.config import Config
from vcond_freeswitch.tap import PAUSES, Crew, Tap
from vcond_freeswitch.taps import TapCrew

MAX_MESSAGE: Final = 1 << 20
"""Bytes of one message; the modules send 320 to 64,000."""
HELLO: Final = 10.0
"""Seconds that a peer may take to say whose audio it sends."""
CLOSING: Final = 2.0
"""Seconds that a peer gets to answer a close frame."""
EARLY: Final = 1 << 19
"""Bytes that are kept of audio which comes before the metadata: 16 s of one party at 16 kHz."""
STARTS: Final = 8
"""Starts of a tap whose connection may still come."""
FEW: Final = 64
"""Bytes that a message counts beside its audio, so that empty ones have an end too."""
PROTOCOL: Final = "audio.drachtio.org"
"""What mod_audio_fork offers; mod_audio_stream offers none."""
GARBAGE: Final = 20
"""Messages that are no audio before the peer is hung up."""

# Close codes, RFC 6455 section 7.4.1.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
POLICY: Final = 1008


class StreamTap:
    """FreeSWITCH sends the audio to us: works from another machine, needs a module there."""

    def __init__(
        self,
        leg: Leg,
        crew: Crew,
        kind: Literal["stream", "fork"],
        reception: Reception,
    ) -> None:
        self.leg = leg
        self.id = ""
        """What the connection of its latest start says."""
        self.kind = kind
        self.heard = 0
        self.state = TapState(PAUSES)
        self.asked = False
        self.socket: web.WebSocketResponse | None = None
        """Its connection, while there is one."""
        self.garbage = 0
        """Messages of that connection that were no audio."""
        self._starts = 0
        self._connected = 0
        """Which start that connection is of."""
        self._crew = crew
        self._reception = reception
        self._track: Track | None = None
        self._name()

    def _name(self) -> None:
        self.id, self._starts = uuid4().hex, self._starts + 1
        self._reception.expect(self, self._starts)

    def start_command(self) -> str:
        """What starts it."""
        config, metadata = self._crew.config, json.dumps({"tap": self.id}, separators=(",", ":"))
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
        return "does FreeSWITCH reach adapters.freeswitch.url (this machine, path and ingress token)? run: vcond check"

    def look(self, now: Instant) -> None:
        """Audio comes by itself."""

    def frame(self, payload: bytes, arrived: Instant) -> None:
        """Some audio."""
        if self.state.gone:
            return
        if len(payload) % 2:
            self.garbage += 1
            self._crew.desk.dropped("frame", "malformed")
            return
        if self._track is None:
            self._track = self.leg.open_track(arrived, self._crew.config.rate)
        if self._track is not None and payload:
            self.heard += len(payload)
            self.state.last = arrived
            self._track.write(payload, arrived=arrived)

    def connected(self, socket: web.WebSocketResponse, start: int) -> web.WebSocketResponse | None:
        """A connection of one of its starts is there; the one that is of no use now, which may be this one."""
        if self.socket is not None and start < self._connected:
            return socket
        before, self.socket, self._connected, self.garbage = self.socket, socket, start, 0
        return before

    def disconnected(self, socket: web.WebSocketResponse) -> None:
        """A connection is over. The modules do not connect again by themselves."""
        if self.socket is socket:
            self.socket = None
            if not self.state.gone:
                self._crew.renew(self, "its connection was closed")

    def again(self, at: Instant) -> None:
        """Another start follows; whatever is left of the connection is of no use."""
        del at
        socket, self.socket = self.socket, None
        if socket is not None:
            self._reception.drop(socket)
        self._name()

    def close(self, at: Instant, *, leave: bool = False) -> None:
        """No more."""
        del leave
        self.state.gone = True
        if self._track is not None:
            self._track.close(at=at)


class Early:
    """Audio that came before it was known whose it is."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, Instant]] = []
        self._size = 0

    def keep(self, payload: bytes, arrived: Instant) -> None:
        """Some of it; what is too much is not kept."""
        self._size += len(payload) + FEW
        if self._size <= EARLY:
            self.frames.append((payload, arrived))


class Reception:
    """The route that FreeSWITCH connects to, and who is there."""

    def __init__(self, desk: Desk, config: Config) -> None:
        self._desk = desk
        self._config = config
        self._expected: dict[str, tuple[StreamTap, int]] = {}
        """By what a connection says first: whose it is, and of which start."""
        self._sockets: set[web.WebSocketResponse] = set()
        self._dropped: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._closed = False

    def serve(self, crew: TapCrew) -> None:
        """Take audio for the taps of this crew, when the configuration has a way for it to come. Raises ConfigError."""
        if not self._config.url:
            return
        self._desk.ingress.route("GET", self._config.path, self.answer)

        def stream(leg: Leg, crew: TapCrew, _both: bool, /) -> Tap:
            return StreamTap(leg, crew, "stream", self)

        def fork(leg: Leg, crew: TapCrew, _both: bool, /) -> Tap:
            return StreamTap(leg, crew, "fork", self)

        crew.make = {**crew.make, "stream": stream, "fork": fork}

    def expect(self, tap: StreamTap, start: int) -> None:
        """A connection of this start of a tap may come. One of an earlier start is better than none."""
        for name, (one, number) in list(self._expected.items()):
            gone = one.leg.left is not None and one.socket is None
            if gone or (one is tap and number <= start - STARTS):
                del self._expected[name]
        self._expected[tap.id] = tap, start

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection to its end."""
        if self._closed or len(self._sockets) >= 4 * self._config.max_calls:
            self._desk.dropped("stream", "stopping" if self._closed else "limit")
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"})
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,), decode_text=False, max_msg_size=MAX_MESSAGE, timeout=CLOSING
        )
        await socket.prepare(request)
        self._sockets.add(socket)
        tap: StreamTap | None = None
        early = Early()
        try:
            tap, start = await self._hello(socket, early)
            if tap is None:
                self._desk.dropped("stream", "unknown")
                await socket.close(code=POLICY)
            else:
                useless = tap.connected(socket, start)
                if useless is not None:
                    self.drop(useless)
                for payload, arrived in early.frames if tap.socket is socket else ():
                    tap.frame(payload, arrived)
                await self._listen(socket, tap)
        finally:
            self._sockets.discard(socket)
            if tap is not None:
                self._forget(tap)
                tap.disconnected(socket)
            if not self._sockets:
                self._empty.set()
        return socket

    def _forget(self, tap: StreamTap) -> None:
        """Nothing comes of a leg that is gone."""
        if tap.leg.left is not None:
            for name in [name for name, (one, _) in self._expected.items() if one is tap]:
                del self._expected[name]

    async def _hello(self, socket: web.WebSocketResponse, early: Early) -> tuple[StreamTap | None, int]:
        """Whose audio it is, and of which start; None when the peer does not say, or nobody waits for it.

        Audio until then is kept.
        """
        texts = 0
        try:
            async with asyncio.timeout(HELLO):
                async for message in socket:
                    if message.type is WSMsgType.BINARY:
                        early.keep(message.data, self._desk.clock.now())
                        continue
                    texts += 1
                    tap, start = self._named(message.data)
                    if tap is not None or texts >= GARBAGE:
                        return tap, start
        except TimeoutError:
            return None, 0
        return None, 0

    def _named(self, text: bytes) -> tuple[StreamTap | None, int]:
        """The tap that metadata names, and which of its starts."""
        try:
            said: Any = json.loads(text)
            return self._expected[said["tap"]]
        except (ValueError, RecursionError, LookupError, TypeError):
            return None, 0

    def drop(self, socket: web.WebSocketResponse) -> None:
        """Hang up on a connection that another one replaces; its other end may not be there."""
        task = asyncio.create_task(_goodbye(socket), name="freeswitch-stream-drop")
        self._dropped.add(task)
        task.add_done_callback(self._dropped.discard)

    async def _listen(self, socket: web.WebSocketResponse, tap: StreamTap) -> None:
        clock = self._desk.clock
        async for message in socket:
            if message.type is WSMsgType.BINARY and tap.socket is socket:
                tap.frame(message.data, clock.now())
                if tap.garbage >= GARBAGE:
                    await socket.close(code=POLICY)
        if not socket.closed:
            await socket.close(code=NORMAL)

    async def close(self) -> None:
        """Say goodbye to every peer."""
        self._closed = True
        self._empty.clear()
        dropped = list(self._dropped)
        for task in dropped:
            task.cancel()
        if dropped:
            await asyncio.wait(dropped)
        sockets = list(self._sockets)
        if sockets:
            async with asyncio.TaskGroup() as group:
                for socket in sockets:
                    group.create_task(_goodbye(socket))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * CLOSING):
                    while self._sockets:
                        await self._empty.wait()


async def _goodbye(socket: web.WebSocketResponse) -> None:
    with contextlib.suppress(TimeoutError, OSError, RuntimeError):
        async with asyncio.timeout(2 * CLOSING):
            await socket.close(code=GOING_AWAY)
