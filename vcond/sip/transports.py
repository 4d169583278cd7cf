"""Sockets: UDP, TCP and TLS. Each message that came is handed on with its flow; nothing is known here of what it means."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, Protocol, cast

from vcond.base.tasks import cancelled
from vcond.sip.application import Flow
from vcond.sip.messages import MalformedError, Message, read
from vcond.sip.settings import Settings
from vcond.sip.stream import PONG, StreamReader

LARGEST: Final = 65_535
"""Bytes of a datagram."""
RECEIVE: Final = 1 << 20
"""Bytes that the kernel is asked to hold of datagrams, for the time that the loop is busy."""
MAX_UNSENT: Final = 1 << 20
"""Bytes that wait for a client to read them; with more its connection is closed."""
BACKLOG: Final = 128
"""Connections that the kernel holds until they are looked at."""
PAUSE: Final = 1.0
"""Seconds until the next one is looked at when that failed."""
KNOWN: Final = 4096
"""Hosts for which our own address is remembered."""

Address = tuple[Any, ...]
Receive = Callable[[Message | MalformedError, Flow], None]
Allows = Callable[[str], bool]
Odd = Callable[[str], None]


class DatagramTransport(Protocol):
    """What is used of one; the standard library's types leave part of it out, and uvloop's is not one of them."""

    def sendto(self, data: bytes, addr: Address) -> None:
        """Never waits."""

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel did not take."""

    def is_closing(self) -> bool:
        """Whether nothing is sent any more."""

    def close(self) -> None:
        """Give the port back."""


class Datagrams(asyncio.DatagramProtocol):
    """One UDP socket."""

    def __init__(self, number: int, receive: Receive, allows: Allows, odd: Odd) -> None:
        self.number, self._receive, self._allows, self._odd = number, receive, allows, odd
        self._transport: DatagramTransport | None = None
        self._ours: dict[str, str] = {}
        self.local: tuple[str, int] = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is bound."""
        self._transport = cast("DatagramTransport", transport)
        self.local = transport.get_extra_info("sockname")[:2]
        with suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE)
        if hasattr(transport, "max_size"):  # what is allocated for each datagram
            transport.max_size = LARGEST

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """One datagram, one message."""
        host, port = addr[:2]
        if not self._allows(host):
            self._odd("address")
            return
        try:
            message = read(data)
        except MalformedError as why:
            self._receive(why, self._flow(host, port))
            return
        if message is not None:
            self._receive(message, self._flow(host, port))

    def error_received(self, exc: Exception) -> None:
        """Somebody's port is closed: whoever waits for an answer asks again."""

    def send(self, data: bytes, remote: tuple[str, int]) -> None:
        """To an address."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if len(data) > LARGEST - 48 or transport.get_write_buffer_size() > MAX_UNSENT:
            self._odd("not-sent")
            return
        transport.sendto(data, remote)

    def close(self) -> None:
        """No more."""
        if self._transport is not None:
            self._transport.close()

    def _flow(self, host: str, port: int) -> Flow:
        ours, our_port = self.local
        if ours in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            ours = self._ours.get(host) or self._look(host)
        return Flow("udp", (host, port), (ours, our_port), self.number)

    def _look(self, host: str) -> str:
        """Which of our addresses that host sees: the kernel's routes say it, nothing is sent."""
        if len(self._ours) >= KNOWN:
            self._ours.clear()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            try:
                asked.connect((host, 9))
                ours = str(asked.getsockname()[0])
            except OSError:
                ours = self.local[0]
        self._ours[host] = ours
        return ours


