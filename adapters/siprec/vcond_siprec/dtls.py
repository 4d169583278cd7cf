"""Lines whose keys a handshake gives (RFC 5763, RFC 5764): by aiortc's parts, where they are installed.

The client begins the handshake, so that nothing is ever sent to where nothing came from. Its certificate has to be the
one whose fingerprint it offered; until then, and without that, nothing of the line is heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from vcond.media.rtp.formats import Format
from vcond.media.rtp.ports import RtpSocket
from vcond.media.rtp.receiver import Address, Owner
from vcond.sdk.contract import AdapterHost, Instant
from vcond_siprec.sdp import DTLS, Line
from vcond_siprec.srtp import SecureReceiver

ALGORITHMS: Final = frozenset({"sha-256", "sha-384", "sha-512"})
"""By which a certificate is compared."""
TRIES: Final = 8
"""Handshakes of one line that may fail."""
LIMIT: Final = 30.0
"""Seconds for one; and for how long the first is waited for at once, and not ten times a second."""
WAITING: Final = 32
"""Datagrams of a handshake that are kept."""
WITH: Final = (
    "install vcond with the packages that it is tested with: vcond-webrtc, or make install WITH='siprec webrtc'"
)
TURN: Final = 2.0
"""Seconds that the first who begins a handshake has for it; then somebody else may, as clients behind NAT say their beginning again."""
_BEGINS: Final = bytes((22,)), bytes((1,))
"""A record of a handshake whose message is a ClientHello: the first byte, and the fourteenth (RFC 6347 section 4.2.2)."""
_MODULE: Final = "aiortc.rtcdtlstransport"


@cache
def available() -> bool:
    """Whether aiortc is installed."""
    return find_spec("aiortc") is not None


def usable(line: Line) -> bool:
    """Whether a line of ``DTLS`` can be received: its client begins, and its certificate can be told."""
    known = any(algorithm in ALGORITHMS for algorithm, _ in line.fingerprints)
    return line.protocol in DTLS and known and line.setup in {"", "actpass", "active"} and available()


async def load() -> None:
    """Import what is needed, aside: it takes half a second the first time."""
    await asyncio.to_thread(import_module, _MODULE)


def begins(datagram: bytes) -> bool:
    """Whether it is the first of a handshake."""
    return (datagram[:1], datagram[13:14]) == _BEGINS


class _Wire:
    """What aiortc's transport takes for ICE: one client at the other end, the first one that says something."""

    role: Final = "controlled"

    def __init__(self, send: Callable[[bytes, Address], None]) -> None:
        self.begun = asyncio.Event()
        self._send_to = send
        self.address: Address = ()
        self.until = 0.0
        """When somebody else may begin."""
        self._came: asyncio.Queue[bytes] = asyncio.Queue(WAITING)

    def take(self, datagram: bytes, address: Address) -> None:
        """A datagram of a handshake; those of others are passed over, and what begins none."""
        if not self.address and begins(datagram):
            self.address, self.until = address, asyncio.get_running_loop().time() + TURN
        if address == self.address and not self._came.full():
            self._came.put_nowait(datagram)
            self.begun.set()

    async def _recv(self) -> bytes:
        return await self._came.get()

    async def _send(self, datagram: bytes) -> None:
        self._send_to(datagram, self.address)


