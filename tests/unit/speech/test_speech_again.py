"""Speech that failed by a mistake of ours and is run again, as the daemon does: what waited, still gets its text."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from vcond.call import events as ev
from vcond.speech.workers.process import Worker


def crash(*_: object) -> None:
    raise ZeroDivisionError


async def failing(speech) -> None:
    with pytest.raises(ExceptionGroup):
        await speech.run()


async def test_what_workers_had_in_hand_when_speech_failed_gets_its_text(room, track, monkeypatch) -> None:
    house, line = room(workers=2), track()
    house.speech.catch_up(line, line.say(1, 2, 3))
    asked, both = [], asyncio.Event()

    async def ask(worker, step, seconds):  # the first to ask fails when the other one is in the middle of it
        asked.append(step)
        if len(asked) == 2:
            both.set()
            await asyncio.Event().wait()
        await both.wait()
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(Worker, "ask", ask)
        await failing(house.speech)
    assert house.speech.waiting == 3
    assert house.speech.pids == {}
    assert "restarting speech" in house.speech.trouble
    await house.transcribe("call")
    assert house.speech.trouble == ""
    assert sorted(event.text for event in line.of(ev.Transcribed)) == ["1", "2", "3"]
    assert house.speech.status()["waiting"] == 0


async def test_an_utterance_that_makes_speech_fail_every_time_is_given_up(room, track, monkeypatch) -> None:
    house, line = room(), track()
    house.speech.catch_up(line, line.say(1))

    async def ask(worker, step, seconds):
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(Worker, "ask", ask)
        for _ in range(3):
            await failing(house.speech)
    assert [event.reason for event in line.of(ev.Untranscribed)] == ["engine-failed"]
    assert await house.speech.settled("call", 0)


async def test_a_text_that_cannot_be_told_keeps_nobody_waiting(room, track) -> None:
    house, line = room(), track()
    house.speech.catch_up(line, line.say(1))
    line.emit = crash
    await failing(house.speech)
    assert await house.speech.settled("call", 0)


@pytest.mark.usefixtures("slow_machine")
async def test_partials_go_on_after_speech_failed_while_one_was_decoded(room, track, monkeypatch) -> None:
    house, line = room(), track()
    line.pcm = np.repeat(np.array([1, 2, 0], np.int16), 8000)
    listener = house.listen(line)
    listener.advance(8000)

    async def ask(worker, step, seconds):
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(Worker, "ask", ask)
        await failing(house.speech)
    other = track("other")
    other.pcm = np.full(480_000, 7, np.int16)
    async with house.running() as speech:
        await speech.ready.wait()
        beside, upto = house.listen(other), 8000
        while (
            not other.partials
        ):  # what is spoken is decoded only while a worker is free: somebody who goes on speaking
            beside.advance(min(upto, 480_000))
            upto += 800
            await asyncio.sleep(0.02)
        listener.close(24000)
        assert await speech.settled("call", 60)
    assert [event.text for event in line.of(ev.Transcribed)] == ["1 2"]


async def test_of_a_track_that_goes_segmenter_failed_nothing_stays_with_a_worker(room, track) -> None:
    house, line = room("Streaming"), track()
    line.pcm = np.ones(24000, np.int16)
    async with house.running() as speech:
        await speech.ready.wait()
        listener = house.listen(line)
        listener.advance(8000)
        await line.until(lambda: bool(line.partials))
        listener.segmenter.feed = crash
        listener.advance(16000)
        await line.until(lambda: bool(line.of(ev.Warned)))
        listener.close(24000)
        assert await speech.settled("call", 60)
        other = track("other")
        speech.catch_up(other, other.say(5))
        assert await speech.settled("other", 60)
        assert not speech._scheduler.holds(0)
    assert [event.code for event in line.of(ev.Warned)] == ["not-transcribed"]
    assert house.log("reset")[0] == "1"
