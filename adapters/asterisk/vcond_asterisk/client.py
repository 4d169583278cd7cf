"""The connections to Asterisk's ARI: requests over HTTP, events over a WebSocket."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus, WebSocketException
from yarl import URL

from vcond.sdk.contract import Clock, ConfigError, Instant, ProtocolError, RefusedError, UnreachableError
from vcond.sdk.tls import client
from vcond.sdk.websocket import open_websocket
from vcond_asterisk import wire
from vcond_asterisk.config import Config
from vcond_asterisk.unreachable import NoAnswerError

AT_ONCE: Final = 16
"""Requests on their way at the same time. More do not go faster: Asterisk serves them with few threads."""
WAITING: Final = 20_000
"""Events that wait to be understood. More means that we are seconds behind: better start afresh."""

_SAID: Final = {
    400: "Asterisk did not understand the request",
    404: "not found: the channel or bridge has ended, or this Asterisk lacks the request",
    409: "not possible in the current state of the channel",
    412: "the channel is in the wrong state for that",
    422: "the channel is not in vcond's application",
    500: "Asterisk failed, often because it cannot connect to the address given to it",
    503: "Asterisk is starting or stopping",
}


NO_ARI: Final = "there is no ARI at this address"


class AriError(RefusedError):
    """An answer that says no. ``status`` is HTTP's; the answer's body is not kept, it may hold names and numbers."""

    def __init__(self, what: str, status: int) -> None:
        said = NO_ARI if status == 404 and what in {"info", "event socket"} else _SAID.get(status, "refused")
        super().__init__(f"{what}: {status}, {said}")
        self.what = what
        self.status = status


class Ari:
    """Requests to one Asterisk. Every one raises UnreachableError, ConfigError (401, 403) or AriError (all else)."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._base = config.url.rstrip("/").removesuffix("/ari") + "/ari"
        self.refusal: ConfigError | None = None
        """The last refusal of our user (401, 403); who has mended it forgets it."""
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None
        self._headers: dict[str, str] = {}
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        login = f"{self._config.user}:{self._config.secret()}".encode()
        self._headers = {"Authorization": "Basic " + base64.b64encode(login).decode("ascii")}
        if self._base.startswith("https:"):
            self._tls = client(self._config.ca, "adapters.asterisk.ca")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE, ssl=self._tls or True),
            timeout=aiohttp.ClientTimeout(total=self._config.timeout),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    # Requests.

    async def info(self) -> Mapping[str, object]:
        """``GET /asterisk/info``: build, system (version), config, status."""
        return _mapping(await self._ask("GET", "asterisk/info", what="info"))

    async def modules(self) -> list[Mapping[str, object]]:
        """``GET /asterisk/modules``: name, status of each module."""
        body = await self._ask("GET", "asterisk/modules", what="modules")
        try:
            return msgspec.json.decode(body, type=list[Mapping[str, object]])
        except (ValueError, RecursionError) as why:
            raise ProtocolError("not a list of modules") from why

    async def channels(self) -> list[wire.Channel]:
        """All channels that there are."""
        return wire.decode_channels(await self._ask("GET", "channels", what="list of channels"))

    async def bridges(self) -> list[wire.Bridge]:
        """All bridges that there are."""
        return wire.decode_bridges(await self._ask("GET", "bridges", what="list of bridges"))

    async def variable(self, channel: str, name: str) -> str:
        """The value of a channel variable or function; works on every channel."""
        path = f"channels/{_id(channel)}/variable"
        value = _mapping(await self._ask("GET", path, what="variable", variable=name)).get("value")
        return value if isinstance(value, str) else ""

    async def registered(self, app: str) -> bool:
        """Whether somebody's event socket is open for an application."""
        try:
            await self._ask("GET", f"applications/{_id(app)}", what="application")
        except AriError as why:
            if why.status == 404:
                return False
            raise
        return True

    async def filter_events(self, app: str, *, extra: tuple[str, ...] = ()) -> None:
        """Ask for the types of events that ``wire`` reads, without ChannelVarset unless in ``extra``."""
        kinds = [kind for kind in wire.READ if kind != "ChannelVarset" or kind in extra]
        body = {"allowed": [{"type": kind} for kind in kinds]}
        await self._ask("PUT", f"applications/{_id(app)}/eventFilter", what="event filter", body=body)

    async def subscribe(self, app: str) -> None:
        """Send the events of all channels and bridges to an application whose event socket is open.

        In the place of ``subscribeAll`` of the event socket, which would subscribe to device states too: vcond needs
        none of them, and with 22.10.1 ARI was seen to answer reliably only without.
        """
        path = f"applications/{_id(app)}/subscription"
        await self._ask("POST", path, what="subscription", body=None, eventSource="channel:,bridge:")

    async def snoop(self, channel: str, snoop: str, app: str, *, sent: bool = False) -> None:
        """Make a channel that hears what the party of ``channel`` says, or what is ``sent`` to it."""
        path = f"channels/{_id(channel)}/snoop/{_id(snoop)}"
        await self._ask("POST", path, what="snoop", spy="out" if sent else "in", app=app, appArgs=f"snoop,{channel}")

    async def external_media(self, media: str, *, app: str, address: str, token: str, rate: int) -> None:
        """Make a channel that sends what it hears to ``address`` over AudioSocket, introducing itself as ``token``."""
        query = {
            "app": app, "channelId": media, "external_host": address, "encapsulation": "audiosocket",
            "transport": "tcp", "format": "slin" if rate == 8000 else f"slin{rate // 1000}", "data": token,
        }  # fmt: skip
        await self._ask("POST", "channels/externalMedia", what="external media", body=None, **query)

    async def create_bridge(self, bridge: str) -> None:
        """Make a mixing bridge."""
        await self._ask("POST", f"bridges/{_id(bridge)}", what="bridge", type="mixing")

    async def add_channels(self, bridge: str, *channels: str) -> None:
        """Put channels of our application into a bridge."""
        await self._ask("POST", f"bridges/{_id(bridge)}/addChannel", what="add to bridge", channel=",".join(channels))

    async def hang_up(self, channel: str) -> None:
        """Remove a channel; one that is gone already is fine."""
        await self._remove(f"channels/{_id(channel)}", "hang up")

    async def destroy_bridge(self, bridge: str) -> None:
        """Remove a bridge; one that is gone already is fine."""
        await self._remove(f"bridges/{_id(bridge)}", "destroy bridge")

    async def _remove(self, path: str, what: str) -> None:
        try:
            await self._ask("DELETE", path, what=what)
        except AriError as why:
            if why.status != 404:
                raise

    async def _ask(
        self, method: str, path: str, *, what: str, body: Mapping[str, object] | None = None, **query: str
    ) -> bytes:
        assert self._session is not None
        url = URL(f"{self._base}/{path}?{urlencode(query)}" if query else f"{self._base}/{path}", encoded=True)
        try:
            async with (
                self._slots,
                self._session.request(method, url, headers=self._headers, json=body, allow_redirects=False) as answer,
            ):
                if answer.status < 300:
                    return await _body(answer)
                refused = _refusal(what, answer.status)
                if isinstance(refused, ConfigError):
                    self.refusal = refused
                raise refused
        except (aiohttp.ClientError, TimeoutError, OSError) as why:
            raise NoAnswerError(self._config.url, why) from why

    # Events.

    def events(self, app: str, clock: Clock) -> EventSocket:
        """The event socket of an application, to be entered with ``async with``."""
        url = f"ws{self._base.removeprefix('http')}/events?{urlencode({'app': app})}"
        return EventSocket(url, self._headers, clock, self._config.timeout, self._tls)


