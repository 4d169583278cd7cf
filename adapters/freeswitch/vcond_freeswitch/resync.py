"""What is true of the switch now, compared with what we know: after every connect, twice.

``show channels`` reads a table that lags: a leg appears up to 235 ms after its answer and goes up to 220 ms after its
end (measured). ``uuid_dump`` does not lag. So what we know is asked for by name, and the table, looked at now and a
second later, only finds what we do not know.
"""

from __future__ import annotations

import json
from typing import Any, Final

from vcond.adapter import Cause, Desk, Instant, PeerError, ProtocolError
from vcond_freeswitch import commands
from vcond_freeswitch.board import Switchboard
from vcond_freeswitch.client import Connection, NoSuchChannelError, together
from vcond_freeswitch.events import Event, from_plain
from vcond_freeswitch.taps import TapCrew

MAX_ROWS: Final = 20_000
"""Channels that are taken from the table."""
AGAIN: Final = 1.0
"""Seconds until the second look at the table."""


async def table(connection: Connection) -> list[str]:
    """The ids of all channels, as the lagging table has them. Raises PeerError."""
    answer = await connection.api("show channels as json")
    try:
        plain: Any = json.loads(answer)
        rows = plain.get("rows", [])  # no rows at all when there are none
        found = [row["uuid"] for row in rows[:MAX_ROWS]]
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError):
        raise ProtocolError("the list of channels makes no sense") from None
    return [uuid for uuid in found if isinstance(uuid, str) and uuid]


async def dump(connection: Connection, channel: str) -> Event | None:
    """All about a channel; None when it is not there. Raises PeerError."""
    try:
        answer = await connection.api(commands.dump(channel))
        return from_plain(answer.encode("utf-8"), connection.variables)
    except (NoSuchChannelError, ProtocolError):
        return None


async def resync(
    connection: Connection, board: Switchboard, desk: Desk, crew: TapCrew, *, lost: Instant | None
) -> None:
    """The first look. Channels that are gone have left at ``lost``; calls of an earlier run are taken up."""
    known = list(board.legs)
    earlier = list(desk.unfinished())
    named = [party.key for call in earlier for party in call.state.parties if party.here and " " not in party.key]
    wanted = list(dict.fromkeys([*known, *named, *await table(connection)]))[:MAX_ROWS]
    dumps = await _dumps(connection, wanted)
    at = desk.clock.now()
    for conversation in board.conversations():
        conversation.look(at)
    if lost is not None:
        board.away(lost, at)
    there = {found.leg for found in dumps}
    for channel in known:
        if channel not in there:
            board.lost(channel, lost or at)
    _found(board, dumps, at)
    last = min((max(call.state.last, call.state.opened) for call in earlier), default=at)
    board.adopt(earlier, at)
    for conversation in board.conversations():
        conversation.settle(at)
        conversation.again(at)
    for found in dumps:
        board.holds(found, at)
    for call in desk.unfinished():
        call.end(at=call.state.known_until, cause=Cause(text="gone"))
    await crew.adopt(connection, list(board.legs.values()), {leg: max(0, at - last) for leg in board.legs})


async def again(connection: Connection, board: Switchboard, desk: Desk) -> None:
    """The second look: what the table did not show the first time. Raises PeerError."""
    new = [channel for channel in await table(connection) if channel not in board.legs]
    dumps = await _dumps(connection, new)
    at = desk.clock.now()
    _found(board, dumps, at)
    for conversation in board.conversations():
        conversation.settle(at)
    for found in dumps:
        board.holds(found, at)


async def _dumps(connection: Connection, channels: list[str]) -> list[Event]:
    found = await together(*(dump(connection, channel) for channel in channels if _sendable(channel)))
    return [one for one in found if one is not None]


def _found(board: Switchboard, dumps: list[Event], at: Instant) -> None:
    """Callers first, so that a call is named by its first leg; twice, so that each finds its peer."""
    dumps.sort(key=lambda one: (one.created.zfill(20), one.direction != "inbound"))
    for _ in range(2):
        for one in dumps:
            board.found(one, at)


def _sendable(channel: str) -> bool:
    try:
        commands.channel(channel)
    except PeerError:
        return False
    return True
