"""UDP ports for RTP receivers: one socket a stream, emptied ten times a second, and five times where there are many.

Waking up for each packet costs more than all that is done with it, and work on one packet alone finds cold caches. So no
event loop watches these sockets: in its turn each is read until it is empty (``reading``), and the kernel says when each
datagram came. That is more exact than a clock read here, also when the loop was busy. docs/decisions/0004-rtp-sockets.md has the
figures. What is sent are reports of what came (``reports``), where the owner of a port wants it.
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
from typing import Final, Generic, Self

from vcond.base.errors import ConfigError
from vcond.media.placement.clocks import Moment
from vcond.media.rtp.packets import Address
from vcond.media.rtp.reading import Batch, Clock, Reader, can_batch
from vcond.media.rtp.receiver import RtpReceiver
from vcond.media.rtp.reports import Reporter

WORK: Final = 0.1
"""Seconds from one turn of a socket to the next."""
TURNS: Final = 10
"""Parts of that, each with its share of the sockets, so that they do not all hold the loop up at once."""
MANY: Final = 64
"""So many sockets have their turn half as often: what is done for a turn costs as much as what is done for its packets."""
MOST: Final = 512
"""Datagrams that are taken from a socket in one turn; 5 or 10 in normal operation."""
MOST_REPORTS: Final = 16
"""The same of the port for RTCP; one every five seconds in normal operation."""
BUFFER: Final = 1 << 20
"""Bytes that the kernel is asked to hold for a socket: what comes while the loop is busy."""
TRIES: Final = 1000
"""Ports that are looked at before none is free."""
CONTROL: Final = 5
"""Turns between two looks at the port for RTCP: one that finds nothing costs as much as a packet."""
LOOK: Final = 20
"""Turns between two looks at what the kernel dropped."""
SO_MEMINFO: Final = 55
"""Figures of a socket, nine of 32 bits, of which the last is what was dropped (Linux, linux/sock_diag.h)."""


class RtpSocket(Generic[Moment]):
    """A port, and the receiver that gets what comes there. Made by ``RtpPorts.open``; must be closed."""

    def __init__(
        self,
        receiver: RtpReceiver[Moment],
        clock: Clock[Moment],
        rtp: socket.socket,
        rtcp: socket.socket | None,
        batch: Batch | None,
    ) -> None:
        """The sockets are bound, and this one's from now on. Without ``rtcp`` both come to the same port."""
        self.receiver = receiver
        self.address: tuple[str, int] = rtp.getsockname()[:2]
        """Where it listens for RTP."""
        self.rtcp_port = self.address[1] + (rtcp is not None)
        """Where it listens for RTCP."""
        self.closed = False
        self._clock = clock
        self._rtp = Reader(rtp, clock, batch)
        self._rtcp = None if rtcp is None else Reader(rtcp, clock, batch)
        self._reporter: Reporter[Moment] | None = None
        self._reports_to = 0
        self._seal: Callable[[bytes], bytes] | None = None
        self._watched = False
        self._turns = 0

    def report(self, port: int, seal: Callable[[bytes], bytes] | None = None) -> None:
        """Tell whoever sends what comes of it, from now on.

        That is told to the host that media comes from, at the port that its own reports come from; as long as there are
        none, to ``port``, or to where media comes from when that is 0 (RFC 5761). ``seal``: encrypts what is sent.
        """
        self._reports_to, self._seal = port, seal
        self._reporter = self._reporter or Reporter()

    def goodbye(self) -> None:
        """Say that no more is wanted, and report no more."""
        if self._reporter is not None and not self.closed:
            self._say(self._reporter.last(self.receiver.source, self._clock.now()))
        self._reporter = None

    def send(self, datagram: bytes, address: Address) -> None:
        """Answer what came to the port for RTP; what cannot be sent is lost like any datagram."""
        if not self.closed:
            with suppress(OSError):
                self._rtp.socket.sendto(datagram, address)

    def watch(self, *, on: bool) -> None:
        """Take what comes to the port for RTP at once, and not in turns: for what waits for answers, as a handshake."""
        if self.closed or on == self._watched:
            return
        self._watched = on
        loop = asyncio.get_running_loop()
        if on:
            loop.add_reader(self._rtp.socket, self.flush)
        else:
            loop.remove_reader(self._rtp.socket)

    def work(self) -> None:
        """What is to be done in each turn."""
        self.flush()
        self._turns += 1
        if self._rtcp is not None and self._turns % CONTROL == 0 and not self.closed:
            for datagram, source, came in self._rtcp.read(MOST_REPORTS):
                self.receiver.control(datagram, source, came)
        now = self._clock.now()
        self.receiver.tick(now)
        if self._reporter is not None and not self.closed:
            self._say(self._reporter.look(self.receiver.source, now))
        if self._turns % LOOK == 0:
            self._look()

    def flush(self) -> None:
        """Take what has come."""
        if not self.closed and (waiting := self._rtp.read(MOST)):
            self.receiver.feed_all(waiting)

    def close(self) -> None:
        """Take what has come, and no more; the receiver is closed too. A second close does nothing."""
        if self.closed:
            return
        with ExitStack() as stack:  # all of it, whatever an owner raises
            stack.callback(self._shut)
            stack.callback(lambda: self.receiver.close(self._clock.now()))
            stack.callback(self._look)
            self.flush()

    def _shut(self) -> None:
        self.watch(on=False)
        self.closed = True
        if self._rtcp is not None:
            self._rtcp.socket.close()
        self._rtp.socket.close()

    def _say(self, report: bytes | None) -> None:
        """Send a report; one that cannot be sent is not missed."""
        feed = self.receiver.source
        if report is None or feed is None:
            return
        address, reader = feed.address, self._rtp
        if self._rtcp is not None and self._reports_to:
            address, reader = (address[0], feed.control or self._reports_to, *address[2:]), self._rtcp
        with suppress(OSError):
            reader.socket.sendto(report if self._seal is None else self._seal(report), address)

    def _look(self) -> None:
        """Ask the kernel what it dropped; where it does not say, nobody knows."""
        with suppress(OSError):
            figures = self._rtp.socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)
            if len(figures) == 36:
                self.receiver.overflow(unpack("=9I", figures)[8])


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
            raise ConfigError("the address to listen on must not be a name") from None
        first, last = ports
        first += first % 2
        if ports != (0, 0) and not 1024 <= first < last <= 65_535:
            raise ConfigError("must be a range of ports from 1024 to 65535, as in [10000, 20000]")
        self._clock, self._bind, self._mux = clock, bind, mux
        self._batch = Batch() if can_batch(self._family) else None
        self._first, self._last = first, last
        self._next = first
        self._turns: tuple[set[RtpSocket[Moment]], ...] = tuple(set() for _ in range(TURNS))
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def open(self, receiver: RtpReceiver[Moment], port: int = 0) -> RtpSocket[Moment]:
        """Listen for a receiver, on a free port or that one. Raises ConfigError when no port, or not that, can be had."""
        bound = self._bound_pair(port) if port else self._pair()
        if bound is None:
            raise ConfigError(f"port {port} for media is in use")
        made = RtpSocket(receiver, self._clock, *bound, self._batch)
        min(self._turns, key=len).add(made)
        if self._timer is None:
            self._rest()
        return made

    def close(self) -> None:
        """Close all that are open."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with ExitStack() as stack:  # one that fails holds no other up
            for turn in self._turns:
                for made in turn:
                    stack.callback(made.close)
                turn.clear()

    def _rest(self) -> None:
        """Until the next turn that has sockets; for ever, when there are none at all."""
        self._timer = None
        part = (WORK if sum(map(len, self._turns)) < MANY else 2 * WORK) / TURNS
        for parts in range(1, TURNS + 1):
            following = (self._turn + parts) % TURNS
            if self._turns[following]:
                self._turn = following
                self._timer = asyncio.get_running_loop().call_later(parts * part, self._work)
                return

    def _work(self) -> None:
        """Do the work of the sockets whose turn it is."""
        turn = self._turns[self._turn]
        self._rest()
        with ExitStack() as stack:  # what one owner raises is told by the loop, and holds no other up
            for made in list(turn):
                if made.closed:
                    turn.discard(made)
                else:
                    stack.callback(made.work)

    def _pair(self) -> tuple[socket.socket, socket.socket | None]:
        """Bound sockets for RTP and RTCP."""
        tries = TRIES if not self._last else min(TRIES, (self._last - self._first) // 2 + 1)
        for _ in range(tries):
            port = self._next
            self._next = port + 2 if port + 3 <= self._last else self._first
            if (found := self._bound_pair(port)) is not None:
                return found
        raise ConfigError("no port is free in the range for media: make it larger")

    def _bound_pair(self, port: int) -> tuple[socket.socket, socket.socket | None] | None:
        """The same on that port, 0 being any; None when it is in use, or is an odd one of the system's choice."""
        with ExitStack() as stack:
            try:
                rtp = stack.enter_context(self._bound(port))
                port = rtp.getsockname()[1]
                if port % 2:
                    return None
                rtcp = None if self._mux else stack.enter_context(self._bound(port + 1))
            except OSError as why:
                if why.errno != errno.EADDRINUSE:
                    raise ConfigError(f"cannot listen on {self._bind}: {why.strerror}") from why
                return None
            stack.pop_all()
            return rtp, rtcp

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
