"""Clocks that step, stand and are wrong, for every adapter: a part of ``AdapterConformance``."""

# ruff: noqa: D102 - the name of a test says what it shows

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final
from unittest.mock import patch

import numpy as np

from vcond.base.time import SECOND
from vcond.media.codecs import Pcm
from vcond.testing.call import MemoryCall
from vcond.testing.checks import ANN, BEN, OWN, check_ended, moments
from vcond.testing.session import Session, in_session
from vcond.testing.sounds import RATE, find, voice
from vcond.testing.time import LoopClock

HOUR: Final = 3600.0
"""Seconds."""
LEAP: Final = 1.0
"""A leap second: a clock that knows it tells one second twice. What it says in the two minutes after that cannot be told from what came a
second late, so a call may end so much too early; not a leap second that has passed."""
SUSPENDED: Final = 900.0
"""Seconds."""
SAID: Final = 2.0
"""Seconds."""
LONG: Final = 20.0
"""Seconds that no call of these tests lasts, suspend apart."""


class WhenClocksAreWrong:
    """What is recorded lies where it was spoken, whatever clocks say."""

    @in_session()
    async def test_our_wall_clock_steps_in_a_call_and_moves_nothing_of_it(self, run: Session) -> None:
        for seed, step in ((0, HOUR), (10, -HOUR), (20, -LEAP)):
            line = await run.rig.place(run.host)
            await line.speak(voice(seed + ANN, SAID), voice(seed + BEN, SAID))
            with wall_clock(step):
                await line.speak(voice(seed + 3, SAID), voice(seed + 4, SAID))
                await line.hang_up()
                call = await run.over(line.key)
            check_ended(run.rig, call)
            lasted_as_it_was_spoken(run, call, seed)

    @in_session("clock")
    async def test_a_system_whose_clock_is_wrong_has_its_calls_where_they_were(self, run: Session) -> None:
        for seed, off in ((0, HOUR), (10, -HOUR), (20, -LEAP)):
            run.rig.set_clock(off)
            line = await run.rig.place(run.host)
            await line.speak(voice(seed + ANN, SAID), voice(seed + BEN, SAID))
            await line.speak(voice(seed + 3, SAID), voice(seed + 4, SAID))
            await line.hang_up()
            call = await run.over(line.key)
            check_ended(run.rig, call)
            lasted_as_it_was_spoken(run, call, seed)

    @in_session("clock")
    async def test_a_system_whose_clock_steps_in_a_call_has_it_where_it_was(self, run: Session) -> None:
        for seed, step in ((0, HOUR), (10, -HOUR), (20, -LEAP)):
            run.rig.set_clock(0)
            line = await run.rig.place(run.host)
            await line.speak(voice(seed + ANN, SAID), voice(seed + BEN, SAID))
            run.rig.set_clock(step)
            for on in (True, False) if "hold" in run.rig.can else ():
                await line.hold(on=on)
                await run.until(partial(_told, run, line.key, "hold" if on else "unhold"), "hold")
                await asyncio.sleep(1)
            await line.speak(voice(seed + 3, SAID), voice(seed + 4, SAID))
            await line.speak(*[np.zeros(round(2 * LEAP * RATE), np.int16)] * 2)
            await line.hang_up()
            call = await run.over(line.key)
            if abs(step) > LEAP:
                check_ended(run.rig, call)
            lasted_as_it_was_spoken(run, call, seed)

    @in_session("suspend")
    async def test_a_call_over_a_suspend_goes_on_and_has_its_length(self, run: Session) -> None:
        line = await run.rig.place(run.host)
        await line.speak(voice(ANN, SAID), voice(BEN, SAID))
        assert isinstance(run.host.clock, LoopClock)
        run.host.clock.leap(SUSPENDED)
        run.host.tick()
        await line.speak(voice(3, SAID), voice(4, SAID))
        assert not run.host.by_key(line.key).over, "nobody said that it is over"
        await line.hang_up()
        call = await run.over(line.key)
        check_ended(run.rig, call)
        assert len(run.host.calls) == 1
        lasted_as_it_was_spoken(run, call, 0, more=SUSPENDED)


@contextmanager
def wall_clock(step: float) -> Iterator[None]:
    """Our machine's wall clock is so many seconds off meanwhile; what counts seconds goes on."""
    wall, wall_ns = time.time, time.time_ns
    with (
        patch.object(time, "time", lambda: wall() + step),
        patch.object(time, "time_ns", lambda: wall_ns() + round(step * SECOND)),
    ):
        yield


def lasted_as_it_was_spoken(run: Session, call: MemoryCall, seed: int, more: float = 0.0) -> None:
    """Both are heard before and after, and nothing lies before the call, after it, or where nobody spoke. ``more``: seconds of a suspend."""
    state = call.state
    assert state.ended is not None
    assert 2 * SAID - run.rig.tolerance_ms / 1000 <= (state.ended - state.opened) / SECOND - more <= LONG
    told = [moment.at for moment in state.history] + [warned.at for warned in state.warnings]
    assert all(state.opened <= at <= state.ended for at in told), "something happened outside of the call"
    for party, (first, second) in enumerate(((ANN, 3), (BEN, 4))):
        audio = run.host.audio(call, party, rate=RATE)
        end = max(0, len(audio) - round(LONG * RATE))
        before = _place(voice(seed + first, SAID), audio[: round(LONG * RATE)])
        after, place = _place(voice(seed + second, SAID), audio[end:])
        places = [before, (after, end + place)]
        assert min(heard for heard, _ in places) >= OWN, f"party {party} is not heard where it spoke: {places}"
        apart = (places[1][1] - places[0][1]) / RATE - more
        assert SAID - run.rig.tolerance_ms / 1000 <= apart <= LONG, f"what party {party} said is {apart:.1f} s apart"


def _place(said: Pcm, heard: Pcm) -> tuple[float, int]:
    """As ``find``, of that half second of it which is heard best: bursts of a scripted peer may be moved by their length."""
    half = RATE // 2
    found = [(at, find(said[at : at + half], heard)) for at in range(0, len(said), half)]
    return max((like, lag - at) for at, (like, lag) in found)


def _told(run: Session, key: str, what: str) -> bool:
    return what in moments(run.host, key)
