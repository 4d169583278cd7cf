"""The door for media streams: a socket is taken, bounded, read and closed here, whatever is spoken on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import WSMsgType, web

from vcond.sdk.contract import SECOND, AdapterHost, Clock, Instant
from vcond.sdk.media_stream.dialect import GO_ON, GOING_AWAY, NORMAL, POLICY
from vcond.sdk.media_stream.settings import StreamSettings

CLOSING: Final = 2.0
"""Seconds that a peer gets to answer a close frame, and to take a reply."""
CLEAN: Final = frozenset({0, NORMAL})
"""Close codes of a peer that has said all; 0 = it gives none."""
QUIET: Final = 60 * SECOND
"""Between two lines of the log about who is turned away, ns."""
MAX_MESSAGE: Final = 64 * 1024
"""Bytes of one message; 20 ms of G.711 as JSON are under 400, a start with all its parameters under 16 KiB."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a door allows. Times are seconds."""

    streams: int
    """Sockets at the same time."""
    start: float
    """How long one may be open before it says what it is."""
    idle: float = 0
    """How long it may say nothing; 0 = for ever."""
    message: int = MAX_MESSAGE
    """Bytes of a message."""
    protocols: tuple[str, ...] = ()
    """Subprotocols of which the first that a peer offers is taken (RFC 6455 section 4.2.2)."""
    compress: bool = False
    """Whether a peer may compress (RFC 7692): only where one cannot do without."""

    @classmethod
    def of(cls, settings: StreamSettings) -> Limits:
        """What an operator set."""
        return cls(settings.max_streams, settings.start_timeout, settings.idle_timeout)


class Listener(Protocol):
    """What a socket's messages go to. Takes every call without waiting, and raises nothing for what the peer sent."""

    replies: list[str]
    """What the peer is to be told, after the message that was taken last."""

    @property
    def started(self) -> bool:
        """Whether it is known what the stream is."""

    def text(self, raw: bytes, arrived: Instant) -> int:
        """Take a text. Returns the close code when the socket is to be closed, else ``GO_ON``."""

    def binary(self, raw: bytes, arrived: Instant) -> int:
        """Take a binary message; returns the same."""

    def gone(self, at: Instant, *, clean: bool) -> None:
        """The socket is closed, ``clean`` by the peer with a close frame that names no trouble. The last call."""


HangUp = Callable[[str], None]
"""Ends a socket from our side, for a reason in a word."""
Meet = Callable[[web.Request, HangUp], Listener]
"""Makes the listener of a socket."""
Vouch = Callable[[web.Request], str]
"""Why a socket is not to be let in, in a word; empty = it is."""


