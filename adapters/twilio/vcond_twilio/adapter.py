"""Twilio Media Streams: Twilio connects to us, one WebSocket a stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import ClassVar, Final
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from vcond.sdk.contract import SECOND, Clock, Desk, Finding, Instant
from vcond_twilio.batch import Batch, Pulse
from vcond_twilio.calls import Switchboard
from vcond_twilio.config import TwilioConfig
from vcond_twilio.stream import GO_ON, GOING_AWAY, NORMAL, POLICY, Stream
from vcond_twilio.wire import MAX_MESSAGE

CLOSING: Final = 2.0
"""Seconds that a peer gets to answer a close frame."""


class TwilioAdapter:
    """Serves the ingress route that ``<Stream url="wss://…">`` names."""

    name: ClassVar[str] = "twilio"
    Config: ClassVar[type[TwilioConfig]] = TwilioConfig

    def __init__(self, config: TwilioConfig) -> None:
        self._config = config

    async def run(self, desk: Desk) -> None:
        """Serve until cancelled. Calls that go on then are left for the core."""
        reception = _Reception(desk, self._config)
        desk.ingress.route("GET", self._config.path, reception.answer)
        url = stream_url(desk.ingress.base_url, self._config.path)
        if not url.startswith("wss://"):
            desk.log.warning("Twilio cannot reach this address", url=url, fix=f"set web.public_url; {PROXY}")
        desk.attached(True, f"waiting for streams at {url}")
        try:
            await asyncio.Event().wait()
        finally:
            await reception.close()

    async def check(self) -> AsyncIterator[Finding]:
        """Tell which URL belongs into the TwiML."""
        what = "URL for <Stream> in your TwiML"
        base = self._config.public_url
        if not base:
            yield Finding("warning", what, "public_url is not set", f"set adapters.twilio.public_url; {PROXY}")
            return
        url, host = stream_url(base, self._config.path), urlsplit(base).hostname or ""
        told = f"{url}/TOKEN, where TOKEN is the ingress token"
        if not url.startswith("wss://"):
            yield Finding("error", what, told, f"Twilio connects to wss:// only; {PROXY}")
        elif host == "localhost" or host.startswith("127.") or host == "::1":
            yield Finding("error", what, told, "Twilio cannot reach the loopback address; use a public name")
        else:
            yield Finding("ok", what, told)


PROXY: Final = "put a TLS proxy with a public name in front of vcond and give its https:// URL"


def stream_url(base: str, path: str) -> str:
    """The WebSocket URL of the route: ``https://edge.example.com`` becomes ``wss://edge.example.com/twilio/stream``."""
    scheme, _, rest = base.rstrip("/").partition("://")
    return f"{ {'https': 'wss', 'http': 'ws'}.get(scheme, scheme) }://{rest}{path}"


class _Reception:
    """All sockets of one run."""

    def __init__(self, desk: Desk, config: TwilioConfig) -> None:
        self._desk = desk
        self._config = config
        self._switchboard = Switchboard(desk, config)
        self._guests: set[_Patience] = set()
        self._pulse = Pulse()
        self._streams = 0
        self._empty = asyncio.Event()
        self._closed = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket to its end."""
        if self._closed or self._streams >= self._config.max_streams:
            self._desk.dropped("stream", "stopping" if self._closed else "limit")
            self._desk.log.warning("stream refused", streams=self._streams, limit=self._config.max_streams)
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"})
        socket = web.WebSocketResponse(decode_text=False, max_msg_size=MAX_MESSAGE, compress=False, timeout=CLOSING)
        self._streams += 1
        try:
            await socket.prepare(request)
            if self._closed:
                await socket.close(code=GOING_AWAY)
            else:
                await self._converse(socket)
        finally:
            self._streams -= 1
            if not self._streams:
                self._empty.set()
        return socket

    async def close(self) -> None:
        """Say goodbye to every peer; what the sockets carried is left open in the core."""
        self._closed = True
        self._switchboard.close()
        self._empty.clear()
        for patience in self._guests:
            patience.end("stopping")
        if self._streams:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * CLOSING):
                    await self._empty.wait()

    async def _converse(self, socket: web.WebSocketResponse) -> None:
        stream, clock = Stream(self._desk, self._switchboard), self._desk.clock
        batch, patience = Batch(stream, self._pulse), _Patience(stream, clock, self._config)
        self._guests.add(patience)
        try:
            async with patience.limit:
                code = await self._listen(socket, stream, batch, patience)
        except TimeoutError:
            code = GOING_AWAY if self._closed else POLICY
            self._desk.log.warning("stream hung up", why=patience.why)
            if not self._closed:
                self._desk.dropped("stream", patience.why)
        finally:
            self._guests.discard(patience)
            patience.close()
            batch.close(clock.now())
        await socket.close(code=code)

    async def _listen(self, socket: web.WebSocketResponse, stream: Stream, batch: Batch, patience: _Patience) -> int:
        """Feed the stream until one side has enough; returns the close code."""
        now = self._desk.clock.now
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.TEXT:
                arrived = patience.heard = now()
                code = batch.hear(message.data, arrived)
            elif message.type is WSMsgType.BINARY:
                code = stream.garbage("binary", "a binary message")
            else:
                if message.type is WSMsgType.ERROR:
                    stream.garbage("websocket", "a broken or oversized WebSocket message")
                return NORMAL
            if code != GO_ON:
                return code


class _Patience:
    """Ends a socket that does not start in time or falls silent, at the cost of one assignment a message."""

    def __init__(self, stream: Stream, clock: Clock, config: TwilioConfig) -> None:
        self.limit = asyncio.timeout(None)
        """Raises TimeoutError in the socket's task when patience ends."""
        self.why = ""
        self.heard: Instant = clock.now()
        """When the latest message came."""
        self._stream = stream
        self._clock = clock
        self._idle = round(config.idle_timeout * SECOND)
        self._loop = asyncio.get_running_loop()
        self._start_timer = self._loop.call_later(config.start_timeout, self._look_for_start)
        self._life_timer = self._loop.call_later(config.idle_timeout, self._look_for_life)

    def end(self, why: str) -> None:
        """Hang up now."""
        if not self.why:
            self.why = why
            self.limit.reschedule(self._loop.time())

    def close(self) -> None:
        """The socket is done: stop looking."""
        self._start_timer.cancel()
        self._life_timer.cancel()

    def _look_for_start(self) -> None:
        if not self._stream.started:
            self.end("no-start")

    def _look_for_life(self) -> None:
        rest = self.heard + self._idle - self._clock.now()
        if rest > 0:
            self._life_timer = self._loop.call_later(rest / SECOND, self._look_for_life)
        else:
            self.end("idle")
