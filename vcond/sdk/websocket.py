"""The WebSocket on which a system tells its events: how it is opened, the same for every adapter that opens one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from ssl import SSLContext
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PING: Final = 15.0
"""Seconds between pings, and for an answer to one."""
_SILENT: Final = logging.getLogger("vcond.sdk.websocket")
"""For the library, whose debug log holds passwords, names and all that the system tells."""
_SILENT.setLevel(logging.CRITICAL + 1)


async def open_websocket(
    url: str,
    limit: float,
    largest: int,
    *,
    headers: Mapping[str, str] | None = None,
    protocols: Sequence[str] = (),
    tls: SSLContext | None = None,
) -> ClientConnection:
    """A connection after at most ``limit`` seconds, through no proxy; it takes messages of up to ``largest`` bytes.

    ``tls``: for a ``wss`` URL; see ``vcond.sdk.tls.client``.

    Raises OSError and ``websockets.WebSocketException``.
    """
    return await connect(
        url,
        additional_headers=headers,
        subprotocols=[Subprotocol(name) for name in protocols] or None,
        open_timeout=limit,
        close_timeout=1,
        ping_interval=PING,
        ping_timeout=PING,
        max_size=largest,
        compression=None,
        proxy=None,
        ssl=tls,
        user_agent_header="vcond",
        logger=_SILENT,
    )
