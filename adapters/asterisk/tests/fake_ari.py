"""An Asterisk of a few hundred lines for tests in virtual time: what the real one does, as captured, and faults at will.

It speaks ARI (HTTP and the event socket) and connects with AudioSocket, one frame every 20 ms, silence too.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from typing import Any, Self
from uuid import UUID

import numpy as np
from aiohttp import web

USER, PASSWORD = "vcond", "secret-of-the-fake"
FRAME = 160
STAMP = "2026-01-05T{:02}:{:02}:{:06.3f}+0000"
MODULES = (
    "res_ari_channels.so", "res_ari_bridges.so", "res_ari_events.so", "res_ari_applications.so", "res_stasis_snoop.so", "chan_audiosocket.so",
    "res_audiosocket.so",
)  # fmt: skip


class FakeAsterisk:
    """``async with`` serves on a free port of loopback."""

    def __init__(self) -> None:
        self.channels: dict[str, dict[str, Any]] = {}
        self.bridges: dict[str, dict[str, Any]] = {}
        self.voices: dict[str, bytearray] = {}
        """What the party of a channel still has to say: 16-bit samples."""
        self.requests: list[str] = []
        self.refuse: dict[str, int] = {}
        """Statuses to answer with, by a part of ``METHOD path``."""
        self.hang = ""
        """A part of ``METHOD path`` that is never answered."""
        self.clock_off = 0.0
        """Seconds by which its clock is wrong."""
        self.slow = 0.0
        """Seconds that it takes over every request that asks for something to be made or changed."""
        self.mute: set[str] = set()
        """Media channels that send nothing; ``*`` = all."""
        self.still = 0
        """Frames after which every media channel stands still until something is sent to it, as seen in bursts of
        calls with 22.10.1; 0 = none does."""
        self.taken: dict[str, bytearray] = {}
        """What was sent to media channels."""
        self.password = PASSWORD
        """Asked of every new request, and not of an open event socket, when it is changed (seen with 22.10.1)."""
        self.channelvars = True
        self.version = "22.10.1"
        self.variables: dict[str, str] = {}
        self.modules = list(MODULES)
        self.allowed: dict[str, list[str]] = {}
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._subscribed: set[str] = set()
        self._streams: dict[str, asyncio.Task[None]] = {}
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._numbers = itertools.count(1)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/ari/events", self._events)
        app.router.add_route("*", "/ari/{path:.*}", self._rest)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self._stack.push_async_callback(self._hang_up_all)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Its HTTP server."""
        return f"http://127.0.0.1:{self.port}"

    # What tests do with it.

    def channel(self, endpoint: str, *, linked: str = "", number: str = "", name: str = "", state: str = "Ring") -> str:
        """A new channel; its id."""
        index = next(self._numbers)
        ident = f"pbx-1700000000.{index}"
        self.channels[ident] = {
            "id": ident, "name": f"{endpoint}-{index:08x}", "state": state, "protocol_id": f"sip-{index}",
            "caller": {"name": name, "number": number}, "connected": {"name": "", "number": ""},
            "dialplan": {"context": "pbx-in", "exten": "200", "priority": 1, "app_name": "Dial", "app_data": ""},
            "channelvars": {"CHANNEL(linkedid)": linked or ident},
        }  # fmt: skip
        self.tell("ChannelCreated", channel=ident)
        return ident

    def up(self, channel: str) -> None:
        """A channel is answered."""
        self.channels[channel]["state"] = "Up"
        self.tell("ChannelStateChange", channel=channel)

    def bridge(self, *channels: str, ident: str = "", kind: str = "basic") -> str:
        """Put channels into a new or known bridge."""
        ident = ident or f"bridge-{next(self._numbers)}"
        made = self.bridges.setdefault(
            ident, {"id": ident, "technology": "simple_bridge", "bridge_type": "mixing", "bridge_class": kind,
                    "name": "", "channels": []}
        )  # fmt: skip
        for channel in channels:
            made["channels"].append(channel)
            self.tell("ChannelEnteredBridge", channel=channel, bridge=ident)
        return ident

    def hang_up(self, *channels: str, by: str = "", cause: int = 16) -> None:
        """Channels end; ``by`` whom."""
        if by:
            self.tell("ChannelHangupRequest", channel=by, cause=cause)
        for channel in channels:
            self._destroy(channel, cause)

    def tell(self, kind: str, **fields: Any) -> None:
        """An event to all applications that get it."""
        now = asyncio.get_running_loop().time()
        event: dict[str, Any] = {"type": kind, "timestamp": _stamp(now + self.clock_off), "application": "x"}
        for name, value in fields.items():
            if name in {"channel", "peer", "caller"} and isinstance(value, str):
                event[name] = self._shown(value)
            elif name == "bridge" and isinstance(value, str):
                event[name] = self.bridges[value]
            else:
                event[name] = value
        for app in self._subscribed | ({fields["app"]} if "app" in fields else set()):
            if kind in self.allowed.get(app, [kind]):
                self.send(app, json.dumps(event))

    def send(self, app: str, text: str) -> None:
        """Any text to the event socket of an application."""
        socket = self._sockets.get(app)
        if socket is not None and not socket.closed:
            socket._writer.transport.write(_text_frame(text.encode()))

    def cut_events(self) -> None:
        """The event sockets are gone, without a word."""
        self._subscribed.clear()
        self.allowed.clear()
        for socket in self._sockets.values():
            if socket._req.transport is not None:
                socket._req.transport.abort()
        self._sockets.clear()

    async def rob(self, app: str) -> asyncio.StreamWriter:
        """Another client registers an application; it has it until the writer is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        login = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        head = (
            f"GET /ari/events?app={app} HTTP/1.1\r\nHost: pbx\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Basic {login}\r\n\r\n"
        )
        writer.write(head.encode())
        await reader.readuntil(b"\r\n\r\n")
        return writer

    def cut_audio(self) -> None:
        """All audio connections are gone."""
        for writer in self._writers.values():
            writer.transport.abort()

    async def said(self, *channels: str) -> None:
        """Wait until parties have said all that they had to."""
        while any(self.voices.get(channel) for channel in channels):  # noqa: ASYNC110 - 20 ms is how it speaks
            await asyncio.sleep(0.02)

    def helpers(self, prefix: str) -> list[str]:
        """Channels and bridges of an application."""
        return [ident for ident in (*self.channels, *self.bridges) if ident.startswith(prefix)]

    # HTTP.

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        what = f"{request.method} {request.path.removeprefix('/ari/')}"
        self.requests.append(what)
        login = "Basic " + base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        if request.headers.get("Authorization") != login:
            return web.json_response({"message": "Authentication required"}, status=401)
        status = next((status for part, status in self.refuse.items() if part in what), 0)
        if status:
            return web.json_response({"message": "no"}, status=status)
        if self.hang and self.hang in what:
            await asyncio.sleep(3600)
        if self.slow and request.method == "POST":
            await asyncio.sleep(self.slow)
        return await handler(request)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        app, socket = request.query["app"], web.WebSocketResponse()
        await socket.prepare(request)
        if app in self._sockets:
            self.send(app, json.dumps({"type": "ApplicationReplaced", "timestamp": _stamp(0), "application": app}))
        self._sockets[app] = socket
        async for _ in socket:
            pass
        if self._sockets.get(app) is socket:
            del self._sockets[app]
            self._subscribed.discard(app)
            self.allowed.pop(app, None)
        return socket

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        path, query = request.match_info["path"].split("/"), request.query
        match (request.method, *path):
            case ("GET", "asterisk", "info"):
                return web.json_response({"system": {"version": self.version}})
            case ("GET", "asterisk", "modules"):
                return web.json_response([{"name": name, "status": "Running"} for name in self.modules])
            case ("GET", "channels"):
                return web.json_response([self._shown(ident) for ident in self.channels])
            case ("GET", "bridges"):
                return web.json_response(list(self.bridges.values()))
            case ("GET", "channels", ident, "variable"):
                if ident not in self.channels:
                    return _no(404)
                known = self.channels[ident]["channelvars"] | self.variables
                return (
                    web.json_response({"value": known[query["variable"]]}) if query["variable"] in known else _no(404)
                )
            case ("GET", "applications", app):
                return web.json_response({"name": app}) if app in self._sockets else _no(404)
            case ("PUT", "applications", app, "eventFilter"):
                self.allowed[app] = [one["type"] for one in (await request.json())["allowed"]]
                return web.json_response({})
            case ("POST", "applications", app, "subscription"):
                self._subscribed.add(app)
                return web.json_response({})
            case ("POST", "channels", ident, "snoop", snoop):
                return self._snoop(ident, snoop, query["app"], query["spy"])
            case ("POST", "channels", "externalMedia"):
                return await self._external_media(query)
            case ("POST", "bridges", ident):
                self.bridge(ident=ident, kind="stasis")
                return web.json_response({})
            case ("POST", "bridges", ident, "addChannel"):
                return self._add(ident, query["channel"].split(","))
            case ("DELETE", "channels", ident):
                if ident not in self.channels:
                    return _no(404)
                self._destroy(ident, 16)
                return web.Response(status=204)
            case ("DELETE", "bridges", ident):
                return web.Response(status=204) if self.bridges.pop(ident, None) else _no(404)
        return _no(404)

    def _helper(self, ident: str, name: str, app: str) -> None:
        self.channels[ident] = {
            "id": ident, "name": name, "state": "Up", "channelvars": {"CHANNEL(linkedid)": ident}, "caller": {},
            "connected": {}, "dialplan": {},
        }  # fmt: skip
        self.tell("ChannelCreated", channel=ident)
        self.tell("StasisStart", channel=ident, args=[], app=app)

    def _snoop(self, ident: str, snoop: str, app: str, spy: str) -> web.Response:
        if ident not in self.channels:
            return _no(404)
        self._helper(snoop, f"Snoop/{ident}-00000000", app)
        self.channels[snoop]["tapped"] = ident
        self.channels[snoop]["spy"] = spy
        return web.json_response({})

    async def _external_media(self, query: Any) -> web.Response:
        host, port = query["external_host"].rsplit(":", 1)
        ident = query["channelId"]
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return _no(500)
        writer.write(bytes([1, 0, 16]) + UUID(query["data"]).bytes)
        self._writers[ident] = writer
        self._helper(ident, f"AudioSocket/{query['external_host']}-{query['data']}", query["app"])
        self._streams[ident] = asyncio.create_task(self._stream(ident, reader, writer))
        return web.json_response({})

    def _add(self, ident: str, channels: list[str]) -> web.Response:
        if ident not in self.bridges or any(channel not in self.channels for channel in channels):
            return _no(404)
        self.bridge(*channels, ident=ident)
        return web.Response(status=204)

    # Audio.

    async def _stream(self, media: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the tapped party says, once the media channel shares a bridge with its snoop."""
        clock = asyncio.get_running_loop()
        due, sent = clock.time(), 0
        taking = asyncio.create_task(self._take(media, reader))
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                due += 0.02
                await asyncio.sleep(due - clock.time())
                heard = self._heard_by(media)
                if heard and not self.mute & {media, "*"}:
                    said = self.voices.get(heard, bytearray())
                    frame = bytes(said[: FRAME * 2]).ljust(FRAME * 2, b"\0")
                    del said[: FRAME * 2]
                    if self.still and sent >= self.still and not self.taken[media]:
                        continue
                    sent += 1
                    writer.write(b"\x10\x01\x40" + frame)
        taking.cancel()
        await asyncio.wait([taking])
        self._destroy(media, 16)

    async def _take(self, media: str, reader: asyncio.StreamReader) -> None:
        taken = self.taken.setdefault(media, bytearray())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(3)
                payload = await reader.readexactly(head[1] << 8 | head[2])
                taken.extend(head + payload)
                self.voices.setdefault(media, bytearray()).extend(payload)  # heard by who taps it

    def _heard_by(self, media: str) -> str:
        for bridge in self.bridges.values():
            if media in bridge["channels"]:
                snoops = [self.channels[other] for other in bridge["channels"] if other in self.channels]
                said = [(one.get("tapped", ""), one.get("spy") == "out") for one in snoops]
                return next((f"to {one}" if sent else one for one, sent in said if one in self.channels), "")
        return ""

    def say(self, channel: str, pcm: np.ndarray) -> None:
        """The party of a channel speaks; ``to`` and a channel: that is sent to it."""
        self.voices.setdefault(channel, bytearray()).extend(pcm.astype("<i2").tobytes())

    # Ends.

    def _destroy(self, channel: str, cause: int) -> None:
        if channel not in self.channels:
            return
        shown = self._shown(channel)
        for bridge in self.bridges.values():
            if channel in bridge["channels"]:
                bridge["channels"].remove(channel)
                self.tell("ChannelLeftBridge", channel=shown, bridge=bridge)
        del self.channels[channel]
        self.tell("ChannelDestroyed", channel=shown, cause=cause)
        for snoop in [ident for ident, one in self.channels.items() if one.get("tapped") == channel]:
            self._destroy(snoop, 16)
        writer = self._writers.pop(channel, None)
        if writer is not None:
            writer.close()

    def _shown(self, channel: str) -> dict[str, Any]:
        one = {name: value for name, value in self.channels[channel].items() if name != "tapped"}
        return one if self.channelvars else one | {"channelvars": {}}

    async def _hang_up_all(self) -> None:
        self.cut_events()
        for channel in list(self.channels):
            self._destroy(channel, 16)
        for stream in self._streams.values():
            stream.cancel()
        await asyncio.gather(*self._streams.values(), return_exceptions=True)
        for writer in self._writers.values():
            writer.close()


def _stamp(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return STAMP.format((12 + int(minutes) // 60) % 24, int(minutes) % 60, rest)


def _no(status: int) -> web.Response:
    return web.json_response({"message": "no"}, status=status)


def _text_frame(data: bytes) -> bytes:
    """A WebSocket text frame of a server (RFC 6455 section 5.2)."""
    size = len(data)
    head = (
        bytes([size])
        if size < 126
        else b"\x7e" + size.to_bytes(2, "big")
        if size < 65536
        else b"\x7f" + size.to_bytes(8, "big")
    )
    return b"\x81" + head + data