class EventSocket:
    """Events as they come. A task reads the socket at all times and only queues, whatever happens to the events.

    Asterisk hangs up on a client that does not take an event within 100 ms (``websocket_write_timeout``).
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], clock: Clock, timeout: float, tls: ssl.SSLContext | None = None
    ) -> None:
        self._url, self._tls = url, tls
        self._headers = headers
        self._clock = clock
        self._timeout = timeout
        self._queue: asyncio.Queue[tuple[str | bytes, Instant] | asyncio.Event | None] = asyncio.Queue()
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self.behind = False
        """Whether it ended because events came faster than they were taken."""
        self.over = False
        """Whether it ended, although what came before may not be taken yet."""

    async def __aenter__(self) -> Self:
        try:
            self._socket = await open_websocket(
                self._url, self._timeout, wire.MAX_EVENT, headers=self._headers, tls=self._tls
            )
        except InvalidStatus as why:
            raise _refusal("event socket", why.response.status_code) from why
        except (WebSocketException, OSError) as why:
            raise NoAnswerError(self._url.partition("?")[0], why) from why
        self._reader = asyncio.create_task(self._read(self._socket), name="ari-events")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._socket is not None
        assert self._reader is not None
        self._reader.cancel()
        await asyncio.wait([self._reader])
        await self._socket.close()

    async def next(self) -> tuple[str | bytes, Instant]:
        """The next message and when it arrived. Raises UnreachableError when the connection is over, however."""
        while isinstance(item := await self._queue.get(), asyncio.Event):
            item.set()
        if item is None:
            raise UnreachableError(
                "event socket: too many events at once" if self.behind else "event socket: Asterisk hung up"
            )
        return item

    async def caught_up(self) -> None:
        """Wait until all messages that came so far were taken, and the next one is asked for. For ever once it is over."""
        passed = asyncio.Event()
        self._queue.put_nowait(passed)
        await passed.wait()

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                if self._queue.qsize() >= WAITING:
                    self.behind = True
                    break
                self._queue.put_nowait((message, self._clock.now()))
        except (websockets.ConnectionClosedError, OSError):
            pass  # told by the end of the queue, as a clean close is
        finally:
            self.over = True
            self._queue.put_nowait(None)


async def together(*requests: Coroutine[Any, Any, object]) -> None:
    """Wait for all; raise the first failure, in order, once all are done."""
    for result in await asyncio.gather(*requests, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _refusal(what: str, status: int) -> ConfigError | AriError:
    if status == 401:
        return ConfigError("Asterisk refuses this user or its password (see ari.conf)", "adapters.asterisk.password")
    if status == 403:
        return ConfigError("this user has read-only access: set read_only = no in ari.conf", "adapters.asterisk.user")
    return AriError(what, status)


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > wire.MAX_LIST:
            raise ProtocolError(f"answer of more than {wire.MAX_LIST} bytes")
    return bytes(body)


def _mapping(body: bytes) -> Mapping[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (ValueError, RecursionError) as why:
        raise ProtocolError("not a JSON object") from why


def _id(text: str) -> str:
    return quote(text, safe="")
