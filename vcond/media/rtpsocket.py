"""UDP ports for RTP receivers: one socket a stream, its packets worked through ten times a second.

A packet that is worked through alone finds cold caches; five in a row cost half of it each, and can be joined. So packets
wait up to ``WORK`` with the moment of their arrival. Nothing is ever sent.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from struct import unpack
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar

from vcond.errors import ConfigError
from vcond.media.clocks import Moment
from vcond.media.rtp import MAX_DATAGRAM
from vcond.media.rtpreceiver import RtpReceiver
from vcond.media.rtpsource import Address

Moment_co = TypeVar("Moment_co", bound=int, covariant=True)

WORK: Final = 0.1
"""Seconds."""
MOST: Final = 256
"""Datagrams that wait for one receiver; 5 in normal operation."""
BUFFER: Final = 1 << 20
"""Bytes that the kernel is asked to hold for a socket: a minute of telephone audio while the loop is busy."""
TRIES: Final = 1000
"""Ports that are looked at before none is free."""
LOOK: Final = 20
"""Rounds of work between two looks at what the kernel dropped."""
SO_MEMINFO: Final = 55
"""Linux: figures of a socket, nine of 32 bits, of which the last is what was dropped (linux/sock_diag.h)."""


class Clock(Protocol[Moment_co]):
    """Our one clock."""

    def now(self) -> Moment_co:
        """This moment."""
        ...


class RtpSocket(asyncio.DatagramProtocol, Generic[Moment]):
    """A port, and the receiver that gets what comes there. Made by ``RtpPorts.open``; must be closed."""

    def __init__(
        self, receiver: RtpReceiver[Moment], clock: Clock[Moment], done: Callable[[RtpSocket[Moment]], None]
    ) -> None:
        self.receiver = receiver
        self.address: tuple[str, int] = ("", 0)
        """Where it listens for RTP."""
        self.rtcp_port = 0
        """Where it listens for RTCP."""
        self._now = clock.now
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[bytes, Address, Moment]] = []
        self._sockets: list[socket.socket] = []
        self._transports: list[asyncio.BaseTransport] = []
        self._timer: asyncio.TimerHandle | None = None
        self._rounds = 0
        self._closed = False
        self._open = 0

    async def start(self, rtp: socket.socket, rtcp: socket.socket | None) -> None:
        """Listen on bound sockets, which are this one's from now on. Without ``rtcp`` both come to the same port."""
        self.address = rtp.getsockname()[:2]
        self.rtcp_port = self.address[1] + (rtcp is not None)
        self._sockets = [rtp]
        try:
            await self._listen(rtp, self)
            if rtcp is not None:
                self._sockets.append(rtcp)
                await self._listen(rtcp, _Control(self))
        except BaseException:
            self.close()
            if rtcp is not None and rtcp not in self._sockets:
                rtcp.close()
            raise
        if not self._closed:
            # Not all sockets at the same moment: each has its sixteenth of a round.
            first = WORK * (1 + (self.address[1] >> 1) % 16) / 16
            self._timer = self._loop.call_later(first, self._work)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """asyncio: a datagram came."""
        waiting = self._waiting
        waiting.append((data, addr, self._now()))
        if len(waiting) >= MOST:
            self.flush()

    def control_received(self, data: bytes, addr: Address) -> None:
        """A datagram came to the port for RTCP."""
        self.flush()
        if not self._closed:
            self.receiver.control(data, addr, self._now())

    def error_received(self, exc: Exception) -> None:
        """asyncio: an ICMP error, which says nothing to who never sends."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a socket is listened to."""
        self._transports.append(transport)
        self._open += 1
        # CPython allocates this much for each datagram, by default 256 KiB: three quarters of all the cost.
        if hasattr(transport, "max_size"):
            transport.max_size = MAX_DATAGRAM

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio: a socket is closed."""
        self._open -= 1
        if not self._open:
            self.close()
            self._done(self)

    def flush(self) -> None:
        """Work through what waits, now."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.receiver.feed_all(waiting)

    def close(self) -> None:
        """Take what waits, and no more; the receiver is closed too. A second close does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        try:
            self.flush()
            self._look()
            self.receiver.close(self._now())
        finally:
            for transport in self._transports:
                transport.close()

    async def _listen(self, sock: socket.socket, protocol: asyncio.DatagramProtocol) -> None:
        await self._loop.create_datagram_endpoint(lambda: protocol, sock=sock)

    def _work(self) -> None:
        self._timer = self._loop.call_later(WORK, self._work)
        self.flush()
        self.receiver.tick(self._now())
        self._rounds += 1
        if self._rounds % LOOK == 0:
            self._look()

    def _look(self) -> None:
        """Ask the kernel what it dropped; where it does not say, nobody knows."""
        with suppress(OSError):
            figures = self._sockets[0].getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)
            if len(figures) == 36:
                self.receiver.overflow(unpack("=9I", figures)[8])


class _Control(asyncio.DatagramProtocol):
    """The port for RTCP."""

    def __init__(self, owner: RtpSocket[Moment]) -> None:
        self._owner = owner
        self.connection_made = owner.connection_made  # type: ignore[method-assign]
        self.connection_lost = owner.connection_lost  # type: ignore[method-assign]
        self.datagram_received = owner.control_received  # type: ignore[method-assign]


class RtpPorts(Generic[Moment]):
    """Gives out the ports of a range. ``async with`` closes all that are open."""

    def __init__(
        self,
        clock: Clock[Moment],
        *,
        bind: str = "127.0.0.1",
        ports: tuple[int, int] = (10_000, 20_000),
        mux: bool = False,
    ) -> None:
        """``ports``: the first and the last; (0, 0) lets the system choose. RTP gets even ports, RTCP the next one.

        With ``mux`` RTCP is only listened for on the port for RTP (RFC 5761). Raises ConfigError for what cannot be.
        """
        try:
            self._family = socket.AF_INET6 if ip_address(bind).version == 6 else socket.AF_INET
        except ValueError:
            raise ConfigError("an address to listen on is needed, not a name") from None
        first, last = ports
        first += first % 2
        if ports != (0, 0) and not 1024 <= first < last <= 65_535:
            raise ConfigError("a range of ports from 1024 to 65535 is needed, as [10000, 20000]")
        self._clock, self._bind, self._mux = clock, bind, mux
        self._first, self._last = first, last
        self._next = self._first
        self._sockets: dict[RtpSocket[Moment], asyncio.Future[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self, receiver: RtpReceiver[Moment]) -> RtpSocket[Moment]:
        """Listen for a receiver. Raises ConfigError when no port can be had."""
        rtp, rtcp = self._pair()
        made = RtpSocket(receiver, self._clock, self._gone)
        self._sockets[made] = asyncio.get_running_loop().create_future()
        await made.start(rtp, rtcp)
        return made

    async def close(self) -> None:
        """Close all that are open; they are when this returns."""
        waiting = list(self._sockets.values())
        for made in list(self._sockets):
            made.close()
        if waiting:
            await asyncio.wait(waiting)

    def _gone(self, made: RtpSocket[Moment]) -> None:
        closed = self._sockets.pop(made)
        if not closed.done():
            closed.set_result(None)

    def _pair(self) -> tuple[socket.socket, socket.socket | None]:
        """Bound sockets for RTP and RTCP."""
        steps = TRIES if not self._last else min(TRIES, (self._last - self._first) // 2 + 1)
        for _ in range(steps):
            port = self._next
            self._next = port + 2 if port + 3 <= self._last else self._first
            with ExitStack() as stack:
                try:
                    rtp = stack.enter_context(self._bound(port))
                    port = rtp.getsockname()[1]
                    if port % 2:
                        continue
                    rtcp = None if self._mux else stack.enter_context(self._bound(port + 1))
                except OSError as why:
                    if why.errno != errno.EADDRINUSE:
                        raise ConfigError(f"cannot listen on {self._bind}: {why.strerror}") from why
                    continue
                stack.pop_all()
                return rtp, rtcp
        raise ConfigError("no port is free in the range for media: make it larger")

    def _bound(self, port: int) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            if self._family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((self._bind, port))
        except BaseException:
            sock.close()
            raise
        return sock