class MediaStreams:
    """All sockets of one route."""

    def __init__(self, host: AdapterHost, limits: Limits, meet: Meet, vouch: Vouch = lambda _: "") -> None:
        """``vouch`` is asked before the upgrade, of a route that the ingress token does not guard."""
        self._host = host
        self._limits = limits
        self._meet = meet
        self._vouch = vouch
        self._told: Instant | None = None
        self._peers: set[_Patience] = set()
        self._streams = 0
        self._empty = asyncio.Event()
        self._closed = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket to its end: the handler of the route."""
        limits = self._limits
        if self._closed or self._streams >= limits.streams:
            self._host.dropped("stream", "stopping" if self._closed else "limit")
            self._host.log.warning(
                "stream refused: vcond is stopping" if self._closed else "stream refused: too many streams",
                streams=self._streams, limit=limits.streams,
            )  # fmt: skip
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"})
        why = self._vouch(request)
        if why:
            self._turn_away(why)
            raise web.HTTPForbidden(text="no valid signature or token for this stream\n")
        socket = web.WebSocketResponse(
            protocols=limits.protocols,
            decode_text=False,
            max_msg_size=limits.message,
            compress=limits.compress,
            timeout=CLOSING,
        )
        self._streams += 1
        try:
            patience = _Patience(self._host.clock, limits)
            listener = self._meet(request, patience.hang_up)
            await socket.prepare(request)
            if self._closed:
                await socket.close(code=GOING_AWAY)
            else:
                await self._converse(socket, listener, patience)
        finally:
            self._streams -= 1
            if not self._streams:
                self._empty.set()
        return socket

    async def close(self) -> None:
        """Say goodbye to every peer."""
        self._closed = True
        self._empty.clear()
        for patience in self._peers:
            patience.end("stopping", GOING_AWAY)
        if self._streams:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * CLOSING):
                    await self._empty.wait()

    def _turn_away(self, why: str) -> None:
        """Count it, and say it now and then: whoever tries all doors of the internet must not fill the log."""
        self._host.dropped("stream", why)
        now = self._host.clock.now()
        if self._told is None or now - self._told >= QUIET:
            self._told = now
            fix = "check that the secret is the platform's and that the public URL is what it connects to"
            self._host.log.warning("stream refused: its token or signature is missing or wrong", error=why, hint=fix)

    async def _converse(self, socket: web.WebSocketResponse, listener: Listener, patience: _Patience) -> None:
        patience.begin(listener)
        self._peers.add(patience)
        try:
            async with patience.limit:
                code = await self._listen(socket, listener, patience)
        except TimeoutError:
            code, why = patience.code, patience.why or "not-reading"
            self._host.log.warning("media stream closed by vcond", error=why)
            if code == POLICY:
                self._host.dropped("stream", why)
        finally:
            self._peers.discard(patience)
            patience.close()
            listener.gone(self._host.clock.now(), clean=patience.clean)
        await socket.close(code=code)

    async def _listen(self, socket: web.WebSocketResponse, listener: Listener, patience: _Patience) -> int:
        """Feed the listener until one side has enough; returns the close code."""
        now, receive, text, replies = self._host.clock.now, socket.receive, listener.text, listener.replies
        while True:
            kind, data, _ = await receive()
            if kind is WSMsgType.TEXT:
                arrived = patience.heard = now()
                code = text(data, arrived)
            elif kind is WSMsgType.BINARY:
                arrived = patience.heard = now()
                code = listener.binary(data, arrived)
            else:
                patience.clean = kind is WSMsgType.CLOSE and data in CLEAN
                if kind is WSMsgType.ERROR:
                    self._host.dropped("message", "websocket")
                    self._host.log.warning("a stream ended with a broken or oversized WebSocket message")
                return NORMAL
            if replies:
                await self._reply(socket, replies)
            if code != GO_ON:
                return code

    async def _reply(self, socket: web.WebSocketResponse, replies: list[str]) -> None:
        """Tell the peer. Raises TimeoutError when it does not listen."""
        async with asyncio.timeout(CLOSING):
            for reply in replies:
                with contextlib.suppress(ConnectionError):  # it is gone, as the next message will say
                    await socket.send_str(reply)
        replies.clear()


class _Patience:
    """Ends a socket that does not start in time or falls silent, at the cost of one assignment a message."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self.limit = asyncio.timeout(None)
        """Raises TimeoutError in the socket's task when patience ends."""
        self.why = ""
        self.code = POLICY
        self.clean = False
        """Whether the peer closed in order."""
        self.heard: Instant = clock.now()
        """When the latest message came."""
        self._clock = clock
        self._limits = limits
        self._idle = round(limits.idle * SECOND)
        self._loop = asyncio.get_running_loop()
        self._listener: Listener | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def begin(self, listener: Listener) -> None:
        """The socket is open."""
        self._listener = listener
        self._timers = [self._loop.call_later(self._limits.start, self._look_for_start)]
        if self._idle:
            self._timers.append(self._loop.call_later(self._limits.idle, self._look_for_life))

    def hang_up(self, why: str) -> None:
        """Nothing more is wanted of this one."""
        self.end(why, GOING_AWAY)

    def end(self, why: str, code: int) -> None:
        """Hang up now."""
        if self._listener is not None and not self.why:
            self.why, self.code = why, code
            self.limit.reschedule(self._loop.time())

    def close(self) -> None:
        """The socket is done: stop looking."""
        self._listener = None
        for timer in self._timers:
            timer.cancel()

    def _look_for_start(self) -> None:
        if self._listener is not None and not self._listener.started:
            self.end("no-start", POLICY)

    def _look_for_life(self) -> None:
        rest = self.heard + self._idle - self._clock.now()
        if rest > 0:
            self._timers[1] = self._loop.call_later(rest / SECOND, self._look_for_life)
        else:
            self.end("idle", POLICY)
