"""Twelve calls answered within 0.4 s, again and again, on a real Asterisk: every party is heard from the start.

``VCOND_BURSTS=60`` plays sixty of them; a few are enough for every day.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from vcond.sdk.contract import SECOND, SpanKind
from vcond.testing.sounds import voice

pytestmark = pytest.mark.peer
CALLS = 12
APART = 0.03
"""Seconds between two answers."""
TALK = 1.5
LATEST = 0.5
"""Most seconds from the answer to the first audio of a party."""
RATE = 8000
CAME = {SpanKind.RECEIVED, SpanKind.SILENT}
BURSTS = int(os.environ.get("VCOND_BURSTS", "3"))


@pytest.mark.timeout(60 + 12 * BURSTS)
async def test_calls_answered_at_once_are_all_heard(house):
    starts, gaps = [], []
    said = house.farm.voice(f"{house.number}-1", voice(1, TALK))
    for burst in range(BURSTS):
        numbers = [f"{house.number[:-5]}{burst:02}{i:03}" for i in range(CALLS)]
        callers = [await house.farm.dial("200", number) for number in numbers]
        agents = [await house.farm.ringing("agent", number) for number in numbers]
        async with asyncio.TaskGroup() as answering:
            for agent in agents:
                answering.create_task(agent.answer())
                await asyncio.sleep(APART)
        for caller in callers:
            await caller.up()
        await asyncio.gather(*(phone.say(said) for phone in (*callers, *agents)))
        for caller in callers:
            await caller.hang_up()
        calls = house.host.calls[burst * CALLS :]
        await house.until(lambda calls=calls: all(call.over for call in calls), "the end of all calls")
        assert len(calls) == CALLS
        for call in calls:
            state = call.state
            assert len(state.parties) == 2
            for party in (0, 1):
                spans = [span for track in state.tracks if track.party == party for span in track.spans]
                came = [start for start, _, kind in spans if kind in CAME]
                assert came, (burst, party, "no audio")
                assert SpanKind.RECEIVED in {kind for _, _, kind in spans}, (burst, party, "only silence")
                joined = max(state.answered, state.parties[party].presences[0].joined) - state.opened
                starts.append(came[0] / RATE - joined / SECOND)
                gaps.append(max(((b - a) / RATE for a, b, kind in spans if kind is SpanKind.LOST), default=0.0))
            assert [warning.code for warning in state.warnings] == []
        await house.nothing_left()
    print(
        f"\n{BURSTS} bursts, {len(starts)} tracks: first audio at most {max(starts) * 1000:.0f} ms after the answer,"
        f" longest gap {max(gaps) * 1000:.0f} ms, {sum(gap > 0.05 for gap in gaps)} tracks with one,"
        f" this process or an answer of Asterisk up to {house.late * 1000:.0f} ms late"
    )
    assert max(starts) <= LATEST + 10 * house.late, "a tap is four requests, and others' are in the queue before each"
    assert not house.host.drops
