"""A look at the switch's table beside its events: what waits in line is heard before a channel is given up."""

from __future__ import annotations

import asyncio

import pytest
from fskit import Ears

from vcond.sdk.contract import Instant
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock
from vcond_freeswitch import resync
from vcond_freeswitch.client import Connection, NoSuchChannelError
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event
from vcond_freeswitch.tracker import ChannelTracker


class Line:
    """A connection whose switch has no channel any more; ``waits`` is what its events speak of."""

    def __init__(self) -> None:
        self.waits: set[str] = set()

    async def api(self, line: str) -> str:
        if line.startswith("show"):
            return '{"row_count": 0}'
        raise NoSuchChannelError("no such channel")

    def spoken_of(self) -> set[str]:
        return self.waits


@pytest.fixture
def tracker() -> ChannelTracker:
    clock = ManualClock()
    made = ChannelTracker(MemoryHost("freeswitch", clock=clock), Config().checked(), Ears())
    for leg in ("a", "b"):
        made.event(
            Event(name="CHANNEL_CREATE", leg=leg, channel=f"sofia/internal/{leg}@x", direction="inbound"), clock.now()
        )
    return made


def look(tracker: ChannelTracker, line: Line, doubted: set[str]) -> set[str]:
    return asyncio.run(resync.compare(line, tracker, tracker._host, doubted))


def test_what_is_not_found_is_looked_at_twice(tracker):
    line = Line()
    doubted = look(tracker, line, set())
    assert (doubted, set(tracker.legs)) == ({"a", "b"}, {"a", "b"})
    tracker.event(
        Event(name="CHANNEL_HANGUP_COMPLETE", leg="a", cause="USER_BUSY", q850="17"), Instant(tracker._host.clock.now())
    )
    assert (look(tracker, line, doubted), set(tracker.legs)) == (set(), set())
    assert [call.state.cause.text for call in tracker._host.calls] == ["USER_BUSY", "lost"]


def test_a_channel_whose_end_waits_in_line_is_not_lost(tracker):
    line = Line()
    doubted = look(tracker, line, set())
    line.waits = {"a"}
    look(tracker, line, doubted)
    assert set(tracker.legs) == {"a"}


def test_a_connection_tells_of_whom_the_events_speak_that_wait():
    async def main() -> set[str]:
        connection = Connection(Config().checked(), ManualClock(), asyncio.StreamReader(), object())
        for event in (
            Event(name="CHANNEL_HANGUP_COMPLETE", leg="a"),
            Event(name="CHANNEL_UUID", leg="new", old_leg="b"),
            Event(name="CHANNEL_ANSWER", leg="c"),
        ):
            connection._events.append((event, Instant(0)))
        return connection.spoken_of()

    assert asyncio.run(main()) == {"a", "b"}