class Connection(asyncio.Protocol):
    """One connection of a client; of TLS from its handshake on."""

    def __init__(self, streams: Streams, flow: Flow) -> None:
        self._streams, self.flow = streams, flow
        self._loop = asyncio.get_running_loop()
        self._reader = StreamReader()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Both ends are there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not one by name
        self._wait(self._streams.settings.half_open)

    def data_received(self, data: bytes) -> None:
        """As it comes."""
        whole = self._reader.feed(data)
        for item in whole:
            self._streams.receive(item, self.flow)
        if self._reader.pinged:
            self._reader.pinged = False
            self.send(PONG)
        if self._reader.broken:
            self.close()
        settings = self._streams.settings
        idle = self._reader.idle
        self._wait(settings.idle if idle else settings.half_open, again=idle or bool(whole))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Its dialogs go on: the next request comes on another one."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._streams.closed(self.flow)

    def send(self, data: bytes) -> None:
        """Lost when the client is gone."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_UNSENT:
            self._streams.odd("not-read")
            transport.abort()
            return
        transport.write(data)

    def close(self) -> None:
        """After what was sent."""
        if self._transport is not None:
            self._transport.close()

    def _wait(self, seconds: float, *, again: bool = True) -> None:
        """Close it when nothing whole comes for so long; what is not ``again`` only if no shorter wait goes on."""
        if self._transport is None or self._transport.is_closing():
            return
        until = self._loop.time() + seconds
        if not again and self._deadline:
            until = min(until, self._deadline)
        self._deadline = until
        if self._timer is None or until < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(until, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        elif self._transport is not None:
            self._streams.odd("idle")
            self._transport.abort()


class Streams:
    """All connections, and how many there may be: each is counted before anything is spent on it."""

    def __init__(self, settings: Settings, numbers: Iterator[int], receive: Receive, allows: Allows, odd: Odd) -> None:
        self.settings, self.receive, self.odd = settings, receive, odd
        self._numbers, self._allows = numbers, allows
        self._open: dict[int, Connection] = {}
        self._each: Counter[str] = Counter()
        self._accepting: list[asyncio.Task[None]] = []
        self._opening: dict[asyncio.Task[None], socket.socket] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> tuple[str, int]:
        """Take connections there. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        listener.setblocking(False)
        self._accepting.append(loop.create_task(self._accept(listener, tls)))
        bound: tuple[str, int] = listener.getsockname()[:2]
        return bound

    def closed(self, flow: Flow) -> None:
        """A connection is no more. A second time does nothing."""
        if self._open.pop(flow.connection, None) is not None:
            host = flow.remote[0]
            self._each[host] -= 1
            if not self._each[host]:
                del self._each[host]

    def send(self, data: bytes, flow: Flow) -> None:
        """Lost when that connection is no more."""
        connection = self._open.get(flow.connection)
        if connection is not None:
            connection.send(data)

    async def close(self) -> None:
        """Close all."""
        opening = dict(self._opening)
        await cancelled([*self._accepting, *opening])
        for sock in opening.values():
            sock.close()
        for connection in list(self._open.values()):
            connection.close()

    async def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    sock, address = await loop.sock_accept(listener)
                except OSError:  # no file descriptor is left, or it was gone before it was taken
                    self.odd("accept")
                    await asyncio.sleep(PAUSE)
                    continue
                if not self._admits(address[0]):
                    sock.close()
                    continue
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # answers must not wait for one another
                kind = "tcp" if tls is None else "tls"
                flow = Flow(kind, address[:2], sock.getsockname()[:2], next(self._numbers))
                self._open[flow.connection] = connection = Connection(self, flow)
                self._each[flow.remote[0]] += 1
                task = loop.create_task(self._begin(connection, sock, tls))
                self._opening[task] = sock
                task.add_done_callback(self._opening.pop)

    async def _begin(self, connection: Connection, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Hand it over, for TLS after its handshake."""
        wait = None if tls is None else self.settings.half_open
        begun = False
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, sock, ssl=tls, ssl_handshake_timeout=wait
            )
            begun = True
        except OSError:  # SSLError, ConnectionError and TimeoutError are
            self.odd("handshake")
        finally:
            if not begun:
                self.closed(connection.flow)

    def _admits(self, host: str) -> bool:
        if not self._allows(host):
            self.odd("address")
            return False
        if len(self._open) >= self.settings.connections or self._each[host] >= self.settings.connections_each:
            self.odd("connections")
            return False
        return True