class DtlsReceiver(SecureReceiver):
    """A receiver of such a line. Call ``begin`` with its socket, which answers handshakes."""

    def __init__(self, formats: Mapping[int, Format], owner: Owner[Instant], host: AdapterHost) -> None:
        """After ``load``."""
        super().__init__(formats, owner, None)
        self._host = host
        self._library: Any = import_module(_MODULE)
        self._certificate = self._library.RTCCertificate.generateCertificate()
        self.fingerprint: str = next(
            one.value for one in self._certificate.getFingerprints() if one.algorithm == "sha-256"
        )
        """Of our certificate, which no other line has."""
        self.seal: Callable[[bytes], bytes] | None = None
        """Encrypts reports; None before the handshake."""
        self._theirs_told: tuple[tuple[str, str], ...] = ()
        self._association = ""
        self._expected = ""
        """The host that the client names; it may be behind NAT, so others may begin too."""
        self._restart: Callable[[], None] = lambda: None
        self._wire: _Wire | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, socket: RtpSocket[Instant], line: Line, ready: Callable[[], None]) -> None:
        """Take handshakes of a client with these fingerprints; again does nothing unless they, or ``tls-id``, are others.

        ``ready`` is called with each that led to keys.
        """
        if (line.fingerprints, line.association) == (self._theirs_told, self._association):
            return
        self._theirs_told, self._association, self._expected = line.fingerprints, line.association, line.host
        self._restart = partial(self._begin, socket, ready)
        self._restart()

    def _begin(self, socket: RtpSocket[Instant], ready: Callable[[], None]) -> None:
        self._end()
        self._wire = wire = _Wire(socket.send)
        self._task = asyncio.create_task(self._handshakes(socket, wire, ready))
        self._task.add_done_callback(self._ended)

    def close(self, at: Instant) -> None:
        """Nothing more is wanted."""
        super().close(at)
        self._end()

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (why := task.exception()) is not None:
            self._host.log.error(
                "audio not recorded: its handshake cannot be answered", error=f"{type(why).__name__}: {why}", hint=WITH
            )

    def feed_all(self, datagrams: Sequence[tuple[bytes, Address, Instant]]) -> None:
        """Take several: packets, and what is said of keys (RFC 7983 section 7: 20 to 63)."""
        media = []
        for datagram, address, arrived in datagrams:
            if datagram and 20 <= datagram[0] <= 63:
                self._said(datagram, address)
            else:
                media.append((datagram, address, arrived))
        super().feed_all(media)

    def _said(self, datagram: bytes, address: Address) -> None:
        wire = self._wire
        if wire is None:
            return
        if self.seal is None and wire.address and wire.address != address and begins(datagram):
            expected = wire.address[0] != self._expected == address[0]
            if expected or (wire.address[0] != self._expected and asyncio.get_running_loop().time() > wire.until):
                self._restart()  # a stranger came first
                wire = self._wire or wire
        wire.take(datagram, address)

    async def _handshakes(self, socket: RtpSocket[Instant], wire: _Wire, ready: Callable[[], None]) -> None:
        """One after the other until one succeeds; what its client still says of it is answered for as long as the line is."""
        for _ in range(TRIES):
            self._wire = wire
            transport = self._library.RTCDtlsTransport(wire, [self._certificate])
            transport._set_role("server")  # noqa: SLF001 - aiortc takes it from ICE otherwise
            try:
                if await self._handshake(socket, wire, transport):
                    self._session = transport._rx_srtp  # noqa: SLF001 - where aiortc keeps what it agreed on
                    outbound = transport._tx_srtp  # noqa: SLF001 - likewise
                    self.seal = lambda report, outbound=outbound: bytes(outbound.protect_rtcp(report))
                    ready()
                    await asyncio.Event().wait()
            finally:
                await transport.stop()
            wire = _Wire(socket.send)
        self._host.log.error(
            "audio not recorded: no handshake of its client succeeded",
            tries=TRIES,
            hint="see the log of the recording client",
        )

    async def _handshake(self, socket: RtpSocket[Instant], wire: _Wire, transport: Any) -> bool:
        socket.watch(on=True)
        try:
            async with asyncio.timeout(LIMIT):
                await wire.begun.wait()
        except TimeoutError:  # for a client that begins later the turns are often enough
            socket.watch(on=False)
            await wire.begun.wait()
        error = "certificate or profiles"
        told = [self._library.RTCDtlsFingerprint(*one) for one in self._theirs_told]
        try:
            async with asyncio.timeout(LIMIT):
                await transport.start(self._library.RTCDtlsParameters(fingerprints=told))
        except Exception as why:  # noqa: BLE001 - too late, or what a certificate makes aiortc's libraries raise
            error = type(why).__name__
        finally:
            socket.watch(on=False)
        if transport.state == "connected":
            return True
        self._host.dropped("handshake", "failed")
        self._host.log.warning(
            "a handshake for encrypted audio failed; waiting for another one",
            error=error,
            hint="the client has to use the certificate whose fingerprint it offers, and SRTP profiles that aiortc has",
        )
        return False
