from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from paced import RATE, Call, Room, Speed, spoken

from vcond.call import events as ev
from vcond.speech.workers.steps import STALE
from vcond.testing.time import run_virtual


@contextlib.asynccontextmanager
async def running(room: Room) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        service = tasks.create_task(room.speech.run())
        await room.speech.ready.wait()
        yield
        service.cancel()


async def overrun(
    room: Room, calls: list[Call], beside: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> float:
    """Everybody speaks; returns how many seconds after the end all texts were there."""
    async with running(room), asyncio.TaskGroup() as tasks:
        other = tasks.create_task(beside()) if beside is not None else None
        async with asyncio.TaskGroup() as speaking:
            for call in calls:
                speaking.create_task(call.speak())
        ended = asyncio.get_running_loop().time()
        assert await room.speech.settled("", 3600)
        if other is not None:
            other.cancel()
        return asyncio.get_running_loop().time() - ended


def crowd(room: Room, count: int, seconds: float) -> list[Call]:
    return [Call(room, f"call {i}", spoken(seconds), late=0.3 * i) for i in range(count)]


async def kill_every(room: Room, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        for worker in list(room.speed.alive):
            worker.kill()


def steady(call: Call, state: str) -> bool:
    return call.states()[-1] == state


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed every 5 s"])
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
def test_two_minutes_of_three_times_too_much(streaming: bool, killed: bool) -> None:
    """13 calls that speak 3/4 of the time, at 0.3 seconds of a worker a second: work for 2.9 workers, and there is one."""

    async def scene() -> None:
        room = Room(Speed(0.3, streaming))
        calls = crowd(room, 13, 120)
        took = await overrun(room, calls, (lambda: kill_every(room, 5)) if killed else None)
        assert all(call.complete() for call in calls)
        assert [event for call in calls for event in call.of(ev.Untranscribed)] == []
        assert took < 480, "complete within minutes"
        assert max(lag for call in calls for lag in call.lags) <= STALE
        oldest, youngest = calls[0], calls[-1]
        assert "deferred" not in oldest.states()
        assert max(text.lag_ms for text in oldest.of(ev.Transcribed)) < 6_000
        assert sum(text.deferred for text in youngest.of(ev.Transcribed)) > 25
        assert all(len(call.states()) <= 6 for call in calls), "states do not flap"
        assert len(youngest.lags) < 10, "no words are shown of what waits"
        if not streaming:
            assert all(len(call.lags) < 10 for call in calls), "to show words costs texts"
        assert room.speech.waiting == 0

    run_virtual(scene())


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
def test_words_are_shown_three_times_a_second_when_there_is_time(streaming: bool) -> None:
    async def scene() -> None:
        room = Room(Speed(0.03, streaming), workers=2)
        (call,) = crowd(room, 1, 40)
        await overrun(room, [call])
        assert call.complete()
        assert call.states() == []
        assert len(call.of(ev.Transcribed)) == 10
        assert max(call.lags) < 0.5

    run_virtual(scene())


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
def test_what_is_shown_grows_every_300_ms(streaming: bool) -> None:
    """Every sample has another value, so that every look at it says something new."""

    async def scene() -> None:
        room = Room(Speed(0.03, streaming), workers=2)
        call = Call(room, "call", 1 + np.arange(10 * RATE, dtype=np.int64) // (RATE // 10) % 30_000)
        call.pcm = call.pcm.astype(np.int16)
        await overrun(room, [call])
        return len(call.lags)

    shown = run_virtual(scene())
    assert shown >= 20, "of 10 seconds, the first second and the measuring aside"


def test_one_call_that_never_stops_does_not_starve_the_others() -> None:
    """The oldest call is music on both sides of it; with it there is too much, without it there is not."""

    async def scene() -> None:
        room = Room(Speed(0.27))
        calls = crowd(room, 3, 90)
        music = [Call(room, "music", spoken(100, talk=12, pause=0.1), track=i) for i in range(2)]
        music[1].next_utterance = music[0].next_utterance  # type: ignore[method-assign]  # of one call
        await overrun(room, [*music, *calls])
        assert "deferred" in [state for track in music for state in track.states()]
        for call in calls:
            assert call.complete()
            learnt = [text for text in call.of(ev.Transcribed) if text.utterance >= 5]
            assert not any(text.deferred for text in learnt)
        assert len(music[0].of(ev.Transcribed) + music[1].of(ev.Transcribed)) == music[0].numbers

    run_virtual(scene())


def test_when_the_others_hang_up_a_call_is_live_again() -> None:
    async def scene() -> None:
        room = Room(Speed(0.3))
        calls = [*crowd(room, 5, 30), Call(room, "last", spoken(200), late=2)]
        await overrun(room, calls)
        assert all(call.complete() for call in calls)
        assert "deferred" in calls[-1].states()
        assert steady(calls[-1], "live")
        assert calls[-1].lags

    run_virtual(scene())


def test_a_restart_in_the_middle_of_it() -> None:
    """What was not transcribed is taken up from the journal by the next run, before and beside what goes on."""

    async def scene() -> None:
        first = Room(Speed(0.3))
        calls = crowd(first, 9, 40)
        async with running(first), asyncio.TaskGroup() as speaking:
            for call in calls:
                speaking.create_task(call.speak())
        second = Room(Speed(0.3))
        for call in calls:
            have = {text.utterance for text in call.of(ev.Transcribed)}
            left = [one for one in call.of(ev.Utterance) if one.utterance not in have]
            second.speech.catch_up(call, left)
        new = Call(second, "new", spoken(30))
        async with running(second):
            await new.speak()
            assert await second.speech.settled("", 3600)
        assert new.complete()
        assert not any(text.deferred for text in new.of(ev.Transcribed))
        assert all(call.complete() for call in calls)

    run_virtual(scene())


def test_calls_that_are_waited_for_come_before_those_that_go_on_and_short_ones_first() -> None:
    async def scene() -> None:
        room = Room(Speed(0.5))
        long, short, nobody = (Call(room, name, spoken(length)) for name, length in (("l", 80), ("s", 8), ("n", 8)))
        for call in (nobody, long, short):
            step = 4 * RATE
            utterances = [
                ev.Utterance(at=call.at(at), utterance=call.next_utterance(), track=0, start=at, stop=at + 3 * RATE)
                for at in range(0, len(call.pcm), step)
            ]
            room.speech.catch_up(call, utterances)
        async with running(room):
            waits = [asyncio.create_task(room.speech.settled(call.call, 3600)) for call in (long, short)]
            await asyncio.gather(*waits)
            assert await room.speech.settled("", 3600)
        ends = [max(text.at for text in call.of(ev.Transcribed)) for call in (short, long, nobody)]
        assert ends == sorted(ends)

    run_virtual(scene())


def test_workers_that_are_gone_are_no_capacity() -> None:
    async def scene() -> None:
        room = Room(Speed(0.1), restart_seconds=0.0)
        calls = crowd(room, 2, 120)

        async def fail() -> None:
            await asyncio.sleep(20)
            room.speed.loading = 60.0
            room.speed.alive[0].kill()

        await overrun(room, calls, fail)
        for call in calls:
            assert call.complete()
            assert "deferred" in call.states()
            assert steady(call, "live")

    run_virtual(scene())


def test_texts_that_are_given_up_for_memory_come_when_there_is_enough_again() -> None:
    async def scene() -> None:
        room = Room(Speed(0.01))
        calls = crowd(room, 2, 40)
        room.speech.at_most("deferred")
        async with running(room):
            await asyncio.gather(*(call.speak() for call in calls))
            assert not await room.speech.settled("", 100)
            assert not any(call.of(ev.Transcribed) for call in calls)
            room.speech.at_most("live")
            assert await room.speech.settled("", 60)
        assert all(call.complete() for call in calls)
        assert all(call.of(ev.Transcribed) for call in calls)

    run_virtual(scene())
