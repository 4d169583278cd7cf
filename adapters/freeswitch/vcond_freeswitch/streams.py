"""Audio that FreeSWITCH sends over a WebSocket: mod_audio_stream, mod_audio_fork.

Both open one connection a leg. The first message is our metadata, ``{"tap":"..."}``, which says whose audio it is;
then come binary messages of 16-bit little endian samples, any multiple of 20 ms, without number or time, and nothing
at all while the party holds. Other texts say nothing to us.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Final, Literal
from uuid import uuid4

from aiohttp import WSMsgType, web

from vcond.adapter import Desk, Instant, Track
from vcond_freeswitch import commands
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.config import Config
from vcond_freeswitch.taps import Tap, TapCrew

MAX_MESSAGE: Final = 1 << 20
"""Bytes of one message; the modules send 320 to 64,000."""
HELLO: Final = 10.0
"""Seconds that a peer may take to say whose audio it sends."""
CLOSING: Final = 2.0
"""Seconds that a peer gets to answer a close frame."""
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

    def __init__(self, leg: Leg, crew: TapCrew, kind: Literal["stream", "fork"]) -> None:
        self.leg = leg
        self.id = uuid4().hex
        self.kind = kind
        self.heard = 0
        self.since: Instant | None = None
        self.complained = False
        self.masked = False
        self.connected = False
        self.garbage = 0
        self._crew = crew
        self._track: Track | None = None
        self._closed = False

    def start_command(self) -> str:
        """What starts it."""
        config, metadata = self._crew.config, json.dumps({"tap": self.id}, separators=(",", ":"))
        make = commands.stream_start if self.kind == "stream" else commands.fork_start
        return make(self.leg.channel, config.url, config.rate, metadata)

    def stop_command(self) -> str:
        """What removes it."""
        stop = commands.stream_stop if self.kind == "stream" else commands.fork_stop
        return stop(self.leg.channel)

    def mask_command(self, *, on: bool) -> str:
        """There is none that both modules have; what comes while recording is paused is not kept here."""
        del on
        return ""

    def is_there(self, bugs: str) -> bool:
        """Whether it works: a module whose connection broke leaves its bug, and sends nothing any more."""
        del bugs
        return self.connected

    def look(self, now: Instant) -> None:
        """Audio comes by itself."""

    def frame(self, payload: bytes, arrived: Instant) -> None:
        """Some audio."""
        if self._closed:
            return
        if len(payload) % 2:
            self.garbage += 1
            self._crew.desk.dropped("frame", "malformed")
            return
        if self._track is None:
            self._track = self.leg.open_track(arrived, self._crew.config.rate)
        if self._track is not None and payload:
            self.heard += len(payload)
            self._track.write(payload, arrived=arrived)

    def disconnected(self) -> None:
        """The connection is over. The modules do not connect again by themselves."""
        self.connected = False
        if not self._closed:
            self._crew.renew(self)

    def close(self, at: Instant, *, leave: bool = False) -> None:
        """No more."""
        del leave
        self._closed = True
        if self._track is not None:
            self._track.close(at=at)


class Reception:
    """The route that FreeSWITCH connects to, and who is there."""

    def __init__(self, desk: Desk, config: Config) -> None:
        self._desk = desk
        self._config = config
        self._expected: dict[str, StreamTap] = {}
        self._sockets: set[web.WebSocketResponse] = set()
        self._empty = asyncio.Event()
        self._closed = False

    def serve(self, crew: TapCrew) -> None:
        """Take audio for the taps of this crew, when the configuration has a way for it to come. Raises ConfigError."""
        if not self._config.url:
            return
        self._desk.ingress.route("GET", self._config.path, self.answer)

        def stream(leg: Leg, crew: TapCrew, _both: bool, /) -> Tap:
            return self._expect(StreamTap(leg, crew, "stream"))

        def fork(leg: Leg, crew: TapCrew, _both: bool, /) -> Tap:
            return self._expect(StreamTap(leg, crew, "fork"))

        crew.make = {**crew.make, "stream": stream, "fork": fork}

    def _expect(self, tap: StreamTap) -> StreamTap:
        gone = [name for name, one in self._expected.items() if one.leg.left is not None and not one.connected]
        for name in gone:
            del self._expected[name]
        self._expected[tap.id] = tap
        return tap

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
        try:
            tap = await self._hello(socket)
            if tap is None:
                self._desk.dropped("stream", "unknown")
                await socket.close(code=POLICY)
            else:
                await self._listen(socket, tap)
        finally:
            self._sockets.discard(socket)
            if tap is not None:
                self._expected.pop(tap.id, None) if tap.leg.left is not None else None
                tap.disconnected()
            if not self._sockets:
                self._empty.set()
        return socket

    async def _hello(self, socket: web.WebSocketResponse) -> StreamTap | None:
        """Whose audio it is; None when the peer does not say, or nobody waits for it."""
        try:
            async with asyncio.timeout(HELLO):
                message = await socket.receive()
        except TimeoutError:
            return None
        if message.type is not WSMsgType.TEXT:
            return None
        try:
            said: Any = json.loads(message.data)
            tap = self._expected.get(said["tap"])
        except (ValueError, RecursionError, LookupError, TypeError):
            return None
        if tap is None or tap.connected:
            return None
        tap.connected = True
        return tap

    async def _listen(self, socket: web.WebSocketResponse, tap: StreamTap) -> None:
        clock = self._desk.clock
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                tap.frame(message.data, clock.now())
                if tap.garbage >= GARBAGE:
                    await socket.close(code=POLICY)
        if not socket.closed:
            await socket.close(code=NORMAL)

    async def close(self) -> None:
        """Say goodbye to every peer."""
        self._closed = True
        self._empty.clear()
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
