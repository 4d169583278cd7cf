"""What is true of the switch now, compared with what we know: after every connect, twice.

``show channels`` reads a table that lags: a leg appears up to 235 ms after its answer and goes up to 220 ms after its
end (measured). ``uuid_dump`` does not lag. So what we know is asked for by name, and the table, looked at now and a
second later, only finds what we do not know.
"""

from __future__ import annotations

import json
from typing import Any, Final

from vcond.sdk.contract import AdapterHost, Cause, Instant, LiveCall, PartyLeft, PeerError, ProtocolError
from vcond.sdk.mistakes import each
from vcond_freeswitch import commands
from vcond_freeswitch.calls import Conversation
from vcond_freeswitch.client import Connection, NoSuchChannelError, together
from vcond_freeswitch.events import Event, from_plain
from vcond_freeswitch.recovery import Unread, rest
from vcond_freeswitch.taps import TapManager
from vcond_freeswitch.tracker import ChannelTracker

MAX_ROWS: Final = 20_000
"""Channels that are taken from the table."""
AGAIN: Final = 1.0
"""Seconds until the second look at the table."""
EVERY: Final = 180.0
"""Seconds between later looks."""


async def table(connection: Connection) -> list[str]:
    """The ids of all channels, as the lagging table has them. Raises PeerError."""
    answer = await connection.api("show channels as json")
    try:
        plain: Any = json.loads(answer)
        rows = plain.get("rows", [])  # no rows at all when there are none
        found = [row["uuid"] for row in rows[:MAX_ROWS]]
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError):
        raise ProtocolError("the list of channels cannot be read") from None
    return [uuid for uuid in found if isinstance(uuid, str) and uuid]


async def dump(connection: Connection, channel: str) -> Event | None:
    """All about a channel; None when it is not there. Raises PeerError."""
    try:
        answer = await connection.api(commands.dump(channel))
        return from_plain(answer.encode("utf-8"), connection.variables)
    except (NoSuchChannelError, ProtocolError):
        return None


async def resync(
    connection: Connection, tracker: ChannelTracker, host: AdapterHost, manager: TapManager, *, lost: Instant | None
) -> None:
    """The first look. Channels that are gone have left at ``lost``; calls of an earlier run are taken up."""
    known = list(tracker.legs)
    earlier = _left(tracker, host)
    named = [party.key for call in earlier for party in call.state.parties if party.here and " " not in party.key]
    wanted = list(dict.fromkeys([*known, *named, *await table(connection)]))[:MAX_ROWS]
    dumps = await _dumps(connection, wanted)
    at = host.clock.now()
    for conversation in tracker.conversations():
        conversation.look(at)
    if lost is not None:
        tracker.away(lost, at)
    there = {found.leg for found in dumps}
    spoken_of = connection.spoken_of()
    for channel in known:
        if channel not in there and channel not in spoken_of:
            tracker.lost(channel, lost or at)
    _found(host, tracker, dumps, at)
    each(host, earlier, lambda call: _read_on(host, manager, call, there, at), "reading a call to its end")
    earlier = _left(tracker, host)
    each(host, earlier, lambda call: tracker.adopt([call], at), "resuming a call")
    taken = {call.uuid for call in earlier}
    unread = {
        leg.channel: Unread.of(leg.conversation.call.state, leg.party)
        for leg in tracker.legs.values()
        if leg.conversation.call is not None and leg.party is not None and leg.conversation.call.uuid in taken
    }
    _settle(host, tracker, dumps, at)
    each(host, _left(tracker, host), _end, "ending a call")
    await manager.adopt(connection, list(tracker.legs.values()), unread)


def _end(call: LiveCall) -> None:
    left = [stay.left for party in call.state.parties for stay in party.presences if stay.left is not None]
    call.end(at=max(call.state.known_until, *left, call.state.opened), cause=Cause(text="gone"))


def _settle(host: AdapterHost, tracker: ChannelTracker, dumps: list[Event], at: Instant) -> None:
    def settle(conversation: Conversation) -> None:
        conversation.settle(at)
        conversation.again(at)

    each(host, tracker.conversations(), settle, "closing a call")
    each(host, dumps, lambda found: tracker.holds(found, at), "reporting a hold")


def _left(tracker: ChannelTracker, host: AdapterHost) -> list[LiveCall]:
    """Calls that no conversation has: of a process that died, or of an adapter that was started again in this one."""
    mine = {conversation.call.uuid for conversation in tracker.conversations() if conversation.call is not None}
    return [call for call in (*host.unfinished(), *host.open_calls()) if call.uuid not in mine]


def _read_on(host: AdapterHost, manager: TapManager, call: LiveCall, there: set[str], at: Instant) -> None:
    """Parties who left while nobody listened did so when their audio ends; what was not read of it is read now."""
    for party in call.state.parties:
        files = (
            manager.leftovers.of(party.key) if party.here and party.key not in there and manager.kind == "file" else []
        )
        if files:
            call = host.call(call.key, at=at)
            stop = rest(call, party, files[-1], manager.config.rate, at)
            if stop is not None:
                call.emit(PartyLeft(at=stop, party=party.index))


async def again(connection: Connection, tracker: ChannelTracker, host: AdapterHost) -> None:
    """The second look: what the table did not show the first time. Raises PeerError."""
    new = [channel for channel in await table(connection) if channel not in tracker.legs]
    dumps = await _dumps(connection, new)
    at = host.clock.now()
    _found(host, tracker, dumps, at)
    for conversation in tracker.conversations():
        conversation.settle(at)
    each(host, dumps, lambda found: tracker.holds(found, at), "reporting a hold")


async def compare(connection: Connection, tracker: ChannelTracker, host: AdapterHost, doubted: set[str]) -> set[str]:
    """A look after minutes: channels that ended without a word, and calls that none belongs to. Raises PeerError.

    A channel is not found any more a moment before its last event. So only what was ``doubted`` before, and of which no
    event waits, has ended; what is to be looked at once more is returned.
    """
    known = set(tracker.legs)
    missing = sorted(known.difference(await table(connection)))[:MAX_ROWS]
    gone = await together(*(_gone(connection, channel) for channel in missing if _sendable(channel)))
    at = host.clock.now()
    missed = {channel for channel in gone if channel in tracker.legs} - connection.spoken_of()
    ended = sorted(missed & doubted)
    if ended:
        host.log.warning(
            "missed FreeSWITCH hangups found by comparing channels; their calls end now", channels=len(ended)
        )
    for channel in ended:
        tracker.lost(channel, at, "lost")
    tracker.sweep(at)
    return missed - doubted


async def _gone(connection: Connection, channel: str) -> str:
    """The channel, when there is none of that name; else empty. Raises PeerError."""
    try:
        await connection.api(commands.dump(channel))
    except NoSuchChannelError:
        return channel
    return ""


async def _dumps(connection: Connection, channels: list[str]) -> list[Event]:
    found = await together(*(dump(connection, channel) for channel in channels if _sendable(channel)))
    return [one for one in found if one is not None]


def _found(host: AdapterHost, tracker: ChannelTracker, dumps: list[Event], at: Instant) -> None:
    """Callers first, so that a call is named by its first leg; twice, so that each finds its peer."""
    dumps.sort(key=lambda one: (one.created.zfill(20), one.direction != "inbound"))
    for _ in range(2):
        each(host, dumps, lambda one: tracker.found(one, at), "adding a channel")


def _sendable(channel: str) -> bool:
    try:
        commands.channel(channel)
    except PeerError:
        return False
    return True
