"""The connection to one Janus: its API over a WebSocket (subprotocol ``janus-protocol``)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from vcond.sdk.contract import PeerError, ProtocolError, UnreachableError
from vcond.sdk.tls import client
from vcond.sdk.websocket import open_websocket
from vcond_webrtc.janus import wire
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.wire import Answer, Envelope, Forward, Forwards, Id, Participant, Room, Stream

T = TypeVar("T")

AT_ONCE: Final = 64
"""Requests on their way at the same time."""


class Janus:
    """A session with a handle of the VideoRoom plugin, which joins no room: nobody there can see it.

    Every request raises UnreachableError when Janus does not answer, ConfigError when it does not know us, JanusError
    for any other no, ProtocolError for nonsense. Janus forgets a session after 60 s without a request (by default):
    whoever uses this asks something more often.
    """

    def __init__(self, config: JanusConfig) -> None:
        self._config = config
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[tuple[Envelope, str | bytes] | None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._session = 0
        self._handle = 0
        self._over = ""
        self._nonsense = ""

    async def __aenter__(self) -> Self:
        self._socket = await _connected(self._config)
        self._reader = asyncio.create_task(self._read(self._socket), name="janus-read")
        try:
            self._session = (await self._ask("session", janus="create")).data.id
            self._handle = await self._attach()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    # Requests.

    async def info(self) -> wire.Info:
        """Version and plugins."""
        _, message = await self._exchange("info", {"janus": "info"})
        return wire.decode_info(message)

    async def rooms(self) -> Sequence[Room]:
        """All rooms; private ones only with an admin key."""
        key = self._config.admin_key
        return (await self._say("list", "list", **({"admin_key": key} if key else {}))).rooms

    async def participants(self, room: Id) -> Sequence[Participant]:
        """Who joined a room, publishing or not; subscribers are not told."""
        return (await self._say("list of participants", "listparticipants", room=room)).participants

    async def forwards(self, room: Id) -> list[Forwards]:
        """All forwards of a room, ours and others'."""
        return (await self._say("list of forwards", "listforwarders", room=room, **self._secret(room))).publishers

    async def streams(self, room: Id, publisher: Id) -> Sequence[Stream]:
        """What a publisher sends: asked for as a subscriber would, on a handle of its own that is gone afterwards.

        Janus tells the mids of a publisher's streams only to who joined the room or is about to subscribe; the
        first is seen by everybody, the second by nobody.
        """
        handle = await self._attach()
        try:
            body = {"request": "join", "ptype": "subscriber", "room": room, "streams": [{"feed": publisher}]}
            if pin := self._config.pin(room):
                body["pin"] = pin
            return (
                await self._message("streams of a publisher (a pin, or the room has require_pvtid)", handle, body)
            ).streams
        finally:
            await self._detach(handle)

    async def forward(self, room: Id, publisher: Id, *, mid: str, port: int, pt: int, ssrc: int) -> Sequence[Forward]:
        """Send a stream's packets to a port of ours under a payload type and an SSRC of ours."""
        stream = {"mid": mid, "port": port, "pt": pt, "ssrc": ssrc}
        more = {"publisher_id": publisher, "host": self._config.host, "streams": [stream]}
        return (await self._say("forward", "rtp_forward", room=room, **more, **self._keys(room))).forwarders

    async def stop_forward(self, room: Id, publisher: Id, stream_id: int) -> None:
        """Stop a forward; one that is gone already is fine."""
        more = {"publisher_id": publisher, "stream_id": stream_id, **self._keys(room)}
        try:
            await self._say("end of a forward", "stop_rtp_forward", room=room, **more)
        except wire.JanusError as why:
            if why.code not in {wire.NO_SUCH_FEED, wire.NO_SUCH_ROOM}:
                raise

    def _secret(self, room: Id) -> dict[str, str]:
        secret = self._config.secret(room)
        return {"secret": secret} if secret else {}

    def _keys(self, room: Id) -> dict[str, str]:
        key = self._config.admin_key
        return {**self._secret(room), **({"admin_key": key} if key else {})}

    async def _say(self, what: str, request: str, **more: Any) -> Answer:
        return await self._message(what, self._handle, {"request": request, **more})

    async def _message(self, what: str, handle: int, body: dict[str, Any]) -> Answer:
        envelope = await self._ask(what, janus="message", session_id=self._session, handle_id=handle, body=body)
        return wire.answer(what, envelope)

    async def _attach(self) -> int:
        answer = await self._ask("handle", janus="attach", session_id=self._session, plugin=wire.PLUGIN)
        return answer.data.id

    async def _detach(self, handle: int) -> None:
        """Without an answer to wait for: it goes with the session at the latest."""
        if not (self._over or self._nonsense):
            message = {"janus": "detach", "session_id": self._session, "handle_id": handle}
            await self._send(self._sealed(message))

    # The socket.

    async def _close(self) -> None:
        """Janus ends the session of a socket that is closed."""
        assert self._socket is not None
        assert self._reader is not None
        self._over = self._over or "the connection is closed"
        self._reader.cancel()
        await asyncio.wait([self._reader])
        await self._socket.close()

    async def _ask(self, what: str, **message: Any) -> Envelope:
        envelope, _ = await self._exchange(what, message)
        wire.refused(what, envelope)
        return envelope

    async def _exchange(self, what: str, message: dict[str, Any]) -> tuple[Envelope, str | bytes]:
        async with self._slots:
            if self._over or self._nonsense:
                raise self._lost(what)
            sealed = self._sealed(message)
            future: asyncio.Future[tuple[Envelope, str | bytes] | None] = asyncio.get_running_loop().create_future()
            self._waiting[sealed["transaction"]] = future
            try:
                async with asyncio.timeout(self._config.timeout):
                    await self._send(sealed)
                    answer = await future
            except TimeoutError:
                raise UnreachableError(f"{what}: Janus does not answer in time") from None
            finally:
                self._waiting.pop(sealed["transaction"], None)
        if answer is None:
            raise self._lost(what)
        return answer

    def _sealed(self, message: dict[str, Any]) -> dict[str, Any]:
        message = {**message, "transaction": str(next(self._numbers))}
        if self._config.api_secret:
            message["apisecret"] = self._config.api_secret
        if self._config.token:
            message["token"] = self._config.token
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        assert self._socket is not None
        try:
            await self._socket.send(wire.encode(message))
        except (WebSocketException, OSError) as why:
            raise UnreachableError(f"Janus hung up ({type(why).__name__})") from None

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                self._take(message)
            self._over = "Janus hung up"
        except (WebSocketException, OSError) as why:
            self._over = f"the connection is lost ({type(why).__name__})"
        except ProtocolError as why:
            self._nonsense = str(why)
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_result(None)

    def _lost(self, what: str) -> PeerError:
        """Why there is no answer."""
        if self._nonsense:
            return ProtocolError(f"{what}: {self._nonsense}")
        return UnreachableError(f"{what}: {self._over or 'the connection is closed'}")

    def _take(self, message: str | bytes) -> None:
        envelope = wire.decode(message)
        if envelope.janus == "timeout":
            raise ProtocolError("Janus ended the session")
        future = self._waiting.get(envelope.transaction)
        # An asynchronous request is acknowledged first; events of others' doing have no transaction of ours.
        if future is not None and not future.done() and envelope.janus != "ack":
            future.set_result((envelope, message))


async def together(*requests: Coroutine[Any, Any, T]) -> list[T]:
    """What all of them return, in order; the first failure is raised once all are done."""
    found: list[T] = []
    for result in await asyncio.gather(*requests, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        found.append(result)
    return found


async def _connected(config: JanusConfig) -> ClientConnection:
    """A connection to Janus. Raises UnreachableError, and ConfigError for ``ca``."""
    tls = client(config.ca, "adapters.janus.ca") if config.url.startswith("wss:") else None
    try:
        return await open_websocket(config.url, config.timeout, wire.MAX_MESSAGE, protocols=["janus-protocol"], tls=tls)
    except (WebSocketException, OSError) as why:
        raise UnreachableError(f"Janus's WebSocket server does not answer ({type(why).__name__})") from why
