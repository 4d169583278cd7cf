"""The UDP sockets that take media. Beside ``peer`` the only place that knows the libraries' insides.

aioice binds every address of the machine but loopback, each at a port that the system picks, and has no setting for
either. So the one public method with which its connection finds its own candidates is replaced by ``gather``: our
sockets, then what aioice does by itself with STUN and TURN.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from vcond.sdk.contract import ConfigError

if TYPE_CHECKING:
    from aioice import Candidate

Gather = Callable[..., Awaitable[list["Candidate"]]]

ANY: Final = range(1)
"""Port 0: the system picks one."""
LOWEST: Final = 1024
BUFFER: Final = 256 << 10
"""Bytes that the system keeps of one publisher: seconds of audio."""
LARGEST: Final = 2048
"""Bytes of a datagram. asyncio makes room for 256 KiB with every single one, which is most of what it costs."""
STUN_PATIENCE: Final = 5.0


def parse(told: str) -> range:
    """``40000-40999`` as a range with both ends. Raises ConfigError."""
    if not told:
        return ANY
    found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", told)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not LOWEST <= first <= last <= 65_535:
        raise ConfigError("must be a range of ports, as in 40000-40999", "adapters.webrtc.ports")
    return range(first, last + 1)


def bind(address: str, ports: range) -> socket.socket:
    """A UDP socket at the first port that is free, from a random one of the range on. Raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        _bind(sock, address, ports)
    except OSError:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, address: str, ports: range) -> None:
    begin, last = secrets.randbelow(len(ports)), len(ports) - 1
    for step in range(len(ports)):
        try:
            sock.bind((address, ports[(begin + step) % len(ports)]))
        except OSError as why:
            if why.errno != errno.EADDRINUSE or step == last:
                raise
        else:
            return


def use(gatherer: Any, addresses: Sequence[str], ports: range) -> None:
    """Let an aiortc gatherer take media at these addresses (none = all of the machine but loopback) and ports."""
    connection = gatherer._connection  # noqa: SLF001 - the only way to aioice's connection
    found: Gather = connection.get_component_candidates
    if not isinstance(found, functools.partial):
        connection.get_component_candidates = functools.partial(gather, connection, found, addresses, ports)


async def gather(
    connection: Any, rest: Gather, at: Sequence[str], ports: range, *, component: int, addresses: Sequence[str]
) -> list[Candidate]:
    """In the place of ``aioice.Connection.get_component_candidates``, whose own self is ``rest``.

    An address that cannot be bound has no candidate; its port may come free, or the interface up, for the next one.
    """
    candidates, hosts = [], []
    for address in at or addresses:
        with suppress(OSError):
            hosts.append(await _host(connection, bind(address, ports), component))
            candidates.append(hosts[-1].local_candidate)
    asked = hosts if connection.stun_server else []
    seen, relayed = await asyncio.gather(
        asyncio.gather(*(_reflexive(host, connection.stun_server) for host in asked)),
        rest(component=component, addresses=[]),
    )
    return candidates + [candidate for candidate in seen if candidate is not None] + relayed


async def _host(connection: Any, sock: socket.socket, component: int) -> Any:
    from aioice.candidate import Candidate, candidate_foundation, candidate_priority
    from aioice.ice import StunProtocol

    host, port = sock.getsockname()[:2]
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.create_datagram_endpoint(lambda: StunProtocol(connection), sock=sock)
    except BaseException:
        sock.close()
        raise
    if hasattr(transport, "max_size"):  # not under uvloop, which has a buffer of its own
        transport.max_size = LARGEST
    protocol.local_candidate = Candidate(
        foundation=candidate_foundation("host", "udp", host), component=component, transport="udp",
        priority=candidate_priority(component, "host"), host=host, port=port, type="host",
    )  # fmt: skip
    connection._protocols.append(protocol)  # noqa: SLF001 - where aioice keeps what it sends by and closes
    return protocol


async def _reflexive(host: Any, server: tuple[str, int]) -> Candidate | None:
    """What a STUN server sees us as; None when it does not say. IPv4 only, as in aioice."""
    from aioice.ice import server_reflexive_candidate
    from aioice.stun import TransactionError

    if ":" in host.local_candidate.host:
        return None
    with suppress(TransactionError, OSError, TimeoutError, KeyError):  # the last: an answer without our address
        async with asyncio.timeout(STUN_PATIENCE):
            candidate, _ = await server_reflexive_candidate(host, server)
            return candidate
    return None
